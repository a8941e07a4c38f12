//! One node as a process.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// A running node. Killed when dropped.
pub(crate) struct Node {
    pub(crate) address: SocketAddr,
    process: Child,
}

impl Node {
    /// Starts one, and waits until it says where it listens. `setting` is the secret and the control nodes' addresses.
    pub(crate) fn start(role: &str, name: &str, reached: &str, setting: (&str, &str), folder: &Path) -> Self {
        let (secret, peers) = setting;
        let mut process = Command::new(env!("CARGO_BIN_EXE_program-node"))
            .args([role, secret, name, reached, peers])
            .arg(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().parse().unwrap_or_else(|_| panic!("{name} has not started: {line:?}"));
        Self { address, process }
    }

    /// Kills it without a word.
    pub(crate) fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
