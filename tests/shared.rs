//! One cluster for all scenarios that break nothing: it costs as much to form as they take together.

use std::sync::OnceLock;
use std::sync::mpsc::sync_channel;

use tokio::runtime::Builder;

use crate::cluster::Cluster;

/// The names of its nodes.
const CONTROLS: [&str; 3] = ["shared-c1", "shared-c2", "shared-c3"];
const WORKERS: [&str; 4] = ["shared-w1", "shared-w2", "shared-w3", "shared-w4"];

/// A cluster of three control nodes, `shared-c1` to `shared-c3`, and four workers, `shared-w1` to `shared-w4`, that lives
/// until the process ends. Others use it at the same time: take numbers from its ledger, and stop nothing.
///
/// # Panics
/// When it does not form in time.
pub fn shared() -> &'static Cluster {
    static SHARED: OnceLock<Cluster> = OnceLock::new();
    SHARED.get_or_init(|| {
        // Each scenario has a runtime that ends with it, so that this cluster needs one of its own.
        let (sender, started) = sync_channel(1);
        let run = move || {
            let runtime = Builder::new_multi_thread().enable_all().build().expect("a runtime starts");
            let cluster = runtime.block_on(Cluster::start(&CONTROLS, &WORKERS));
            if sender.send(cluster).is_ok() {
                runtime.block_on(std::future::pending::<()>());
            }
        };
        std::thread::spawn(run);
        started.recv().expect("the shared cluster forms")
    })
}
