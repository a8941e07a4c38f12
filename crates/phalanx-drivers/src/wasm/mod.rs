//! Code that is shipped to workers while they run, as WebAssembly.
//!
//! A module is pushed to a worker, by whoever holds a key that the worker's policy names; its versions live side by side, one
//! of them is the default, and the one before it is a word away. A function of it is called as a request, or runs as a task.
//!
//! Nothing is possible until the worker's own program says what, by a [`WasmPolicy`]. A guest has a memory of its own and
//! the few host functions that it was granted: no files, no sockets, no clock, no environment. Its memory, its tables, its
//! time and its fuel are bounded, and so is everything that it hands over. The worker compiles the source itself, and has
//! checked its signature before; what a peer has compiled is never loaded.

mod catalogue;
mod class;
mod client;
mod compiled;
mod data;
mod error;
mod folder;
mod guest;
mod host;
mod machine;
mod names;
mod policy;
mod pushing;
mod running;
mod server;
mod signing;
mod stop;
mod store;
mod ticker;

pub use class::{
    Announced, Entry, ModuleInfo, Returned, VersionInfo, Wasm, WasmOutput, WasmReply, WasmRequest, WasmWork,
};
pub use client::{WasmCallError, WasmClient, WasmTask};
pub use error::{TEXT_BYTES_MAX, WasmError};
pub use names::NAME_BYTES_MAX;
pub use policy::{Grant, SIGNERS_MAX, WasmLimits, WasmPolicy, WasmPolicyError};
pub use server::WasmHost;
pub use signing::{KeyError, ModuleSignature, SignedModule, Signer, SignerKey};
