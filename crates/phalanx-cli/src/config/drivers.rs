//! What others may do with a node: nothing, but for what its configuration says.
//!
//! These are plain values, the same in whichever way the program was built; what is made of them is in `agent/jobs.rs`.

mod docker;
mod wasm;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use phalanx::NodeId;

use super::Mistake;
use super::settings::Reader;
use crate::size::Size;
pub(crate) use docker::Docker;
#[cfg(feature = "wasm")]
pub(crate) use wasm::Grant;
pub(crate) use wasm::Wasm;

/// The drivers of a node, each of which is there only where the configuration says so.
#[derive(Debug, Default)]
#[cfg_attr(
    not(all(feature = "kv", feature = "files", feature = "process", feature = "docker", feature = "wasm")),
    allow(dead_code, reason = "without a driver, nobody reads its settings")
)]
pub(crate) struct Drivers {
    pub(crate) kv: Option<Kv>,
    pub(crate) files: Option<Files>,
    pub(crate) process: Option<Process>,
    pub(crate) docker: Option<Docker>,
    pub(crate) wasm: Option<Wasm>,
}

/// Small data.
#[derive(Debug)]
#[cfg_attr(not(feature = "kv"), allow(dead_code, reason = "nobody reads the settings"))]
pub(crate) struct Kv {
    pub(crate) keys_max: usize,
    pub(crate) value_bytes_max: u64,
    pub(crate) bytes_max: u64,
}

/// Files below some folders.
#[derive(Debug)]
#[cfg_attr(not(feature = "files"), allow(dead_code, reason = "nobody reads the settings"))]
pub(crate) struct Files {
    pub(crate) roots: BTreeMap<String, (PathBuf, Access)>,
    pub(crate) file_bytes_max: Option<u64>,
    pub(crate) transfers_max: usize,
}

/// What may be done in a folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    Read,
    Write,
    ReadWrite,
}

/// Programs.
#[derive(Debug)]
#[cfg_attr(not(feature = "process"), allow(dead_code, reason = "nobody reads the settings"))]
pub(crate) struct Process {
    pub(crate) programs: Vec<String>,
    pub(crate) roots: Vec<PathBuf>,
    pub(crate) logs: PathBuf,
    pub(crate) programs_max: u32,
    pub(crate) log_bytes_max: u64,
    pub(crate) logs_bytes_max: u64,
    pub(crate) memory_bytes_max: Option<u64>,
    pub(crate) processes_max: Option<u64>,
    pub(crate) cpu_percent_max: Option<u32>,
    pub(crate) cpu_seconds_max: Option<u64>,
    pub(crate) open_files_max: Option<u64>,
    pub(crate) keeps: bool,
    pub(crate) user: Option<String>,
    pub(crate) cgroup: Option<PathBuf>,
}

/// A folder and the name that others know it by.
struct Root {
    name: String,
    folder: PathBuf,
}

impl FromStr for Root {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (name, folder) =
            text.split_once('=').ok_or("no root: write NAME=PATH, such as logs=/var/log/app")?;
        // A name is the first step of `NODE:NAME/PATH`, and is written with the letters of a node's.
        if NodeId::new(name).is_err() {
            return Err("no name of a root: give it 1 to 64 of a-z, A-Z, 0-9, '.', '_' and '-'");
        }
        match Path::new(folder).is_absolute() {
            true => Ok(Self { name: name.to_owned(), folder: folder.into() }),
            false => Err("the folder of a root is an absolute path"),
        }
    }
}

/// An absolute path.
struct AbsolutePath(PathBuf);

impl FromStr for AbsolutePath {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let path = PathBuf::from(text);
        if path.is_absolute() { Ok(Self(path)) } else { Err("no absolute path: begin it with /") }
    }
}

impl Drivers {
    /// What the layers say of drivers.
    pub(super) fn read(reader: &mut Reader<'_>, data_folder: Option<&Path>) -> Self {
        let drivers = Self {
            kv: kv(reader),
            files: files(reader),
            process: process(reader, data_folder),
            docker: docker::read(reader),
            wasm: wasm::read(reader, data_folder),
        };
        for (is_given, is_built, name) in [
            (drivers.kv.is_some(), cfg!(feature = "kv"), "kv"),
            (drivers.files.is_some(), cfg!(feature = "files"), "files"),
            (drivers.process.is_some(), cfg!(feature = "process"), "process"),
            (drivers.docker.is_some(), cfg!(feature = "docker"), "docker"),
            (drivers.wasm.is_some(), cfg!(feature = "wasm"), "wasm"),
        ] {
            if is_given && !is_built {
                let words =
                    format!("this program was built without {name}: build it with `--features {name}`");
                reader.mistake(&format!("drivers.{name}"), words);
            }
        }
        drivers
    }
}

fn kv(reader: &mut Reader<'_>) -> Option<Kv> {
    let enabled = reader.must("drivers.kv.enabled", false);
    let kv = Kv {
        keys_max: reader.must("drivers.kv.keys-max", 0),
        value_bytes_max: reader.must("drivers.kv.value-bytes-max", Size(0)).0,
        bytes_max: reader.must("drivers.kv.bytes-max", Size(0)).0,
    };
    enabled.then_some(kv)
}

fn files(reader: &mut Reader<'_>) -> Option<Files> {
    let mut roots = BTreeMap::new();
    for (key, access) in [
        ("drivers.files.read", Access::Read),
        ("drivers.files.write", Access::Write),
        ("drivers.files.read-write", Access::ReadWrite),
    ] {
        for Root { name, folder } in reader.all::<Root>(key) {
            if roots.insert(name.clone(), (folder, access)).is_some() {
                let words = format!("the root {name:?} is given twice: give one of them another name");
                reader.mistake(key, words);
            }
        }
    }
    let files = Files {
        file_bytes_max: reader.one::<Size>("drivers.files.file-bytes-max").map(|size| size.0),
        transfers_max: reader.must("drivers.files.transfers-max", 0),
        roots,
    };
    (!files.roots.is_empty()).then_some(files)
}

fn process(reader: &mut Reader<'_>, data_folder: Option<&Path>) -> Option<Process> {
    let programs: Vec<String> = reader.all("drivers.process.programs");
    let roots = reader
        .all::<AbsolutePath>("drivers.process.roots")
        .into_iter()
        .map(|path| path.0)
        .collect::<Vec<_>>();
    let logs = reader.one::<PathBuf>("drivers.process.logs");
    let logs = logs.or_else(|| Some(data_folder?.join("programs")));
    let size = |reader: &mut Reader<'_>, name| reader.one::<Size>(name).map(|size| size.0);
    let process = Process {
        programs_max: reader.must("drivers.process.programs-max", 0),
        log_bytes_max: size(reader, "drivers.process.log-bytes-max").unwrap_or_default(),
        logs_bytes_max: size(reader, "drivers.process.logs-bytes-max").unwrap_or_default(),
        memory_bytes_max: size(reader, "drivers.process.memory-max"),
        processes_max: reader.one("drivers.process.processes-max"),
        cpu_percent_max: reader.one("drivers.process.cpu-percent-max"),
        cpu_seconds_max: reader.one("drivers.process.cpu-seconds-max"),
        open_files_max: reader.one("drivers.process.open-files-max"),
        keeps: reader.must("drivers.process.keep", false),
        user: reader.one("drivers.process.user"),
        cgroup: reader.one("drivers.process.cgroup"),
        logs: logs.clone().unwrap_or_default(),
        programs,
        roots,
    };
    if process.programs.is_empty() {
        return None;
    }
    let mut missing = |words: &str| reader.mistake("drivers.process.programs", words.to_owned());
    if process.roots.is_empty() {
        missing("programs are allowed, and no folder to work in: give drivers.process.roots");
    }
    if logs.is_none() {
        missing("programs are allowed, and no place for their output: give data-dir or drivers.process.logs");
    }
    Some(process)
}

impl Reader<'_> {
    /// Notes what is wrong with a key that is right by itself.
    fn mistake(&mut self, key: &str, words: String) {
        let place = self.layers.given(key).map_or("configuration".to_owned(), |given| given.from.to_string());
        self.mistakes.push(Mistake { place, words });
    }
}
