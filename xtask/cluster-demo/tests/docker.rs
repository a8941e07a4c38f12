//! The demo's containers on a real daemon: that of the machine, or one that the demo starts, for which it must be root.

#![cfg(all(feature = "docker", unix))]

mod common;

use common::{demo, input, must_have, must_hold};

#[test]
fn containers_end_as_they_should_and_none_is_left() {
    let folder = tempfile::tempdir().expect("there is room for a folder");
    let input = input(folder.path());
    let only = ["--no-faults", "--with", "docker"];
    let run =
        demo(folder.path(), &[&["--controls", "2", "--workers", "2", "--input", &input], &only[..]].concat());
    must_hold(&run);
    must_have(&run, &["docker"]);
    let docker = &run.1["docker"];
    assert_eq!((&docker["images_loaded"], &docker["left"]), (&2.into(), &0.into()), "{docker}");
    for ended in ["succeeded", "failed_as_told", "stopped"] {
        assert!(docker[ended].as_u64() >= Some(2), "{ended}: {docker}");
    }
}
