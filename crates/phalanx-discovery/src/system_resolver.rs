//! The resolver of the operating system's configuration, over hickory.
//!
//! It follows what `files dns` means to the C library: a name that the hosts file knows is not asked of a name
//! server at all. That matters where no name server answers, which must not hold up a cluster on one machine or
//! in one rack.

use std::future::Future;
use std::net::IpAddr;
use std::pin::pin;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::{Either, select};
use hickory_resolver::lookup::Lookup;
use hickory_resolver::net::NetError;
use hickory_resolver::proto::op::Query;
use hickory_resolver::proto::rr::{Name, RecordType};
use hickory_resolver::{Hosts, TokioResolver};
use phalanx_base::DnsName;
use tokio::time::timeout;

use crate::{BoxFuture, ResolveError, Resolver};

/// The longest that one look-up takes: as long as a strategy waits before it looks again.
const LOOKUP_TIME_MAX: Duration = Duration::from_secs(5);

/// How much longer to wait for one family of addresses after the other one is there: some name servers never
/// answer for IPv6. Longer than the 50 ms of RFC 8305, since nobody waits for a page here.
const SECOND_FAMILY_GRACE: Duration = Duration::from_millis(500);

/// The longest that the answer "no such name" is remembered: while a cluster forms, names come into being.
const NEGATIVE_TTL_MAX: Duration = Duration::from_secs(1);

/// How many answers are remembered for as long as their name servers allow.
const CACHE_SIZE: u64 = 1024;

/// Resolves names as the operating system is set up to: its hosts file first, which is read each time, then its
/// name servers and search list. IPv4 and IPv6 are asked for at the same time, and IPv4 addresses come first.
///
/// The set-up is read at the first look-up and again after one that failed, so that it may change while the
/// node runs. Must be used within a tokio runtime.
#[derive(Default)]
pub struct SystemResolver {
    /// Made when it is first needed: a node that knows only IP addresses needs no name server.
    dns: Mutex<Option<TokioResolver>>,
}

impl SystemResolver {
    /// A resolver that has read nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn dns(&self) -> Result<TokioResolver, NetError> {
        let mut dns = self.dns.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(dns) = dns.as_ref() {
            return Ok(dns.clone());
        }
        let mut builder = TokioResolver::builder_tokio()?;
        builder.options_mut().negative_max_ttl = Some(NEGATIVE_TTL_MAX);
        builder.options_mut().cache_size = CACHE_SIZE;
        Ok(dns.insert(builder.build()?).clone())
    }

    fn forget_dns(&self) {
        *self.dns.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    async fn lookup(&self, name: &DnsName) -> Result<Vec<IpAddr>, ResolveError> {
        let fail = |reason: String| ResolveError::Failed { name: name.clone(), reason };
        let parsed = Name::from_ascii(name.as_str()).map_err(|error| fail(error.to_string()))?;
        let known = hosts_file(&parsed);
        if !known.is_empty() {
            return Ok(known);
        }
        let dns = self.dns().map_err(|error| fail(error.to_string()))?;
        match both_families(|family| dns.lookup(parsed.clone(), family)).await {
            Ok(ips) if ips.is_empty() => Err(ResolveError::NotFound { name: name.clone() }),
            Ok(ips) => Ok(ips),
            Err(reason) => {
                self.forget_dns();
                Err(fail(reason))
            }
        }
    }
}

impl Resolver for SystemResolver {
    fn resolve<'a>(&'a self, name: &'a DnsName) -> BoxFuture<'a, Result<Vec<IpAddr>, ResolveError>> {
        Box::pin(self.lookup(name))
    }
}

impl std::fmt::Debug for SystemResolver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SystemResolver").finish_non_exhaustive()
    }
}

/// What the hosts file says; it is a small local file, so reading it holds up nobody.
fn hosts_file(name: &Name) -> Vec<IpAddr> {
    let Ok(hosts) = Hosts::from_system() else { return Vec::new() };
    let families = [RecordType::A, RecordType::AAAA];
    let lookups = families.map(|family| hosts.lookup_static_host(&Query::query(name.clone(), family)));
    lookups.iter().flatten().flat_map(addresses).collect()
}

fn addresses(lookup: &Lookup) -> impl Iterator<Item = IpAddr> {
    lookup.answers().iter().filter_map(|record| record.data.ip_addr())
}

/// What one family says: addresses, none where the answer is *no*, or why there was no answer.
async fn one_family(lookup: impl Future<Output = Result<Lookup, NetError>>) -> Result<Vec<IpAddr>, String> {
    match timeout(LOOKUP_TIME_MAX, lookup).await {
        Ok(Ok(lookup)) => Ok(addresses(&lookup).collect()),
        Ok(Err(error)) if error.is_no_records_found() => Ok(Vec::new()),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err(format!("no answer within {} s", LOOKUP_TIME_MAX.as_secs())),
    }
}

/// Asks for both families at once; an error only where neither has addresses and one of them failed.
async fn both_families<F>(lookup: impl Fn(RecordType) -> F) -> Result<Vec<IpAddr>, String>
where
    F: Future<Output = Result<Lookup, NetError>>,
{
    let (v4, v6) = (pin!(one_family(lookup(RecordType::A))), pin!(one_family(lookup(RecordType::AAAA))));
    let late = || Err("no answer".to_owned());
    let grace = |first: &Result<Vec<IpAddr>, String>| match first {
        Ok(ips) if !ips.is_empty() => SECOND_FAMILY_GRACE,
        _ => LOOKUP_TIME_MAX,
    };
    let (v4, v6) = match select(v4, v6).await {
        Either::Left((v4, v6)) => {
            let v6 = timeout(grace(&v4), v6).await.unwrap_or_else(|_| late());
            (v4, v6)
        }
        Either::Right((v6, v4)) => {
            let v4 = timeout(grace(&v6), v4).await.unwrap_or_else(|_| late());
            (v4, v6)
        }
    };
    match (v4, v6) {
        (Ok(v4), Ok(v6)) => Ok([v4, v6].concat()),
        (Ok(ips), Err(_)) | (Err(_), Ok(ips)) if !ips.is_empty() => Ok(ips),
        (Err(reason), _) | (_, Err(reason)) => Err(reason),
    }
}

#[cfg(test)]
mod tests;
