//! Guests in text, and workers that take them.

use std::path::Path;

use phalanx::WorkerHandle;
use phalanx_drivers::wasm::{Grant, SignedModule, Signer, Wasm, WasmClient, WasmHost, WasmPolicy};
use tests::{Cluster, first};

/// What every guest here has: a page of memory, and room for its input at 1,024.
const HEAD: &str = r#"(memory (export "memory") 1)
    (func (export "phalanx_alloc") (param i32) (result i32) (i32.const 1024))"#;

/// Who may push here.
pub(super) fn signer() -> Signer {
    Signer::from_seed(&[5; 32])
}

/// A guest's bytes, with these imports and this inside.
pub(super) fn source(imports: &str, inside: &str) -> Vec<u8> {
    wat::parse_str(format!("(module {imports} {HEAD} {inside})")).unwrap()
}

/// A module whose function `run` says its own name and version.
pub(super) fn greeting(module: &str, version: &str) -> SignedModule {
    let text = format!("{module} {version}");
    let inside = format!(
        r#"(data (i32.const 16) "{text}")
        (func (export "run") (param i32 i32) (result i64) (i64.const {}))"#,
        (16_u64 << 32) + text.len() as u64
    );
    signer().sign(module, version, source("", &inside)).unwrap()
}

/// A module whose function `run` does not return.
pub(super) fn endless() -> SignedModule {
    let inside = r#"(func (export "run") (param i32 i32) (result i64) (loop (br 0)) unreachable)"#;
    signer().sign("endless", "1", source("", inside)).unwrap()
}

/// A policy that knows the signer.
pub(super) fn policy(folder: Option<&Path>) -> WasmPolicy {
    let policy = folder.map_or_else(WasmPolicy::in_memory, WasmPolicy::kept_in);
    let grants = [Grant::Log, Grant::Emit, Grant::Commands, Grant::Data];
    grants.into_iter().fold(policy.allow_signer("scenarios", signer().key()), WasmPolicy::grant)
}

/// Starts a worker that takes shipped code. One of before may still have the folder for a moment.
pub(super) async fn add_worker(cluster: &mut Cluster, name: &str, policy: &WasmPolicy) {
    let host = first("the folder is free", async || WasmHost::open(policy.clone()).ok()).await;
    let worker = cluster.worker_builder(name).job::<Wasm>(host).start().await.unwrap();
    cluster.adopt_worker(worker);
    cluster.settled().await;
}

/// The clients of a worker, through its owner and through another control node.
pub(super) fn both(cluster: &Cluster, worker: &str) -> [WasmClient; 2] {
    handles(cluster, worker).map(WasmClient::new)
}

pub(super) fn handles(cluster: &Cluster, worker: &str) -> [WorkerHandle; 2] {
    cluster.both_ways(worker).map(|control| cluster.through(&control, worker))
}
