//! Strategies of DNS against real name servers: what is found, in which order, and what a failure hides.

mod server;
mod zone;

use std::collections::{BTreeMap, BTreeSet};
use std::net::UdpSocket;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use phalanx_base::{DnsName, Entropy};
use phalanx_discovery::{
    Attempt, Candidates, Discover, DiscoverContext, DiscoverError, Journal, RecordName, ResolveError,
    Resolver, StaticPeers, StrategyAddress, SystemResolver,
};
use server::{NameServer, free_address};
use tokio::time::{Instant, sleep};

/// SplitMix64 (Steele, Lea and Flood, 2014): the same numbers in each run.
struct Seeded(AtomicU64);

impl Entropy for Seeded {
    fn fill(&self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            let mut z = self.0.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            chunk.copy_from_slice(&(z ^ (z >> 31)).to_le_bytes()[..chunk.len()]);
        }
    }
}

/// A context whose names one server knows, and what is written down in it.
fn context(server: std::net::SocketAddr) -> (DiscoverContext, Journal) {
    let journal = Journal::default();
    let resolver = Arc::new(SystemResolver::with_server(server));
    let context = DiscoverContext::new(resolver, Arc::new(Seeded(AtomicU64::new(1))));
    (context.with_journal(journal.clone()), journal)
}

async fn find(text: &str, context: &DiscoverContext) -> Result<Candidates, DiscoverError> {
    let address: StrategyAddress = text.parse().expect("tests give good addresses");
    address.strategy().expect("tests give good addresses").find(context).await
}

/// `{transport, ip, port}` of each candidate.
fn printed(found: &Candidates) -> Vec<String> {
    let line = |candidate: &phalanx_discovery::Candidate| {
        let transport = candidate.address.transport().map_or("any", |transport| transport.as_str());
        format!("{transport} {}", candidate.socket)
    };
    found.iter().map(line).collect()
}

/// Kind and name of each attempt.
fn asked(journal: &Journal) -> Vec<String> {
    journal.attempts().iter().map(|attempt| format!("{} {}", attempt.kind, attempt.name)).collect()
}

async fn example() -> NameServer {
    let zone = zone::services();
    let zones =
        [("example.test", Some(&*zone)), ("broken.test", None), ("cluster.local", Some(zone::CLUSTER))];
    NameServer::knot(&zones, "ns.example.test.").await
}

#[tokio::test]
async fn the_chain_leads_from_naptr_by_any_name_to_addresses() {
    let server = example().await;
    let (context, journal) = context(server.address);
    let expected = [
        "quic 10.1.0.1:7001",
        "quic [2001:db8::1]:7001",
        "quic 10.1.0.2:7002",
        "wss 10.1.0.2:443",
        "tls [2001:db8::3]:7443",
        "quic 10.1.0.2:7000",
    ];
    for text in ["phalanx://chain.example.test", "chain.example.test.;discover=naptr"] {
        let found = find(text, &context).await.unwrap();
        assert_eq!(printed(&found), expected, "{text}");
        let first = found.iter().next().unwrap().address.to_string();
        assert_eq!(first, "phalanx://node-1.example.test.:7001;transport=quic");
    }
    let asked = asked(&journal);
    assert_eq!(asked.len(), 20);
    assert_eq!(
        asked[..10],
        [
            "NAPTR chain.example.test",
            "SRV _quic._odd.example.test.",
            "SRV web_9.example.test.",
            "SRV _tls-way.odd-7.example.test.",
            "A node-1.example.test.",
            "AAAA node-1.example.test.",
            "A node-2.example.test.",
            "AAAA node-2.example.test.",
            "A node-3.example.test.",
            "AAAA node-3.example.test.",
        ]
    );
    let outcomes: Vec<_> = journal.attempts().into_iter().map(|attempt| attempt.outcome).collect();
    let naptr: BTreeSet<_> = outcomes[0].clone().unwrap().into_iter().collect();
    assert_eq!(naptr.len(), 6);
    assert!(naptr.contains(r#"10 10 "s" "phx+d2q" "" _quic._odd.example.test."#), "{naptr:?}");
    assert!(naptr.contains(r#"6 5 "u" "phx+d2q" "!^.*$!phalanx://x!" ."#), "{naptr:?}");
    assert_eq!(outcomes[2], Ok(vec!["1 1 443 node-2.example.test.".to_owned()]));
    assert_eq!(outcomes[4], Ok(vec!["10.1.0.1".to_owned()]));
    assert_eq!(outcomes[8], Err("no such record".to_owned()));
}

#[tokio::test]
async fn services_are_found_directly_and_behind_an_alias() {
    let server = example().await;
    let (context, journal) = context(server.address);
    let found = find("direct.example.test;discover=srv", &context).await.unwrap();
    let expected = [
        "quic 10.1.0.1:7001",
        "quic [2001:db8::1]:7001",
        "quic 10.1.0.2:7002",
        "tls 10.1.0.1:7443",
        "tls [2001:db8::1]:7443",
    ];
    assert_eq!(printed(&found), expected);
    let services = ["SRV _phx._udp.direct.example.test", "SRV _phx._tcp.direct.example.test"];
    assert_eq!(asked(&journal)[..2], services);
    let found = find("alias.example.test;discover=srv", &context).await.unwrap();
    assert_eq!(printed(&found), expected[..3]);
}

#[tokio::test]
async fn without_naptr_services_are_asked_for_and_then_addresses() {
    let server = example().await;
    let (context, journal) = context(server.address);
    let found = find("direct.example.test", &context).await.unwrap();
    assert_eq!(printed(&found)[0], "quic 10.1.0.1:7001");
    assert_eq!(asked(&journal)[..2], ["NAPTR direct.example.test", "SRV _phx._udp.direct.example.test"]);
    let found = find("plain.example.test", &context).await.unwrap();
    assert_eq!(printed(&found), ["any 10.1.0.7:7000", "any [2001:db8::7]:7000"]);
    // A port or a transport says that the name is a machine's.
    let before = journal.attempts().len();
    let found = find("plain.example.test;transport=wss", &context).await.unwrap();
    assert_eq!(printed(&found), ["wss 10.1.0.7:7000", "wss [2001:db8::7]:7000"]);
    let found = find("chain.example.test:7005;transport=tls", &context).await.unwrap();
    assert_eq!(printed(&found), ["tls 10.1.0.66:7005"]);
    assert!(!asked(&journal)[before..].iter().any(|asked| asked.starts_with("NAPTR")));
}

#[tokio::test]
async fn a_service_that_is_decidedly_not_there_is_not_looked_for_elsewhere() {
    let server = example().await;
    let (context, _) = context(server.address);
    for text in ["denied.example.test", "denied.example.test;discover=srv"] {
        assert!(find(text, &context).await.unwrap().is_empty(), "{text}");
    }
    let found = find("tcp-only.example.test", &context).await.unwrap();
    assert_eq!(printed(&found), ["tls 10.1.0.2:7443"]);
}

#[tokio::test]
async fn what_fails_in_part_and_what_is_garbage_hides_nothing() {
    let server = example().await;
    let (context, journal) = context(server.address);
    let found = find("partial.example.test;discover=srv", &context).await.unwrap();
    assert_eq!(printed(&found), ["quic 10.1.0.2:7003"]);
    let attempt =
        |name: &str| journal.attempts().into_iter().find(|attempt| attempt.name == name).unwrap().outcome;
    assert_eq!(attempt("gone.example.test."), Err("no such record".to_owned()));
    assert_ne!(attempt("ns.broken.test."), Err("no such record".to_owned()));
    let found = find("garbage.example.test", &context).await.unwrap();
    assert_eq!(printed(&found), ["quic 10.1.0.2:7002"]);
    let mixed = find("10.9.9.9,nobody.example.test,x.broken.test:1", &context).await.unwrap();
    assert_eq!(printed(&mixed), ["any 10.9.9.9:7000"]);
}

#[tokio::test]
async fn no_such_name_and_no_answer_are_told_apart() {
    let server = example().await;
    let (context, journal) = context(server.address);
    for kind in ["dns", "srv", "naptr", "auto"] {
        let text = format!("nobody.example.test;discover={kind}");
        let Err(DiscoverError::Unresolved { first, .. }) = find(&text, &context).await else {
            panic!("{text}")
        };
        assert!(first.is_no(), "{first}");
        let text = format!("nobody.broken.test;discover={kind}");
        let Err(DiscoverError::Unresolved { first, .. }) = find(&text, &context).await else {
            panic!("{text}")
        };
        assert!(!first.is_no() && first.to_string().contains("name servers"), "{first}");
    }
    assert!(journal.attempts().iter().all(|attempt| attempt.outcome.is_err()));
    let resolver = SystemResolver::with_server(server.address);
    let owner = RecordName::new("_phx._udp.nobody.example.test").unwrap();
    assert_eq!(resolver.srv(&owner).await, Err(ResolveError::NoRecords { kind: "SRV", owner }));
}

#[tokio::test]
async fn a_failing_question_leads_to_the_next_one() {
    let broken = example().await;
    let port = broken.address.port();
    let lines = format!("host-record=half.broken.test,10.3.0.9\nserver=127.0.0.1#{port}");
    let server = NameServer::dnsmasq(&lines, "", "half.broken.test").await;
    let (context, journal) = context(server.address);
    let found = find("half.broken.test", &context).await.unwrap();
    assert_eq!(printed(&found), ["any 10.3.0.9:7000"]);
    let attempts = journal.attempts();
    for attempt in &attempts[..3] {
        let Attempt { kind, outcome: Err(reason), .. } = attempt else { panic!("{attempt:?}") };
        assert!(["NAPTR", "SRV"].contains(kind) && reason != "no such record", "{attempt:?}");
    }
}

#[tokio::test]
async fn large_answers_come_by_tcp_and_are_capped() {
    let server = example().await;
    let (context, journal) = context(server.address);
    let found = find("large.example.test;discover=dns", &context).await.unwrap();
    assert_eq!(found.len(), Candidates::LENGTH_MAX);
    assert_eq!(journal.attempts()[0].outcome.as_ref().unwrap().len(), zone::LARGE);
    let found = find("large.example.test;discover=srv", &context).await.unwrap();
    assert_eq!(found.len(), 128);
    let targets = asked(&journal).iter().filter(|asked| asked.starts_with("A large-")).count();
    assert_eq!(targets, 128);
}

#[tokio::test]
async fn orders_spread_the_load_as_the_records_say() {
    let server = example().await;
    let (context, _) = context(server.address);
    let mut firsts = BTreeMap::new();
    for _ in 0..1_000 {
        let found = find("weights.example.test;discover=srv", &context).await.unwrap();
        let ports: Vec<_> = found.iter().map(|candidate| candidate.socket.port()).collect();
        assert!(ports.len() == 4 && ports[3] == 4, "{ports:?}");
        *firsts.entry(ports[0]).or_insert(0) += 1;
    }
    // 90, 10 and 1 (the number 0) of 101.
    assert!((850..930).contains(&firsts[&1]) && (60..140).contains(&firsts[&2]), "{firsts:?}");
    assert!(firsts.get(&3).is_none_or(|count| *count < 30), "{firsts:?}");
    let mut first_addresses = BTreeSet::new();
    for _ in 0..20 {
        let found = find("large.example.test;discover=dns", &context).await.unwrap();
        first_addresses.insert(found.iter().next().unwrap().socket);
    }
    assert!(first_addresses.len() > 15, "{first_addresses:?}");
}

#[tokio::test]
async fn services_of_kubernetes_are_found() {
    let server = example().await;
    let (context, journal) = context(server.address);
    let sorted = |found: Candidates| {
        let mut lines = printed(&found);
        lines.sort();
        lines
    };
    let expected = ["quic 10.1.0.1:7001", "quic 10.1.0.2:7001"];
    for service in ["control.media.svc.cluster.local", "control.media", "control"] {
        let namespace = if service == "control" { ";namespace=media" } else { "" };
        let text = format!("phalanx://{service};discover=kubernetes-dns{namespace}");
        assert_eq!(sorted(find(&text, &context).await.unwrap()), expected, "{text}");
    }
    assert_eq!(asked(&journal)[0], "SRV _phalanx._udp.control.media.svc.cluster.local.");
    let bare = find("bare.media:7005;discover=kubernetes-dns", &context).await.unwrap();
    assert_eq!(printed(&bare), ["any 10.1.0.3:7005"]);
    let other = find("control.media;discover=kubernetes-dns;port-name=mesh", &context).await.unwrap();
    assert_eq!(sorted(other), ["any 10.1.0.1:7000", "any 10.1.0.2:7000"]);
}

#[tokio::test]
async fn a_change_is_seen_after_its_time_to_live_and_not_before() {
    const TTL: Duration = Duration::from_secs(2);
    let lines = "addn-hosts=HOSTS\nlocal-ttl=2\nlocal=/mesh.test/\nsrv-host=_phx._udp.mesh.test,moving.mesh.test,7001,10,50";
    let old = "10.3.0.1 moving.mesh.test";
    let server = NameServer::dnsmasq(lines, old, "moving.mesh.test").await;
    let (context, journal) = context(server.address);
    let begin = Instant::now();
    let text = "mesh.test;discover=srv";
    assert_eq!(printed(&find(text, &context).await.unwrap()), ["quic 10.3.0.1:7001"]);
    assert_eq!(journal.attempts()[0].outcome, Ok(vec!["10 50 7001 moving.mesh.test.".to_owned()]));
    server.set_hosts("10.3.0.2 moving.mesh.test\n10.3.0.3 changed.mesh.test");
    while !server.answers("changed.mesh.test").await {
        assert!(begin.elapsed() < Duration::from_secs(20), "dnsmasq does not read its hosts again");
    }
    let mut looks = 0;
    loop {
        let found = printed(&find(text, &context).await.unwrap());
        if found == ["quic 10.3.0.2:7001"] {
            break;
        }
        looks += 1;
        assert_eq!(found, ["quic 10.3.0.1:7001"]);
        assert!(begin.elapsed() < Duration::from_secs(20), "the change is never seen");
        sleep(Duration::from_millis(50)).await;
    }
    assert!(begin.elapsed() >= TTL, "seen after {:?}, {looks} looks", begin.elapsed());
    // What was not there is looked for again after a second at most, whatever the server says.
    let late = "late.mesh.test;discover=dns";
    assert!(find(late, &context).await.is_err());
    server.set_hosts("10.3.0.4 late.mesh.test");
    let begin = Instant::now();
    while find(late, &context).await.is_err() {
        assert!(begin.elapsed() < Duration::from_secs(20), "the name is never seen");
        sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn where_nothing_listens_it_fails_and_keeps_the_rest() {
    let (context, _) = context(free_address());
    let begin = Instant::now();
    let (alone, beside) =
        tokio::join!(find("example.test", &context), find("10.0.0.5,example.test", &context));
    let error = alone.unwrap_err().to_string();
    assert!(error.contains("check the name servers"), "{error}");
    assert_eq!(printed(&beside.unwrap()), ["any 10.0.0.5:7000"]);
    assert!(begin.elapsed() < Duration::from_secs(13), "{:?}", begin.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_silent_server_is_given_up_in_time() {
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    let (context, journal) = context(silent.local_addr().unwrap());
    let names: Vec<_> = (0..20).map(|number| format!("name-{number}.test")).collect();
    for kind in ["auto", "dns", "srv", "naptr"] {
        let begin = Instant::now();
        let text = format!("{};discover={kind}", names.join(","));
        let error = find(&text, &context).await.unwrap_err();
        assert!(error.to_string().contains("check the name servers"), "{error}");
        assert!(begin.elapsed() <= Duration::from_secs(12), "{kind}: {:?}", begin.elapsed());
    }
    assert!(asked(&journal).len() > 20);
}

#[tokio::test]
async fn names_of_static_peers_are_written_down() {
    let server = example().await;
    let (context, journal) = context(server.address);
    let peers = StaticPeers::parse("plain.example.test:5, 10.0.0.1, nobody.example.test").unwrap();
    assert_eq!(peers.find(&context).await.unwrap().len(), 3);
    let attempts = journal.attempts();
    assert_eq!(asked(&journal)[..2], ["A plain.example.test", "AAAA plain.example.test"]);
    assert_eq!(attempts[1].outcome, Ok(vec!["2001:db8::7".to_owned()]));
    assert_eq!((attempts.len(), &attempts[2].outcome), (4, &Err("no such record".to_owned())));
}

#[tokio::test]
async fn a_given_server_is_asked_instead_of_the_system() {
    let server = example().await;
    let resolver = SystemResolver::with_server(server.address);
    let name = DnsName::new("plain.example.test").unwrap();
    assert_eq!(resolver.resolve(&name).await.unwrap().len(), 2);
    assert!(!resolver.is_local(&name));
    assert!(SystemResolver::new().is_local(&DnsName::new("localhost").unwrap()));
}
