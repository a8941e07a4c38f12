//! The servers and tools that some tests run for real: Debian's packages, installed where we may, and tests that are left
//! out by name where they are missing.

use std::path::Path;
use std::process::{Command as Process, Stdio};

/// A program that some test binaries need.
#[derive(Debug)]
pub(super) struct Server {
    /// The program, as it is looked for in the path and where administrators' programs are.
    program: &'static str,
    /// The package that brings it.
    package: &'static str,
    /// The test binaries, as nextest calls them, that need it.
    binaries: &'static [&'static str],
}

const SERVERS: &[Server] = &[
    Server { program: "knotd", package: "knot", binaries: &["dns"] },
    Server { program: "dnsmasq", package: "dnsmasq-base", binaries: &["dns"] },
    Server { program: "etcd", package: "etcd-server", binaries: &["etcd"] },
    Server { program: "ip", package: "iproute2", binaries: NAMESPACES },
    Server { program: "dockerd", package: "docker.io", binaries: DOCKER },
    Server { program: "busybox", package: "busybox-static", binaries: DOCKER },
];

/// The test binaries that make network namespaces.
const NAMESPACES: &[&str] = &["multicast_netns", "namespaces"];

/// The test binaries that start Docker daemons, and make their image of a static busybox.
const DOCKER: &[&str] = &["docker"];

/// Where programs are that are not in everybody's path.
const FOLDERS: &[&str] = &["/usr/local/sbin", "/usr/sbin", "/sbin", "/usr/local/bin", "/usr/bin", "/bin"];

/// A test binary that is left out, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct LeftOut {
    pub(super) binary: &'static str,
    pub(super) reason: String,
}

/// Installs what is missing, where this may be done.
pub(super) fn install() {
    let packages: Vec<&str> = missing().iter().map(|server| server.package).collect();
    if packages.is_empty() || !may_install() {
        return;
    }
    println!("==> servers: apt-get install {}", packages.join(" "));
    let apt = |arguments: &[&str]| {
        let mut apt = Process::new("apt-get");
        apt.args(arguments).args(["--yes", "--quiet", "--no-install-recommends"]);
        // The tests start the servers themselves, each its own.
        apt.env("DEBIAN_FRONTEND", "noninteractive").env("RUNLEVEL", "1").stdin(Stdio::null());
        apt.status().is_ok_and(|status| status.success())
    };
    // Lists of packages may be old or absent: they are fetched only where that is so.
    let arguments = [&["install"], &packages[..]].concat();
    let installed = apt(&arguments) || (apt(&["update"]) && apt(&arguments));
    println!("<== servers {}\n", if installed { "installed" } else { "NOT installed" });
}

/// The test binaries that cannot run here.
pub(super) fn left_out() -> Vec<LeftOut> {
    let namespaces = if can_make_namespaces() { None } else { Some("no network namespace can be made here") };
    let docker = if can_run_containers() { None } else { Some("no container can be run here") };
    name(&missing(), namespaces, docker)
}

/// Whatever is missing, and why there are no network namespaces and no containers here, if so.
fn name(missing: &[&Server], namespaces: Option<&str>, docker: Option<&str>) -> Vec<LeftOut> {
    let mut left_out: Vec<LeftOut> = Vec::new();
    let mut add = |binary, reason: String| {
        if left_out.iter().all(|other| other.binary != binary) {
            left_out.push(LeftOut { binary, reason });
        }
    };
    for server in missing {
        for binary in server.binaries {
            add(
                binary,
                format!("{} is missing (Debian: apt-get install {})", server.program, server.package),
            );
        }
    }
    for (binaries, reason) in [(NAMESPACES, namespaces), (DOCKER, docker)] {
        if let Some(reason) = reason {
            binaries.iter().for_each(|binary| add(binary, format!("{reason} (run as root)")));
        }
    }
    left_out
}

fn missing() -> Vec<&'static Server> {
    let is_there = |program: &str| FOLDERS.iter().any(|folder| Path::new(folder).join(program).exists());
    SERVERS.iter().filter(|server| !is_there(server.program)).collect()
}

/// Whether this is root on a machine with apt.
fn may_install() -> bool {
    let root = Process::new("id").arg("-u").output().is_ok_and(|id| id.stdout.trim_ascii() == b"0");
    root && succeeds(Process::new("apt-get").arg("--version"))
}

/// Tries it: rights, kernels and sandboxes differ.
fn can_make_namespaces() -> bool {
    let namespace = format!("phalanx-try-{}", std::process::id());
    let made = succeeds(Process::new("ip").args(["netns", "add", &namespace]));
    made && succeeds(Process::new("ip").args(["netns", "delete", &namespace]))
}

/// Whether a Docker daemon would come as far as running something: tries what it does for each container, a mount in
/// namespaces of its own, and looks for the control groups that it needs.
fn can_run_containers() -> bool {
    let mount = "mount -t tmpfs none /mnt && mount -t proc proc /mnt";
    let unshare = [
        "--mount",
        "--pid",
        "--net",
        "--uts",
        "--ipc",
        "--fork",
        "--propagation",
        "private",
        "sh",
        "-c",
        mount,
    ];
    let has_groups = Path::new("/sys/fs/cgroup/devices").exists() // version 1
        || Path::new("/sys/fs/cgroup/cgroup.controllers").exists(); // version 2
    has_groups && succeeds(Process::new("unshare").args(unshare))
}

fn succeeds(command: &mut Process) -> bool {
    let silent = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    silent.status().is_ok_and(|status| status.success())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_binary_is_left_out_once_with_the_package_to_install() {
        let missing: Vec<&Server> = SERVERS.iter().collect();
        let left_out = name(&missing, Some("no namespaces"), Some("no containers"));
        let binaries: Vec<&str> = left_out.iter().map(|left_out| left_out.binary).collect();
        assert_eq!(binaries, ["dns", "etcd", "multicast_netns", "namespaces", "docker"]);
        assert!(left_out[0].reason.contains("apt-get install knot"), "{left_out:?}");
        assert_eq!(name(&[], None, None), []);
        assert_eq!(name(&[], Some("no namespaces"), None).len(), 2);
        assert_eq!(name(&[], None, Some("no containers"))[0].binary, "docker");
    }
}
