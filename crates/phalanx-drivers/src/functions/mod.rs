//! Named functions of the worker's program, called with typed arguments.
//!
//! For whoever wants a remote call and no job class of their own: the worker's program registers functions under names,
//! a control node calls them. Both ends write down the types, and they are compared before anything runs.

mod class;
mod client;
mod registry;
mod signature;

pub use class::{Function, FunctionCall, FunctionCalls, FunctionReply, FunctionRequest, Refused};
pub use client::{FunctionError, FunctionTask, FunctionsClient};
pub use registry::{FUNCTION_NAME_BYTES_MAX, FUNCTIONS_MAX, Functions, RegisterFunctionError};
pub use signature::{Signature, TYPE_NAME_BYTES_MAX};
