//! What the program says about a node, as far as the scenarios read it.

use std::collections::BTreeMap;

use serde::Deserialize;

/// What `phalanx status -o json` says.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct Status {
    pub(crate) generation: String,
    pub(crate) ready: bool,
    pub(crate) explanation: String,
    /// The rest only a control node has, and the owner only a worker.
    #[serde(default)]
    pub(crate) majority: bool,
    #[serde(default)]
    pub(crate) hosted: usize,
    #[serde(default)]
    pub(crate) members: Vec<Member>,
    #[serde(default)]
    pub(crate) sockets: Vec<Socket>,
    #[serde(default)]
    pub(crate) owner: Option<String>,
}

/// A control node, as another one sees it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct Member {
    pub(crate) node: String,
    pub(crate) generation: String,
    pub(crate) liveness: String,
    pub(crate) state: Option<String>,
}

/// A socket that a node dials.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct Socket {
    pub(crate) error: Option<String>,
}

/// What `phalanx node ls -o json` says.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct Listing {
    nodes: Vec<Listed>,
    silent: Vec<String>,
}

/// A node there.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
struct Listed {
    node: String,
    worker: Option<Hosted>,
}

/// As a worker.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
struct Hosted {
    status: String,
    owner: String,
}

/// A line of `phalanx events -o json`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct Event {
    pub(crate) number: u64,
    pub(crate) event: String,
    pub(crate) node: Option<String>,
}

impl Listing {
    /// Who hosts which worker, where all of them are ready; else what is wrong.
    pub(crate) fn owners(self) -> Result<BTreeMap<String, String>, String> {
        if !self.silent.is_empty() {
            return Err(format!("{} did not answer", self.silent.join(", ")));
        }
        let mut owners = BTreeMap::new();
        for Listed { node, worker } in self.nodes {
            match worker {
                Some(Hosted { status, owner }) if status == "ready" => owners.insert(node, owner),
                Some(Hosted { status, .. }) => return Err(format!("{node} is {status}")),
                None => return Err(format!("{node} is hosted by nobody")),
            };
        }
        Ok(owners)
    }
}
