//! A real etcd as a child of the test: on free ports, in a folder of its own, and ended with the test.

use std::fs::File;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use phalanx_base::Host;
use phalanx_discovery::Etcd;
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

/// How long a member may take until it serves: elections on a busy machine included.
const START_TIME_MAX: Duration = Duration::from_secs(30);

/// One member.
pub(crate) struct RealEtcd {
    pub(crate) port: u16,
    pub(crate) folder: TempDir,
    arguments: Vec<String>,
    child: Option<Child>,
}

impl Drop for RealEtcd {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A port that was free a moment ago.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

impl RealEtcd {
    /// A cluster of one member.
    pub(crate) async fn start() -> Self {
        let mut one = Self::spawn("http", &[(free_port(), free_port())], 0, &[]);
        one.wait().await;
        one
    }

    /// A cluster of one member that serves HTTPS with these flags, once it listens.
    pub(crate) async fn start_https(flags: &[String]) -> Self {
        let one = Self::spawn("https", &[(free_port(), free_port())], 0, flags);
        let listens = async {
            while TcpStream::connect(("127.0.0.1", one.port)).await.is_err() {
                sleep(Duration::from_millis(20)).await;
            }
        };
        timeout(START_TIME_MAX, listens)
            .await
            .unwrap_or_else(|_| panic!("etcd does not listen: {}", one.log()));
        one
    }

    /// A cluster of three members.
    pub(crate) async fn start_three() -> Vec<Self> {
        let ports: Vec<_> = (0..3).map(|_| (free_port(), free_port())).collect();
        let mut members: Vec<_> = (0..3).map(|at| Self::spawn("http", &ports, at, &[])).collect();
        for member in &mut members {
            member.wait().await;
        }
        members
    }

    fn spawn(scheme: &str, ports: &[(u16, u16)], at: usize, flags: &[String]) -> Self {
        let folder = TempDir::new().unwrap();
        let url = |scheme: &str, port: u16| format!("{scheme}://127.0.0.1:{port}");
        let (port, peer_port) = ports[at];
        let (client, peer) = (url(scheme, port), url("http", peer_port));
        let members = ports.iter().enumerate().map(|(at, (_, peer))| format!("m{at}={}", url("http", *peer)));
        let cluster = members.collect::<Vec<_>>().join(",");
        let data = folder.path().join("data").display().to_string();
        let name = format!("m{at}");
        let mut arguments = Vec::new();
        for (flag, value) in [
            ("name", name.as_str()),
            ("data-dir", &data),
            ("listen-client-urls", &client),
            ("advertise-client-urls", &client),
            ("listen-peer-urls", &peer),
            ("initial-advertise-peer-urls", &peer),
            ("initial-cluster", &cluster),
            ("bcrypt-cost", "4"),
        ] {
            arguments.extend([format!("--{flag}"), value.to_owned()]);
        }
        arguments.extend_from_slice(flags);
        let mut member = Self { port, folder, arguments, child: None };
        member.run();
        member
    }

    fn run(&mut self) {
        let log = File::options().create(true).append(true).open(self.log_path()).unwrap();
        let child = Command::new("etcd")
            .args(&self.arguments)
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn();
        self.child = Some(child.unwrap_or_else(|error| {
            panic!("no etcd ({error}): install Debian's package etcd-server, as `cargo xtask test` does")
        }));
    }

    fn log_path(&self) -> PathBuf {
        self.folder.path().join("log")
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    /// Waits until it can read and write.
    pub(crate) async fn wait(&mut self) {
        let serves = async {
            while !matches!(
                self.try_post("/v3/kv/range", r#"{"key":"YQ=="}"#).await,
                Some((200 | 400 | 401, _))
            ) {
                sleep(Duration::from_millis(20)).await;
            }
        };
        let served = timeout(START_TIME_MAX, serves).await;
        served.unwrap_or_else(|_| panic!("etcd does not serve: {}", self.log()));
    }

    /// Ends it as a crash does.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Starts it again after [`Self::kill`], with its data.
    pub(crate) async fn restart(&mut self) {
        self.run();
        self.wait().await;
    }

    /// The strategy for it.
    pub(crate) fn strategy(&self) -> Etcd {
        strategy(&[self.port])
    }

    /// Asks its gateway without a user; must be answered well.
    pub(crate) async fn post(&self, path: &str, body: &Value) -> Value {
        let (status, answer) = self.try_post(path, &body.to_string()).await.expect("etcd answers");
        assert_eq!(status, 200, "{path}: {answer}");
        answer
    }

    /// An answer in one piece, since the connection ends after it.
    async fn try_post(&self, path: &str, body: &str) -> Option<(u16, Value)> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).await.ok()?;
        let length = body.len();
        let request = format!(
            "POST {path} HTTP/1.0\r\nHost: etcd\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
        );
        stream.write_all(request.as_bytes()).await.ok()?;
        let mut answer = String::new();
        timeout(Duration::from_secs(8), stream.read_to_string(&mut answer)).await.ok()?.ok()?;
        let status = answer.split(' ').nth(1)?.parse().ok()?;
        let (_, body) = answer.split_once("\r\n\r\n")?;
        Some((status, serde_json::from_str(body).ok()?))
    }
}

/// The strategy for members on these ports of this machine.
pub(crate) fn strategy(ports: &[u16]) -> Etcd {
    let host: Host = "127.0.0.1".parse().unwrap();
    Etcd::new(ports.iter().map(|port| (host.clone(), *port))).unwrap()
}
