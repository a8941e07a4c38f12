//! Beacons in the local network.
//!
//! `packet` is what goes over the wire, `hearing` and `speaking` decide and do no I/O, `interfaces` and `ether` are the
//! sockets, and `driver` is the one task that owns them all.

mod driver;
mod ether;
mod hearing;
mod interfaces;
mod options;
mod packet;
mod speaking;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use phalanx_base::Host;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;

use crate::{
    Announcement, Attempt, BoxFuture, Candidate, Candidates, ClusterScope, Discover, DiscoverContext,
    DiscoverError, DynDiscover, Refresh, StaticPeers, StrategyAddress, StrategyError,
};

use driver::{Announced, AnnouncedMap, Driver, Snapshot};
use ether::Ether;
use hearing::HeardNode;
use options::{INTERVAL_MAX, INTERVAL_MIN, Options};
use packet::{Beacon, NoBeacon};
use speaking::Speaking;

pub use options::{MulticastMode, MulticastModeError};

/// How long a look-up waits where nobody has been heard, in two parts with a question before each, since packets get lost.
const FIND_WAITS: [Duration; 2] = [Duration::from_millis(400), Duration::from_millis(600)];

/// How long a look-up waits for more once the first has answered: a little longer than answers are spread.
const GATHER_WAIT: Duration = speaking::ANSWER_SPREAD.saturating_mul(2);

/// How long to wait before the next try where there is no socket.
const RETRY_PAUSE: Duration = Duration::from_secs(5);

/// How many nodes announce themselves by one strategy: one, and another while addresses change; more are a leak.
const ANNOUNCED_MAX: usize = 16;

/// Numbers what is said in this process, which is one boot of a node: whichever strategy says something new, it counts as
/// later than what any said before.
static REVISION: AtomicU64 = AtomicU64::new(1);

/// The control nodes in the local network, by beacons that they send to a multicast group.
///
/// A control node sends beacons with its addresses, five at a fifth of the interval and then one each interval (5 s), and
/// says farewell when it is withdrawn. Each is sealed with the cluster's key: beacons of strangers are passed over, and a node
/// with a worker's credential hears beacons and sends none. What was recorded and is sent again by somebody else can at most
/// bring an address back that a control node had. Forged beacons cost little, but a storm of them can keep nodes out that are
/// new, for as long as it lasts; nodes that are known stay.
///
/// Who looks for nodes asks the group, and is answered within 0.1 s, or 0.5 s after the last beacon; a look-up waits for a
/// second where nobody has been heard, and answers at once where somebody has. A node that misses four beacons is forgotten.
/// The node itself is not among what it finds. Addresses beyond what fits into a packet of 1,200 bytes are left out.
///
/// By default it uses every interface that is up and can do multicast, but the loopback only where there is no other; each
/// gets a socket of its own, and interfaces that come or go later are noticed within 2 s. Packets pass no router (one hop), and
/// reach other nodes of the same machine.
///
/// The context must name a cluster, the same at each call. The first call starts a task, which ends when the strategy is
/// dropped; it needs a tokio runtime with I/O and time.
///
/// As text: `phalanx://;discover=multicast`, or with groups, one of each family at most, and parameters:
/// `phalanx://239.255.1.2:17000,[ff12::1]:17000;discover=multicast;interface=eth0`. Where no groups are given they are
/// `239.255.112.104` (of local scope, RFC 2365) and `ff12::7068:6c78` (of link-local scope and not registered, RFC 4291), on
/// port 17000.
///
/// | parameter | default | |
/// |---|---|---|
/// | `interface=` | all | names or IP addresses, with commas; a name stands for both families, an address for its own |
/// | `ttl=` | `1` | how many links a packet may cross (1 to 255) |
/// | `loop=` | `on` | whether nodes of the same machine hear it: `on` or `off` |
/// | `interval=` | `5s` | between two beacons (100 ms to 60 s) |
/// | `mode=` | `both` | `announce`: sends beacons and hears none; `listen`: hears beacons and sends none |
/// | `refresh=` | `5s` | how often to look while the cluster is not formed |
///
/// ```
/// use phalanx_discovery::{Multicast, MulticastMode};
///
/// let of_a_worker = Multicast::new().interfaces(["eth0"]).mode(MulticastMode::Listen);
/// ```
#[derive(Debug)]
pub struct Multicast {
    options: Options,
    refresh: Refresh,
    announced: watch::Sender<Arc<AnnouncedMap>>,
    running: Mutex<Option<Arc<Running>>>,
}

/// The task, and the ways to it.
#[derive(Debug)]
struct Running {
    cluster: String,
    snapshot: watch::Receiver<Snapshot>,
    wanted: Arc<Notify>,
    task: JoinHandle<()>,
    /// The news of which a look-up knows.
    found: AtomicU64,
}

/// Why multicast cannot be used.
#[derive(Debug, thiserror::Error)]
enum MulticastError {
    #[error("beacons are sealed with the cluster's secret: give the secret, or a worker's credential")]
    NoCluster,
    #[error("no address to announce: give the node one that others can reach")]
    NoAddress,
    #[error("more than {ANNOUNCED_MAX} nodes announce themselves: give each a strategy of its own")]
    TooMany,
    #[error("no multicast now: {0}")]
    Failed(String),
    #[error(transparent)]
    Groups(#[from] options::GroupError),
}

impl Multicast {
    /// Multicast as by default.
    #[must_use]
    pub fn new() -> Self {
        Self {
            options: Options::default(),
            refresh: Refresh::default(),
            announced: watch::Sender::default(),
            running: Mutex::default(),
        }
    }

    /// Other groups than the default ones: one of IPv4, one of IPv6, or both, with their ports. Any others are an error at
    /// the first call.
    #[must_use]
    pub fn groups(mut self, groups: impl IntoIterator<Item = SocketAddr>) -> Self {
        self.options.groups = groups.into_iter().collect();
        self
    }

    /// Only these interfaces, each by its name, for both families, or by one of its addresses, for the family of that. None
    /// stands for all.
    #[must_use]
    pub fn interfaces(mut self, interfaces: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.options.interfaces = interfaces.into_iter().map(Into::into).collect();
        self
    }

    /// How many links a packet may cross: 1, the default, keeps it in the local network. 0 is taken as 1.
    #[must_use]
    pub fn hops_max(mut self, hops_max: u8) -> Self {
        self.options.hops_max = hops_max.max(1);
        self
    }

    /// Whether other nodes of the same machine hear this one; on by default.
    #[must_use]
    pub fn loops(mut self, loops: bool) -> Self {
        self.options.loops = loops;
        self
    }

    /// The time between two beacons, 5 s by default, from 100 ms to 60 s.
    #[must_use]
    pub fn interval(mut self, interval: Duration) -> Self {
        self.options.interval = interval.clamp(INTERVAL_MIN, INTERVAL_MAX);
        self
    }

    /// Whether to send, to hear, or both, which is the default.
    #[must_use]
    pub fn mode(mut self, mode: MulticastMode) -> Self {
        self.options.mode = mode;
        self
    }

    /// How often to look while the cluster is not formed.
    #[must_use]
    pub fn refresh(self, refresh: Refresh) -> Self {
        Self { refresh, ..self }
    }

    /// The task for this context's cluster, started where there is none.
    fn running(&self, context: &DiscoverContext) -> Result<Arc<Running>, MulticastError> {
        let scope = context.cluster.as_ref().ok_or(MulticastError::NoCluster)?;
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(running) = running.as_ref().filter(|running| running.is_for(scope)) {
            return Ok(running.clone());
        }
        let groups: Vec<_> =
            self.options.groups.iter().map(|group| (group.ip(), Some(group.port()))).collect();
        let options = Options { groups: options::groups(&groups)?, ..self.options.clone() };
        let mut ether = Ether::new();
        ether.refresh(&options).map_err(|error| MulticastError::Failed(error.to_string()))?;
        let driver =
            Driver::new(options, scope.clone(), context.entropy.clone(), ether, self.announced.subscribe());
        let started = Arc::new(Running {
            cluster: scope.id.clone(),
            snapshot: driver.snapshot(),
            wanted: driver.wanted(),
            task: tokio::spawn(driver.run()),
            found: AtomicU64::new(0),
        });
        if let Some(former) = running.replace(started.clone()) {
            // It would go on for the former cluster for as long as the strategy is there.
            former.task.abort();
        }
        Ok(started)
    }

    /// What is heard now, after a while where nobody has been heard yet.
    async fn listen(&self, context: &DiscoverContext) -> Result<Snapshot, MulticastError> {
        let running = self.running(context)?;
        let mut heard = running.snapshot.clone();
        let has_nodes = |snapshot: &Snapshot| !snapshot.nodes.is_empty();
        if !has_nodes(&heard.borrow()) {
            for wait in FIND_WAITS {
                running.wanted.notify_one();
                if matches!(tokio::time::timeout(wait, heard.wait_for(has_nodes)).await, Ok(Ok(_))) {
                    tokio::time::sleep(GATHER_WAIT).await;
                    break;
                }
            }
        }
        let snapshot = heard.borrow().clone();
        running.found.store(snapshot.news, Ordering::Relaxed);
        match &snapshot.failure {
            Some(failure) if snapshot.nodes.is_empty() => Err(MulticastError::Failed(failure.clone())),
            _ => Ok(snapshot),
        }
    }

    /// Seals what a node says; `None` where its credential is a worker's.
    fn seal(&self, scope: &ClusterScope, who: &Announcement) -> Result<Option<Announced>, DiscoverError> {
        if who.addresses.is_empty() {
            return Err(DiscoverError::other(MulticastError::NoAddress));
        }
        let revision = REVISION.fetch_add(2, Ordering::Relaxed);
        let said = Beacon::new(scope, who, revision, Speaking::lifetime_ms(self.options.interval));
        let packets = said.packet(scope).and_then(|beacon| Ok((beacon, said.farewell().packet(scope)?)));
        match packets {
            Ok((beacon, farewell)) => {
                Ok(Some(Announced { revision, boot: who.boot.clone(), beacon, farewell }))
            }
            Err(NoBeacon::Unsealed) => Ok(None),
            Err(error @ NoBeacon::TooLong) => Err(DiscoverError::other(error)),
        }
    }
}

impl Default for Multicast {
    fn default() -> Self {
        Self::new()
    }
}

impl Running {
    fn is_for(&self, scope: &ClusterScope) -> bool {
        self.cluster == scope.id && !self.task.is_finished()
    }
}

/// An announcement that lasts until this is dropped.
struct Announcing<'a> {
    announced: &'a watch::Sender<Arc<AnnouncedMap>>,
    revision: u64,
}

impl<'a> Announcing<'a> {
    fn begin(
        announced: &'a watch::Sender<Arc<AnnouncedMap>>,
        what: Announced,
    ) -> Result<Self, MulticastError> {
        let revision = what.revision;
        let begins = announced.send_if_modified(|announced| {
            let fits = announced.len() < ANNOUNCED_MAX;
            if fits {
                Arc::make_mut(announced).insert(revision, Arc::new(what));
            }
            fits
        });
        if begins { Ok(Self { announced, revision }) } else { Err(MulticastError::TooMany) }
    }
}

impl Drop for Announcing<'_> {
    fn drop(&mut self) {
        self.announced.send_modify(|announced| {
            Arc::make_mut(announced).remove(&self.revision);
        });
    }
}

/// What was heard, for people to read.
fn attempt(groups: &[SocketAddr], heard: &Result<Snapshot, MulticastError>) -> Attempt {
    let (name, outcome) = match heard {
        Err(error) => {
            let groups: Vec<_> = groups.iter().map(ToString::to_string).collect();
            (groups.join(", "), Err(error.to_string()))
        }
        Ok(heard) => {
            let lines = heard.nodes.iter().map(|node| format!("{} at {}", node.boot, node.addresses));
            let ignored = Some(heard.ignored.summary()).filter(|summary| !summary.is_empty());
            let lines = lines.chain(ignored.map(|summary| format!("ignored: {summary}")));
            (heard.names.clone(), Ok(lines.collect()))
        }
    };
    Attempt { kind: "multicast", name, outcome }
}

/// An IPv6 address of link-local scope is one of several interfaces: it is dialled over that where it was heard.
fn with_scope(candidate: Candidate, interfaces: &BTreeMap<Ipv6Addr, u32>) -> Candidate {
    let mut socket = candidate.socket;
    if let SocketAddr::V6(v6) = &mut socket
        && let Some(interface) = interfaces.get(v6.ip())
    {
        v6.set_scope_id(*interface);
    }
    Candidate { socket, ..candidate }
}

fn link_local(node: &HeardNode) -> impl Iterator<Item = (Ipv6Addr, u32)> {
    node.addresses.iter().filter_map(|address| match address.host() {
        Host::Ip(IpAddr::V6(ip)) if ip.is_unicast_link_local() => Some((*ip, node.interface)),
        _ => None,
    })
}

impl Discover for Multicast {
    async fn find(&self, context: &DiscoverContext) -> Result<Candidates, DiscoverError> {
        if !self.options.mode.listens() {
            return Ok(Candidates::default());
        }
        let heard = self.listen(context).await;
        context.tried(|| attempt(&self.options.groups, &heard));
        let nodes = heard.map_err(DiscoverError::other)?.nodes;
        let interfaces: BTreeMap<_, _> = nodes.iter().flat_map(link_local).collect();
        let addresses = nodes.into_iter().flat_map(|node| node.addresses).take(StaticPeers::PEERS_MAX);
        let found = StaticPeers::new(addresses).find(context).await?;
        Ok(found.into_iter().map(|candidate| with_scope(candidate, &interfaces)).collect())
    }

    async fn changed(&self, context: &DiscoverContext) {
        if !self.options.mode.listens() {
            return std::future::pending().await;
        }
        loop {
            if let Ok(running) = self.running(context) {
                let mut heard = running.snapshot.clone();
                let is_new = |snapshot: &Snapshot| snapshot.news > running.found.load(Ordering::Relaxed);
                if let Ok(snapshot) = heard.wait_for(is_new).await {
                    running.found.store(snapshot.news, Ordering::Relaxed);
                    return;
                }
            }
            tokio::time::sleep(RETRY_PAUSE).await;
        }
    }

    async fn announce(
        &self,
        context: &DiscoverContext,
        who: &Announcement,
        withdrawn: BoxFuture<'_, ()>,
    ) -> Result<(), DiscoverError> {
        if !self.options.mode.announces() {
            return Ok(());
        }
        let scope =
            context.cluster.as_ref().ok_or_else(|| DiscoverError::other(MulticastError::NoCluster))?;
        let Some(announced) = self.seal(scope, who)? else { return Ok(()) };
        self.running(context).map_err(DiscoverError::other)?;
        let _announcing = Announcing::begin(&self.announced, announced).map_err(DiscoverError::other)?;
        withdrawn.await;
        Ok(())
    }

    fn refresh(&self) -> Refresh {
        self.refresh
    }
}

/// The strategy of an address.
pub(crate) fn from_address(address: &mut StrategyAddress) -> Result<DynDiscover, StrategyError> {
    if address.path().is_some_and(|path| path != "/") {
        return Err(
            address.wrong("multicast has groups and no path: phalanx://239.255.1.2:17000;discover=multicast")
        );
    }
    let mut given = Vec::new();
    for (host, port) in address.hosts() {
        let ip = host
            .ip()
            .ok_or_else(|| address.wrong(format!("{host} is not the IP address of a multicast group")))?;
        given.push((ip, *port));
    }
    let groups = options::groups(&given).map_err(|error| address.wrong(error.to_string()))?;
    let mut made = Multicast::new().groups(groups).refresh(address.take_refresh()?);
    if let Some(interfaces) = address.take("interface") {
        made = made.interfaces(interfaces.split(',').filter(|name| !name.is_empty()));
    }
    if let Some(hops_max) = address.take_parsed::<std::num::NonZero<u8>>("ttl")? {
        made = made.hops_max(hops_max.get());
    }
    made = match address.take("loop").as_deref() {
        None | Some("on") => made,
        Some("off") => made.loops(false),
        Some(other) => return Err(address.wrong(format!("loop={other}: write on or off"))),
    };
    made = match address.take_parsed("interval")? {
        None => made,
        Some(Refresh::Every(interval)) if interval <= INTERVAL_MAX => made.interval(interval),
        Some(_) => return Err(address.wrong("interval: write 100ms to 60s")),
    };
    Ok(DynDiscover::new(made.mode(address.take_parsed("mode")?.unwrap_or_default())))
}
