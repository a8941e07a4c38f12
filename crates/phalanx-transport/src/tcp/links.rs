//! The links of an endpoint that TCP carries, and the tasks that move their bytes.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use phalanx_base::Spawn;
use tokio::sync::watch;

use crate::endpoint::EndpointConfig;
use crate::handshake::End;
use crate::mux::carrier::MuxCarrier;
use crate::mux::core::CoreConfig;
use crate::mux::driver;
use crate::network::ByteStream;
use crate::tcp::Route;

/// From how many links on the table is searched for those that are gone.
const SWEEP_MIN: usize = 64;

/// Cheap to clone; all clones are the same.
#[derive(Clone)]
pub(crate) struct TcpLinks(Arc<Inner>);

struct Inner {
    spawn: Arc<dyn Spawn>,
    idle_timeout: Duration,
    keep_alive_interval: Duration,
    table: Mutex<Table>,
    /// How many tasks run.
    running: watch::Sender<usize>,
}

/// Bounded by the links that there are: an entry keeps nothing alive.
#[derive(Default)]
struct Table {
    carriers: Vec<Weak<MuxCarrier>>,
    sweep_at: usize,
}

/// Counts one task for as long as it runs.
struct Running(Arc<Inner>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.running.send_modify(|running| *running -= 1);
    }
}

impl TcpLinks {
    pub(crate) fn new(config: &EndpointConfig, spawn: Arc<dyn Spawn>) -> Self {
        let EndpointConfig { idle_timeout, keep_alive_interval, .. } = *config;
        let (table, running) = (Mutex::default(), watch::Sender::new(0));
        Self(Arc::new(Inner { spawn, idle_timeout, keep_alive_interval, table, running }))
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.0.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes a link of a connection whose ends have proved themselves.
    pub(crate) fn begin(
        &self,
        io: Box<dyn ByteStream>,
        end: End,
        route: Route,
        streams_max: u16,
    ) -> Arc<MuxCarrier> {
        let Inner { idle_timeout, keep_alive_interval, .. } = *self.0;
        let config = CoreConfig { streams_max, idle_timeout, keep_alive_interval };
        let (carrier, work) = driver::begin(io, end, route, config);
        self.0.running.send_modify(|running| *running += 1);
        let running = Running(self.0.clone());
        self.0.spawn.spawn(Box::pin(async move {
            let _running = running;
            work.await;
        }));
        let mut table = self.table();
        if table.carriers.len() >= table.sweep_at {
            table.carriers.retain(|carrier| carrier.strong_count() > 0);
            table.sweep_at = (2 * table.carriers.len()).max(SWEEP_MIN);
        }
        table.carriers.push(Arc::downgrade(&carrier));
        carrier
    }

    /// The links that are there.
    pub(crate) fn carriers(&self) -> Vec<Arc<MuxCarrier>> {
        self.table().carriers.iter().filter_map(Weak::upgrade).collect()
    }

    /// Waits until every peer has heard of the end of its link, or its time is over.
    pub(crate) async fn wait_idle(&self) {
        // Fails only without a sender, which `self` holds.
        let _ = self.0.running.subscribe().wait_for(|running| *running == 0).await;
    }
}
