//! The seam for names: the one way by which a host name becomes IP addresses.

use std::net::IpAddr;
use std::pin::Pin;

use phalanx_base::DnsName;

/// A future in a box, as traits need it that are used as `dyn`.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Turns host names into IP addresses: the system's way in production, a table in a simulation.
pub trait Resolver: Send + Sync + 'static {
    /// The IP addresses of a name, best first; never none.
    ///
    /// Ends by itself within seconds, with an answer or an error. Cancellation safe: dropping the future ends
    /// the look-up.
    ///
    /// # Errors
    /// [`ResolveError`] says whether the answer was *no* or there was none.
    fn resolve<'a>(&'a self, name: &'a DnsName) -> BoxFuture<'a, Result<Vec<IpAddr>, ResolveError>>;
}

/// Why a name has no IP addresses now.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ResolveError {
    /// There is no such name, or it has no IP address.
    #[error("{name} has no IP address: check the name, or wait until it is registered")]
    NotFound {
        /// The name.
        name: DnsName,
    },
    /// There was no answer; the name may be right.
    #[error("could not look up {name}: {reason}; check the name servers")]
    Failed {
        /// The name.
        name: DnsName,
        /// What went wrong, for people to read.
        reason: String,
    },
}
