//! The name service: every node has a name, and a machine may fail to look one up.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use phalanx_base::DnsName;
use phalanx_discovery::{BoxFuture, ResolveError, Resolver};

/// How long a name server that is dead is waited for.
const DEAD_SERVER_TIME: Duration = Duration::from_secs(5);

/// What every name stands for.
pub(crate) type Names = Arc<BTreeMap<String, IpAddr>>;

/// One machine's way of looking names up.
pub(crate) struct SimResolver {
    names: Names,
    fails: AtomicBool,
}

impl SimResolver {
    pub(crate) fn new(names: Names) -> Self {
        Self { names, fails: AtomicBool::new(false) }
    }

    pub(crate) fn set_failing(&self, fails: bool) {
        self.fails.store(fails, Ordering::Relaxed);
    }
}

impl Resolver for SimResolver {
    fn resolve<'a>(&'a self, name: &'a DnsName) -> BoxFuture<'a, Result<Vec<IpAddr>, ResolveError>> {
        Box::pin(async move {
            if self.fails.load(Ordering::Relaxed) {
                tokio::time::sleep(DEAD_SERVER_TIME).await;
                let reason = "the name servers do not answer".to_owned();
                return Err(ResolveError::Failed { name: name.clone(), reason });
            }
            match self.names.get(&name.to_string()) {
                Some(ip) => Ok(vec![*ip]),
                None => Err(ResolveError::NotFound { name: name.clone() }),
            }
        })
    }
}
