#![cfg_attr(feature = "hickory", doc = include_str!("../README.md"))]
#![cfg_attr(not(feature = "hickory"), doc = "Whom a Phalanx node calls first; see the README.")]

mod candidates;
mod context;
mod discover;
#[cfg(feature = "hickory")]
mod dns;
#[cfg(feature = "etcd")]
mod etcd;
#[cfg(feature = "file")]
mod file;
#[cfg(any(feature = "kubernetes", feature = "etcd"))]
mod http;
#[cfg(feature = "kubernetes")]
mod kubernetes;
#[cfg(feature = "multicast")]
mod multicast;
mod refresh;
#[cfg(feature = "registry")]
mod registry;
mod resolver;
mod static_peers;
mod strategy;
#[cfg(feature = "hickory")]
mod system_resolver;
#[cfg(any(feature = "file", feature = "registry"))]
mod watched;

pub use candidates::{Candidate, Candidates};
pub use context::{Announcement, Attempt, ClusterScope, DiscoverContext, Journal};
#[cfg(feature = "hickory")]
pub use dns::{DnsPeers, KubernetesDnsPeers};
pub use discover::{Discover, DiscoverError, DynDiscover};
#[cfg(feature = "etcd")]
pub use etcd::{Etcd, EtcdError};
#[cfg(feature = "file")]
pub use file::PeersFile;
#[cfg(feature = "kubernetes")]
pub use kubernetes::{IpFamily, Kubernetes, KubernetesError, NotReady};
#[cfg(feature = "multicast")]
pub use multicast::{Multicast, MulticastMode, MulticastModeError};
pub use refresh::{Refresh, RefreshError};
#[cfg(feature = "registry")]
pub use registry::Registry;
pub use resolver::{
    BoxFuture, IpAnswers, NaptrRecord, RecordName, RecordNameError, ResolveError, Resolver, SrvRecord,
};
pub use static_peers::{PeersError, StaticPeers};
pub use strategy::{StrategyAddress, StrategyError, StrategyKind};
#[cfg(feature = "hickory")]
pub use system_resolver::SystemResolver;
