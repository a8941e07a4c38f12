//! Control nodes that DNS knows.

use phalanx_base::{Address, DnsName};
use tracing::warn;

use super::failing::Failing;
use super::place::{Place, Route};
use super::search::search;
use crate::{Candidates, Discover, DiscoverContext, DiscoverError, Refresh};

/// Control nodes that DNS knows, by one of four ways: [`addresses`](Self::addresses), [`services`](Self::services),
/// [`chain`](Self::chain), or what fits each address: [`auto`](Self::auto).
///
/// Names are asked for at each look, within 12 s in all; how long an answer is remembered, its records say. Both families are
/// asked for at the same time; the addresses of a name are shuffled within their family, IPv4 first, so that the load spreads.
/// Looks every 5 s while the cluster is not formed, unless [`refresh`](Self::refresh) says else.
///
/// A name without any record is an error, as where the question failed, since it may be misspelt. The answer that a service is
/// decidedly not there (an SRV record with the target `.`) is no error but no candidates.
///
/// As text: `phalanx://HOST[:PORT][,HOST[:PORT]…][;discover=auto|dns|srv|naptr][;transport=quic|tls|wss][;refresh=5s]`, such as
/// `phalanx://control.example.org;discover=srv`. No port for `srv` and `naptr`, whose records name it; `transport` for `auto` and
/// `dns`.
///
/// ```
/// use phalanx_discovery::{DnsPeers, Refresh};
///
/// let peers = DnsPeers::chain(["example.org".parse()?]).refresh(Refresh::Every(std::time::Duration::from_secs(2)));
/// # Ok::<(), phalanx_base::HostError>(())
/// ```
#[derive(Debug)]
pub struct DnsPeers {
    places: Vec<Place>,
    refresh: Refresh,
    failing: Failing,
}

impl DnsPeers {
    /// The greatest number of names: as many as control nodes of the largest cluster. Those after them are left out, with a
    /// warning in the log.
    pub const NAMES_MAX: usize = 128;

    /// A and AAAA of the names, at the port of each address (7000 where it has none) and over its transport. IP addresses are
    /// taken as they are.
    #[must_use]
    pub fn addresses(addresses: impl IntoIterator<Item = Address>) -> Self {
        Self::at(addresses.into_iter().map(|address| Place::new(&address, Route::Addresses)))
    }

    /// SRV at `_phx._udp.NAME` (QUIC) and `_phx._tcp.NAME` (TLS over TCP), then A and AAAA of their targets. QUIC comes first;
    /// of each, targets come by priority, and drawn by weight within one (RFC 2782).
    #[must_use]
    pub fn services(names: impl IntoIterator<Item = DnsName>) -> Self {
        Self::at(names.into_iter().map(|name| named(name, Route::Services)))
    }

    /// NAPTR of the names (RFC 3403, used as in RFC 3263): the services `phx+d2q` (QUIC), `phx+d2t` (TLS over TCP) and `phx+d2w`
    /// (WebSocket over TLS), by order, then preference. With the flag `s` the replacement has SRV records, whatever it is called,
    /// with the flag `a` addresses, at port 7000. Where this finds nobody: as [`services`](Self::services); where that finds
    /// nobody: A and AAAA at port 7000, over any transport.
    #[must_use]
    pub fn chain(names: impl IntoIterator<Item = DnsName>) -> Self {
        Self::at(names.into_iter().map(|name| named(name, Route::Chain)))
    }

    /// What fits: an IP address is taken as it is; of a name with a port or a transport A and AAAA are asked for, of any other
    /// name the [`chain`](Self::chain). A name that this machine knows by itself (by its hosts file) has no chain.
    #[must_use]
    pub fn auto(addresses: impl IntoIterator<Item = Address>) -> Self {
        Self::at(addresses.into_iter().map(|address| {
            let bare = address.explicit_port().is_none() && address.transport().is_none();
            Place::new(&address, if bare { Route::Guess } else { Route::Addresses })
        }))
    }

    /// The same, looking this often.
    #[must_use]
    pub fn refresh(self, refresh: Refresh) -> Self {
        Self { refresh, ..self }
    }

    pub(super) fn at(places: impl IntoIterator<Item = Place>) -> Self {
        let mut places = places.into_iter();
        let taken = places.by_ref().take(Self::NAMES_MAX).collect();
        if places.next().is_some() {
            warn!(names_max = Self::NAMES_MAX, "too many names for DNS: the last ones are left out");
        }
        Self { places: taken, refresh: Refresh::default(), failing: Failing::default() }
    }
}

fn named(name: DnsName, route: Route) -> Place {
    Place { host: name.into(), port: None, transport: None, route }
}

impl Discover for DnsPeers {
    async fn find(&self, context: &DiscoverContext) -> Result<Candidates, DiscoverError> {
        search(&self.places, &self.failing, context).await
    }

    fn refresh(&self) -> Refresh {
        self.refresh
    }
}
