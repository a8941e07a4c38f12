#![cfg_attr(feature = "hickory", doc = include_str!("../README.md"))]
#![cfg_attr(not(feature = "hickory"), doc = "Whom a Phalanx node calls first; see the README.")]

mod candidates;
mod discover;
mod resolver;
mod static_peers;
#[cfg(feature = "hickory")]
mod system_resolver;

pub use candidates::{Candidate, Candidates};
pub use discover::{Discover, DiscoverError, DynDiscover};
pub use resolver::{BoxFuture, ResolveError, Resolver};
pub use static_peers::{PeersError, StaticPeers};
#[cfg(feature = "hickory")]
pub use system_resolver::SystemResolver;
