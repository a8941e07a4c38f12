//! Static peers against a resolver that is a table: what is found, in which order, and what a failure hides.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use phalanx_base::{Address, DnsName, Entropy};
use phalanx_discovery::{
    BoxFuture, Candidates, Discover, DiscoverContext, DiscoverError, DynDiscover, PeersError, Refresh,
    ResolveError, Resolver, StaticPeers,
};

/// Resolves from a table; yields to the other look-ups first, so that they overlap.
#[derive(Default)]
struct Table {
    names: Mutex<BTreeMap<String, Vec<IpAddr>>>,
    running: AtomicUsize,
    running_max: AtomicUsize,
}

impl Table {
    fn with(names: &[(&str, &[u8])]) -> Self {
        let table = Self::default();
        for (name, ips) in names {
            table.set(name, ips);
        }
        table
    }

    /// Makes a name stand for addresses 10.0.0.x.
    fn set(&self, name: &str, ips: &[u8]) {
        let ips = ips.iter().map(|last| Ipv4Addr::new(10, 0, 0, *last).into()).collect();
        self.names.lock().expect("no test panics with the lock").insert(name.to_owned(), ips);
    }
}

impl Resolver for Table {
    fn resolve<'a>(&'a self, name: &'a DnsName) -> BoxFuture<'a, Result<Vec<IpAddr>, ResolveError>> {
        Box::pin(async move {
            let running = self.running.fetch_add(1, Ordering::Relaxed) + 1;
            self.running_max.fetch_max(running, Ordering::Relaxed);
            // Names that end in a low digit answer last, so that order cannot be a matter of luck.
            let turns = name.as_str().bytes().last().map_or(0, |last| u8::MAX - last);
            for _ in 0..turns {
                tokio::task::yield_now().await;
            }
            self.running.fetch_sub(1, Ordering::Relaxed);
            let names = self.names.lock().expect("no test panics with the lock");
            names.get(name.as_str()).cloned().ok_or_else(|| ResolveError::NotFound { name: name.clone() })
        })
    }
}

/// No strategy here draws anything.
struct NoEntropy;

impl Entropy for NoEntropy {
    fn fill(&self, bytes: &mut [u8]) {
        bytes.fill(0);
    }
}

fn context(table: &Arc<Table>) -> DiscoverContext {
    DiscoverContext::new(table.clone(), Arc::new(NoEntropy))
}

fn sockets(found: &Candidates) -> Vec<String> {
    found.iter().map(|candidate| candidate.socket.to_string()).collect()
}

#[tokio::test]
async fn addresses_come_in_their_order_with_all_that_a_name_stands_for() {
    let table = Arc::new(Table::with(&[("a1", &[1, 2]), ("a2", &[3])]));
    let peers = StaticPeers::parse("a1:5, a2\n[::1]:9;transport=quic,a2,10.0.0.3").unwrap();
    let found = peers.find(&context(&table)).await.unwrap();
    assert_eq!(sockets(&found), ["10.0.0.1:5", "10.0.0.2:5", "10.0.0.3:7000", "[::1]:9"]);
    let addresses: Vec<_> = found.iter().map(|candidate| candidate.address.to_string()).collect();
    assert_eq!(addresses[1], "phalanx://a1:5");
    assert_eq!(addresses[3], "phalanx://[::1]:9;transport=quic");
}

#[tokio::test]
async fn a_name_that_fails_hides_no_other() {
    let table = Arc::new(Table::with(&[("good", &[1])]));
    let found = StaticPeers::parse("bad,good,worse").unwrap().find(&context(&table)).await.unwrap();
    assert_eq!(sockets(&found), ["10.0.0.1:7000"]);
}

#[tokio::test]
async fn it_fails_only_where_nothing_is_found_and_something_failed() {
    let table = Arc::new(Table::default());
    let error = StaticPeers::parse("bad, worse").unwrap().find(&context(&table)).await.unwrap_err();
    let bad = ResolveError::NotFound { name: DnsName::new("bad").unwrap() };
    assert_eq!(error.to_string(), format!("found no control node: {bad} (and 1 more failed)"));
    assert!(matches!(error, DiscoverError::Unresolved { first, failed: 2 } if first == bad));
    assert!(StaticPeers::parse("").unwrap().find(&context(&table)).await.unwrap().is_empty());
}

#[tokio::test]
async fn names_are_looked_up_at_each_try() {
    let table = Arc::new(Table::default());
    let peers = StaticPeers::parse("later").unwrap();
    assert!(peers.find(&context(&table)).await.is_err());
    table.set("later", &[1]);
    assert_eq!(sockets(&peers.find(&context(&table)).await.unwrap()), ["10.0.0.1:7000"]);
    table.set("later", &[2]);
    assert_eq!(sockets(&peers.find(&context(&table)).await.unwrap()), ["10.0.0.2:7000"]);
}

#[tokio::test]
async fn look_ups_overlap_but_not_all_at_once() {
    let table = Arc::new(Table::default());
    let names: Vec<String> = (0..100).map(|number| format!("name-{number}")).collect();
    for (last, name) in (0..).zip(&names) {
        table.set(name, &[last]);
    }
    let found = StaticPeers::parse(&names.join(",")).unwrap().find(&context(&table)).await.unwrap();
    assert_eq!(found.len(), 100);
    assert_eq!(table.running_max.load(Ordering::Relaxed), 16);
}

#[tokio::test]
async fn answers_are_capped() {
    let table = Arc::new(Table::default());
    let many: Vec<u8> = (0..=u8::MAX).collect();
    for name in ["a", "b", "c", "d"] {
        table.set(name, &many);
    }
    let found = StaticPeers::parse("a:1,b:2,c:3,d:4").unwrap().find(&context(&table)).await.unwrap();
    assert_eq!(found.len(), Candidates::LENGTH_MAX);
    let sockets = (0..=u16::MAX).map(|port| SocketAddr::from(([10, 0, 0, 1], port)));
    assert_eq!(StaticPeers::new(sockets).addresses().len(), StaticPeers::PEERS_MAX);
}

#[test]
fn refusals_say_which_and_where() {
    let reason = "b;c=d".parse::<Address>().unwrap_err();
    assert_eq!(
        StaticPeers::parse("a, b;c=d").unwrap_err(),
        PeersError::Address { number: 2, text: "b;c=d".to_owned(), reason }
    );
    let many = vec!["a"; StaticPeers::PEERS_MAX + 1].join(" ");
    assert_eq!(StaticPeers::parse(&many).unwrap_err(), PeersError::TooMany);
}

#[tokio::test]
async fn strategies_of_different_types_stand_in_one_list() {
    struct Broken;
    impl Discover for Broken {
        async fn find(&self, _: &DiscoverContext) -> Result<Candidates, DiscoverError> {
            Err(DiscoverError::other("the source is broken"))
        }
        fn refresh(&self) -> Refresh {
            Refresh::Once
        }
    }
    let strategies = [DynDiscover::new(Broken), DynDiscover::new(StaticPeers::parse("10.0.0.9").unwrap())];
    let table = Arc::new(Table::default());
    let error = strategies[0].find(&context(&table)).await.unwrap_err();
    assert_eq!(error.to_string(), "found no control node: the source is broken");
    assert_eq!(sockets(&strategies[1].find(&context(&table)).await.unwrap()), ["10.0.0.9:7000"]);
    assert_eq!(strategies.map(|strategy| strategy.refresh().to_string()), ["infinity", "5s"]);
}
