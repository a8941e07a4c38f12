//! The strategy of the Kubernetes API against a fake of it, which is told to misbehave in every way that is known of.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod certificates;
mod fake_kubernetes;

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use certificates::Authority;
use fake_kubernetes::{FakeKubernetes, Fault, Verb};
use phalanx_base::{DnsName, Entropy};
use phalanx_discovery::{
    BoxFuture, Candidates, Discover, DiscoverContext, IpFamily, Journal, Kubernetes, NotReady, Refresh,
    ResolveError, Resolver, StrategyAddress,
};
use serde_json::{Value, json};
use tokio::time::timeout;

/// Knows one name.
struct OneName;

impl Resolver for OneName {
    fn resolve<'a>(&'a self, name: &'a DnsName) -> BoxFuture<'a, Result<Vec<IpAddr>, ResolveError>> {
        Box::pin(async move {
            match name.as_str() {
                "fake.example" => Ok(vec![IpAddr::from([127, 0, 0, 1])]),
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

fn context() -> DiscoverContext {
    DiscoverContext::new(Arc::new(OneName), Arc::new(Counting(AtomicU64::new(0))))
}

fn sockets(found: &Candidates) -> Vec<String> {
    found.iter().map(|candidate| candidate.socket.to_string()).collect()
}

/// A slice of service `media`, with port 7000 and these addresses, which are ready.
fn slice(name: &str, ips: &[&str]) -> Value {
    let endpoint = |ip: &&str| {
        json!({"addresses": [ip], "conditions": {"ready": true, "serving": true, "terminating": false},
            "targetRef": {"kind": "Pod", "namespace": "prod", "name": format!("media-{ip}")}})
    };
    let kind = if ips.iter().any(|ip| ip.contains(':')) { "IPv6" } else { "IPv4" };
    json!({
        "metadata": {"name": name, "labels": {
            "kubernetes.io/service-name": "media",
            "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io",
        }},
        "addressType": kind,
        "endpoints": ips.iter().map(endpoint).collect::<Vec<_>>(),
        "ports": [{"name": "phalanx", "port": 7000, "protocol": "UDP"}],
    })
}

fn pod(name: &str, ip: &str, ready: bool) -> Value {
    json!({
        "metadata": {"name": name, "labels": {"app": "phalanx", "tier": "control"}},
        "spec": {"containers": [{"name": "media", "image": "media", "ports": [{"name": "phalanx", "containerPort": 7100}]}]},
        "status": {"phase": "Running", "podIP": ip, "podIPs": [{"ip": ip}],
            "conditions": [{"type": "Ready", "status": if ready { "True" } else { "False" }}]},
    })
}

async fn fake_with(slices: &[(&str, &[&str])]) -> (FakeKubernetes, Kubernetes) {
    let fake = FakeKubernetes::start().await;
    for (name, ips) in slices {
        fake.put("endpointslices", slice(name, ips));
    }
    let strategy = fake.reach(Kubernetes::service("media").unwrap());
    (fake, strategy)
}

#[tokio::test]
async fn the_slices_of_a_service_are_found_together() {
    let (fake, strategy) = fake_with(&[
        ("media-v4", &["10.0.0.1", "10.0.0.2"]),
        ("media-v4-more", &["10.0.0.2", "10.0.0.3"]),
        ("media-v6", &["fd00::1"]),
    ])
    .await;
    let mut other = slice("other", &["10.9.9.9"]);
    other["metadata"]["labels"]["kubernetes.io/service-name"] = json!("other");
    fake.put("endpointslices", other);
    let journal = Journal::default();
    let found = strategy.find(&context().with_journal(journal.clone())).await.unwrap();
    let all = ["10.0.0.1:7000", "10.0.0.2:7000", "10.0.0.3:7000", "[fd00::1]:7000"];
    assert_eq!(sockets(&found), all);
    let attempts = journal.attempts();
    assert_eq!((attempts.len(), attempts[0].kind), (1, "endpointslices"));
    assert!(attempts[0].name.ends_with("endpointslices?labelSelector=kubernetes.io/service-name=media"));
    assert_eq!(attempts[0].outcome.as_ref().unwrap()[0], "media-v4 10.0.0.1:7000 ready");
    assert!(!format!("{attempts:?}").contains("first"), "the token is a secret");

    let of_family = |family| fake.reach(Kubernetes::service("media").unwrap()).family(family);
    assert_eq!(sockets(&of_family(IpFamily::Ipv6).find(&context()).await.unwrap()), [all[3]]);
    assert_eq!(sockets(&of_family(IpFamily::Ipv4).find(&context()).await.unwrap()), all[..3]);
    let elsewhere = fake.reach(Kubernetes::service("media").unwrap()).namespace("test").unwrap();
    assert!(elsewhere.find(&context()).await.unwrap().is_empty());
}

#[tokio::test]
async fn pods_are_found_by_their_labels_the_ready_ones_first() {
    let fake = FakeKubernetes::start().await;
    fake.put("pods", pod("media-0", "10.0.0.1", false));
    fake.put("pods", pod("media-1", "10.0.0.2", true));
    let mut other = pod("other", "10.0.0.3", true);
    other["metadata"]["labels"]["app"] = json!("other");
    fake.put("pods", other);
    let pods = || fake.reach(Kubernetes::pods("app=phalanx,tier=control").unwrap());
    assert_eq!(sockets(&pods().find(&context()).await.unwrap()), ["10.0.0.2:7100", "10.0.0.1:7100"]);
    let ready = pods().not_ready(NotReady::Exclude).port(9).find(&context()).await.unwrap();
    assert_eq!(sockets(&ready), ["10.0.0.2:9"]);
    let none = pods().port_name("web").find(&context()).await.unwrap();
    assert!(none.is_empty());
}

#[tokio::test]
async fn a_text_makes_the_same_strategy() {
    let (fake, _) = fake_with(&[("media-a", &["10.0.0.1"])]).await;
    fake.put("pods", pod("media-0", "10.0.0.7", true));
    let (ca, token) = (fake.ca_file(), fake.token_file());
    let rest = format!(
        "discover=kubernetes;api=https://127.0.0.1:{};ca-file={};token-file={};refresh=9s",
        fake.port,
        ca.display(),
        token.display()
    );
    for (place, socket) in [
        (format!("phalanx://media.prod:7300;{rest}"), "10.0.0.1:7300"),
        (format!("phalanx://;{rest};namespace=prod;selector=app=phalanx"), "10.0.0.7:7100"),
    ] {
        let strategy = place.parse::<StrategyAddress>().unwrap().strategy().unwrap();
        assert_eq!(sockets(&strategy.find(&context()).await.unwrap()), [socket]);
        assert_eq!(strategy.refresh(), Refresh::Every(Duration::from_secs(9)));
    }
}

#[tokio::test]
async fn pages_are_put_together_and_begun_anew_where_one_is_gone() {
    let (fake, strategy) = fake_with(&[]).await;
    let ip = |number: u32| std::net::Ipv4Addr::from(0x0a00_0000 + number).to_string();
    for number in 0..120 {
        fake.put("endpointslices", slice(&format!("media-{number:03}"), &[&ip(number)]));
    }
    assert_eq!(strategy.find(&context()).await.unwrap().len(), 120);
    let lists = fake.requests(Verb::List);
    assert_eq!(lists.len(), 3);
    assert!(lists.iter().all(|list| list.query["limit"] == "50"));
    assert!(!lists[0].query.contains_key("continue") && lists[2].query["continue"].ends_with("|media-099"));

    for gone in [1, 2] {
        fake.state().requests.clear();
        for _ in 0..gone {
            // The first page of each turn is good, the second is gone.
            fake.fail(Verb::List, Fault::Body(first_page()));
            fake.fail(Verb::List, Fault::Status(410, None));
        }
        assert_eq!(strategy.find(&context()).await.unwrap().len(), 120, "gone {gone} times");
        assert_eq!(fake.requests(Verb::List).len(), 2 * gone + 3);
    }
    for _ in 0..3 {
        fake.fail(Verb::List, Fault::Body(first_page()));
        fake.fail(Verb::List, Fault::Status(410, None));
    }
    let error = strategy.find(&context()).await.unwrap_err().to_string();
    assert!(error.contains("410"), "{error}");
}

/// A page that promises another one.
fn first_page() -> String {
    json!({"metadata": {"resourceVersion": "1", "continue": "1|a"}, "items": [slice("stale", &["10.8.8.8"])]})
        .to_string()
}

#[tokio::test]
async fn a_list_without_end_and_a_page_too_long_are_bounded() {
    let (fake, strategy) = fake_with(&[]).await;
    for _ in 0..100 {
        fake.fail(Verb::List, Fault::Body(first_page()));
    }
    let found = strategy.find(&context()).await.unwrap();
    assert_eq!(sockets(&found), ["10.8.8.8:7000"]);
    assert_eq!(fake.requests(Verb::List).len(), 64);
    fake.state().faults.clear();
    fake.fail(Verb::List, Fault::EndlessLine);
    let error = strategy.find(&context()).await.unwrap_err().to_string();
    assert!(error.contains("longer than 8388608 bytes"), "{error}");
    assert!(fake.endless_bytes() < 24 << 20, "{}", fake.endless_bytes());
}

#[tokio::test]
async fn every_refusal_says_what_to_do() {
    let (fake, strategy) = fake_with(&[]).await;
    for (fault, parts) in [
        (
            Fault::Status(403, None),
            vec!["may not list endpointslices in namespace prod", "discovery.k8s.io", "watch"],
        ),
        (Fault::Status(429, Some(1)), vec!["busy (429)"]),
        (Fault::Status(500, None), vec!["500", "told to say so"]),
        (Fault::ProxyPage(503), vec!["busy (503)", "Service Unavailable"]),
        (Fault::ProxyPage(404), vec!["404", "Not Found"]),
        (Fault::Cut, vec!["no answer", "127.0.0.1"]),
        (Fault::HalfBody, vec!["no answer"]),
        (Fault::BlackHole, vec!["nothing within 2 s"]),
        (Fault::Body("<html>".to_owned()), vec!["cannot be read"]),
        (Fault::Body("{\"metadata\":{}}".to_owned()), vec!["cannot be read", "resourceVersion"]),
    ] {
        let text = format!("{fault:?}");
        // The client may try a connection again that was cut before any answer.
        let times = if matches!(fault, Fault::Cut) { 3 } else { 1 };
        for _ in 0..times {
            fake.fail(Verb::List, fault.clone());
        }
        let journal = Journal::default();
        let error = strategy.find(&context().with_journal(journal.clone())).await.unwrap_err().to_string();
        for part in parts {
            assert!(error.contains(part), "{text}: {error}");
        }
        assert!(journal.attempts()[0].outcome.is_err());
        assert!(!error.contains("first"), "the token is a secret: {error}");
        fake.state().faults.clear();
    }
    assert!(strategy.find(&context()).await.unwrap().is_empty());
}

#[tokio::test]
async fn the_token_is_read_anew_at_each_request() {
    let (fake, strategy) = fake_with(&[("media-a", &["10.0.0.1"])]).await;
    assert_eq!(strategy.find(&context()).await.unwrap().len(), 1);
    fake.write_token("second");
    fake.accept_only("second");
    assert_eq!(strategy.find(&context()).await.unwrap().len(), 1);
    assert_eq!(fake.requests(Verb::List).len(), 2, "the new token was read at once");
    // Rotated between reading and asking: asked once more.
    fake.fail(Verb::List, Fault::Status(401, None));
    assert_eq!(strategy.find(&context()).await.unwrap().len(), 1);
    fake.accept_only("third");
    let error = strategy.find(&context()).await.unwrap_err().to_string();
    assert!(error.contains("401") && error.contains("token-file") && !error.contains("second"), "{error}");
    assert_eq!(fake.requests(Verb::List).len(), 6, "once more, and not again");
    std::fs::write(fake.token_file(), "bad\u{1}token").unwrap();
    let error = strategy.find(&context()).await.unwrap_err().to_string();
    assert!(!error.contains("bad"), "{error}");
    std::fs::remove_file(fake.token_file()).unwrap();
    let error = strategy.find(&context()).await.unwrap_err().to_string();
    assert!(error.contains("could not read") && error.contains("token-file"), "{error}");
}

#[tokio::test]
async fn a_server_that_the_ca_does_not_vouch_for_gets_no_token() {
    let (fake, strategy) = fake_with(&[("media-a", &["10.0.0.1"])]).await;
    let good = std::fs::read(fake.ca_file()).unwrap();
    std::fs::write(fake.ca_file(), Authority::new().pem()).unwrap();
    let error = strategy.find(&context()).await.unwrap_err().to_string();
    assert!(error.contains("ca-file does not vouch for it"), "{error}");
    for wrong in ["", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
        std::fs::write(fake.ca_file(), wrong).unwrap();
        let error = strategy.find(&context()).await.unwrap_err().to_string();
        assert!(error.contains("could not read"), "{error}");
    }
    std::fs::write(fake.ca_file(), &good).unwrap();
    // The certificate names the address only.
    let named = fake.reach(Kubernetes::service("media").unwrap());
    let named = named.server(&format!("https://fake.example:{}", fake.port)).unwrap();
    let error = named.find(&context()).await.unwrap_err().to_string();
    assert!(error.contains("certificate"), "{error}");
    let unknown = fake.reach(Kubernetes::service("media").unwrap()).server("https://nobody.example").unwrap();
    let error = unknown.find(&context()).await.unwrap_err().to_string();
    assert!(error.contains("nobody.example has no IP address"), "{error}");
    assert!(fake.requests(Verb::List).is_empty(), "nothing was sent");
    // The CA is read anew too.
    assert_eq!(strategy.find(&context()).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_watch_wakes_for_what_changes_the_candidates_and_for_nothing_else() {
    let (fake, strategy) = fake_with(&[("media-a", &["10.0.0.1"])]).await;
    let context = context();
    assert_eq!(strategy.find(&context).await.unwrap().len(), 1);
    let mut changed = std::pin::pin!(strategy.changed(&context));
    assert!(timeout(Duration::from_millis(500), &mut changed).await.is_err(), "nothing has changed");
    fake.wait_for(Verb::Watch, 1).await;
    let watch = fake.requests(Verb::Watch).remove(0);
    assert_eq!(
        (watch.query["allowWatchBookmarks"].as_str(), watch.query["resourceVersion"].as_str()),
        ("true", "1")
    );
    // The same endpoints again, one that is not ready any more, another service's, and a bookmark are no change.
    fake.put("endpointslices", slice("media-a", &["10.0.0.1"]));
    let mut unready = slice("media-a", &["10.0.0.1"]);
    unready["endpoints"][0]["conditions"] = json!({"ready": false, "serving": false, "terminating": false});
    fake.put("endpointslices", unready);
    let mut other = slice("other", &["10.9.9.9"]);
    other["metadata"]["labels"]["kubernetes.io/service-name"] = json!("other");
    fake.put("endpointslices", other);
    fake.bookmark();
    assert!(timeout(Duration::from_millis(500), &mut changed).await.is_err(), "nothing has changed");
    fake.put("endpointslices", slice("media-b", &["10.0.0.2"]));
    timeout(Duration::from_secs(5), &mut changed).await.expect("a slice was added");
    assert_eq!(sockets(&strategy.find(&context).await.unwrap()), ["10.0.0.2:7000", "10.0.0.1:7000"]);
    assert_eq!(fake.requests(Verb::Watch).len(), 1);

    // What happens between a look-up and the next watch is not missed, nor between the first ones.
    let fresh = fake.reach(Kubernetes::service("media").unwrap());
    assert_eq!(fresh.find(&context).await.unwrap().len(), 2);
    fake.delete("endpointslices", "media-a");
    timeout(Duration::from_secs(5), fresh.changed(&context)).await.expect("a slice was deleted before");
    timeout(Duration::from_secs(5), strategy.changed(&context)).await.expect("a slice was deleted before");
    assert!(timeout(Duration::from_millis(500), strategy.changed(&context)).await.is_err(), "told only once");
    let mut changed = std::pin::pin!(strategy.changed(&context));
    assert!(timeout(Duration::from_millis(300), &mut changed).await.is_err());
    fake.delete("endpointslices", "media-b");
    timeout(Duration::from_secs(5), &mut changed).await.expect("a slice was deleted");
    assert!(strategy.find(&context).await.unwrap().is_empty());
}

/// A watch that is under way, then `harm`, and the watch tells a change all the same.
async fn survives(what: &str, harm: impl Fn(&FakeKubernetes)) -> FakeKubernetes {
    let (fake, strategy) = fake_with(&[("media-a", &["10.0.0.1"])]).await;
    let context = context();
    strategy.find(&context).await.unwrap();
    let (fake, ()) = tokio::join!(
        async {
            fake.wait_for(Verb::Watch, 1).await;
            harm(&fake);
            fake.cut_watches();
            fake.wait_for(Verb::Watch, 2).await;
            // The change may come while it does not watch.
            fake.put("endpointslices", slice("media-b", &["10.0.0.2"]));
            fake
        },
        async {
            let woken = timeout(Duration::from_secs(30), strategy.changed(&context)).await;
            woken.unwrap_or_else(|_| panic!("{what} is not survived"));
        }
    );
    assert_eq!(strategy.find(&context).await.unwrap().len(), 2, "{what}");
    fake
}

#[tokio::test]
async fn a_watch_that_is_cut_goes_on_where_it_was() {
    let fake = survives("a cut", |fake| fake.bookmark()).await;
    assert_eq!(fake.requests(Verb::List).len(), 3, "no list but those of two look-ups and one watch");
    let versions: Vec<_> =
        fake.requests(Verb::Watch).iter().map(|watch| watch.query["resourceVersion"].clone()).collect();
    assert_eq!(versions[0], "1");
}

#[tokio::test]
async fn a_version_that_was_forgotten_is_listed_anew() {
    for as_event in [true, false] {
        let fake = survives("a forgotten version", |fake| {
            let mut state = fake.state();
            state.gone_as_event = as_event;
            state.store.advance();
            state.store.compact();
        })
        .await;
        assert!(fake.requests(Verb::List).len() >= 4, "listed anew");
    }
}

#[tokio::test]
async fn whatever_a_server_does_a_watch_survives_it() {
    let faults = [
        Fault::Status(401, None),
        Fault::Status(403, None),
        Fault::Status(429, Some(1)),
        Fault::Status(500, None),
        Fault::ProxyPage(502),
        Fault::Cut,
        Fault::HalfBody,
        Fault::BlackHole,
        Fault::Body("not JSON\n".to_owned()),
        Fault::Body("\n\n\r\n".to_owned()),
        Fault::EndlessLine,
        Fault::ErrorEvent(500),
        Fault::ErrorEvent(429),
    ];
    let each = faults.into_iter().map(|fault| async move {
        let what = format!("{fault:?}");
        let fake = survives(&what, |fake| fake.fail(Verb::Watch, fault.clone())).await;
        // Bounded memory: sockets hold some, the client no more than a line.
        assert!(fake.endless_bytes() < 16 << 20, "{what}: {}", fake.endless_bytes());
        assert!(fake.requests(Verb::Watch).len() <= 6, "{what}: {}", fake.requests(Verb::Watch).len());
    });
    futures_util::future::join_all(each).await;
}

#[tokio::test]
async fn a_server_that_ends_every_watch_at_once_is_not_asked_without_pause() {
    let (fake, strategy) = fake_with(&[]).await;
    for _ in 0..1_000 {
        fake.fail(Verb::Watch, Fault::Body(String::new()));
    }
    let woken = timeout(Duration::from_secs(4), strategy.changed(&context())).await;
    assert!(woken.is_err(), "nothing has changed");
    let watches = fake.requests(Verb::Watch).len();
    assert!((2..=6).contains(&watches), "{watches} watches in four seconds");
}

#[tokio::test]
async fn a_server_that_asks_for_time_gets_it() {
    let (fake, strategy) = fake_with(&[]).await;
    fake.fail(Verb::List, Fault::Status(429, Some(4)));
    let woken = timeout(Duration::from_secs(3), strategy.changed(&context())).await;
    assert!(woken.is_err() && fake.requests(Verb::List).len() == 1, "four seconds are not over");
    assert!(fake.requests(Verb::Watch).is_empty());
}

/// Runs itself again, as environments belong to processes: in one of a Pod, and in one without a word of Kubernetes.
#[tokio::test]
async fn the_environment_of_a_pod_names_the_server() {
    const FOLDER: &str = "PHALANX_TEST_FOLDER";
    if let Ok(folder) = std::env::var(FOLDER) {
        let folder = std::path::Path::new(&folder);
        let strategy = Kubernetes::service("media").unwrap().namespace("prod").unwrap();
        let strategy = strategy.ca_file(folder.join("ca.crt")).token_file(folder.join("token"));
        match strategy.find(&context()).await {
            Ok(found) => println!("found {:?}", sockets(&found)),
            Err(error) => println!("{error}"),
        }
        return;
    }
    let (fake, _) = fake_with(&[("media-a", &["10.0.0.1"])]).await;
    let run = |host: Option<&str>| {
        let mut command = std::process::Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "the_environment_of_a_pod_names_the_server", "--nocapture"]);
        command.env(FOLDER, fake.ca_file().parent().unwrap());
        command.env_remove("KUBERNETES_SERVICE_HOST").env("KUBERNETES_SERVICE_PORT", fake.port.to_string());
        command.envs(host.map(|host| ("KUBERNETES_SERVICE_HOST", host)));
        // The fake must go on serving meanwhile.
        tokio::task::spawn_blocking(move || String::from_utf8(command.output().unwrap().stdout).unwrap())
    };
    let shown = run(Some("127.0.0.1")).await.unwrap();
    assert!(shown.contains("found [\"10.0.0.1:7000\"]"), "{shown}");
    let shown = run(None).await.unwrap();
    assert!(shown.contains("KUBERNETES_SERVICE_HOST") && shown.contains("give api, ca-file"), "{shown}");
}
