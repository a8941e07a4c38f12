//! A network of switches in a row, with hosts at each. Every host is a namespace with one cable to its switch; all switches
//! together are in one more. Cutting the cable between two switches splits the network into sides.

use std::net::Ipv4Addr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use crate::ip::{ip, ip_in};

/// What the names of all these namespaces begin with; then comes the number of the process that made them.
const PREFIX: &str = "phxns";

/// How many networks this process has made.
static MADE: AtomicU32 = AtomicU32::new(0);

/// The network. Gone when dropped.
pub(crate) struct Net {
    name: String,
    hosts: u8,
}

/// A host: where a process can run.
#[derive(Debug, Clone)]
pub(crate) struct Host {
    pub(crate) namespace: String,
    pub(crate) ip: Ipv4Addr,
    /// The switch that it is at.
    pub(crate) switch: usize,
    port: String,
}

impl Net {
    /// So many switches in a row.
    pub(crate) fn new(switches: usize) -> Self {
        remove_leftovers();
        let name = format!("{PREFIX}{}-{}", std::process::id(), MADE.fetch_add(1, Ordering::Relaxed));
        let net = Self { name, hosts: 0 };
        ip(&["netns", "add", &net.switches()]);
        let mut lines = Vec::new();
        for switch in 0..switches {
            lines.push(format!("link add switch{switch} type bridge"));
            lines.push(format!("link set switch{switch} up"));
        }
        for trunk in 0..switches.saturating_sub(1) {
            lines.push(format!("link add trunk{trunk} type veth peer name knurt{trunk}"));
            lines.push(format!("link set trunk{trunk} master switch{trunk} up"));
            lines.push(format!("link set knurt{trunk} master switch{} up", trunk + 1));
        }
        ip_in(&net.switches(), &lines);
        net
    }

    /// One more host at a switch.
    pub(crate) fn add_host(&mut self, switch: usize) -> Host {
        self.hosts += 1;
        let number = self.hosts;
        let host = Host {
            namespace: self.namespace(number),
            ip: Ipv4Addr::new(10, 66, 0, number),
            switch,
            port: format!("port{number}"),
        };
        ip(&["netns", "add", &host.namespace]);
        let port = &host.port;
        ip_in(
            &self.switches(),
            &[
                format!("link add {port} type veth peer name eth0 netns {}", host.namespace),
                format!("link set {port} master switch{switch} up"),
            ],
        );
        let own = ["link set lo up", &format!("addr add {}/24 dev eth0", host.ip), "link set eth0 up"];
        ip_in(&host.namespace, &own.map(str::to_owned));
        host
    }

    /// Cuts the cable between a switch and the next one.
    pub(crate) fn cut(&self, switch: usize) {
        ip_in(&self.switches(), &[format!("link set trunk{switch} down")]);
    }

    /// Joins a switch and the next one again.
    pub(crate) fn heal(&self, switch: usize) {
        ip_in(&self.switches(), &[format!("link set trunk{switch} up")]);
    }

    /// Pulls the cable of a host out of its switch.
    pub(crate) fn unplug(&self, host: &Host) {
        ip_in(&self.switches(), &[format!("link set {} down", host.port)]);
    }

    /// Plugs it in again.
    pub(crate) fn plug(&self, host: &Host) {
        ip_in(&self.switches(), &[format!("link set {} up", host.port)]);
    }

    fn switches(&self) -> String {
        self.namespace(0)
    }

    fn namespace(&self, host: u8) -> String {
        format!("{}-{host}", self.name)
    }
}

impl Host {
    /// Lets nothing from this host to those arrive; what they send arrives.
    pub(crate) fn mute(&self, to: &[Ipv4Addr]) {
        let lines: Vec<String> = to.iter().map(|ip| format!("route add blackhole {ip}/32")).collect();
        ip_in(&self.namespace, &lines);
    }

    /// Lets nothing but TCP from this host to any other, as many firewalls do.
    pub(crate) fn block_udp(&self) {
        ip_in(&self.namespace, &["rule add ipproto udp blackhole".to_owned()]);
    }

    /// The end of that.
    pub(crate) fn unmute(&self, to: &[Ipv4Addr]) {
        let lines: Vec<String> = to.iter().map(|ip| format!("route del blackhole {ip}/32")).collect();
        ip_in(&self.namespace, &lines);
    }
}

impl Drop for Net {
    fn drop(&mut self) {
        (0..=self.hosts).for_each(|host| remove(&self.namespace(host)));
    }
}

/// Removes what runs have left that were killed. Their nodes have ended with them.
fn remove_leftovers() {
    for line in ip(&["netns", "list"]).lines() {
        let name = line.split(' ').next().unwrap_or_default();
        let process = name.strip_prefix(PREFIX).and_then(|rest| rest.split('-').next()?.parse::<u32>().ok());
        if process.is_some_and(|process| !Path::new(&format!("/proc/{process}")).exists()) {
            remove(name);
        }
    }
}

fn remove(namespace: &str) {
    // Another process may have removed it in this moment, or the test failed before it was made.
    let _ = Command::new("ip").args(["netns", "del", namespace]).stderr(Stdio::null()).status();
}
