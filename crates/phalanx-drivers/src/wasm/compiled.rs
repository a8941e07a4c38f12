//! A version of a module that can run: compiled here, from a source whose signature was checked before.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use wasmtime::{ExternType, InstancePre, Module, ValType};

use super::class::{Announced, VersionInfo};
use super::error::WasmError;
use super::guest::Guest;
use super::machine::Machine;
use super::names::shown;

/// The memory that every guest has to export.
pub(super) const MEMORY: &str = "memory";
/// The function by which a guest makes room for its input: `(i32 length) -> i32 address`.
pub(super) const ALLOCATE: &str = "phalanx_alloc";
/// What some compilers want to be called first: `() -> ()`.
pub(super) const INITIALIZE: &str = "_initialize";

/// A version of a module.
pub(super) struct Compiled {
    pub(super) announced: Announced,
    pub(super) signer: String,
    pub(super) instance: InstancePre<Guest>,
    running: AtomicU64,
}

impl std::fmt::Debug for Compiled {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Compiled").field("announced", &self.announced).finish_non_exhaustive()
    }
}

impl Compiled {
    /// Compiles a source, once it is known that it is what was announced. It blocks.
    pub(super) fn new(
        machine: &Machine,
        announced: Announced,
        signer: &str,
        source: &[u8],
    ) -> Result<Self, WasmError> {
        if source.len() as u64 != announced.bytes || *blake3::hash(source).as_bytes() != announced.blake3 {
            return Err(WasmError::Corrupt);
        }
        let invalid = |error: wasmtime::Error| WasmError::invalid(&error);
        let module = machine.compile(source).map_err(invalid)?;
        if let Some(import) = machine.unknown_import(&module) {
            return Err(WasmError::UnknownImport { import: shown(&import) });
        }
        check_exports(&module)?;
        let instance = machine.linker.instantiate_pre(&module).map_err(invalid)?;
        Ok(Self { announced, signer: signer.to_owned(), instance, running: AtomicU64::new(0) })
    }

    /// Whether there is such a function.
    pub(super) fn check_function(&self, name: &str) -> Result<(), WasmError> {
        let Some(ExternType::Func(of)) = self.instance.module().get_export(name) else {
            return Err(WasmError::NoSuchFunction);
        };
        let (parameters, results): (Vec<_>, Vec<_>) = (of.params().collect(), of.results().collect());
        match (parameters.as_slice(), results.as_slice()) {
            ([ValType::I32, ValType::I32], [ValType::I64]) => Ok(()),
            _ => Err(WasmError::WrongSignature { found: shown(&described(&parameters, &results)) }),
        }
    }

    /// It runs, until this is dropped.
    pub(super) fn begin(self: Arc<Self>) -> Running {
        self.running.fetch_add(1, Ordering::Relaxed);
        Running(self)
    }

    pub(super) fn running(&self) -> u64 {
        self.running.load(Ordering::Relaxed)
    }

    pub(super) fn info(&self) -> VersionInfo {
        VersionInfo {
            version: self.announced.version.clone(),
            blake3: self.announced.blake3,
            bytes: self.announced.bytes,
            signer: self.signer.clone(),
            running: self.running(),
        }
    }
}

fn described(parameters: &[ValType], results: &[ValType]) -> String {
    let list = |types: &[ValType]| types.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    format!("({}) -> {}", list(parameters), if results.is_empty() { "()".to_owned() } else { list(results) })
}

/// What every guest has, whatever it is for.
fn check_exports(module: &Module) -> Result<(), WasmError> {
    let missing = |export: &str| Err(WasmError::MissingExport { export: export.to_owned() });
    if !matches!(module.get_export(MEMORY), Some(ExternType::Memory(_))) {
        return missing("a memory as `memory`");
    }
    let is = |name: &str, parameters: &[&str], results: &[&str]| match module.get_export(name) {
        Some(ExternType::Func(of)) => {
            of.params().map(|of| of.to_string()).eq(parameters.iter().map(ToString::to_string))
                && of.results().map(|of| of.to_string()).eq(results.iter().map(ToString::to_string))
        }
        _ => false,
    };
    if !is(ALLOCATE, &["i32"], &["i32"]) {
        return missing("a function `phalanx_alloc` of the type (i32) -> i32");
    }
    if module.get_export(INITIALIZE).is_some() && !is(INITIALIZE, &[], &[]) {
        return missing("`_initialize` as a function without parameters and results");
    }
    Ok(())
}

/// A version that runs.
#[derive(Debug)]
pub(super) struct Running(pub(super) Arc<Compiled>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::Relaxed);
    }
}
