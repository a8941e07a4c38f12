//! Announcing: a key under a lease, renewed for as long as the node is there.

use std::time::Duration;

use tokio::time::{sleep, timeout};
use tracing::{debug, info, warn};

use super::Etcd;
use super::error::AskError;
use super::gateway::Gateway;
use super::record::Record;
use crate::http::Backoff;
use crate::{Announcement, Attempt, BoxFuture, DiscoverContext};

/// How many renewals fit into the time to live: two may fail.
const RENEWALS: u32 = 3;

/// Publishes a node until `withdrawn` ends.
pub(super) async fn announce(
    etcd: &Etcd,
    context: &DiscoverContext,
    who: &Announcement,
    withdrawn: BoxFuture<'_, ()>,
) -> Result<(), AskError> {
    let cluster = context.cluster.as_ref().ok_or(AskError::NoCluster)?;
    let record = Record::new(&cluster.id, who);
    let publication = Publication { etcd, context, key: record.key(&etcd.prefix), value: record.json() };
    let mut lease = None;
    tokio::select! {
        biased;
        () = withdrawn => {}
        error = publication.keep(&mut lease) => return Err(error),
    }
    if let Some(lease) = lease {
        publication.withdraw(lease).await;
    }
    Ok(())
}

struct Publication<'a> {
    etcd: &'a Etcd,
    context: &'a DiscoverContext,
    key: String,
    value: Vec<u8>,
}

impl Publication<'_> {
    /// Keeps the record there until that fails. `lease` is the present one.
    async fn keep(&self, lease: &mut Option<i64>) -> AskError {
        loop {
            let ttl = match self.publish(lease).await {
                Ok(ttl) => ttl,
                Err(error) => return error,
            };
            let Some(id) = *lease else { return AskError::LeaseLost("there is none".to_owned()) };
            if let Err(error) = self.renew_until_lost(id, ttl).await {
                return error;
            }
            warn!(key = %self.key, "etcd has lost the lease of this node: it is published anew");
        }
    }

    /// Writes the record under a new lease, and gives its time to live.
    async fn publish(&self, lease: &mut Option<i64>) -> Result<Duration, AskError> {
        let gateway = Gateway::open(self.etcd, self.context)?;
        let granted = gateway.grant().await?;
        *lease = Some(granted.id);
        self.put(&gateway, granted.id).await?;
        info!(key = %self.key, "published in etcd");
        // A small etcd may grant more than was asked for; never wait longer than was meant.
        Ok(Duration::from_secs(granted.ttl_s).clamp(Etcd::TTL_MIN, self.etcd.ttl))
    }

    async fn put(&self, gateway: &Gateway<'_>, lease: i64) -> Result<(), AskError> {
        gateway.put(&self.key, &self.value, lease).await?;
        self.context.tried(|| Attempt {
            kind: "etcd",
            name: format!("write {}", self.key),
            outcome: Ok(vec![String::from_utf8_lossy(&self.value).into_owned()]),
        });
        Ok(())
    }

    /// Renews the lease; returns when etcd says that it is lost.
    async fn renew_until_lost(&self, lease: i64, ttl: Duration) -> Result<(), AskError> {
        let pause = ttl / RENEWALS;
        loop {
            sleep(pause).await;
            let mut last = None;
            match timeout(ttl - pause, self.renew(lease, pause, &mut last)).await {
                Ok(true) => {}
                Ok(false) => return Ok(()),
                Err(_) => {
                    let reason = last.map_or_else(|| "no answer".to_owned(), |error| error.to_string());
                    return Err(AskError::LeaseLost(reason));
                }
            }
        }
    }

    /// Renews the lease once, trying until that succeeds; says whether it still is there. `last` is the last failure.
    async fn renew(&self, lease: i64, pause_max: Duration, last: &mut Option<AskError>) -> bool {
        let mut backoff = Backoff::default();
        loop {
            match self.renew_once(lease).await {
                Ok(is_there) => return is_there,
                Err(error) => {
                    debug!(key = %self.key, %error, "a lease of etcd is not renewed; it is tried again");
                    *last = Some(error);
                }
            }
            sleep(backoff.pause(self.context.entropy.as_ref(), None).min(pause_max)).await;
        }
    }

    async fn renew_once(&self, lease: i64) -> Result<bool, AskError> {
        let gateway = Gateway::open(self.etcd, self.context)?;
        if gateway.renew(lease).await?.ttl_s == 0 {
            return Ok(false);
        }
        // Somebody may have deleted the key, or restored etcd from an old copy: the lease alone says nothing of that.
        if !gateway.exists(&self.key).await? {
            self.put(&gateway, lease).await?;
        }
        Ok(true)
    }

    /// Takes the record back; if that fails it runs out by itself.
    async fn withdraw(&self, lease: i64) {
        let revoked = match Gateway::open(self.etcd, self.context) {
            Ok(gateway) => gateway.revoke(lease).await,
            Err(error) => Err(error),
        };
        match revoked {
            // Nobody there knows of it any more.
            Ok(()) | Err(AskError::Refused { status: 404, .. }) => {
                info!(key = %self.key, "taken back from etcd")
            }
            Err(error) => {
                warn!(key = %self.key, %error, ttl_s = self.etcd.ttl.as_secs(), "not taken back from etcd: it runs out by itself");
            }
        }
    }
}
