//! Code that may be shipped to a node while it runs.

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use super::super::settings::Reader;
use crate::size::Size;

/// Shipped code.
#[derive(Debug)]
#[cfg_attr(not(feature = "wasm"), allow(dead_code, reason = "nobody reads the settings"))]
pub(crate) struct Wasm {
    /// Names, and public keys in hexadecimal digits.
    pub(crate) signers: Vec<(String, String)>,
    /// Without one, code is forgotten with the process.
    pub(crate) folder: Option<PathBuf>,
    pub(crate) grants: Vec<Grant>,
    pub(crate) module_bytes_max: u64,
    pub(crate) modules_max: usize,
    pub(crate) memory_bytes_max: u64,
    pub(crate) turn_time: Duration,
    pub(crate) task_time: Duration,
    pub(crate) calls_max: usize,
    pub(crate) tasks_max: usize,
}

/// What shipped code may use of its node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Grant {
    Log,
    Emit,
    Commands,
    Data,
}

impl FromStr for Grant {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "log" => Ok(Self::Log),
            "emit" => Ok(Self::Emit),
            "commands" => Ok(Self::Commands),
            "data" => Ok(Self::Data),
            _ => Err("no grant: write log, emit, commands or data"),
        }
    }
}

/// Whose code may come.
struct Signer(String, String);

impl FromStr for Signer {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (name, key) = text.split_once('=').ok_or("no signer: write NAME=KEY")?;
        let is_key = key.len() == 64 && key.bytes().all(|digit| digit.is_ascii_hexdigit());
        match (name.is_empty(), is_key) {
            (true, _) => Err("no name of a signer: write NAME=KEY"),
            (_, false) => {
                Err("no public key: it is the 64 hexadecimal digits that `phalanx class keygen` prints")
            }
            (false, true) => Ok(Self(name.to_owned(), key.to_owned())),
        }
    }
}

/// What the layers say of shipped code; nothing without a signer.
pub(super) fn read(reader: &mut Reader<'_>, data_folder: Option<&Path>) -> Option<Wasm> {
    let signers = reader.all::<Signer>("drivers.wasm.signers");
    let folder = reader.one::<PathBuf>("drivers.wasm.folder");
    let wasm = Wasm {
        folder: folder.or_else(|| Some(data_folder?.join("modules"))),
        grants: reader.all("drivers.wasm.grants"),
        module_bytes_max: reader.must("drivers.wasm.module-bytes-max", Size(0)).0,
        modules_max: reader.must("drivers.wasm.modules-max", 0),
        memory_bytes_max: reader.must("drivers.wasm.memory-max", Size(0)).0,
        turn_time: reader.duration("drivers.wasm.turn-time"),
        task_time: reader.duration("drivers.wasm.task-time"),
        calls_max: reader.must("drivers.wasm.calls-max", 0),
        tasks_max: reader.must("drivers.wasm.tasks-max", 0),
        signers: signers.into_iter().map(|Signer(name, key)| (name, key)).collect(),
    };
    (!wasm.signers.is_empty()).then_some(wasm)
}
