//! Code that is shipped to a worker, called and switched by the program.

use std::fs;

use crate::agents::{Place, eventually};

/// A module whose function `run` returns this text.
fn module(text: &str) -> Vec<u8> {
    let output = (16_u64 << 32) + text.len() as u64;
    let source = format!(
        r#"(module (memory (export "memory") 1)
        (func (export "phalanx_alloc") (param i32) (result i32) (i32.const 1024))
        (data (i32.const 16) "{text}")
        (func (export "run") (param i32 i32) (result i64) (i64.const {output})))"#
    );
    wat::parse_str(source).unwrap()
}

#[test]
fn code_is_pushed_called_switched_and_rolled_back() {
    let place = Place::new();
    let key = place.run(&["class", "keygen", "build.key"]).ends_with(0).out.trim().to_owned();
    place.run(&["class", "keygen", "build.key"]).ends_with(1);
    place.run(&["class", "keygen", "other.key"]).ends_with(0);
    let control = place.agent("control-1", &[]);
    control.wait_until_ready();
    let (listen, signer) = (control.listen(), format!("build={key}"));
    let told = ["--role", "worker", "--worker-credential-file", "worker", "--discover", &listen];
    let worker = place.agent("worker-1", &[&told[..], &["--drivers.wasm.signers", &signer]].concat());
    worker.wait_until_ready();
    for version in ["one", "two"] {
        fs::write(place.path(version), module(version)).unwrap();
    }
    let push = |version: &str, key: &str| {
        control.ask(&["class", "push", "worker-1", "greet", version, "--version", version, "--key", key])
    };
    let call = || control.ask(&["class", "call", "worker-1", "greet", "run"]).ends_with(0).out;
    eventually("the worker is known", || (push("one", "build.key").code == 0).then_some(()));
    assert_eq!(call(), "one");
    let refused = push("two", "other.key").ends_with(1);
    assert!(refused.err.contains("none that the worker's policy names"), "{refused:?}");
    push("two", "build.key").ends_with(0);
    assert_eq!(call(), "one", "a later version waits for its switch");
    let later = ["class", "call", "worker-1", "greet", "run", "--version", "two", "-o", "json"];
    let later = control.ask(&later).json();
    assert_eq!((&later["output"], &later["version"]), (&"two".into(), &"two".into()), "{later:#}");

    control.ask(&["class", "switch", "worker-1", "greet", "two"]).ends_with(0);
    assert_eq!(call(), "two");
    let back = control.ask(&["class", "rollback", "worker-1", "greet", "-o", "json"]).json();
    assert_eq!(back["default"], "one", "{back:#}");
    assert_eq!(call(), "one");
    control.ask(&["class", "rm", "worker-1", "greet", "two"]).ends_with(0);
    let listed = control.ask(&["class", "ls", "worker-1", "-o", "json"]).json();
    assert_eq!(listed[0]["versions"].as_array().unwrap().len(), 1, "{listed:#}");
    let absent = control.ask(&["class", "call", "worker-1", "greet", "walk"]).ends_with(1);
    assert!(absent.err.contains("no function of that name"), "{absent:?}");
    control.ask(&["class", "rollback", "worker-1", "nothing"]).ends_with(3);
    fs::write(place.path("broken"), "no module").unwrap();
    let broken = push("broken", "build.key").ends_with(1);
    assert!(broken.err.contains("no valid module"), "{broken:?}");
}
