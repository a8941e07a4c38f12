#![doc = include_str!("../README.md")]

#[cfg(all(feature = "docker", unix))]
pub mod docker;
#[cfg(all(feature = "files", unix))]
pub mod files;
#[cfg(feature = "functions")]
pub mod functions;
#[cfg(feature = "kv")]
pub mod kv;
#[cfg(any(all(feature = "docker", unix), all(feature = "process", target_os = "linux")))]
mod output;
#[cfg(all(feature = "process", target_os = "linux"))]
pub mod process;
#[cfg(feature = "wasm")]
pub mod wasm;
