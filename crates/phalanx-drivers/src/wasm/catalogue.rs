//! Which versions of which modules there are, and which of them is the default.
//!
//! A value without I/O. Each change either does all it is asked for or nothing; whoever keeps it on a disk changes a copy
//! first, writes that down, and takes it over then.

use std::collections::BTreeMap;

use super::error::WasmError;

/// How many former defaults of a module are known, the present one among them: who goes back farther names the version.
pub(super) const DEFAULTS_MAX: usize = 8;

/// The defaults of each module, the present one last.
pub(super) type Defaults = BTreeMap<String, Vec<String>>;

/// How much there may be.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    pub(super) modules_max: usize,
    pub(super) versions_max: usize,
    pub(super) bytes_max: u64,
}

/// The modules, with whatever is kept of each version.
#[derive(Debug, Clone)]
pub(super) struct Catalogue<T> {
    bounds: Bounds,
    bytes: u64,
    modules: BTreeMap<String, Module<T>>,
}

/// A module.
#[derive(Debug, Clone)]
pub(super) struct Module<T> {
    pub(super) versions: BTreeMap<String, Version<T>>,
    pub(super) defaults: Vec<String>,
}

/// A version.
#[derive(Debug, Clone)]
pub(super) struct Version<T> {
    bytes: u64,
    pub(super) kept: T,
}

impl<T> Catalogue<T> {
    pub(super) fn new(bounds: Bounds) -> Self {
        Self { bounds, bytes: 0, modules: BTreeMap::new() }
    }

    pub(super) fn modules(&self) -> impl Iterator<Item = (&String, &Module<T>)> {
        self.modules.iter()
    }

    pub(super) fn has_module(&self, module: &str) -> bool {
        self.modules.contains_key(module)
    }

    /// What there is under these names.
    pub(super) fn version(&self, module: &str, version: &str) -> Option<&T> {
        Some(&self.modules.get(module)?.versions.get(version)?.kept)
    }

    /// What is to run: the version, or the default one.
    pub(super) fn find(&self, module: &str, version: Option<&str>) -> Result<&T, WasmError> {
        let module = self.modules.get(module).ok_or(WasmError::NoSuchModule)?;
        let version = match version {
            Some(version) => version,
            None => module.defaults.last().ok_or(WasmError::NoDefault)?,
        };
        module.versions.get(version).map(|version| &version.kept).ok_or(WasmError::NoSuchVersion)
    }

    /// Whether there is room for one more version of this size.
    pub(super) fn check_room(&self, module: &str, bytes: u64) -> Result<(), WasmError> {
        let full = |cap: &str, max: u64| Err(WasmError::Full { cap: cap.to_owned(), max });
        let Bounds { modules_max, versions_max, bytes_max } = self.bounds;
        match self.modules.get(module) {
            None if self.modules.len() >= modules_max => full("modules_max", modules_max as u64),
            Some(module) if module.versions.len() >= versions_max => {
                full("versions_max", versions_max as u64)
            }
            _ if self.bytes.saturating_add(bytes) > bytes_max => full("sources_bytes_max", bytes_max),
            _ => Ok(()),
        }
    }

    /// Takes in a version that is not there. The first one of a module is its default.
    pub(super) fn insert(
        &mut self,
        module: &str,
        version: &str,
        bytes: u64,
        kept: T,
    ) -> Result<(), WasmError> {
        if self.version(module, version).is_some() {
            return Err(WasmError::VersionTaken);
        }
        self.check_room(module, bytes)?;
        self.bytes += bytes;
        let of = self
            .modules
            .entry(module.to_owned())
            .or_insert_with(|| Module { versions: BTreeMap::new(), defaults: vec![version.to_owned()] });
        of.versions.insert(version.to_owned(), Version { bytes, kept });
        Ok(())
    }

    /// Makes a version the default one.
    pub(super) fn switch(&mut self, module: &str, version: &str) -> Result<(), WasmError> {
        let module = self.modules.get_mut(module).ok_or(WasmError::NoSuchModule)?;
        if !module.versions.contains_key(version) {
            return Err(WasmError::NoSuchVersion);
        }
        module.defaults.push(version.to_owned());
        module.tidy();
        Ok(())
    }

    /// Makes the default before the present one the default again, and says its name.
    pub(super) fn roll_back(&mut self, module: &str, from: &str) -> Result<String, WasmError> {
        let module = self.modules.get_mut(module).ok_or(WasmError::NoSuchModule)?;
        match module.defaults.as_slice() {
            [] => Err(WasmError::NoDefault),
            [.., present] if present != from => Err(WasmError::OtherDefault { version: present.clone() }),
            [_] => Err(WasmError::NothingBefore),
            [.., before, _] => {
                let before = before.clone();
                module.defaults.pop();
                Ok(before)
            }
        }
    }

    /// Forgets a version: the default one only if it is the last, and then the module with it.
    pub(super) fn remove(
        &mut self,
        module: &str,
        version: &str,
        running: impl FnOnce(&T) -> u64,
    ) -> Result<(), WasmError> {
        let of = self.modules.get_mut(module).ok_or(WasmError::NoSuchModule)?;
        let there = of.versions.get(version).ok_or(WasmError::NoSuchVersion)?;
        if of.versions.len() > 1 && of.defaults.last().is_some_and(|present| present == version) {
            return Err(WasmError::IsDefault);
        }
        let running = running(&there.kept);
        if running > 0 {
            return Err(WasmError::InUse { running });
        }
        // What is there was counted.
        self.bytes -= there.bytes;
        of.versions.remove(version);
        of.tidy();
        if of.versions.is_empty() {
            self.modules.remove(module);
        }
        Ok(())
    }

    pub(super) fn defaults(&self) -> Defaults {
        self.modules.iter().map(|(name, module)| (name.clone(), module.defaults.clone())).collect()
    }

    /// Takes over defaults that were written down, as far as their versions are there. A module with one version alone has
    /// it as its default, as when that was pushed.
    pub(super) fn restore(&mut self, mut defaults: Defaults) {
        for (name, module) in &mut self.modules {
            module.defaults = defaults.remove(name).unwrap_or_default();
            module.tidy();
            if let (true, Some((only, _)), 1) =
                (module.defaults.is_empty(), module.versions.first_key_value(), module.versions.len())
            {
                module.defaults.push(only.clone());
            }
        }
    }
}

impl<T> Module<T> {
    /// Leaves of the defaults those that are there, each change once, and the last few.
    fn tidy(&mut self) {
        self.defaults.retain(|version| self.versions.contains_key(version));
        self.defaults.dedup();
        let excess = self.defaults.len().saturating_sub(DEFAULTS_MAX);
        self.defaults.drain(..excess);
    }
}

#[cfg(test)]
#[path = "catalogue_tests.rs"]
mod tests;
