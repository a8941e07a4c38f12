//! Where the demo was built without containers there is no daemon, and it says how to get one.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::drivers::DockerAccess;

/// There is none.
pub(crate) enum Daemon {}

impl Daemon {
    pub(crate) async fn find(_: &Path) -> Result<Self, String> {
        Err("this build of the demo runs no containers: run `cargo xtask cluster-demo --with docker` on a Unix, which \
             builds them in, or build the package cluster-demo with `--features docker`"
            .to_owned())
    }

    pub(crate) fn access(&self) -> DockerAccess {
        match *self {}
    }

    pub(crate) fn archive(&self) -> PathBuf {
        match *self {}
    }

    pub(crate) fn is_private(&self) -> bool {
        match *self {}
    }

    pub(crate) async fn clear(&self) -> Result<BTreeMap<String, u64>, String> {
        match *self {}
    }
}
