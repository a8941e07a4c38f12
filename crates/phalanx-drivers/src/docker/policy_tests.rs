//! What a policy refuses, part by part: it is all that stands between a caller and the root of the machine.

use super::*;
use crate::docker::run::{Port, Protocol};

const IMAGE: &str = "busybox:1";

fn new() -> Policy {
    Policy::new("/var/run/docker.sock").allow_image("busybox:1")
}

fn refusal(policy: &Policy, run: &Run) -> String {
    match policy.clone().in_force().unwrap().check(run) {
        Err(DockerError::Refused(what)) => what,
        other => panic!("{other:?}"),
    }
}

fn text(path: &Path) -> String {
    path.to_str().unwrap().to_owned()
}

#[test]
fn a_new_policy_allows_no_image() {
    let policy = Policy::new("/var/run/docker.sock").in_force().unwrap();
    let error = policy.check(&Run::new(IMAGE)).unwrap_err();
    assert_eq!(error, DockerError::ImageNotAllowed(IMAGE.into()));
    assert!(policy.pull().is_err() && policy.exec().is_err() && policy.archive_bytes_max.is_none());
}

#[test]
fn an_allowed_image_runs_and_gives_nothing_else_away() {
    let policy = new();
    let permit = policy.clone().in_force().unwrap().check(&Run::new(IMAGE)).unwrap();
    assert_eq!(permit.image.to_string(), "docker.io/library/busybox:1");
    assert_eq!(permit.limits.processes, Some(PROCESSES_MAX));
    for (run, word) in [
        (Run::new(IMAGE).privileged(), "privileged"),
        (Run::new(IMAGE).keep(), "kept"),
        (Run::new(IMAGE).network("bridge"), "bridge"),
        (Run::new(IMAGE).network("host"), "host"),
        (Run::new(IMAGE).network("container:other"), "container:other"),
        (Run::new(IMAGE).network(""), "network"),
        (Run::new(IMAGE).port(80, 8080), "8080"),
        (Run::new(IMAGE).mount(MountSource::Host("/".into()), "/host"), "\"/\""),
        (Run::new(IMAGE).mount(MountSource::Host("/etc/passwd".into()), "/p"), "/etc/passwd"),
        (Run::new(IMAGE).mount_read_only(MountSource::Volume("data".into()), "/data"), "data"),
    ] {
        let what = refusal(&policy, &run);
        assert!(what.contains(word), "{what}");
    }
}

#[test]
fn folders_are_allowed_with_all_below_and_nothing_beside() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("root");
    std::fs::create_dir_all(root.join("inner")).unwrap();
    std::fs::create_dir(folder.path().join("root-beside")).unwrap();
    std::os::unix::fs::symlink(folder.path(), root.join("link")).unwrap();
    let read = new().allow_folder(&root, Access::Read);
    let mount = |path: &Path| Run::new(IMAGE).mount_read_only(MountSource::Host(text(path)), "/m");
    let permit = read.clone().in_force().unwrap().check(&mount(&root.join("inner/../inner"))).unwrap();
    let real = root.canonicalize().unwrap().join("inner");
    assert_eq!(permit.mounts[0].source, MountSource::Host(text(&real)), "the real path is what is mounted");
    for outside in ["", "root-beside", "root/..", "root/link", "root/absent"] {
        refusal(&read, &mount(&folder.path().join(outside)));
    }
    refusal(&read, &Run::new(IMAGE).mount(MountSource::Host(text(&root)), "/m"));
    refusal(&read, &mount(Path::new("root")));
    let write = new().allow_folder(&root, Access::ReadWrite);
    let run = Run::new(IMAGE).mount(MountSource::Host(text(&root)), "/m");
    write.in_force().unwrap().check(&run).unwrap();
}

#[test]
fn ports_and_volumes_are_those_that_are_named() {
    let address = "10.0.0.1".parse().unwrap();
    let policy = new().allow_ports(address, 0..=8090).allow_volume("data", Access::Read);
    let permit = policy.clone().in_force().unwrap().check(&Run::new(IMAGE).port(80, 8080)).unwrap();
    assert_eq!(permit.address, address);
    refusal(&policy, &Run::new(IMAGE).port(80, 8091));
    refusal(&policy, &Run::new(IMAGE).port(80, 0));
    let mut udp = Run::new(IMAGE);
    udp.ports.push(Port { container_port: 53, host_port: 9_000, protocol: Protocol::Udp });
    refusal(&policy, &udp);
    let volume = MountSource::Volume("data".into());
    policy.clone().in_force().unwrap().check(&Run::new(IMAGE).mount_read_only(volume.clone(), "/d")).unwrap();
    refusal(&policy, &Run::new(IMAGE).mount(volume, "/d"));
}

#[test]
fn what_no_container_can_be_given_is_refused() {
    let policy = new().in_force().unwrap();
    let long = "x".repeat(TEXT_BYTES_MAX + 1);
    let memory = || MountSource::Memory(1 << 20);
    let mut many = Run::new(IMAGE);
    many.mounts = vec![Mount { source: memory(), target: "/m".into(), read_only: false }; PARTS_MAX + 1];
    for run in [
        Run::new(IMAGE).command(["a\0b"]),
        Run::new(IMAGE).command([long]),
        Run::new(IMAGE).entrypoint(vec![""; ARGUMENTS_MAX + 1]),
        Run::new(IMAGE).environment("A=B", "c"),
        Run::new(IMAGE).environment("", "c"),
        Run::new(IMAGE).mount(memory(), "m"),
        Run::new(IMAGE).mount(memory(), "/a/../.."),
        many,
    ] {
        assert!(matches!(policy.check(&run), Err(DockerError::Invalid(_))));
    }
    policy.check(&Run::new(IMAGE).mount(memory(), "/m")).unwrap();
}

#[test]
fn a_policy_that_cannot_hold_is_refused() {
    for (wrong, word) in [
        (new().allow_image("*.example/app"), "*.example/app"),
        (new().allow_network("container:other"), "container:other"),
        (new().allow_volume("/etc", Access::Read), "/etc"),
        (new().allow_folder("/no/such/folder", Access::Read), "/no/such/folder"),
    ] {
        let error = wrong.in_force().unwrap_err().to_string();
        assert!(error.contains(word), "{error}");
    }
}
