//! Files copied to a worker and from it.

use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use rustix::process::Signal;

use crate::agents::{Place, eventually};
use crate::workers::{Cluster, at_control};

/// Bytes that do not repeat.
fn noise(path: &Path, bytes: usize) {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let words = (0..bytes / 8).flat_map(|_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    });
    fs::write(path, words.collect::<Vec<u8>>()).unwrap();
}

fn is_same(one: &Path, other: &Path) -> bool {
    fs::read(one).unwrap() == fs::read(other).unwrap()
}

/// The bytes of all files in and below a folder.
fn bytes_in(folder: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(folder) else { return 0 };
    let bytes = entries.flatten().map(|entry| match entry.metadata() {
        Ok(known) if known.is_dir() => bytes_in(&entry.path()),
        Ok(known) => known.len(),
        Err(_) => 0,
    });
    bytes.sum()
}

#[test]
fn files_and_folders_are_copied_both_ways() {
    let place = Place::new();
    let cluster = Cluster::start(&place);
    noise(&place.path("a.bin"), 3 << 20);
    let sent = cluster.ask(&["cp", "a.bin", "worker-1:box/", "-o", "json"]).json();
    assert_eq!((&sent[0]["bytes"], &sent[0]["files"]), (&(3 << 20).into(), &1.into()), "{sent}");
    assert!(is_same(&place.path("a.bin"), &place.path("box/a.bin")));
    let got = cluster.ask(&["cp", "worker-1:box/a.bin", "b.bin"]).ends_with(0);
    assert!(got.err.contains("verified"), "{got:?}");
    assert!(is_same(&place.path("a.bin"), &place.path("b.bin")));

    fs::create_dir_all(place.path("site/sub")).unwrap();
    fs::write(place.path("site/index"), "page").unwrap();
    noise(&place.path("site/sub/image"), 100_000);
    let refused = cluster.ask(&["cp", "site", "worker-1:box/"]).ends_with(2);
    assert!(refused.err.contains("-r"), "{refused:?}");
    cluster.ask(&["cp", "-r", "site", "worker-1:box/"]).ends_with(0);
    assert!(is_same(&place.path("site/sub/image"), &place.path("box/site/sub/image")));
    let refused = cluster.ask(&["cp", "worker-1:box/site", "back"]).ends_with(2);
    assert!(refused.err.contains("worker-1:box/site is a folder: copy it with -r"), "{refused:?}");
    assert!(!place.path("back").exists(), "nothing was got");
    cluster.ask(&["cp", "-r", "worker-1:box/site", "back"]).ends_with(0);
    assert_eq!(fs::read_to_string(place.path("back/index")).unwrap(), "page");

    let denied = cluster.ask(&["cp", "a.bin", "worker-1:shelf/"]).ends_with(1);
    assert!(denied.err.contains("does not allow to write"), "{denied:?}");
    let out = cluster.ask(&["cp", "a.bin", "worker-1:box/../out"]).ends_with(1);
    assert!(out.err.contains("refused"), "{out:?}");
    for wrong in [["a.bin", "b.bin"], ["worker-1:box/a", "worker-1:box/b"], ["absent", "worker-1:box/"]] {
        cluster.ask(&["cp", wrong[0], wrong[1]]).ends_with(2);
    }
    fs::create_dir(place.path("box2")).unwrap();
    let several = cluster.ask(&["cp", "a.bin", "worker-1,control-1:box/c.bin", "-o", "json"]).ends_with(1);
    assert!(several.err.contains("control-1: ") && !several.err.contains("worker-1: "), "{several:?}");
    assert!(
        is_same(&place.path("a.bin"), &place.path("box/c.bin")),
        "one that fails does not keep the others"
    );
    let second = place.agent(
        "worker-2",
        &[
            "--role",
            "worker",
            "--worker-credential-file",
            "worker",
            "--discover",
            &cluster.listen,
            "--drivers.files.write",
            &format!("box={}", place.path("box2").display()),
        ],
    );
    second.wait_until_ready();
    let both = ["cp", "-r", "site", "worker-1,worker-2:box/both", "-o", "json"];
    let both = eventually("both take it", || Some(cluster.ask(&both)).filter(|said| said.code == 0)).json();
    assert_eq!((&both[0]["node"], &both[1]["node"]), (&"worker-1".into(), &"worker-2".into()), "{both}");
    for folder in ["box", "box2"] {
        assert!(is_same(&place.path("site/sub/image"), &place.path(folder).join("both/sub/image")));
    }
}

/// Kills a copy when half of it has arrived, starts it again, and returns what the second one says.
fn killed_at_half(place: &Place, bytes: usize) -> serde_json::Value {
    noise(&place.path("big"), bytes);
    let copy = at_control(&["cp", "big", "worker-1:box/"], &[]);
    let mut first = place.start(&copy, Stdio::null());
    // Some minutes, with looks that are short beside the copy.
    let is_half = (0..200_000).any(|_| {
        assert_eq!(first.child().try_wait().unwrap(), None, "it was too fast to be killed");
        std::thread::sleep(Duration::from_millis(1));
        bytes_in(&place.path("box/.phalanx-partials")) >= bytes as u64 / 2
    });
    assert!(is_half, "half of it never arrived");
    first.signal(Signal::KILL);
    first.end().ends_with(-1);
    assert!(!place.path("box/big").exists(), "nothing is there before all of it is");
    place.run(&[&copy[..], &["-o", "json"]].concat()).json()
}

#[test]
fn a_copy_that_was_killed_goes_on_from_what_has_arrived() {
    let place = Place::new();
    let cluster = Cluster::start(&place);
    let again = killed_at_half(&place, 64 << 20);
    let resumed = again[0]["resumed_bytes"].as_u64().unwrap();
    assert!(resumed >= 30 << 20, "{again}");
    assert!(is_same(&place.path("big"), &place.path("box/big")));
    cluster.ask(&["cp", "worker-1:box/big", "back"]).ends_with(0);
    assert!(is_same(&place.path("big"), &place.path("back")));
}

#[test]
#[ignore = "a gigabyte takes a minute or more without optimisation"]
fn a_gigabyte_that_was_killed_goes_on_from_what_has_arrived() {
    let place = Place::new();
    let _cluster = Cluster::start(&place);
    let again = killed_at_half(&place, 1 << 30);
    println!("{again:#}");
    assert!(again[0]["resumed_bytes"].as_u64().unwrap() >= 500 << 20, "{again}");
    assert!(is_same(&place.path("big"), &place.path("box/big")));
}
