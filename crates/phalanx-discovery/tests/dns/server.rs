//! Real name servers: knotd for zones with every record, dnsmasq for what changes.

use std::fs::{File, read_to_string, write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use phalanx_base::DnsName;
use phalanx_discovery::{Resolver, SystemResolver};
use tempfile::TempDir;
use tokio::time::{Instant, sleep, timeout};

/// How long a server may take to start: longer than it does on a machine that is busy with other tests.
const START_TIME_MAX: Duration = Duration::from_secs(20);

/// How often to try another port: between finding it free and using it somebody else may take it.
const PORTS_MAX: usize = 5;

/// A name server of this test. It ends with the value.
pub(crate) struct NameServer {
    child: Child,
    folder: TempDir,
    pub(crate) address: SocketAddr,
}

impl NameServer {
    /// Starts knotd with these zones; a zone without a text has no file, and its server fails to answer (SERVFAIL).
    pub(crate) async fn knot(zones: &[(&str, Option<&str>)], ready: &str) -> Self {
        Self::start(ready, |folder, port| {
            let path = folder.display();
            let mut text = format!(
                "server:\n  rundir: {path}\n  listen: 127.0.0.1@{port}\n  udp-workers: 1\n  tcp-workers: 1\n  \
                 background-workers: 1\nlog:\n  - target: stderr\n    any: error\ndatabase:\n  storage: {path}\nzone:\n"
            );
            for (domain, zone) in zones {
                if let Some(zone) = zone {
                    write(folder.join(domain), zone).expect("the folder is ours");
                }
                text += &format!("  - domain: {domain}\n    storage: {path}\n    file: {domain}\n");
            }
            let configuration = folder.join("knot.conf");
            write(&configuration, text).expect("the folder is ours");
            let mut command = Command::new("knotd");
            command.arg("-c").arg(configuration);
            (command, "knot")
        })
        .await
    }

    /// Starts dnsmasq with these lines of configuration. `HOSTS` in them is the path of the file that
    /// [`set_hosts`](Self::set_hosts) writes.
    pub(crate) async fn dnsmasq(lines: &str, hosts: &str, ready: &str) -> Self {
        Self::start(ready, |folder, port| {
            let path = folder.join("hosts");
            write(&path, hosts).expect("the folder is ours");
            let configuration = folder.join("dnsmasq.conf");
            let fixed = "no-resolv\nno-hosts\nno-daemon\nbind-interfaces\nlisten-address=127.0.0.1\npid-file=\nuser=\n";
            let lines = lines.replace("HOSTS", path.to_str().expect("a temporary folder has a plain name"));
            write(&configuration, format!("port={port}\n{fixed}{lines}\n")).expect("the folder is ours");
            let mut command = Command::new("dnsmasq");
            command.arg("-C").arg(configuration);
            (command, "dnsmasq-base")
        })
        .await
    }

    async fn start(ready: &str, command: impl Fn(PathBuf, u16) -> (Command, &'static str)) -> Self {
        let deadline = Instant::now() + START_TIME_MAX;
        let mut said = String::new();
        for _ in 0..PORTS_MAX {
            let folder = tempfile::tempdir().expect("a temporary folder can be made");
            let address = free_address();
            let (mut command, package) = command(folder.path().into(), address.port());
            let log = File::create(folder.path().join("log")).expect("the folder is ours");
            let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn();
            let child = child.unwrap_or_else(|error| {
                panic!(
                    "{command:?}: {error}; install the Debian package {package}, or run `cargo xtask test`"
                )
            });
            let mut server = Self { child, folder, address };
            while Instant::now() < deadline {
                if server.answers(ready).await {
                    return server;
                }
                if server.child.try_wait().expect("it is our child").is_some() {
                    break;
                }
                sleep(Duration::from_millis(20)).await;
            }
            said += &read_to_string(server.folder.path().join("log")).expect("it was made above");
        }
        panic!("no name server has started within {START_TIME_MAX:?}: {said}");
    }

    /// Whether it knows a name; asked without anything remembered.
    pub(crate) async fn answers(&self, name: &str) -> bool {
        let name = DnsName::new(name).expect("tests ask for good names");
        let resolver = SystemResolver::with_server(self.address);
        let answer = timeout(Duration::from_secs(1), resolver.resolve(&name)).await;
        matches!(answer, Ok(Ok(_)))
    }

    /// Lets dnsmasq read other hosts.
    pub(crate) fn set_hosts(&self, hosts: &str) {
        write(self.folder.path().join("hosts"), hosts).expect("the folder is ours");
        let id = self.child.id().to_string();
        let done = Command::new("kill").args(["-HUP", &id]).status().expect("kill is there");
        assert!(done.success());
    }
}

impl Drop for NameServer {
    fn drop(&mut self) {
        // Both fail only where it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An address at which nobody listens, by UDP or TCP.
pub(crate) fn free_address() -> SocketAddr {
    loop {
        let udp = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("there are free ports");
        let address = udp.local_addr().expect("it is bound");
        if TcpListener::bind(address).is_ok() {
            return address;
        }
    }
}
