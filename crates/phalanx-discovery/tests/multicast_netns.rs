//! Multicast between hosts: network namespaces, each with an interface on one bridge, and a process of this very binary in
//! each that takes the part of a node. Needs the right to make namespaces.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "beacons/mod.rs"]
mod beacons;

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use beacons::{Cluster, OURS, PATIENCE, announcement, strategy};
use phalanx_discovery::{Announcement, Discover, DiscoverContext, DynDiscover, Journal};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// Tells a process of this binary to be a node: the strategy, the seed of the cluster's key, and `control` or `worker`.
const PEER: &str = "PHALANX_TEST_PEER";

/// How often a peer looks.
const LOOK_PAUSE: Duration = Duration::from_millis(200);

/// Runs `ip`.
fn ip(arguments: &str) {
    let output = Command::new("ip").args(arguments.split(' ')).output();
    let output =
        output.expect("`ip` cannot be run: install the Debian package iproute2, as `cargo xtask test` does");
    assert!(
        output.status.success(),
        "`ip {arguments}` failed: {}; this test makes network namespaces and needs root: leave out the test binary \
         multicast_netns where it cannot be had",
        String::from_utf8_lossy(&output.stderr).trim()
    );
}

/// A switch and hosts at it, in namespaces of their own. Gone when dropped.
struct Network {
    name: String,
    hosts: usize,
}

impl Network {
    fn new(test: &str, hosts: usize) -> Self {
        let name = format!("phx{}{test}", std::process::id());
        ip(&format!("netns add {name}"));
        let mut network = Self { name, hosts: 0 };
        let switch = network.name.clone();
        ip(&format!("-n {switch} link add switch type bridge"));
        ip(&format!("-n {switch} link set switch up"));
        for host in 0..hosts {
            let namespace = network.host(host);
            ip(&format!("netns add {namespace}"));
            network.hosts += 1;
            ip(&format!("-n {switch} link add host{host} type veth peer name eth0 netns {namespace}"));
            ip(&format!("-n {switch} link set host{host} master switch up"));
            ip(&format!("-n {namespace} link set lo up"));
            ip(&format!("-n {namespace} addr add 10.99.0.{}/24 dev eth0", host + 1));
            ip(&format!("-n {namespace} link set eth0 up"));
        }
        network
    }

    fn host(&self, host: usize) -> String {
        format!("{}h{host}", self.name)
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        let hosts = (0..self.hosts).map(|host| self.host(host));
        for namespace in hosts.chain([self.name.clone()]) {
            let _ = Command::new("ip").args(["netns", "del", &namespace]).status();
        }
    }
}

/// A node in a process of its own, which says what it finds. Ends when dropped.
struct Peer {
    process: Child,
    orders: ChildStdin,
    said: Receiver<String>,
}

impl Peer {
    fn start(namespace: &str, text: &str, cluster: Cluster, role: &str) -> Self {
        let binary = std::env::current_exe().unwrap();
        let mut process = Command::new("ip")
            .args(["netns", "exec", namespace])
            .arg(binary)
            .args(["--exact", "be_a_peer", "--nocapture"])
            .env(PEER, format!("{text} {} {role}", cluster.seed))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let output = BufReader::new(process.stdout.take().unwrap());
        let (tell, said) = channel();
        std::thread::spawn(move || output.lines().map_while(Result::ok).try_for_each(|line| tell.send(line)));
        let orders = process.stdin.take().unwrap();
        Self { process, orders, said }
    }

    /// Announces a node there; an empty name ends the last announcement.
    fn announce(&mut self, node: &str, addresses: &str) {
        writeln!(self.orders, "{node} {addresses}").unwrap();
    }

    /// Waits until it says something that fits.
    fn until(&self, what: &str, fits: impl Fn(&str) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        let mut last = String::new();
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            last = match self.said.recv_timeout(left) {
                Ok(line) if fits(&line) => return,
                Ok(line) => line,
                Err(error) => panic!("{error} while waiting for {what}; the last it said was {last:?}"),
            };
        }
    }

    fn until_found(&self, expected: &str) {
        self.until(expected, |line| line == format!("found {expected}"));
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Announces until the sender is dropped.
fn announce(
    strategy: &DynDiscover,
    context: &DiscoverContext,
    who: Announcement,
) -> (oneshot::Sender<()>, JoinHandle<()>) {
    let (withdraw, mut withdrawn) = oneshot::channel::<()>();
    let (strategy, context) = (strategy.clone(), context.clone());
    let task = tokio::spawn(async move {
        // Over IPv6 an interface cannot be used before it knows that its address is its own.
        loop {
            let until_withdrawn = Box::pin(async { drop((&mut withdrawn).await) });
            if strategy.announce(&context, &who, until_withdrawn).await.is_ok() {
                break;
            }
            tokio::time::sleep(LOOK_PAUSE).await;
        }
        println!("announced {}", who.boot.node);
    });
    (withdraw, task)
}

/// Not a test by itself: what a process of this binary does in a namespace. It announces as its standard input says, tells
/// what it finds, and ends with its input.
#[tokio::test]
async fn be_a_peer() {
    let Ok(part) = std::env::var(PEER) else { return };
    let [text, seed, role] = part.split(' ').collect::<Vec<_>>()[..] else { panic!("{part}") };
    let context = Cluster { seed: seed.parse().unwrap(), ..OURS }.context(role == "worker");
    let strategy = strategy(text);
    let (order, mut orders) = mpsc::channel::<String>(8);
    std::thread::spawn(move || {
        std::io::stdin().lines().map_while(Result::ok).try_for_each(|line| order.blocking_send(line))
    });
    let mut announcing: Option<(oneshot::Sender<()>, JoinHandle<()>)> = None;
    let mut told = Default::default();
    println!();
    loop {
        let journal = Journal::default();
        let found = match strategy.find(&context.clone().with_journal(journal.clone())).await {
            Ok(found) => {
                found.iter().map(|candidate| candidate.socket.to_string()).collect::<Vec<_>>().join(" ")
            }
            Err(error) => error.to_string(),
        };
        let seen: String =
            format!("{:?}", journal.attempts()).chars().filter(|c| !c.is_ascii_digit()).collect();
        let now = (format!("found {found}"), format!("seen {seen}"));
        if told != now {
            println!("{}\n{}", now.0, now.1);
            told = now;
        }
        let order = tokio::select! {
            biased;
            order = orders.recv() => order.expect("the process ends with its input"),
            () = strategy.changed(&context) => continue,
            () = tokio::time::sleep(LOOK_PAUSE) => continue,
        };
        let (node, addresses) = order.split_once(' ').unwrap();
        if let Some((withdraw, task)) = announcing.take() {
            drop(withdraw);
            task.await.unwrap();
        }
        if !node.is_empty() {
            announcing = Some(announce(&strategy, &context, announcement(node, addresses)));
        }
    }
}

const V4: &str = "phalanx://239.255.7.8:17000;discover=multicast";
const V6: &str = "phalanx://[ff12::8]:17000;discover=multicast";
const DEFAULT: &str = "phalanx://;discover=multicast";

/// Two control nodes on two hosts, and a worker on a third, which finds both; all over one family of addresses.
fn three_hosts_find_each_other(test: &str, text: &str, interface: &str) {
    let network = Network::new(test, 3);
    let text = format!("{text}{interface}");
    let mut first = Peer::start(&network.host(0), &text, OURS, "control");
    let mut second = Peer::start(&network.host(1), &text, OURS, "control");
    let worker = Peer::start(&network.host(2), &format!("{text};mode=listen"), OURS, "worker");
    first.announce("c1", "10.99.0.1:7000");
    second.announce("c2", "10.99.0.2:7000");
    first.until_found("10.99.0.2:7000");
    second.until_found("10.99.0.1:7000");
    worker.until_found("10.99.0.1:7000 10.99.0.2:7000");
    // A node of the name that is known at other addresses.
    second.announce("c2", "10.99.0.2:7001,10.99.0.2:7002");
    worker.until_found("10.99.0.1:7000 10.99.0.2:7001 10.99.0.2:7002");
    first.until_found("10.99.0.2:7001 10.99.0.2:7002");
    // Withdrawn.
    second.announce("", "");
    worker.until_found("10.99.0.1:7000");
}

#[test]
fn hosts_find_each_other_over_ipv4() {
    three_hosts_find_each_other("a", V4, ";interface=eth0");
}

#[test]
fn hosts_find_each_other_over_ipv6() {
    three_hosts_find_each_other("b", V6, ";interface=eth0");
}

#[test]
fn hosts_find_each_other_over_what_there_is() {
    three_hosts_find_each_other("c", DEFAULT, "");
}

#[test]
fn nodes_of_one_host_hear_each_other_and_other_hosts() {
    let network = Network::new("d", 2);
    let mut first = Peer::start(&network.host(0), V6, OURS, "control");
    let mut second = Peer::start(&network.host(0), V6, OURS, "control");
    let mut deaf = Peer::start(&network.host(0), &format!("{V6};loop=off"), OURS, "control");
    let far = Peer::start(&network.host(1), V6, OURS, "worker");
    first.announce("c1", "10.99.0.1:7000");
    second.announce("c2", "10.99.0.1:7001");
    deaf.announce("c3", "10.99.0.1:7002");
    far.until_found("10.99.0.1:7000 10.99.0.1:7001 10.99.0.1:7002");
    // What is not looped is heard elsewhere only.
    first.until_found("10.99.0.1:7001");
    second.until_found("10.99.0.1:7000");
}

#[test]
fn only_who_has_the_secret_is_found() {
    let network = Network::new("e", 3);
    let mut ours = Peer::start(&network.host(0), V4, OURS, "control");
    let mut forger = Peer::start(&network.host(1), V4, Cluster { seed: 9, ..OURS }, "control");
    let mut worker = Peer::start(&network.host(2), V4, OURS, "worker");
    // It returns at once, though nobody withdraws it.
    worker.announce("w1", "10.99.0.3:7000");
    worker.until("the end of the announcement", |line| line == "announced w1");
    forger.announce("f1", "10.99.0.2:7000");
    worker.until("the forger", |line| line.starts_with("seen") && line.contains("with a wrong seal"));
    ours.announce("c1", "10.99.0.1:7000");
    worker.until_found("10.99.0.1:7000");
    ours.until("the forger", |line| line.starts_with("seen") && line.contains("with a wrong seal"));
}

#[test]
fn a_link_local_address_is_found_with_its_interface() {
    let network = Network::new("f", 2);
    let mut first = Peer::start(&network.host(0), V6, OURS, "control");
    let second = Peer::start(&network.host(1), V6, OURS, "worker");
    first.announce("c1", "[fe80::77]:7000");
    second.until("the scope", |line| line.starts_with("found [fe80::77%") && line.ends_with("]:7000"));
}

#[test]
fn an_interface_that_comes_up_late_is_used() {
    let network = Network::new("g", 2);
    ip(&format!("-n {} link set eth0 down", network.host(1)));
    let mut first = Peer::start(&network.host(0), DEFAULT, OURS, "control");
    let second = Peer::start(&network.host(1), DEFAULT, OURS, "worker");
    first.announce("c1", "10.99.0.1:7000");
    second.until("the loopback", |line| line.starts_with("seen") && line.contains("on lo"));
    ip(&format!("-n {} link set eth0 up", network.host(1)));
    second.until_found("10.99.0.1:7000");
}
