//! The strategy of etcd against a real one: what is published is found, by whom it should and for as long as it should.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod certificates;
mod real_etcd;

use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use certificates::Authority;
use phalanx_base::{AddressList, Boot, ClusterSeal, DnsName, Entropy, Generation, SEAL_BYTES};
use phalanx_discovery::{
    Announcement, BoxFuture, Candidates, ClusterScope, Discover, DiscoverContext, Etcd, Journal, Refresh,
    ResolveError, Resolver, StrategyAddress,
};
use real_etcd::{RealEtcd, free_port, strategy};
use serde_json::json;
use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};

/// Knows one name.
struct OneName;

impl Resolver for OneName {
    fn resolve<'a>(&'a self, name: &'a DnsName) -> BoxFuture<'a, Result<Vec<IpAddr>, ResolveError>> {
        Box::pin(async move {
            match name.as_str() {
                "etcd.example" => Ok(vec![IpAddr::from([127, 0, 0, 1])]),
                _ => Err(ResolveError::NotFound { name: name.clone() }),
            }
        })
    }
}

/// Counts.
struct Counting(AtomicU64);

impl Entropy for Counting {
    fn fill(&self, bytes: &mut [u8]) {
        for byte in bytes {
            *byte = self.0.fetch_add(97, Ordering::Relaxed) as u8;
        }
    }
}

/// Nothing is sealed in etcd, which has users of its own.
struct NoSeal;

impl ClusterSeal for NoSeal {
    fn seal(&self, _: &[u8]) -> Option<[u8; SEAL_BYTES]> {
        None
    }
    fn is_sealed(&self, _: &[u8], _: &[u8]) -> bool {
        false
    }
}

fn nobody() -> DiscoverContext {
    DiscoverContext::new(Arc::new(OneName), Arc::new(Counting(AtomicU64::new(0))))
}

fn member_of(cluster: &str) -> DiscoverContext {
    nobody().with_cluster(ClusterScope { id: cluster.to_owned(), seal: Arc::new(NoSeal) })
}

fn who(node: &str, addresses: &str) -> Announcement {
    let boot = Boot { node: node.parse().unwrap(), generation: Generation::from_u64(7) };
    Announcement { boot, addresses: addresses.parse::<AddressList>().unwrap() }
}

fn sockets(found: &Candidates) -> Vec<String> {
    found.iter().map(|candidate| candidate.socket.to_string()).collect()
}

/// Looks until this is found.
async fn wait_for(strategy: &Etcd, context: &DiscoverContext, expected: &[&str]) {
    let mut last = None;
    let looking = async {
        loop {
            let found = strategy.find(context).await;
            if found.as_ref().is_ok_and(|found| sockets(found) == expected) {
                return;
            }
            last = Some(found);
            sleep(Duration::from_millis(20)).await;
        }
    };
    let found = timeout(Duration::from_secs(20), looking).await;
    found.unwrap_or_else(|_| panic!("{expected:?} is not found, but {last:?}"));
}

/// A node that is announced until it is told to stop, or dropped.
struct Announced {
    task: tokio::task::JoinHandle<Result<(), String>>,
    stop: oneshot::Sender<()>,
}

impl Announced {
    fn start(strategy: Etcd, context: DiscoverContext, who: Announcement) -> Self {
        let (stop, stopped) = oneshot::channel::<()>();
        let task = tokio::spawn(async move {
            let withdrawn = Box::pin(async move {
                // A test that ends drops the sender: that is no order to withdraw.
                if stopped.await.is_err() {
                    std::future::pending::<()>().await;
                }
            });
            strategy.announce(&context, &who, withdrawn).await.map_err(|error| error.to_string())
        });
        Self { task, stop }
    }

    async fn stop(self) {
        self.stop.send(()).unwrap();
        self.task.await.unwrap().unwrap();
    }

    /// As a crash: nothing is taken back.
    async fn crash(self) {
        self.task.abort();
        assert!(self.task.await.unwrap_err().is_cancelled());
    }
}

async fn put(etcd: &RealEtcd, key: &str, value: &[u8]) {
    etcd.post("/v3/kv/put", &json!({"key": STANDARD.encode(key), "value": STANDARD.encode(value)})).await;
}

fn record(cluster: &str, node: &str, address: &str) -> Vec<u8> {
    json!({"cluster": cluster, "node": node, "generation": 1, "addresses": [address]})
        .to_string()
        .into_bytes()
}

#[tokio::test]
async fn a_node_is_found_until_it_withdraws() {
    let etcd = RealEtcd::start().await;
    let one =
        Announced::start(etcd.strategy(), member_of("abc"), who("media-1", "10.0.0.1:7001,10.0.1.1:7001"));
    let two = Announced::start(etcd.strategy(), member_of("abc"), who("media-2", "etcd.example:7002"));
    let other = Announced::start(etcd.strategy(), member_of("xyz"), who("media-1", "10.9.9.9:7001"));
    // A name is told as a name, and looked up by who finds it.
    let both = ["10.0.0.1:7001", "127.0.0.1:7002", "10.0.1.1:7001"];
    let found = etcd.strategy();
    wait_for(&found, &member_of("abc"), &both).await;
    wait_for(&found, &member_of("xyz"), &["10.9.9.9:7001"]).await;
    wait_for(&found, &nobody(), &[both[0], both[1], "10.9.9.9:7001", both[2]]).await;

    let journal = Journal::default();
    found.find(&member_of("abc").with_journal(journal.clone())).await.unwrap();
    let attempt = journal.attempts().remove(0);
    assert_eq!(
        (attempt.kind, attempt.name),
        ("etcd", format!("http://127.0.0.1:{}/phalanx/abc/", etcd.port))
    );
    assert_eq!(attempt.outcome.unwrap()[1], "/phalanx/abc/media-2 phalanx://etcd.example:7002");

    // Not after the time to live, which is fifteen seconds.
    timeout(Duration::from_secs(5), one.stop()).await.expect("it is quick");
    assert_eq!(sockets(&found.find(&member_of("abc")).await.unwrap()), [both[1]], "gone at once");
    two.stop().await;
    other.stop().await;
    assert!(found.find(&nobody()).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_node_that_crashes_is_gone_after_its_time_to_live() {
    let etcd = RealEtcd::start().await;
    let ttl = Duration::from_secs(4);
    let announced =
        Announced::start(etcd.strategy().ttl(ttl), member_of("abc"), who("media-1", "10.0.0.1:1"));
    let found = etcd.strategy();
    wait_for(&found, &member_of("abc"), &["10.0.0.1:1"]).await;
    // It lives on by its renewals, whenever one looks.
    for _ in 0..30 {
        sleep(Duration::from_millis(200)).await;
        assert_eq!(found.find(&member_of("abc")).await.unwrap().len(), 1);
    }
    announced.crash().await;
    assert_eq!(found.find(&member_of("abc")).await.unwrap().len(), 1, "nothing is taken back");
    let gone = timeout(Duration::from_secs(10), wait_for(&found, &member_of("abc"), &[])).await;
    gone.expect("it is gone after its time to live");
}

#[tokio::test]
async fn a_lease_or_a_key_that_is_lost_is_made_anew() {
    let etcd = RealEtcd::start().await;
    let ttl = Duration::from_secs(9);
    let announced =
        Announced::start(etcd.strategy().ttl(ttl), member_of("abc"), who("media-1", "10.0.0.1:1"));
    let (found, context) = (etcd.strategy(), member_of("abc"));
    wait_for(&found, &context, &["10.0.0.1:1"]).await;
    let leases = etcd.post("/v3/lease/leases", &json!({})).await;
    let lease = leases["leases"][0]["ID"].clone();
    etcd.post("/v3/lease/revoke", &json!({"ID": lease})).await;
    assert!(found.find(&context).await.unwrap().is_empty());
    wait_for(&found, &context, &["10.0.0.1:1"]).await;
    let leases = etcd.post("/v3/lease/leases", &json!({})).await;
    assert_ne!(leases["leases"][0]["ID"], lease);
    etcd.post("/v3/kv/deleterange", &json!({"key": STANDARD.encode("/phalanx/abc/media-1")})).await;
    assert!(found.find(&context).await.unwrap().is_empty());
    wait_for(&found, &context, &["10.0.0.1:1"]).await;
    announced.stop().await;
    assert!(found.find(&context).await.unwrap().is_empty(), "it was under the lease again");
}

#[tokio::test]
async fn neighbours_and_strangers_are_left_out() {
    let etcd = RealEtcd::start().await;
    put(&etcd, "/phalanx/abc/good", &record("abc", "good", "10.0.0.1:1")).await;
    for (key, value) in [
        ("/phalanx2/abc/a", record("abc", "a", "10.8.8.1:1")),
        ("/phalanx/abcd/a", record("abcd", "a", "10.8.8.2:1")),
        ("/phalanx/ab/a", record("ab", "a", "10.8.8.3:1")),
        ("/phalanx/abc", record("abc", "a", "10.8.8.4:1")),
        ("/phalanx/abc/b", record("xyz", "b", "10.8.8.5:1")),
        ("/phalanx/abc/c", record("abc", "other", "10.8.8.6:1")),
        ("/phalanx/abc/d", b"not JSON \xff".to_vec()),
        ("/phalanx/abc/e", vec![b'x'; 1 << 20]),
        ("/phalanx/abc/f", record("abc", "f", "10.8.8.7:0")),
    ] {
        put(&etcd, key, &value).await;
    }
    let journal = Journal::default();
    let found = etcd.strategy().find(&member_of("abc").with_journal(journal.clone())).await.unwrap();
    assert_eq!(sockets(&found), ["10.0.0.1:1"]);
    let lines = journal.attempts().remove(0).outcome.unwrap();
    for part in [
        "b left out: it is of another cluster",
        "c left out: the key",
        "d left out",
        "e left out: the value is too long",
    ] {
        assert!(lines.iter().any(|line| line.contains(part)), "{part}: {lines:?}");
    }
    let elsewhere = etcd.strategy().prefix("/phalanx2").unwrap().find(&nobody()).await.unwrap();
    assert_eq!(sockets(&elsewhere), ["10.8.8.1:1"]);
    let all = etcd.strategy().find(&nobody()).await.unwrap();
    assert_eq!(sockets(&all), ["10.8.8.3:1", "10.0.0.1:1", "10.8.8.2:1"]);
}

#[tokio::test]
async fn a_watch_wakes_for_other_records_and_for_nothing_else() {
    let mut etcd = RealEtcd::start().await;
    let (found, context) = (etcd.strategy(), member_of("abc"));
    put(&etcd, "/phalanx/abc/a", &record("abc", "a", "10.0.0.1:1")).await;
    assert_eq!(found.find(&context).await.unwrap().len(), 1);
    {
        let mut changed = pin!(found.changed(&context));
        assert!(timeout(Duration::from_millis(500), &mut changed).await.is_err(), "nothing has changed");
        put(&etcd, "/phalanx/abc/a", &record("abc", "a", "10.0.0.1:1")).await;
        put(&etcd, "/phalanx/xyz/b", &record("xyz", "b", "10.9.9.9:1")).await;
        put(&etcd, "/phalanx/abc/stranger", b"hello").await;
        assert!(timeout(Duration::from_millis(1_000), &mut changed).await.is_err(), "nothing has changed");
        put(&etcd, "/phalanx/abc/b", &record("abc", "b", "10.0.0.2:1")).await;
        timeout(Duration::from_secs(5), &mut changed).await.expect("a node was added");
    }
    assert_eq!(found.find(&context).await.unwrap().len(), 2);
    // What happens between a look-up and the next watch is not missed, nor between the first ones, and told once.
    let fresh = etcd.strategy();
    assert_eq!(fresh.find(&context).await.unwrap().len(), 2);
    etcd.post("/v3/kv/deleterange", &json!({"key": STANDARD.encode("/phalanx/abc/a")})).await;
    timeout(Duration::from_secs(5), fresh.changed(&context)).await.expect("a node was deleted before");
    timeout(Duration::from_secs(5), found.changed(&context)).await.expect("a node was deleted before");
    let mut changed = pin!(found.changed(&context));
    assert!(timeout(Duration::from_millis(500), &mut changed).await.is_err(), "told only once");
    // The server goes away and comes back, with another node: the watch goes on.
    etcd.kill();
    assert!(timeout(Duration::from_millis(500), &mut changed).await.is_err(), "no answer is no change");
    let error = found.find(&context).await.unwrap_err().to_string();
    assert!(error.contains("no member of etcd answers") && error.contains("onnect"), "{error}");
    etcd.restart().await;
    put(&etcd, "/phalanx/abc/c", &record("abc", "c", "10.0.0.3:1")).await;
    timeout(Duration::from_secs(20), &mut changed).await.expect("a node was added after the restart");
    assert_eq!(sockets(&found.find(&context).await.unwrap()), ["10.0.0.2:1", "10.0.0.3:1"]);
}

#[tokio::test]
async fn an_announcement_outlives_a_restart_of_etcd() {
    let mut etcd = RealEtcd::start().await;
    let announced = Announced::start(
        etcd.strategy().ttl(Duration::from_secs(12)),
        member_of("abc"),
        who("media-1", "10.0.0.1:1"),
    );
    let (found, context) = (etcd.strategy(), member_of("abc"));
    wait_for(&found, &context, &["10.0.0.1:1"]).await;
    etcd.kill();
    assert!(found.find(&context).await.is_err());
    etcd.restart().await;
    wait_for(&found, &context, &["10.0.0.1:1"]).await;
    announced.stop().await;
    assert!(found.find(&context).await.unwrap().is_empty());
}

#[tokio::test]
async fn an_announcement_that_cannot_be_kept_says_so() {
    let mut etcd = RealEtcd::start().await;
    let strategy = etcd.strategy().ttl(Duration::from_secs(2)).request_time_max(Duration::from_millis(500));
    let announced = Announced::start(strategy, member_of("abc"), who("media-1", "10.0.0.1:1"));
    wait_for(&etcd.strategy(), &member_of("abc"), &["10.0.0.1:1"]).await;
    etcd.kill();
    let ended = timeout(Duration::from_secs(10), announced.task).await.expect("two seconds are over");
    let error = ended.unwrap().unwrap_err();
    assert!(error.contains("lease could not be renewed") && error.contains("no member"), "{error}");
    let again = Announced::start(etcd.strategy(), member_of("abc"), who("media-1", "10.0.0.1:1"));
    let error = timeout(Duration::from_secs(10), again.task).await.unwrap().unwrap().unwrap_err();
    assert!(error.contains("no member of etcd answers"), "{error}");
    let nameless = Announced::start(etcd.strategy(), nobody(), who("media-1", "10.0.0.1:1"));
    assert!(nameless.task.await.unwrap().unwrap_err().contains("cluster"));
}

#[tokio::test]
async fn dead_members_hold_up_nobody() {
    let mut members = RealEtcd::start_three().await;
    put(&members[1], "/phalanx/abc/a", &record("abc", "a", "10.0.0.1:1")).await;
    // One that refuses, one that takes connections and never answers, and the three.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut ports = vec![free_port(), silent.local_addr().unwrap().port()];
    ports.extend(members.iter().map(|member| member.port));
    let found = strategy(&ports).request_time_max(Duration::from_secs(2));
    let context = member_of("abc");
    let journal = Journal::default();
    let with_journal = context.clone().with_journal(journal.clone());
    let first =
        timeout(Duration::from_secs(4), found.find(&with_journal)).await.expect("one try of two seconds");
    assert_eq!(first.unwrap().len(), 1);
    let outcomes: Vec<_> = journal.attempts().iter().map(|attempt| attempt.outcome.is_ok()).collect();
    assert_eq!(outcomes, [false, false, true]);
    // Who answered is asked first.
    let journal = Journal::default();
    found.find(&context.clone().with_journal(journal.clone())).await.unwrap();
    assert_eq!(journal.attempts().len(), 1);
    let announced = Announced::start(strategy(&ports), context.clone(), who("b", "10.0.0.2:1"));
    wait_for(&found, &context, &["10.0.0.1:1", "10.0.0.2:1"]).await;
    members[0].kill();
    let patient = strategy(&ports[2..]);
    wait_for(&patient, &context, &["10.0.0.1:1", "10.0.0.2:1"]).await;
    wait_for(&found, &context, &["10.0.0.1:1", "10.0.0.2:1"]).await;
    announced.stop().await;
    wait_for(&found, &context, &["10.0.0.1:1"]).await;
    // Without a majority there is no answer, and the error names every member.
    members[1].kill();
    let error = found.find(&context).await.unwrap_err().to_string();
    assert!(ports.iter().all(|port| error.contains(&format!("127.0.0.1:{port}: "))), "{error}");
}

/// Adds root and a user `media` with the password `secret-1` and the right to this prefix, and asks for users from then on.
async fn enable_users(etcd: &RealEtcd) {
    etcd.post("/v3/auth/user/add", &json!({"name": "root", "password": "root-1"})).await;
    etcd.post("/v3/auth/user/add", &json!({"name": "media", "password": "secret-1"})).await;
    etcd.post("/v3/auth/user/add", &json!({"name": "guest", "password": "guest-1"})).await;
    etcd.post("/v3/auth/role/add", &json!({"name": "root"})).await;
    etcd.post("/v3/auth/role/add", &json!({"name": "media"})).await;
    let range = json!({"permType": "READWRITE", "key": STANDARD.encode("/phalanx/"), "range_end": STANDARD.encode("/phalanx0")});
    etcd.post("/v3/auth/role/grant", &json!({"name": "media", "perm": range})).await;
    etcd.post("/v3/auth/user/grant", &json!({"user": "root", "role": "root"})).await;
    etcd.post("/v3/auth/user/grant", &json!({"user": "media", "role": "media"})).await;
    etcd.post("/v3/auth/enable", &json!({})).await;
}

#[tokio::test]
async fn users_and_passwords_are_used_where_etcd_asks_for_them() {
    let mut etcd = RealEtcd::start().await;
    let password_file = etcd.folder.path().join("password");
    std::fs::write(&password_file, "secret-1\n").unwrap();
    let as_user = |name: &str| etcd.strategy().user(name, &password_file);
    let (media, guest) = (as_user("media"), as_user("guest"));
    let context = member_of("abc");
    put(&etcd, "/phalanx/abc/a", &record("abc", "a", "10.0.0.1:1")).await;
    assert_eq!(media.find(&context).await.unwrap().len(), 1, "no user is needed as yet");

    enable_users(&etcd).await;
    let error = etcd.strategy().find(&context).await.unwrap_err().to_string();
    assert!(error.contains("give user and password-file"), "{error}");
    assert_eq!(media.find(&context).await.unwrap().len(), 1);
    let error = guest.find(&context).await.unwrap_err().to_string();
    assert!(error.contains("refuses the user") && !error.contains("secret-1"), "{error}");
    std::fs::write(&password_file, "guest-1").unwrap();
    let error = guest.find(&context).await.unwrap_err().to_string();
    assert!(error.contains("may not read /phalanx/abc/") && error.contains("grant-permission"), "{error}");
    // The token of before is still good, so that nobody asks for the password, which is not media's now.
    assert_eq!(media.find(&context).await.unwrap().len(), 1);

    std::fs::write(&password_file, "secret-1").unwrap();
    let announced = Announced::start(
        etcd.strategy().user("media", &password_file).ttl(Duration::from_secs(3)),
        context.clone(),
        who("b", "10.0.0.2:1"),
    );
    wait_for(&media, &context, &["10.0.0.1:1", "10.0.0.2:1"]).await;
    let woken = async {
        timeout(Duration::from_secs(20), media.changed(&context)).await.expect("b is taken back");
    };
    tokio::join!(woken, announced.stop());
    assert_eq!(media.find(&context).await.unwrap().len(), 1);
    etcd.kill();
    etcd.restart().await;
    assert_eq!(
        media.find(&context).await.unwrap().len(),
        1,
        "a restart forgets the tokens; a new one is got"
    );
    let shown = format!("{media:?}");
    assert!(!shown.contains("secret-1") && shown.contains("media"), "{shown}");
}

#[tokio::test]
async fn https_checks_the_member_and_shows_a_certificate() {
    let (authority, folder) = (Authority::new(), tempfile::TempDir::new().unwrap());
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let (server, server_key) = authority.leaf("127.0.0.1");
    let (client, client_key) = authority.leaf("media");
    let ca = file("ca.pem", &authority.pem());
    let flags = [
        ("--cert-file", file("server.pem", &server)),
        ("--key-file", file("server.key", &server_key)),
        ("--trusted-ca-file", ca.clone()),
    ];
    let mut flags: Vec<String> = flags.into_iter().flat_map(|(flag, path)| [flag.to_owned(), path]).collect();
    flags.push("--client-cert-auth".to_owned());
    let etcd = RealEtcd::start_https(&flags).await;
    let (client, client_key) = (file("client.pem", &client), file("client.key", &client_key));

    let text = format!(
        "phalanx://127.0.0.1:{}/media;discover=etcd;ca-file={ca};cert-file={client};key-file={client_key};refresh=3s",
        etcd.port
    );
    let found = text.parse::<StrategyAddress>().unwrap().strategy().unwrap();
    let context = member_of("abc");
    assert!(found.find(&context).await.unwrap().is_empty());
    assert_eq!(found.refresh(), Refresh::Every(Duration::from_secs(3)));
    let node = etcd.strategy().prefix("/media").unwrap().ca_file(&ca).identity(&client, &client_key);
    let announced = Announced::start(node, context.clone(), who("a", "10.0.0.1:1"));
    timeout(Duration::from_secs(10), found.changed(&context)).await.expect("a node was added");
    assert_eq!(sockets(&found.find(&context).await.unwrap()), ["10.0.0.1:1"]);
    announced.stop().await;

    let stranger = file("stranger.pem", &Authority::new().pem());
    for (strategy, part) in [
        (etcd.strategy().ca_file(&ca), "ertificate"),
        (etcd.strategy().ca_file(stranger).identity(&client, &client_key), "ertificate"),
        (etcd.strategy().ca_file("/nowhere/ca.pem"), "could not read /nowhere/ca.pem"),
        (etcd.strategy().ca_file(&ca).identity(&client, &ca), "private key"),
        (etcd.strategy(), "no member of etcd answers"),
    ] {
        let error = strategy.find(&context).await.unwrap_err().to_string();
        assert!(error.contains(part), "{part}: {error}");
    }
}
