//! The simplest strategy: addresses that the user gives.

use std::net::IpAddr;
use std::str::FromStr;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::StreamExt;
use phalanx_base::{Address, AddressError, Host};
use tracing::{debug, info, warn};

use crate::{
    Attempt, Candidate, Candidates, Discover, DiscoverContext, DiscoverError, Refresh, ResolveError, Resolver,
};

/// How many names are looked up at the same time: enough that one dead name holds up few others, and few enough
/// that a long list is no flood for a name server.
const LOOKUPS_MAX: usize = 16;

/// Control nodes at addresses that are given once and for all.
///
/// A host name may stand for many control nodes, whose addresses may change: it is looked up at each try. A
/// name that fails does not hide the others; it is logged as a warning when it begins to fail.
#[derive(Debug, Default)]
pub struct StaticPeers {
    peers: Vec<Peer>,
    refresh: Refresh,
}

#[derive(Debug)]
struct Peer {
    address: Address,
    /// Whether its last look-up failed, so that not each try logs a warning.
    failing: AtomicBool,
}

/// Why a text is not a list of peers.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PeersError {
    /// There are more than [`StaticPeers::PEERS_MAX`].
    #[error("more than {} peers: give fewer, or a name that stands for many", StaticPeers::PEERS_MAX)]
    TooMany,
    /// One of the addresses is wrong.
    #[error("peer {number}, {text:?}: {reason}")]
    Address {
        /// Which one, counted from 1.
        number: usize,
        /// What stands there.
        text: String,
        /// What is wrong with it; positions are bytes of this text.
        reason: AddressError,
    },
}

impl StaticPeers {
    /// The greatest number of peers: no more of them could become candidates.
    pub const PEERS_MAX: usize = Candidates::LENGTH_MAX;

    /// Peers at these addresses, the first to be dialled first. Those after the first
    /// [`StaticPeers::PEERS_MAX`] are left out, with a warning in the log.
    #[must_use]
    pub fn new(addresses: impl IntoIterator<Item = impl Into<Address>>) -> Self {
        let mut addresses = addresses.into_iter().map(Into::into);
        let peer = |address| Peer { address, failing: AtomicBool::new(false) };
        let peers = addresses.by_ref().take(Self::PEERS_MAX).map(peer).collect();
        if addresses.next().is_some() {
            warn!(peers_max = Self::PEERS_MAX, "too many static peers: the last ones are left out");
        }
        Self { peers, refresh: Refresh::default() }
    }

    /// Peers from addresses that are separated by commas or white space; none in an empty text.
    ///
    /// # Errors
    /// [`PeersError`] says which one is wrong, and what.
    pub fn parse(text: &str) -> Result<Self, PeersError> {
        let mut addresses = Vec::new();
        let texts = text.split(|c: char| c == ',' || c.is_whitespace()).filter(|text| !text.is_empty());
        for (number, text) in (1..).zip(texts) {
            if number > Self::PEERS_MAX {
                return Err(PeersError::TooMany);
            }
            let wrong = |reason| PeersError::Address { number, text: text.to_owned(), reason };
            addresses.push(text.parse::<Address>().map_err(wrong)?);
        }
        Ok(Self::new(addresses))
    }

    /// The same, looking this often; every 5 s unless it is told.
    #[must_use]
    pub fn refresh(self, refresh: Refresh) -> Self {
        Self { refresh, ..self }
    }

    /// The addresses, as they were given.
    pub fn addresses(&self) -> impl ExactSizeIterator<Item = &Address> {
        self.peers.iter().map(|peer| &peer.address)
    }
}

impl Peer {
    /// The candidates that this peer stands for now, and the questions for its name.
    async fn find(&self, resolver: &dyn Resolver) -> (Result<Vec<Candidate>, ResolveError>, Vec<Attempt>) {
        let name = match self.address.host() {
            Host::Ip(ip) => return (Ok(vec![self.candidate(*ip)]), Vec::new()),
            Host::Name(name) => name,
        };
        let answers = resolver.addresses(name).await;
        let attempts = answers.attempts(name).into();
        let ips = answers.joined(name);
        match &ips {
            Err(error) => self.log_failure(error),
            Ok(_) if self.failing.swap(false, Ordering::Relaxed) => {
                info!(address = %self.address, "the name of a peer is resolved again");
            }
            Ok(_) => {}
        }
        (ips.map(|ips| ips.into_iter().map(|ip| self.candidate(ip)).collect()), attempts)
    }

    fn candidate(&self, ip: IpAddr) -> Candidate {
        Candidate { address: self.address.clone(), socket: (ip, self.address.port()).into() }
    }

    fn log_failure(&self, error: &ResolveError) {
        if self.failing.swap(true, Ordering::Relaxed) {
            debug!(address = %self.address, %error, "still no address for a peer");
        } else {
            warn!(address = %self.address, %error, "no address for a peer; it is tried again");
        }
    }
}

impl Discover for StaticPeers {
    async fn find(&self, context: &DiscoverContext) -> Result<Candidates, DiscoverError> {
        // Answers are taken in the order of the peers, whichever comes first, so that a run can be replayed.
        let lookups: Vec<_> = self.peers.iter().map(|peer| peer.find(context.resolver.as_ref())).collect();
        let mut answers = futures_util::stream::iter(lookups).buffered(LOOKUPS_MAX);
        let mut found = Candidates::default();
        let (mut first, mut failed) = (None, 0);
        while let Some((answer, attempts)) = answers.next().await {
            for attempt in attempts {
                context.tried(|| attempt);
            }
            match answer {
                Ok(candidates) => found.extend(candidates),
                Err(error) => {
                    failed += 1;
                    first.get_or_insert(error);
                }
            }
        }
        match first {
            Some(first) if found.is_empty() => Err(DiscoverError::Unresolved { first, failed }),
            _ => Ok(found),
        }
    }

    fn refresh(&self) -> Refresh {
        self.refresh
    }
}

impl FromStr for StaticPeers {
    type Err = PeersError;
    fn from_str(text: &str) -> Result<Self, PeersError> {
        Self::parse(text)
    }
}
