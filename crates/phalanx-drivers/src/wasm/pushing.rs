//! A module that is pushed to this worker.
//!
//! In this order: who says so, whether there is room, the bytes, their hash, compiling, keeping. So whoever has no key that the
//! policy names costs the worker one signature, and what breaks off leaves nothing.

use std::time::Duration;

use phalanx_jobs::TaskContext;
use tokio::time::timeout;

use super::class::{Announced, VersionInfo, Wasm};
use super::compiled::Compiled;
use super::error::WasmError;
use super::server::WasmHost;

/// How long the next bytes are waited for: longer than a lost link needs to be noticed.
const IDLE_MAX: Duration = Duration::from_secs(30);

/// Takes a module. Dropped, it leaves nothing, unless it is with the disk already.
pub(super) async fn push(
    host: &WasmHost,
    cx: &TaskContext<Wasm>,
    announced: Announced,
) -> Result<VersionInfo, WasmError> {
    let signer = host.policy().admit(&announced)?.to_owned();
    if let Some(there) = host.store().there(&announced)? {
        return Ok(there);
    }
    let source = receive(cx, announced.bytes).await?;
    let (machine, store) = (host.machine().clone(), host.store().clone());
    let compile_time = machine.limits.compile_time;
    let time_ms = u64::try_from(compile_time.as_millis()).unwrap_or(u64::MAX);
    let compiling = async {
        // One at a time: it takes a processor as a whole, also when nobody waits for it any more.
        let permit = host.compiles().acquire_owned().await.map_err(|_| WasmError::Stopped)?;
        let compiled = cx.blocking(move || {
            let _permit = permit;
            Compiled::new(&machine, announced, &signer, &source).map(|compiled| (compiled, source))
        });
        compiled.await.unwrap_or(Err(WasmError::Panicked))
    };
    let compiled = timeout(compile_time, compiling).await;
    let (compiled, source) = compiled.map_err(|_| WasmError::CompileTooSlow { time_ms })??;
    cx.blocking(move || store.keep(compiled, &source)).await.unwrap_or(Err(WasmError::Panicked))
}

/// The bytes, as many as were announced.
async fn receive(cx: &TaskContext<Wasm>, bytes: u64) -> Result<Vec<u8>, WasmError> {
    let transfer = timeout(IDLE_MAX, cx.transfer()).await;
    let mut transfer = transfer.ok().flatten().ok_or(WasmError::Interrupted)?;
    let mut source = Vec::new();
    loop {
        let chunk = timeout(IDLE_MAX, transfer.next()).await.map_err(|_| WasmError::Interrupted)?;
        let Some(chunk) = chunk else { break };
        let chunk = chunk.map_err(|_| WasmError::Interrupted)?;
        // The announced length is within the cap of the policy.
        if (source.len() + chunk.len()) as u64 > bytes {
            return Err(WasmError::Corrupt);
        }
        source.extend_from_slice(&chunk);
    }
    Ok(source)
}
