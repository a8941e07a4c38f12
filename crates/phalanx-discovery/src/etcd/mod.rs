//! etcd, version 3: control nodes that publish themselves under a lease.
//!
//! It speaks the HTTP gateway that every etcd has on its client port, since a client of its gRPC needs a compiler of
//! protocol buffers where it is built. A record is kept by its lease alone: who dies is gone after the time to live, and who
//! is merely slow comes back by itself.

mod address;
mod announce;
mod error;
mod gateway;
mod key;
mod messages;
mod record;
mod watch;

use std::collections::BTreeSet;
use std::fmt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, Once, PoisonError};
use std::time::Duration;

use phalanx_base::{Address, Host};

use crate::http::{Outage, TlsFiles};
use crate::{
    Announcement, Attempt, BoxFuture, Candidates, Discover, DiscoverContext, DiscoverError, Refresh,
    StaticPeers,
};
use error::AskError;
use gateway::Gateway;
use key::Range;
use messages::Entries;
use record::Record;

pub(crate) use address::from_address;
pub use error::EtcdError;

/// Where records are, unless the user says otherwise.
const PREFIX: &str = "/phalanx";

/// The port of etcd for clients.
const PORT: u16 = 2379;

/// How long a record outlives its node, unless the user says otherwise.
const TTL: Duration = Duration::from_secs(15);

/// The most endpoints: etcd advises against more than seven members.
const ENDPOINTS_MAX: usize = 16;

/// How long one endpoint may take until its answer is there: longer than an election of etcd's.
const REQUEST_TIME_MAX: Duration = Duration::from_secs(3);

/// Control nodes by etcd, version 3 (3.4 and later): each control node publishes itself, and all of them find each other.
///
/// As text: `phalanx://HOST:PORT,HOST:PORT/PREFIX;discover=etcd`; the port is 2379 and the prefix `/phalanx` where they are
/// left out. Further parameters: `user` and `password-file` together, `ca-file` (which makes it HTTPS), `cert-file` and
/// `key-file` together, `ttl=15s` (2 s to an hour), `refresh`.
///
/// A control node is the key `PREFIX/CLUSTER/NODE` with a value of JSON (`cluster`, `node`, `generation`, `addresses`), under
/// a lease that its node renews each third of the time to live and takes back when it leaves. Without a cluster in the
/// context the nodes of all clusters below the prefix are found. What is no such record is left out.
///
/// Endpoints are asked in turn, beginning with the one that answered last. The password is read from its file, never from
/// the address, and sent where there is no token or the token is refused; over plain HTTP others can read both.
///
/// ```
/// use phalanx_discovery::{Etcd, StrategyAddress};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let strategy = Etcd::new([("10.0.0.7".parse()?, 2379), ("etcd-2".parse()?, 2379)])?.prefix("/media")?;
/// let text = "phalanx://10.0.0.7,etcd-2/media;discover=etcd".parse::<StrategyAddress>()?.strategy()?;
/// # let _ = (strategy, text);
/// # Ok(())
/// # }
/// ```
pub struct Etcd {
    endpoints: Vec<(Host, u16)>,
    prefix: String,
    tls: TlsFiles,
    /// The user, and the file of the password.
    user: Option<(String, PathBuf)>,
    ttl: Duration,
    request_time_max: Duration,
    refresh: Refresh,
    /// The endpoint to ask first: the one after the last that gave no answer.
    preferred: AtomicUsize,
    /// The token of the user: good until it is refused.
    token: Mutex<Option<String>>,
    /// What was found last and of which cluster, so that no change is missed between a look-up and the next watch.
    known: Mutex<Option<Known>>,
    outage: Outage,
    /// The warning that there is more than is taken.
    too_many: Once,
}

/// The addresses of a cluster, or of all.
#[derive(PartialEq, Eq)]
struct Known {
    cluster: Option<String>,
    addresses: BTreeSet<Address>,
}

impl Etcd {
    /// The shortest time to live: less than an election takes, and every election would drop all nodes.
    pub const TTL_MIN: Duration = Duration::from_secs(2);
    /// The longest time to live: who is dead for longer is no candidate.
    pub const TTL_MAX: Duration = Duration::from_secs(3_600);

    /// An etcd with these members, of which any will do. Names are looked up at each request.
    ///
    /// # Errors
    /// [`EtcdError::Endpoints`] where there is none, or more than sixteen.
    pub fn new(endpoints: impl IntoIterator<Item = (Host, u16)>) -> Result<Self, EtcdError> {
        let endpoints: Vec<_> = endpoints.into_iter().take(ENDPOINTS_MAX + 1).collect();
        if !(1..=ENDPOINTS_MAX).contains(&endpoints.len()) {
            return Err(EtcdError::Endpoints);
        }
        Ok(Self {
            endpoints,
            prefix: PREFIX.to_owned(),
            tls: TlsFiles::default(),
            user: None,
            ttl: TTL,
            request_time_max: REQUEST_TIME_MAX,
            refresh: Refresh::default(),
            preferred: AtomicUsize::new(0),
            token: Mutex::new(None),
            known: Mutex::new(None),
            outage: Outage::default(),
            too_many: Once::new(),
        })
    }

    /// Below this prefix; else below `/phalanx`. Nodes must agree on it.
    ///
    /// # Errors
    /// [`EtcdError::Prefix`] unless it begins with a slash, and has names between its slashes.
    pub fn prefix(self, prefix: &str) -> Result<Self, EtcdError> {
        key::check_prefix(prefix)?;
        Ok(Self { prefix: prefix.to_owned(), ..self })
    }

    /// Over HTTPS, with members that the certificates of this PEM file vouch for. The file is read at each look-up.
    #[must_use]
    pub fn ca_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.tls.ca = Some(path.into());
        self
    }

    /// Shows this certificate to the members, with this key; both are PEM files that are read at each look-up. Of use over
    /// HTTPS only.
    #[must_use]
    pub fn identity(mut self, certificate: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Self {
        self.tls.identity = Some((certificate.into(), key.into()));
        self
    }

    /// As this user, with the password that this file holds. The user needs the permission to read the range of the prefix,
    /// and a control node to write there too.
    #[must_use]
    pub fn user(self, name: impl Into<String>, password_file: impl Into<PathBuf>) -> Self {
        Self { user: Some((name.into(), password_file.into())), ..self }
    }

    /// How long the record of a node that has died stays; 15 s unless this says otherwise. Rounded up to seconds, and
    /// kept between [`Etcd::TTL_MIN`] and [`Etcd::TTL_MAX`].
    #[must_use]
    pub fn ttl(self, ttl: Duration) -> Self {
        let seconds = ttl.as_secs() + u64::from(ttl.subsec_nanos() > 0);
        Self { ttl: Duration::from_secs(seconds).clamp(Self::TTL_MIN, Self::TTL_MAX), ..self }
    }

    /// How long one member may take until its answer is there; 3 s unless this says otherwise.
    #[must_use]
    pub fn request_time_max(self, request_time_max: Duration) -> Self {
        Self { request_time_max, ..self }
    }

    /// How often to look.
    #[must_use]
    pub fn refresh(self, refresh: Refresh) -> Self {
        Self { refresh, ..self }
    }

    /// Asks for all records, and gives their addresses and the revision of etcd that they are from.
    async fn records(&self, context: &DiscoverContext) -> Result<(Vec<Address>, i64), AskError> {
        let cluster = context.cluster.as_ref().map(|cluster| cluster.id.as_str());
        let range = Range::of(&self.prefix, cluster);
        let (endpoint, entries) = Gateway::open(self, context)?.range(&range).await?;
        let read = read(&self.prefix, cluster, &entries);
        context.tried(|| Attempt {
            kind: "etcd",
            name: format!("{endpoint}{}", range.key),
            outcome: Ok(read.iter().map(|(key, record)| line(key, record)).collect()),
        });
        let records: Vec<Record> = read.into_iter().filter_map(|(_, record)| record.ok()).collect();
        Ok((record::addresses(&records), entries.revision))
    }

    /// Remembers what is there now, and says whether it is something else than before. What is seen first is no change, nor
    /// is another order.
    fn is_new(&self, context: &DiscoverContext, addresses: &[Address]) -> bool {
        let cluster = context.cluster.as_ref().map(|cluster| cluster.id.clone());
        let now = Known { cluster, addresses: addresses.iter().cloned().collect() };
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let is_new = known.as_ref().is_some_and(|known| known.cluster == now.cluster && *known != now);
        *known = Some(now);
        is_new
    }

    fn scheme(&self) -> &'static str {
        if self.tls.ca.is_some() { "https" } else { "http" }
    }

    /// The endpoints with their numbers, the one that answered last first.
    fn endpoints(&self) -> impl Iterator<Item = (usize, &(Host, u16))> {
        let first = self.preferred.load(Ordering::Relaxed) % self.endpoints.len();
        let (before, after) = self.endpoints.split_at(first);
        (first..).zip(after).chain((0..).zip(before))
    }
}

/// Each key with what it says, or why that is no record.
fn read(
    prefix: &str,
    cluster: Option<&str>,
    entries: &Entries,
) -> Vec<(String, Result<Record, &'static str>)> {
    let of = |(key, value): &(Vec<u8>, Vec<u8>)| {
        (String::from_utf8_lossy(key).into_owned(), Record::read(prefix, cluster, key, value))
    };
    entries.pairs.iter().map(of).collect()
}

fn line(key: &str, record: &Result<Record, &'static str>) -> String {
    match record {
        Ok(record) => {
            let addresses: Vec<String> = record.addresses.iter().map(ToString::to_string).collect();
            format!("{key} {}", addresses.join(","))
        }
        Err(reason) => format!("{} left out: {reason}", crate::http::quoted(key)),
    }
}

impl Discover for Etcd {
    async fn find(&self, context: &DiscoverContext) -> Result<Candidates, DiscoverError> {
        let (addresses, _) = self.records(context).await.map_err(DiscoverError::other)?;
        self.is_new(context, &addresses);
        StaticPeers::new(addresses).find(context).await
    }

    async fn changed(&self, context: &DiscoverContext) {
        watch::changed(self, context).await;
    }

    async fn announce(
        &self,
        context: &DiscoverContext,
        who: &Announcement,
        withdrawn: BoxFuture<'_, ()>,
    ) -> Result<(), DiscoverError> {
        announce::announce(self, context, who, withdrawn).await.map_err(DiscoverError::other)
    }

    fn refresh(&self) -> Refresh {
        self.refresh
    }
}

impl fmt::Debug for Etcd {
    /// Without the token, which is a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Etcd")
            .field("endpoints", &self.endpoints)
            .field("prefix", &self.prefix)
            .field("tls", &self.tls)
            .field("user", &self.user)
            .field("ttl", &self.ttl)
            .finish_non_exhaustive()
    }
}
