//! The seams: everything that a node takes from outside of itself, in one value.
//!
//! A node reads no clock but tokio's and the wall clock here, draws no random number but from the entropy here, and
//! opens no socket, file, name look-up or task but through the rest. So a simulator replaces exactly these.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use phalanx_base::{Entropy, Spawn};
use phalanx_discovery::{Resolver, SystemResolver};
use phalanx_jobs::{NoObserver, Observer};
use phalanx_transport::{Network, Seams, SystemEntropy, TlsProvider, TokioNetwork};

use crate::meter::{Meter, SystemMeter};
use crate::spawn::TokioSpawn;
use crate::store::{MemoryStore, Store};

/// Tells the time of day.
pub trait WallClock: Send + Sync + 'static {
    /// Milliseconds since the Unix epoch.
    fn unix_ms(&self) -> u64;
}

/// The system's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemWallClock;

impl WallClock for SystemWallClock {
    #[allow(clippy::disallowed_methods, reason = "this is the seam")]
    fn unix_ms(&self) -> u64 {
        // A clock before 1970 counts as 1970: generations grow all the same, by what is stored.
        SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_millis() as u64)
    }
}

/// What a node takes from outside. Cheap to clone.
#[derive(Clone)]
pub struct Environment {
    /// Where sockets come from.
    pub network: Arc<dyn Network>,
    /// The time of day.
    pub wall_clock: Arc<dyn WallClock>,
    /// Random bytes.
    pub entropy: Arc<dyn Entropy>,
    /// The cryptography of TLS.
    pub tls: TlsProvider,
    /// How names become addresses.
    pub resolver: Arc<dyn Resolver>,
    /// What outlives the process.
    pub store: Arc<dyn Store>,
    /// How work is started.
    pub spawn: Arc<dyn Spawn>,
    /// How many cores the framework spreads its work over.
    pub cores: NonZeroUsize,
    /// Who is told what workers decide, such as a checker.
    pub observer: Arc<dyn Observer>,
    /// How full the machine is; `None` where nobody is to know.
    pub meter: Option<Arc<dyn Meter>>,
}

impl Environment {
    /// The real world, with a store that forgets: a node that restarts is a new boot of a node that knows nobody.
    /// Must be called within a tokio runtime, on which the framework then runs; the user's code gets a runtime of its
    /// own.
    ///
    /// # Errors
    /// When the threads for the user's code cannot be started.
    pub fn real() -> std::io::Result<Self> {
        Ok(Self {
            network: Arc::new(TokioNetwork),
            wall_clock: Arc::new(SystemWallClock),
            entropy: Arc::new(SystemEntropy::new()),
            tls: TlsProvider::ring(),
            resolver: Arc::new(SystemResolver::new()),
            store: Arc::new(MemoryStore::default()),
            spawn: Arc::new(TokioSpawn::new()?),
            cores: std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN),
            observer: Arc::new(NoObserver),
            meter: Some(Arc::new(SystemMeter::new())),
        })
    }

    /// What an endpoint takes of it.
    pub(crate) fn seams(&self) -> Seams<'_> {
        Seams {
            network: self.network.as_ref(),
            entropy: self.entropy.clone(),
            tls: self.tls.clone(),
            spawn: self.spawn.clone(),
        }
    }

    /// The same with another meter.
    #[must_use]
    pub fn with_meter(mut self, meter: impl Meter) -> Self {
        self.meter = Some(Arc::new(meter));
        self
    }

    /// The same with another store.
    #[must_use]
    pub fn with_store(mut self, store: impl Store) -> Self {
        self.store = Arc::new(store);
        self
    }
}
