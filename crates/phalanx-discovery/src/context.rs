//! What a strategy is given at each call: the seams, and the cluster whose nodes it looks for.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use phalanx_base::{AddressList, Boot, ClusterSeal, Entropy};

use crate::Resolver;

/// How many attempts a [`Journal`] holds: what a person may want to read.
const ATTEMPTS_MAX: usize = 1_024;

/// What a strategy takes from outside. Cheap to clone.
#[derive(Clone)]
pub struct DiscoverContext {
    /// How names become addresses.
    pub resolver: Arc<dyn Resolver>,
    /// Random bytes, for shuffles and jitter.
    pub entropy: Arc<dyn Entropy>,
    /// Whose nodes are looked for; `None` where only addresses are of interest, as for who has no credential.
    pub cluster: Option<ClusterScope>,
    journal: Option<Journal>,
}

/// The cluster whose nodes are looked for, so that strangers in the same place are told apart.
#[derive(Clone)]
pub struct ClusterScope {
    /// The id of the cluster as text: letters and digits, the same for all nodes of the cluster and nobody else's.
    pub id: String,
    /// Tells what a control node of the cluster has published from what a stranger has.
    pub seal: Arc<dyn ClusterSeal>,
}

/// The operating system's random numbers.
#[cfg(feature = "hickory")]
struct SystemEntropy;

#[cfg(feature = "hickory")]
impl Entropy for SystemEntropy {
    fn fill(&self, bytes: &mut [u8]) {
        getrandom::fill(bytes).expect("every system that we support has a random source");
    }
}

/// What a control node tells of itself, for others to find.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Announcement {
    /// Its name and this start of it.
    pub boot: Boot,
    /// Where it is reached, best first.
    pub addresses: AddressList,
}

/// One question that a strategy asked, and what came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// What was asked for: `A`, `AAAA`, `SRV`, `NAPTR`, `endpointslices`, `etcd` and the like.
    pub kind: &'static str,
    /// Of what: a name, a path, a URL without secrets.
    pub name: String,
    /// The answer, a line for each record, or why there is none.
    pub outcome: Result<Vec<String>, String>,
}

/// The attempts of strategies in their order, for people to read. Cheap to clone; the first 1,024 are kept.
#[derive(Debug, Clone, Default)]
pub struct Journal(Arc<Mutex<Vec<Attempt>>>);

impl Journal {
    /// What was tried so far.
    #[must_use]
    pub fn attempts(&self) -> Vec<Attempt> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl DiscoverContext {
    /// A context without a cluster and without a journal.
    #[must_use]
    pub fn new(resolver: Arc<dyn Resolver>, entropy: Arc<dyn Entropy>) -> Self {
        Self { resolver, entropy, cluster: None, journal: None }
    }

    /// A context of this system: its names and its random numbers.
    #[cfg(feature = "hickory")]
    #[must_use]
    pub fn system() -> Self {
        Self::new(Arc::new(crate::SystemResolver::new()), Arc::new(SystemEntropy))
    }

    /// The same for the nodes of one cluster.
    #[must_use]
    pub fn with_cluster(self, cluster: ClusterScope) -> Self {
        Self { cluster: Some(cluster), ..self }
    }

    /// The same, with every attempt written down.
    #[must_use]
    pub fn with_journal(self, journal: Journal) -> Self {
        Self { journal: Some(journal), ..self }
    }

    /// Writes down what was tried, where somebody wants to know.
    pub fn tried(&self, attempt: impl FnOnce() -> Attempt) {
        if let Some(Journal(attempts)) = &self.journal {
            let mut attempts = attempts.lock().unwrap_or_else(PoisonError::into_inner);
            if attempts.len() < ATTEMPTS_MAX {
                attempts.push(attempt());
            }
        }
    }
}

impl fmt::Debug for DiscoverContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cluster = self.cluster.as_ref().map(|cluster| &cluster.id);
        f.debug_struct("DiscoverContext").field("cluster", &cluster).finish_non_exhaustive()
    }
}
