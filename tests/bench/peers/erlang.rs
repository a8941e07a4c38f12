//! Erlang: `erpc:call` between two nodes, and messages of a mebibyte beside it. The program is `bench_peer.erl`, which is
//! compiled where it runs.

use std::net::TcpListener;
use std::process::Command;

use super::pair::Pair;
use crate::Failure;
use crate::helper::{Helper, Silent};
use crate::install::program;

const PROGRAM: &str = include_str!("bench_peer.erl");

/// Starts the port mapper and both nodes.
pub(super) fn start() -> Result<Pair, Failure> {
    let (Some(erl), Some(compiler), Some(mapper)) = (program("erl"), program("erlc"), program("epmd")) else {
        return Err("erlang-base is not installed".into());
    };
    let folder = tempfile::tempdir()?;
    std::fs::write(folder.path().join("bench_peer.erl"), PROGRAM)?;
    let compiled = Command::new(compiler).arg("bench_peer.erl").current_dir(folder.path()).output()?;
    if !compiled.status.success() {
        return Err(String::from_utf8_lossy(&compiled.stdout).into_owned().into());
    }
    // A mapper of its own, so that nothing is left behind and no other cluster is met. Free a moment ago.
    let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port().to_string();
    let mapper =
        Silent::start(Command::new(mapper).args(["-port", &port]).env("ERL_EPMD_ADDRESS", "127.0.0.1"))?;
    let node = |name: &str, arguments: &[&str]| {
        let mut command = Command::new(&erl);
        command.args(["-noshell", "-start_epmd", "false", "-sname", name, "-setcookie", "bench"]);
        command.args(["-kernel", "inet_dist_use_interface", "{127,0,0,1}"]);
        command.args(["-s", "bench_peer"]).args(arguments);
        Helper::start(command.current_dir(folder.path()).env("ERL_EPMD_PORT", &port))
    };
    let server = node("bench_server@localhost", &["serve"])?;
    let client = node("bench_client@localhost", &["ask", "bench_server@localhost"])?;
    // Both have loaded the module: the folder may go.
    Ok(Pair::new(client, server, Some(mapper)))
}
