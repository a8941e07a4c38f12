//! The contract of named functions.

use bytes::Bytes;
use phalanx_jobs::{JobClass, Nothing};
use serde::{Deserialize, Serialize};

use super::signature::Signature;

/// The job class of named functions. A worker has it once its program has registered [`Functions`](super::Functions).
#[derive(Debug)]
pub struct FunctionCalls;

impl JobClass for FunctionCalls {
    const NAME: &'static str = "driver.functions";
    const VERSION: u32 = 1;
    type Request = FunctionRequest;
    type Reply = FunctionReply;
    type Task = FunctionCall;
    type Output = Bytes;
    type Command = Nothing;
    type CommandReply = Nothing;
    type Event = Nothing;
    type Error = Refused;
}

/// A call of a function.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FunctionCall {
    /// The function's name.
    pub name: String,
    /// The types as the caller sees them.
    pub signature: Signature,
    /// The argument, in postcard.
    pub argument: Bytes,
}

/// What a worker can be asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum FunctionRequest {
    /// Call a function and wait for its result.
    Call(FunctionCall),
    /// Which functions there are.
    List,
}

/// What a worker answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum FunctionReply {
    /// The function's result, in postcard.
    Returned(Bytes),
    /// The functions, in the order of their names.
    Functions(Vec<Function>),
}

/// A function that a worker has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Function {
    /// Its name.
    pub name: String,
    /// Its types.
    pub signature: Signature,
}

/// Why a call has no result. Only with [`Refused::Failed`] and [`Refused::ResultTooLarge`] has the function run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Refused {
    /// There is no function of that name.
    NoSuchFunction,
    /// The function has other types.
    OtherSignature {
        /// Those that it has.
        theirs: Signature,
    },
    /// The argument does not decode as the type it should have.
    Argument,
    /// The function has ended with an error: this one, in postcard.
    Failed(Bytes),
    /// The result is larger than a message may be, or refuses to be serialised.
    ResultTooLarge {
        /// Its size in bytes; zero where it refused.
        bytes: u64,
        /// The cap.
        bytes_max: u64,
    },
}
