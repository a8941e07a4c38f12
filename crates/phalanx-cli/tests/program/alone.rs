//! What needs no cluster: mistakes, configurations, discovery.

use std::fs;

use rustix::process::Signal;

use crate::agents::{Place, eventually, silent_address};

#[test]
fn mistakes_have_codes_of_their_own() {
    let place = Place::new();
    place.run(&["status"]).ends_with(4);
    place.run(&["status", "--socket", "absent.sock", "--wait", "200ms"]).ends_with(4);
    place.run(&["status", "--bad-flag"]).ends_with(2);
    place.run(&["status", "--address", "127.0.0.1:1"]).ends_with(2);
    let (_held, address) = silent_address();
    let remote = ["status", "--address", &address, "--cluster", "media", "--secret-file", "secret"];
    place.run(&remote).ends_with(4);
    place.run(&["--help"]).ends_with(0);
    assert!(place.run(&["agent", "--cluster", "a b", "--weight", "x"]).ends_with(2).err.contains("weight"));
    let nobody = place.run(&["agent", "--cluster", "media"]).ends_with(2);
    assert!(nobody.err.contains("PHALANX_SECRET"), "{nobody:?}");
    fs::copy(place.path("secret"), place.path("open")).unwrap();
    fs::set_permissions(place.path("open"), std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
    let open = place.run(&["config", "check", "--cluster", "media", "--secret-file", "open"]).ends_with(2);
    assert!(open.err.contains("chmod 600"), "{open:?}");
    let worker = ["config", "check", "--cluster", "media", "--secret-file", "worker"];
    place.run(&worker).ends_with(2);
}

#[test]
fn configurations_are_merged_checked_and_shown_without_secrets() {
    let place = Place::new();
    fs::write(place.path("good.toml"), "cluster = \"media\"\nzone = \"a\"\nsecret-file = \"secret\"\n")
        .unwrap();
    fs::write(place.path("bad.toml"), "cluster = \"media\"\nexpected-control = 3\n").unwrap();
    place.run(&["config", "check", "--config", "good.toml"]).ends_with(0);
    let bad = place.run(&["config", "check", "--config", "bad.toml"]).ends_with(2);
    assert!(bad.err.contains("expected-controls"), "{bad:?}");
    let secret = fs::read_to_string(place.path("secret")).unwrap();
    let show = ["config", "show", "--config", "good.toml", "--weight", "3", "-o", "json"];
    let shown = place.run_with(("PHALANX_ZONE", "b"), &show).json();
    assert_eq!(shown["zone"], serde_json::json!({"values": ["b"], "from": "environment: PHALANX_ZONE"}));
    assert_eq!(shown["weight"]["from"], "flag");
    assert_eq!(shown["cluster"]["from"], "good.toml");
    let shown = place.run_with(("PHALANX_SECRET", secret.trim()), &["config", "show"]);
    assert!(!shown.out.contains(secret.trim()));

    let found =
        place.run(&["discover", "127.0.0.1:7000", "phalanx://[::1]:7001;transport=tls", "-o", "json"]);
    let addresses = serde_json::json!([
        {"transport": "quic", "ip": "127.0.0.1", "port": 7000},
        {"transport": "tls", "ip": "::1", "port": 7001},
    ]);
    assert_eq!(found.json()["addresses"], addresses);
    place.run(&["discover", "phalanx://a;discover=pigeon"]).ends_with(2);
}

#[test]
fn two_agents_have_not_one_socket_and_a_dead_ones_is_replaced() {
    let place = Place::new();
    let mut first = place.agent("control-1", &[]);
    first.wait_until_ready();
    let mut second = place.agent("control-1", &[]);
    second.ends_with(1);
    assert!(second.log().contains("another node listens on this socket"), "{}", second.log());
    drop(second);
    first.signal(Signal::KILL);
    first.end();
    assert!(place.path("control-1.sock").exists(), "nobody could remove it");
    let mut third = place.agent("control-1", &[]);
    third.wait_until_ready();
    third.signal(Signal::TERM);
    third.ends_with(0);
    eventually("the socket goes with the agent", || (!place.path("control-1.sock").exists()).then_some(()));
}
