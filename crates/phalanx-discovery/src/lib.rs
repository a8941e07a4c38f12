#![cfg_attr(feature = "hickory", doc = include_str!("../README.md"))]
#![cfg_attr(not(feature = "hickory"), doc = "Whom a Phalanx node calls first; see the README.")]

mod candidates;
mod context;
mod discover;
#[cfg(feature = "hickory")]
mod dns;
#[cfg(feature = "etcd")]
mod etcd;
#[cfg(all(feature = "file", unix))]
mod file;
#[cfg(any(feature = "kubernetes", feature = "etcd"))]
mod http;
#[cfg(feature = "kubernetes")]
mod kubernetes;
#[cfg(all(feature = "multicast", target_os = "linux"))]
mod multicast;
mod refresh;
#[cfg(all(feature = "registry", unix))]
mod registry;
mod resolver;
mod static_peers;
mod strategy;
#[cfg(feature = "hickory")]
mod system_resolver;
#[cfg(all(any(feature = "file", feature = "registry"), unix))]
mod watched;

pub use candidates::{Candidate, Candidates};
pub use context::{Announcement, Attempt, ClusterScope, DiscoverContext, Journal};
pub use discover::{Discover, DiscoverError, DynDiscover};
#[cfg(feature = "hickory")]
pub use dns::{DnsPeers, KubernetesDnsPeers};
#[cfg(feature = "etcd")]
pub use etcd::{Etcd, EtcdError};
#[cfg(all(feature = "file", unix))]
pub use file::PeersFile;
#[cfg(feature = "kubernetes")]
pub use kubernetes::{IpFamily, Kubernetes, KubernetesError, NotReady};
#[cfg(all(feature = "multicast", target_os = "linux"))]
pub use multicast::{Multicast, MulticastMode, MulticastModeError};
pub use refresh::{Refresh, RefreshError};
#[cfg(all(feature = "registry", unix))]
pub use registry::Registry;
pub use resolver::{
    BoxFuture, IpAnswers, NaptrRecord, RecordName, RecordNameError, ResolveError, Resolver, SrvRecord,
};
pub use static_peers::{PeersError, StaticPeers};
pub use strategy::{StrategyAddress, StrategyError, StrategyKind};
#[cfg(feature = "hickory")]
pub use system_resolver::SystemResolver;
