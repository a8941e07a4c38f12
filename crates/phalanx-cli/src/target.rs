//! Which node a command talks to: one of this machine by its socket, or one anywhere by its address.

use std::fs;
use std::path::{Path, PathBuf};

use clap::Args;
use phalanx::Address;
use phalanx_operator::{Calls, Client, default_socket};

use crate::config::runtime_folder;
use crate::credential::{VARIABLE, secret_text};
use crate::exit::{Exit, Failure};

/// Which node to talk to
#[derive(Debug, Args)]
pub(crate) struct Target {
    /// The socket of an agent on this machine; without it, that of --cluster, or the only one there is
    #[arg(long, value_name = "PATH", env = "PHALANX_SOCKET", hide_env_values = true)]
    socket: Option<PathBuf>,
    /// A control node anywhere, over the network; needs --cluster and the secret. May be given several times
    #[arg(long, value_name = "HOST:PORT", conflicts_with = "socket")]
    address: Vec<Address>,
    #[command(flatten)]
    pub(crate) membership: Membership,
}

/// Which cluster, and what lets an operator in.
#[derive(Debug, Args)]
pub(crate) struct Membership {
    /// The name of the cluster
    #[arg(long, value_name = "NAME", env = "PHALANX_CLUSTER", hide_env_values = true)]
    pub(crate) cluster: Option<String>,
    /// A file with the cluster's secret; or set PHALANX_SECRET, or PHALANX_SECRET_FILE
    #[arg(long, value_name = "PATH")]
    pub(crate) secret_file: Option<PathBuf>,
}

impl Membership {
    /// The cluster's secret, where it is given.
    pub(crate) fn secret(&self) -> Result<Option<phalanx::Secret>, Failure> {
        let of_environment = || std::env::var_os("PHALANX_SECRET_FILE").map(PathBuf::from);
        let (file, is_flag) = match &self.secret_file {
            Some(file) => (Some(file.clone()), true),
            None => (of_environment(), false),
        };
        let Some(text) = secret_text(file.as_deref(), is_flag)? else { return Ok(None) };
        if let Some(warning) = &text.warning {
            eprintln!("phalanx: {warning}");
        }
        text.secret().map(Some)
    }
}

impl Target {
    /// Connects to the node.
    pub(crate) async fn connect(&self) -> Result<Client, Failure> {
        if self.address.is_empty() {
            return Ok(Client::connect_socket(self.socket_path()?).await?);
        }
        let Some(cluster) = &self.membership.cluster else {
            return Err(Failure::usage(
                "--address needs --cluster: the name of the cluster is a part of the proof",
            ));
        };
        let Some(secret) = self.membership.secret()? else {
            return Err(Failure::usage(format!(
                "--address needs the cluster's secret: set {VARIABLE}, or --secret-file"
            )));
        };
        Ok(Client::connect_network(cluster, &secret, &self.address).await?)
    }

    /// Connects to a control node, through which any worker can be called.
    pub(crate) async fn calls(&self) -> Result<Calls, Failure> {
        Ok(self.connect().await?.calls().await?)
    }

    /// Connects to a control node, for questions and for calls.
    pub(crate) async fn both(&self) -> Result<(Client, Calls), Failure> {
        let client = self.connect().await?;
        let calls = client.calls().await?;
        Ok((client, calls))
    }

    fn socket_path(&self) -> Result<PathBuf, Failure> {
        if let Some(path) = &self.socket {
            return Ok(path.clone());
        }
        let runtime = runtime_folder();
        if let Some(cluster) = &self.membership.cluster {
            return Ok(default_socket(runtime.as_deref(), cluster));
        }
        let folder = default_socket(runtime.as_deref(), "any").with_file_name("");
        only_socket(&folder)
    }
}

/// The only socket of a folder.
fn only_socket(folder: &Path) -> Result<PathBuf, Failure> {
    let entries = fs::read_dir(folder).map(|entries| entries.flatten().map(|entry| entry.path()));
    let mut sockets: Vec<PathBuf> = entries
        .into_iter()
        .flatten()
        .filter(|path| path.extension().is_some_and(|end| end == "sock"))
        .collect();
    sockets.sort();
    match &sockets[..] {
        [] => Err(Failure::new(
            Exit::Unreachable,
            format!(
                "no agent has a socket in {}: start one, or give --socket or --address",
                folder.display()
            ),
        )),
        [only] => Ok(only.clone()),
        several => {
            let names: Vec<_> = several.iter().filter_map(|path| path.file_stem()?.to_str()).collect();
            Err(Failure::usage(format!(
                "there are several agents here: give --cluster {}",
                names.join(" or --cluster ")
            )))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_only_socket_is_taken_and_of_several_one_must_be_named() {
        let folder = tempfile::tempdir().unwrap();
        let none = only_socket(&folder.path().join("absent")).unwrap_err();
        assert!(none.is_unreachable(), "{none}");
        fs::write(folder.path().join("notes.txt"), "").unwrap();
        fs::write(folder.path().join("b.sock"), "").unwrap();
        assert_eq!(only_socket(folder.path()).unwrap(), folder.path().join("b.sock"));
        fs::write(folder.path().join("a.sock"), "").unwrap();
        let several = only_socket(folder.path()).unwrap_err().to_string();
        assert!(several.ends_with("--cluster a or --cluster b"), "{several}");
    }
}
