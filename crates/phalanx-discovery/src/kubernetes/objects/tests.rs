//! Objects in the shape of the API reference, with everything missing that may be missing.

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::kubernetes::endpoint::PortChoice;

fn sockets(item: &Item) -> Vec<String> {
    item.endpoints.iter().map(ToString::to_string).collect()
}

fn items(resource: Resource, object: &serde_json::Value) -> Vec<Item> {
    let list = json!({"kind": "List", "metadata": {"resourceVersion": "7"}, "items": [object]});
    resource.page(list.to_string().as_bytes(), &Choice::default()).unwrap().items
}

#[test]
fn a_slice_gives_its_addresses_by_their_conditions() {
    let slice = json!({
        "metadata": {"name": "media-abc", "resourceVersion": "3"},
        "addressType": "IPv4",
        "ports": [{"name": "http", "port": 80, "protocol": "TCP"}, {"name": "phalanx", "port": 7100, "protocol": "UDP"}],
        "endpoints": [
            {"addresses": ["10.0.0.1"], "conditions": {"ready": true, "serving": true, "terminating": false}},
            // publishNotReadyAddresses makes every endpoint ready; serving tells the truth.
            {"addresses": ["10.0.0.2"], "conditions": {"ready": true, "serving": false, "terminating": false}},
            {"addresses": ["10.0.0.3"], "conditions": {"ready": true, "serving": true, "terminating": true}},
            {"addresses": ["10.0.0.4"], "conditions": {"ready": false}},
            {"addresses": ["10.0.0.5"], "conditions": {}},
            {"addresses": ["10.0.0.6", "no address", "10.0.0.7"]},
            {"addresses": null},
        ],
    });
    assert_eq!(
        sockets(&items(Resource::EndpointSlices, &slice)[0]),
        [
            "10.0.0.1:7100 ready",
            "10.0.0.2:7100 not ready",
            "10.0.0.3:7100 terminating",
            "10.0.0.4:7100 not ready",
            "10.0.0.5:7100 ready",
            "10.0.0.6:7100 ready",
            "10.0.0.7:7100 ready",
        ]
    );
}

#[test]
fn what_has_no_address_of_its_own_gives_none() {
    let slice = |kind: &str, ports: serde_json::Value| {
        json!({"metadata": {"name": "a"}, "addressType": kind, "ports": ports,
            "endpoints": [{"addresses": ["10.0.0.1", "a.example"]}]})
    };
    assert!(items(Resource::EndpointSlices, &slice("FQDN", json!([])))[0].endpoints.is_empty());
    // No ports stand for all ports.
    assert_eq!(
        sockets(&items(Resource::EndpointSlices, &slice("IPv4", json!(null)))[0]),
        ["10.0.0.1:7000 ready"]
    );
    let unnamed = json!([{"name": "", "port": 7300}, {"port": null}]);
    assert_eq!(
        sockets(&items(Resource::EndpointSlices, &slice("IPv4", unnamed))[0]),
        ["10.0.0.1:7300 ready"]
    );
    let empty = json!({"metadata": {"name": "a"}, "addressType": "IPv6", "endpoints": null, "ports": null});
    assert!(items(Resource::EndpointSlices, &empty)[0].endpoints.is_empty());
    let choice = Choice { port: PortChoice::Name("link".to_owned()), ..Choice::default() };
    let list = json!({"metadata": {"resourceVersion": "1"}, "items": [slice("IPv4", json!([{"name": "a", "port": 1}]))]});
    let page = Resource::EndpointSlices.page(list.to_string().as_bytes(), &choice).unwrap();
    assert!(page.items[0].endpoints.is_empty());
}

#[test]
fn a_pod_gives_its_addresses_while_it_lives() {
    let pod = |phase: &str, ready: &str, deleted: Option<&str>, ips: serde_json::Value| {
        json!({
            "metadata": {"name": "media-0", "deletionTimestamp": deleted},
            "spec": {"containers": [
                {"name": "sidecar"},
                {"name": "media", "ports": [{"name": "phalanx", "containerPort": 7100, "protocol": "UDP"}]},
            ]},
            "status": {"phase": phase, "podIP": "10.0.0.1", "podIPs": ips,
                "conditions": [{"type": "Initialized", "status": "True"}, {"type": "Ready", "status": ready}]},
        })
    };
    let dual = json!([{"ip": "10.0.0.1"}, {"ip": "fd00::1"}]);
    let found = |pod| sockets(&items(Resource::Pods, &pod)[0]);
    assert_eq!(
        found(pod("Running", "True", None, dual.clone())),
        ["10.0.0.1:7100 ready", "[fd00::1]:7100 ready"]
    );
    assert_eq!(found(pod("Pending", "False", None, json!(null))), ["10.0.0.1:7100 not ready"]);
    assert_eq!(
        found(pod("Running", "True", Some("2026-01-01T00:00:00Z"), json!([]))),
        ["10.0.0.1:7100 terminating"]
    );
    for phase in ["Succeeded", "Failed"] {
        assert!(found(pod(phase, "False", None, dual.clone())).is_empty());
    }
    assert!(
        found(json!({"metadata": {"name": "new"}, "spec": {}, "status": {"phase": "Pending"}})).is_empty()
    );
    assert!(found(json!({"metadata": {"name": "new"}, "spec": {"containers": null}})).is_empty());
}

#[test]
fn pages_name_the_next_one_and_their_version() {
    let read = |text: &str| Resource::Pods.page(text.as_bytes(), &Choice::default());
    let page =
        read(r#"{"metadata":{"resourceVersion":"9","continue":"abc","remainingItemCount":3},"items":null}"#);
    assert_eq!(page.unwrap(), Page { items: vec![], version: "9".to_owned(), next: Some("abc".to_owned()) });
    assert_eq!(read(r#"{"metadata":{"resourceVersion":"9","continue":""},"items":[]}"#).unwrap().next, None);
    for wrong in
        ["", "{}", "[]", "<html>", r#"{"metadata":{},"items":[]}"#, r#"{"kind":"Status","code":403}"#]
    {
        assert!(read(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn lines_of_a_watch_are_told_apart() {
    let read = |line: serde_json::Value| {
        Resource::Pods
            .event(line.to_string().as_bytes(), &Choice::default())
            .map_err(|error| error.to_string())
    };
    let pod = json!({"metadata": {"name": "a", "resourceVersion": "5"}, "spec": {},
        "status": {"phase": "Running", "podIP": "10.0.0.1"}});
    for kind in ["ADDED", "MODIFIED"] {
        let Ok(WatchEvent::Present(item, version)) = read(json!({"type": kind, "object": pod})) else {
            panic!()
        };
        assert_eq!((sockets(&item), version.as_str()), (vec!["10.0.0.1:7000 not ready".to_owned()], "5"));
    }
    let gone = read(json!({"type": "DELETED", "object": pod}));
    assert_eq!(gone, Ok(WatchEvent::Absent("a".to_owned(), "5".to_owned())));
    let bookmark =
        json!({"type": "BOOKMARK", "object": {"kind": "Pod", "metadata": {"resourceVersion": "8"}}});
    assert_eq!(read(bookmark), Ok(WatchEvent::Bookmark("8".to_owned())));
    let expired = json!({"type": "ERROR", "object": {"kind": "Status", "code": 410, "reason": "Expired", "message": "old"}});
    assert_eq!(read(expired), Ok(WatchEvent::Failed(410, "old".to_owned())));
    assert!(read(json!({"type": "ADDED", "object": {}})).is_err());
    assert!(read(json!({"object": pod})).is_err());
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes: Vec<u8>, text in "[\\[\\]{}:,\"a-zA-Z0-9]{0,60}") {
        for resource in [Resource::Pods, Resource::EndpointSlices] {
            for json in [bytes.as_slice(), text.as_bytes()] {
                let _ = resource.page(json, &Choice::default());
                let _ = resource.event(json, &Choice::default());
            }
        }
    }
}
