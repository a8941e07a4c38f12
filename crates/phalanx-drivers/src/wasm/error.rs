//! What can go wrong with shipped code, in words that say what to do.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::names::shortened;

/// The longest text that an error carries, in bytes: what a compiler or a guest says, shortened.
pub const TEXT_BYTES_MAX: usize = 512;

/// Why a module was not taken, or a function has returned nothing. Before [`WasmError::OutOfFuel`] nothing has run and
/// nothing has changed; from there on the guest has begun, and what it did to its data and told as events stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum WasmError {
    /// The module has no signature.
    #[error("the module is not signed: sign it with a key that the worker's policy names")]
    NotSigned,
    /// The worker's policy does not name the key.
    #[error("the key {key} is none that the worker's policy names: sign with another one, or allow it there")]
    UnknownKey {
        /// The key, in hexadecimal.
        key: String,
    },
    /// The signature is not one of this key over this name, version, hash and length.
    #[error("the signature is of another module, another version or another key: sign it again")]
    BadSignature,
    /// A name cannot be one.
    #[error(
        "the name {name:?} is refused: 1 to 64 of a-z, 0-9 and, not at its ends, `.`, `-`, `_`, `+` are allowed"
    )]
    Name {
        /// The name (shortened).
        name: String,
    },
    /// The module is too large.
    #[error(
        "a module of {bytes} bytes, where {bytes_max} are allowed: strip it, or raise `module_bytes_max`"
    )]
    TooLarge {
        /// Its size in bytes.
        bytes: u64,
        /// The cap.
        bytes_max: u64,
    },
    /// There is no room for one more.
    #[error("the worker has no room for it, by its {cap} of {max}: remove versions, or raise it there")]
    Full {
        /// The name of the limit.
        cap: String,
        /// Its value.
        max: u64,
    },
    /// Another content has this version already.
    #[error("the worker has another content under this version: choose another version, or remove that one")]
    VersionTaken,
    /// The transfer broke off, or none came.
    #[error("the module did not arrive as a whole: push it again")]
    Interrupted,
    /// What arrived is not what was announced.
    #[error("what arrived is not what was signed: push it again")]
    Corrupt,
    /// It is no module that the worker can run.
    #[error("it is no valid module: {text}")]
    InvalidModule {
        /// What the compiler says.
        text: String,
    },
    /// It wants something of its host that there is not, or that it was not granted.
    #[error("it imports {import}, which the worker does not offer: leave it out, or grant it in its policy")]
    UnknownImport {
        /// Module and name of the import.
        import: String,
    },
    /// It lacks something that its host needs.
    #[error("it does not export {export}")]
    MissingExport {
        /// What, with its type.
        export: String,
    },
    /// Compiling it takes too long.
    #[error("it was not compiled within {time_ms} ms: make it smaller, or raise `compile_time`")]
    CompileTooSlow {
        /// The cap, in milliseconds.
        time_ms: u64,
    },
    /// The worker's disk does not take it, or does not give it.
    #[error("the worker's disk: {text}")]
    Disk {
        /// The words of the operating system.
        text: String,
    },
    /// There is no such module.
    #[error("the worker has no module of that name: push it")]
    NoSuchModule,
    /// There is no such version.
    #[error("the worker has no such version of the module: push it")]
    NoSuchVersion,
    /// The module has no default version.
    #[error("the module has no default version: name one, or switch to one")]
    NoDefault,
    /// Another version than the one that was named is the default.
    #[error("the default is {version} now, and stays so")]
    OtherDefault {
        /// The default.
        version: String,
    },
    /// There was no default before this one.
    #[error("no default before this one is known: switch to a version by its name")]
    NothingBefore,
    /// The version is the default one, and there are others.
    #[error("the version is the default one: switch to another one first")]
    IsDefault,
    /// The version runs now.
    #[error("the version runs {running} times now: let it end, or stop it")]
    InUse {
        /// How many calls and tasks run in it.
        running: u64,
    },
    /// The module exports no function of that name.
    #[error("the module exports no function of that name")]
    NoSuchFunction,
    /// The function has another type than `(i32, i32) -> i64`.
    #[error("the function has the type {found}, where (i32, i32) -> i64 is needed")]
    WrongSignature {
        /// Its type.
        found: String,
    },
    /// As many run already as may.
    #[error("{running_max} of these run at the worker already: try again later")]
    Busy {
        /// The cap.
        running_max: u64,
    },
    /// The guest has used up its fuel.
    #[error("it used up {fuel_max} of fuel: let it do less, or raise `fuel_max`")]
    OutOfFuel {
        /// The cap.
        fuel_max: u64,
    },
    /// The guest's time is over.
    #[error("it did not end within {time_ms} ms: let it do less, or raise its time in the policy")]
    TimedOut {
        /// The cap, in milliseconds.
        time_ms: u64,
    },
    /// The guest wants more memory than it may have.
    #[error("it wants more than {bytes_max} bytes of memory: let it need less, or raise `memory_bytes_max`")]
    OutOfMemory {
        /// The cap.
        bytes_max: u64,
    },
    /// The guest wants a larger table than it may have.
    #[error("it wants a table of more than {elements_max} elements: raise `table_elements_max`")]
    TableTooLarge {
        /// The cap.
        elements_max: u64,
    },
    /// The guest did what no program may.
    #[error("it trapped: {text}")]
    Trapped {
        /// How.
        text: String,
    },
    /// The guest has named bytes that are not in its memory.
    #[error("it named {bytes} bytes at {at} for its {what}, which are not in its memory")]
    OutOfBounds {
        /// For what.
        what: String,
        /// Where.
        at: u32,
        /// How many.
        bytes: u32,
    },
    /// What the guest returns is too large.
    #[error("an output of {bytes} bytes, where {bytes_max} are allowed")]
    OutputTooLarge {
        /// Its size in bytes.
        bytes: u64,
        /// The cap.
        bytes_max: u64,
    },
    /// The guest itself says that it has failed, with these bytes.
    #[error("it failed: {}", shortened(&String::from_utf8_lossy(.0), TEXT_BYTES_MAX))]
    Failed(Bytes),
    /// Nobody waits for it any more.
    #[error("it was stopped, since nobody waits for it")]
    Stopped,
    /// The worker's own half has a fault.
    #[error("the worker's half of this panicked")]
    Panicked,
}

impl WasmError {
    pub(super) fn invalid(error: &wasmtime::Error) -> Self {
        Self::InvalidModule { text: shortened(&format!("{error:#}"), TEXT_BYTES_MAX).to_owned() }
    }

    pub(super) fn disk(error: &std::io::Error) -> Self {
        Self::Disk { text: shortened(&error.to_string(), TEXT_BYTES_MAX).to_owned() }
    }
}
