//! Multicast over the loopback of this machine: real sockets, a group and port for each test. Over IPv6 Linux has no
//! multicast there: see `multicast_netns`.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "beacons/mod.rs"]
mod beacons;

use std::future::pending;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use beacons::{Cluster, OURS, PATIENCE, announcement, strategy};
use phalanx_discovery::{Discover, DiscoverContext, DynDiscover, Journal};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

/// How often to look whether what must come is there.
const LOOK_PAUSE: Duration = Duration::from_millis(10);

/// A group that no other test uses: the port was free a moment ago.
fn group() -> String {
    format!("phalanx://239.255.7.7:{};discover=multicast;interface=lo", free_port())
}

fn free_port() -> u16 {
    UdpSocket::bind("0.0.0.0:0").unwrap().local_addr().unwrap().port()
}

/// A node that announces itself until it is told otherwise.
struct Node {
    strategy: DynDiscover,
    withdraw: Arc<Notify>,
    announcing: JoinHandle<()>,
}

impl Node {
    fn new(text: &str, context: &DiscoverContext, name: &str, addresses: &str) -> Self {
        Self::announce(strategy(text), context, name, addresses)
    }

    fn announce(strategy: DynDiscover, context: &DiscoverContext, name: &str, addresses: &str) -> Self {
        let withdraw = Arc::new(Notify::new());
        let (task, withdrawn) = (strategy.clone(), withdraw.clone());
        let (context, who) = (context.clone(), announcement(name, addresses));
        let announcing = tokio::spawn(async move {
            task.announce(&context, &who, Box::pin(withdrawn.notified())).await.unwrap();
        });
        Self { strategy, withdraw, announcing }
    }

    async fn withdraw(self) -> DynDiscover {
        self.withdraw.notify_one();
        self.announcing.await.unwrap();
        self.strategy
    }
}

/// What a look-up finds, in order.
async fn sockets(strategy: &DynDiscover, context: &DiscoverContext) -> Vec<String> {
    let found = strategy.find(context).await.unwrap();
    let mut sockets: Vec<_> = found.iter().map(|candidate| candidate.socket.to_string()).collect();
    sockets.sort();
    sockets
}

/// Looks until exactly these are found.
async fn until(strategy: &DynDiscover, context: &DiscoverContext, expected: &[&str]) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let found = sockets(strategy, context).await;
        if found == expected {
            return;
        }
        assert!(Instant::now() < deadline, "found {found:?} and not {expected:?}");
        tokio::time::sleep(LOOK_PAUSE).await;
    }
}

#[tokio::test]
async fn nodes_find_each_other() {
    let (text, context) = (group(), OURS.context(false));
    let first = Node::new(&text, &context, "c1", "10.0.0.1:1,10.0.0.1:2");
    let second = Node::new(&text, &context, "c2", "10.0.0.2:1");
    let worker = strategy(&format!("{text};mode=listen"));
    // Nobody finds himself.
    until(&first.strategy, &context, &["10.0.0.2:1"]).await;
    until(&second.strategy, &context, &["10.0.0.1:1", "10.0.0.1:2"]).await;
    let worker_context = OURS.context(true);
    until(&worker, &worker_context, &["10.0.0.1:1", "10.0.0.1:2", "10.0.0.2:1"]).await;
    first.withdraw().await;
    until(&worker, &worker_context, &["10.0.0.2:1"]).await;
}

#[tokio::test]
async fn the_first_look_up_asks_and_is_answered() {
    // The second beacon comes after nine seconds at the earliest, so that only an answer can come in time.
    let (text, context) = (format!("{};interval=60s", group()), OURS.context(false));
    let _node = Node::new(&text, &context, "c1", "10.0.0.1:1");
    until(&strategy(&text), &context, &["10.0.0.1:1"]).await;
    // The answers to those questions are over.
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    let late = strategy(&text);
    timeout(Duration::from_secs(5), until(&late, &context, &["10.0.0.1:1"])).await.unwrap();
    // What was heard is there at once, and not after the first wait of 400 ms.
    let begin = Instant::now();
    assert_eq!(sockets(&late, &context).await, ["10.0.0.1:1"]);
    assert!(begin.elapsed() < Duration::from_millis(400), "{:?}", begin.elapsed());
}

#[tokio::test]
async fn a_change_is_told_once() {
    let (text, context) = (group(), OURS.context(false));
    let listener = strategy(&text);
    let changed = |within| timeout(within, listener.changed(&context));
    assert_eq!(sockets(&listener, &context).await, [""; 0]);
    let node = Node::new(&text, &context, "c1", "10.0.0.1:1");
    changed(PATIENCE).await.unwrap();
    assert_eq!(sockets(&listener, &context).await, ["10.0.0.1:1"]);
    // Beacons go on and say nothing new.
    assert!(changed(Duration::from_secs(2)).await.is_err());
    let strategy = node.withdraw().await;
    let _node = Node::announce(strategy, &context, "c1", "10.0.0.1:2");
    changed(PATIENCE).await.unwrap();
    until(&listener, &context, &["10.0.0.1:2"]).await;
}

#[tokio::test]
async fn strangers_and_forgers_are_counted_and_not_found() {
    let (text, context) = (group(), OURS.context(false));
    let _stranger = Node::new(&text, &Cluster { id: "theirs", seed: 2 }.context(false), "s1", "10.0.0.8:1");
    let _forger = Node::new(&text, &Cluster { seed: 3, ..OURS }.context(false), "f1", "10.0.0.9:1");
    let _node = Node::new(&text, &context, "c1", "10.0.0.1:1");
    let listener = strategy(&text);
    let deadline = Instant::now() + PATIENCE;
    loop {
        let journal = Journal::default();
        let found = sockets(&listener, &context.clone().with_journal(journal.clone())).await;
        assert!(found.is_empty() || found == ["10.0.0.1:1"], "{found:?}");
        let seen = format!("{:?}", journal.attempts());
        let parts = [
            "c1@1 at phalanx://10.0.0.1:1",
            "of other clusters",
            "with a wrong seal",
            "239.255.7.7",
            "on lo",
        ];
        if parts.iter().all(|part| seen.contains(part)) {
            return;
        }
        assert!(Instant::now() < deadline, "{seen}");
        tokio::time::sleep(LOOK_PAUSE).await;
    }
}

#[tokio::test]
async fn a_storm_of_junk_hides_nobody() {
    let (text, context) = (group(), OURS.context(false));
    let listener = strategy(&text);
    assert_eq!(sockets(&listener, &context).await, [""; 0]);
    let port = text.split(':').nth(2).and_then(|rest| rest.split(';').next()).unwrap().parse().unwrap();
    let storm = tokio::spawn(async move {
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::DGRAM, None).unwrap();
        socket.set_multicast_if_v4(&Ipv4Addr::LOCALHOST).unwrap();
        let group = SocketAddr::from(([239, 255, 7, 7], port)).into();
        let junk = |length: usize| [b"phlx\x01\x01".as_slice(), &vec![7; length]].concat();
        for length in (0..1_500).cycle() {
            socket.send_to(&junk(length), &group).unwrap();
            tokio::task::yield_now().await;
        }
    });
    let _node = Node::new(&text, &context, "c1", "10.0.0.1:1");
    until(&listener, &context, &["10.0.0.1:1"]).await;
    storm.abort();
}

#[tokio::test]
async fn who_may_not_or_shall_not_announce_returns_at_once() {
    let (text, who) = (group(), announcement("w1", "10.0.0.1:1"));
    let at_once = |strategy: DynDiscover, context: DiscoverContext| async move {
        let announced = strategy.announce(&context, &who.clone(), Box::pin(pending())).await;
        announced.unwrap();
        strategy
    };
    timeout(PATIENCE, at_once.clone()(strategy(&text), OURS.context(true))).await.unwrap();
    let listener = strategy(&format!("{text};mode=listen"));
    timeout(PATIENCE, at_once(listener, OURS.context(false))).await.unwrap();
}

#[tokio::test]
async fn who_only_announces_finds_nobody_and_is_found() {
    let (text, context) = (group(), OURS.context(false));
    let speaker = Node::new(&format!("{text};mode=announce"), &context, "c1", "10.0.0.1:1");
    let other = Node::new(&text, &context, "c2", "10.0.0.2:1");
    until(&other.strategy, &context, &["10.0.0.1:1"]).await;
    assert_eq!(sockets(&speaker.strategy, &context).await, [""; 0]);
    assert!(timeout(Duration::from_millis(300), speaker.strategy.changed(&context)).await.is_err());
}

#[tokio::test]
async fn errors_name_what_to_do() {
    let text = group();
    let error = strategy(&text).find(&DiscoverContext::system()).await.unwrap_err().to_string();
    assert!(error.contains("give the secret"), "{error}");
    let nowhere = strategy(&text.replace("=lo", "=nowhere0"));
    let error = nowhere.find(&OURS.context(false)).await.unwrap_err().to_string();
    assert!(
        error.contains("\"nowhere0\"") && error.contains("there are: ") && error.contains("lo"),
        "{error}"
    );
    // The kernel has no route for IPv6 multicast over the loopback. If somebody has made one, there is no error.
    let v6 = format!("phalanx://[ff12::7]:{};discover=multicast;interface=lo", free_port());
    match strategy(&v6).find(&OURS.context(false)).await {
        Ok(found) => assert!(found.is_empty()),
        Err(error) => assert!(error.to_string().contains("[ff12::7]"), "{error}"),
    }
    let who = announcement("c1", "");
    let announced = strategy(&text).announce(&OURS.context(false), &who, Box::pin(pending())).await;
    assert!(announced.unwrap_err().to_string().contains("no address"));
}
