//! The contract of shipped code: what control nodes and workers tell each other.

use bytes::Bytes;
use phalanx_jobs::JobClass;
use serde::{Deserialize, Serialize};

use super::error::WasmError;
use super::signing::ModuleSignature;

/// The job class of shipped code. A worker has it once its program has registered a [`WasmHost`](super::WasmHost). Use it
/// through [`WasmClient`](super::WasmClient). Commands and events are a guest's own bytes.
#[derive(Debug)]
pub struct Wasm;

impl JobClass for Wasm {
    const NAME: &'static str = "driver.wasm";
    const VERSION: u32 = 1;
    type Request = WasmRequest;
    type Reply = WasmReply;
    type Task = WasmWork;
    type Output = WasmOutput;
    type Command = Bytes;
    type CommandReply = Bytes;
    type Event = Bytes;
    type Error = WasmError;
}

/// What a worker can be asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum WasmRequest {
    /// Which modules there are.
    List,
    /// Call a function and wait for what it returns.
    Call {
        /// Which one.
        entry: Entry,
        /// What it is given.
        input: Bytes,
    },
    /// Make a version the default one.
    Switch {
        /// Of this module.
        module: String,
        /// This one.
        version: String,
    },
    /// Make the default before the present one the default again.
    RollBack {
        /// Of this module.
        module: String,
        /// Only if this is the default now: so that a question that is asked twice does not go back two steps.
        from: String,
    },
    /// Forget a version.
    Remove {
        /// Of this module.
        module: String,
        /// This one.
        version: String,
    },
}

/// What a worker answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum WasmReply {
    /// The modules, in the order of their names.
    Modules(Vec<ModuleInfo>),
    /// What the function has returned.
    Returned(Returned),
    /// The version that is the default now.
    Default(String),
    /// The version is forgotten.
    Removed,
}

/// Work that is a task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum WasmWork {
    /// A module is pushed. Its bytes come as a transfer.
    Push(Announced),
    /// A function runs, tells events and is told commands.
    Run {
        /// Which one.
        entry: Entry,
        /// What it is given.
        input: Bytes,
    },
}

/// What such a task ends with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum WasmOutput {
    /// The module is there.
    Pushed(VersionInfo),
    /// The function has returned.
    Returned(Returned),
}

/// A function of a module.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// The module's name.
    pub module: String,
    /// Its version; the default one if there is none here.
    pub version: Option<String>,
    /// The name under which the function is exported.
    pub function: String,
}

impl Entry {
    /// A function of the module's default version.
    #[must_use]
    pub fn new(module: &str, function: &str) -> Self {
        Self { module: module.to_owned(), version: None, function: function.to_owned() }
    }

    /// The same of this version.
    #[must_use]
    pub fn version(mut self, version: &str) -> Self {
        self.version = Some(version.to_owned());
        self
    }
}

/// What a function has returned.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Returned {
    /// The version that ran.
    pub version: String,
    /// Its output.
    pub output: Bytes,
    /// How much fuel it has used, about one for each instruction; of a task, since it last waited for a command.
    pub fuel: u64,
}

/// What is going to be pushed, and who says so.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Announced {
    /// The module's name.
    pub module: String,
    /// Its version.
    pub version: String,
    /// The BLAKE3 hash of its bytes.
    pub blake3: [u8; 32],
    /// How many bytes it has.
    pub bytes: u64,
    /// The signature over all of this. Without one a worker takes nothing.
    pub signature: Option<ModuleSignature>,
}

/// A module that a worker has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModuleInfo {
    /// Its name.
    pub module: String,
    /// The versions that were the default, the oldest first; the last one is the default now.
    pub defaults: Vec<String>,
    /// All versions, in the order of their names.
    pub versions: Vec<VersionInfo>,
}

/// A version of a module that a worker has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VersionInfo {
    /// Its name.
    pub version: String,
    /// The BLAKE3 hash of its bytes.
    pub blake3: [u8; 32],
    /// How many bytes it has.
    pub bytes: u64,
    /// The name that the worker's policy has for the key that signed it.
    pub signer: String,
    /// How many calls and tasks run in it now.
    pub running: u64,
}
