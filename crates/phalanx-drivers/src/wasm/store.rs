//! The modules of a worker: those that run, and those that are kept.
//!
//! Changes come one after the other and may wait for the disk; whoever begins a call meanwhile finds what was before.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::catalogue::{Bounds, Catalogue};
use super::class::{Announced, Entry, ModuleInfo, VersionInfo};
use super::compiled::{Compiled, Running};
use super::data::Data;
use super::error::WasmError;
use super::folder::Folder;
use super::machine::Machine;
use super::policy::{WasmPolicy, WasmPolicyError};

/// The modules.
#[derive(Debug)]
pub(super) struct Store {
    folder: Option<Folder>,
    /// Held for a change as a whole, by whoever may block.
    changing: Mutex<()>,
    /// Held for one look, or for taking a change over; never while anything is waited for.
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    catalogue: Catalogue<Arc<Compiled>>,
    /// The data of each module that was ever asked for, while the module is there.
    data: BTreeMap<String, Arc<Data>>,
}

impl Store {
    /// Opens the folder, if there is one, and compiles what is in it and still allowed. It blocks.
    pub(super) fn open(policy: &WasmPolicy, machine: &Machine) -> Result<Self, WasmPolicyError> {
        let limits = policy.limits;
        let mut catalogue = Catalogue::new(Bounds {
            modules_max: limits.modules_max,
            versions_max: limits.versions_max,
            bytes_max: limits.sources_bytes_max,
        });
        let folder = policy.folder.as_deref().map(Folder::open).transpose()?;
        if let (Some(folder), Some(path)) = (&folder, &policy.folder) {
            let unusable =
                |error: io::Error| WasmPolicyError::Folder { path: path.clone(), text: error.to_string() };
            for file in folder.names().map_err(unusable)? {
                if let Err(error) = load(policy, machine, folder, &file, &mut catalogue) {
                    tracing::warn!(file, %error, "a module that was kept is left out");
                }
            }
            catalogue.restore(folder.defaults());
        }
        let state = Mutex::new(State { catalogue, data: BTreeMap::new() });
        Ok(Self { folder, changing: Mutex::new(()), state })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is to run, if there is such a function.
    pub(super) fn begin(&self, entry: &Entry) -> Result<(Running, Arc<Data>), WasmError> {
        let state = &mut *self.state();
        let compiled = state.catalogue.find(&entry.module, entry.version.as_deref())?;
        compiled.check_function(&entry.function)?;
        let data = match state.data.get(&entry.module) {
            Some(data) => data.clone(),
            None => state.data.entry(entry.module.clone()).or_default().clone(),
        };
        Ok((compiled.clone().begin(), data))
    }

    /// All modules.
    pub(super) fn list(&self) -> Vec<ModuleInfo> {
        let state = self.state();
        let info = |(name, module): (&String, &super::catalogue::Module<Arc<Compiled>>)| ModuleInfo {
            module: name.clone(),
            defaults: module.defaults.clone(),
            versions: module.versions.values().map(|version| version.kept.info()).collect(),
        };
        state.catalogue.modules().map(info).collect()
    }

    /// What there is of a version that is to come; nothing, if it may come.
    pub(super) fn there(&self, announced: &Announced) -> Result<Option<VersionInfo>, WasmError> {
        let state = self.state();
        match state.catalogue.version(&announced.module, &announced.version) {
            Some(there) if there.announced.blake3 == announced.blake3 => Ok(Some(there.info())),
            Some(_) => Err(WasmError::VersionTaken),
            None => state.catalogue.check_room(&announced.module, announced.bytes).map(|()| None),
        }
    }

    /// Takes a version in, and keeps it. It blocks.
    pub(super) fn keep(&self, compiled: Compiled, source: &[u8]) -> Result<VersionInfo, WasmError> {
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        // Another push may have been faster.
        if let Some(there) = self.there(&compiled.announced)? {
            return Ok(there);
        }
        let compiled = Arc::new(compiled);
        let announced = &compiled.announced;
        let (module, version) = (&announced.module, &announced.version);
        self.change(
            |catalogue| catalogue.insert(module, version, announced.bytes, compiled.clone()),
            |folder, catalogue| {
                folder.keep(announced, source)?;
                folder.write_defaults(&catalogue.defaults()).inspect_err(|_| {
                    // A version that was refused should not be there at the next start.
                    let _ = folder.forget(module, version);
                })
            },
        )?;
        Ok(compiled.info())
    }

    /// Makes a version the default one. It blocks.
    pub(super) fn switch(&self, module: &str, version: &str) -> Result<(), WasmError> {
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        self.change(
            |catalogue| catalogue.switch(module, version),
            |folder, catalogue| folder.write_defaults(&catalogue.defaults()),
        )
    }

    /// Makes the default before this one the default again. It blocks.
    pub(super) fn roll_back(&self, module: &str, from: &str) -> Result<String, WasmError> {
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        self.change(
            |catalogue| catalogue.roll_back(module, from),
            |folder, catalogue| folder.write_defaults(&catalogue.defaults()),
        )
    }

    /// Forgets a version. It blocks.
    pub(super) fn remove(&self, module: &str, version: &str) -> Result<(), WasmError> {
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        self.change(
            |catalogue| catalogue.remove(module, version, |compiled| compiled.running()),
            |folder, catalogue| {
                folder.write_defaults(&catalogue.defaults())?;
                folder.forget(module, version)
            },
        )
    }

    /// Changes a copy, writes that down, and takes it over. What was found by a call in between runs to its end.
    fn change<T>(
        &self,
        change: impl FnOnce(&mut Catalogue<Arc<Compiled>>) -> Result<T, WasmError>,
        write: impl FnOnce(&Folder, &Catalogue<Arc<Compiled>>) -> io::Result<()>,
    ) -> Result<T, WasmError> {
        let mut next = self.state().catalogue.clone();
        let changed = change(&mut next)?;
        if let Some(folder) = &self.folder {
            write(folder, &next).map_err(|error| WasmError::disk(&error))?;
        }
        let mut state = self.state();
        state.data.retain(|module, _| next.has_module(module));
        state.catalogue = next;
        Ok(changed)
    }
}

fn load(
    policy: &WasmPolicy,
    machine: &Machine,
    folder: &Folder,
    file: &str,
    catalogue: &mut Catalogue<Arc<Compiled>>,
) -> Result<(), WasmError> {
    let read = folder.module(file, policy.limits.module_bytes_max);
    let (announced, source) = read.map_err(|error| WasmError::disk(&error))?;
    let signer = policy.admit(&announced)?;
    catalogue.check_room(&announced.module, announced.bytes)?;
    let compiled = Arc::new(Compiled::new(machine, announced, signer, &source)?);
    let announced = &compiled.announced;
    catalogue.insert(&announced.module, &announced.version, announced.bytes, compiled.clone())
}

#[cfg(test)]
#[path = "store_tests.rs"]
mod tests;
