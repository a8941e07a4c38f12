//! The engine of a worker: how guests are compiled, what they can import, and who counts their time.

use std::collections::BTreeSet;
use std::sync::Arc;

use wasmtime::{Config, Engine, Linker, Module};

use super::guest::Guest;
use super::host;
use super::policy::{Grant, WasmLimits, WasmPolicyError};
use super::ticker::Ticker;

/// How deep guests may call, in bytes of the thread's stack: a quarter of what threads have unless told otherwise.
const STACK_BYTES: usize = 512 << 10;

/// What all guests of a worker share.
pub(super) struct Machine {
    pub(super) limits: WasmLimits,
    pub(super) linker: Linker<Guest>,
    pub(super) ticker: Ticker,
    engine: Engine,
    /// The names of the host functions that there are.
    offered: BTreeSet<&'static str>,
}

impl Machine {
    pub(super) fn new(limits: WasmLimits, grants: &BTreeSet<Grant>) -> Result<Arc<Self>, WasmPolicyError> {
        let compiler = |error: wasmtime::Error| WasmPolicyError::Compiler(format!("{error:#}"));
        let mut config = Config::new();
        // Both: fuel bounds what a guest does, epochs how long it takes, and by them it is ended from outside.
        config.consume_fuel(true).epoch_interruption(true);
        config.max_wasm_stack(STACK_BYTES);
        config.wasm_memory64(false).wasm_multi_memory(false);
        // The same code gives the same on every machine.
        config.relaxed_simd_deterministic(true);
        let engine = Engine::new(&config).map_err(compiler)?;
        let mut linker = Linker::new(&engine);
        let offered = host::offer(&mut linker, grants).map_err(compiler)?;
        let thread = |error: std::io::Error| WasmPolicyError::Compiler(error.to_string());
        let ticker = Ticker::start(engine.clone()).map_err(thread)?;
        Ok(Arc::new(Self { limits, linker, ticker, engine, offered }))
    }

    /// Compiles a source. It blocks, and cannot be interrupted.
    pub(super) fn compile(&self, source: &[u8]) -> wasmtime::Result<Module> {
        // Never anything but the binary format, and never what was compiled elsewhere.
        Module::from_binary(&self.engine, source)
    }

    /// The first import that there is no host function for.
    pub(super) fn unknown_import(&self, module: &Module) -> Option<String> {
        let is_offered = |import: &wasmtime::ImportType<'_>| {
            import.module() == host::MODULE && self.offered.contains(import.name())
        };
        let import = module.imports().find(|import| !is_offered(import))?;
        Some(format!("{}.{}", import.module(), import.name()))
    }
}

impl std::fmt::Debug for Machine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Machine").field("limits", &self.limits).finish_non_exhaustive()
    }
}
