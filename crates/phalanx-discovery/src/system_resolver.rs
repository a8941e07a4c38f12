//! The resolver of the operating system's configuration, over hickory.
//!
//! It follows what `files dns` means to the C library: a name that the hosts file knows is not asked of a name
//! server at all. That matters where no name server answers, which must not hold up a cluster on one machine or
//! in one rack.

use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::{Either, select};
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig};
use hickory_resolver::lookup::Lookup;
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::op::Query;
use hickory_resolver::proto::rr::{Name, RData, RecordType};
use hickory_resolver::{Hosts, TokioResolver};
use phalanx_base::DnsName;
use tokio::time::timeout;

use crate::{BoxFuture, IpAnswers, NaptrRecord, RecordName, ResolveError, Resolver, SrvRecord};

/// The longest that one look-up takes: as long as a strategy waits before it looks again.
const LOOKUP_TIME_MAX: Duration = Duration::from_secs(5);

/// How much longer to wait for one family of addresses after the other one is there: some name servers never
/// answer for IPv6. Longer than the 50 ms of RFC 8305, since nobody waits for a page here.
const SECOND_FAMILY_GRACE: Duration = Duration::from_millis(500);

/// The longest that the answer "no such name" is remembered: while a cluster forms, names come into being.
const NEGATIVE_TTL_MAX: Duration = Duration::from_secs(1);

/// How many answers are remembered for as long as their name servers allow.
const CACHE_SIZE: u64 = 1024;

/// How many records of one answer are used: an answer has up to 64 KiB, and twice what anybody dials is enough.
const ANSWERS_MAX: usize = 1024;

/// How many questions one name server is asked at the same time: eight names of each of eight places, both families.
const QUESTIONS_MAX: usize = 128;

/// How many aliases of SRV records are followed, as hickory follows those of others.
const ALIASES_MAX: usize = 8;

/// Resolves names as the operating system is set up to: its hosts file first, which is read each time, then its
/// name servers and search list. IPv4 and IPv6 are asked for at the same time, and IPv4 addresses come first.
///
/// Answers are remembered for as long as their records say, the answer *no* for a second at most. The set-up is read at
/// the first look-up and again after one that failed, so that it may change while the node runs. Must be used within a
/// tokio runtime.
#[derive(Default)]
pub struct SystemResolver {
    /// The name server to ask instead of the system's.
    server: Option<SocketAddr>,
    /// Made when it is first needed: a node that knows only IP addresses needs no name server.
    dns: Mutex<Option<TokioResolver>>,
}

impl SystemResolver {
    /// A resolver that has read nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A resolver that asks this name server only, by UDP, and by TCP where an answer is too large for that. The hosts file
    /// and the search list of this machine mean nothing to it.
    #[must_use]
    pub fn with_server(server: SocketAddr) -> Self {
        Self { server: Some(server), dns: Mutex::default() }
    }

    fn dns(&self) -> Result<TokioResolver, NetError> {
        let mut dns = self.dns.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(dns) = dns.as_ref() {
            return Ok(dns.clone());
        }
        let mut builder = match self.server {
            None => TokioResolver::builder_tokio()?,
            Some(server) => {
                let provider = TokioRuntimeProvider::default();
                let mut builder = TokioResolver::builder_with_config(only(server), provider);
                builder.options_mut().use_hosts_file = ResolveHosts::Never;
                builder
            }
        };
        builder.options_mut().negative_max_ttl = Some(NEGATIVE_TTL_MAX);
        builder.options_mut().cache_size = CACHE_SIZE;
        builder.options_mut().max_active_requests = QUESTIONS_MAX;
        Ok(dns.insert(builder.build()?).clone())
    }

    /// Lets the next look-up read the system's set-up again.
    fn forget_dns(&self) {
        if self.server.is_none() {
            *self.dns.lock().unwrap_or_else(PoisonError::into_inner) = None;
        }
    }

    /// What the hosts file says; it is a small local file, so reading it holds up nobody.
    fn hosts_file(&self, name: &Name) -> Vec<IpAddr> {
        let hosts = if self.server.is_none() { Hosts::from_system().ok() } else { None };
        let Some(hosts) = hosts else { return Vec::new() };
        let families = [RecordType::A, RecordType::AAAA];
        let lookups = families.map(|family| hosts.lookup_static_host(&Query::query(name.clone(), family)));
        lookups.iter().flatten().flat_map(addresses).collect()
    }

    async fn lookup(&self, name: &DnsName) -> IpAnswers {
        let fail = |reason: String| ResolveError::Failed { name: name.clone(), reason };
        let parsed = match Name::from_ascii(name.as_str()) {
            Ok(parsed) => parsed,
            Err(error) => return IpAnswers::split(Err(fail(error.to_string()))),
        };
        let known = self.hosts_file(&parsed);
        if !known.is_empty() {
            return IpAnswers::split(Ok(known));
        }
        let dns = match self.dns() {
            Ok(dns) => dns,
            Err(error) => return IpAnswers::split(Err(fail(error.to_string()))),
        };
        let (v4, v6) = both_families(|family| dns.lookup(parsed.clone(), family)).await;
        let answers = IpAnswers {
            v4: v4.map(|ips| ips.into_iter().filter_map(ipv4).collect()).map_err(fail),
            v6: v6.map(|ips| ips.into_iter().filter_map(ipv6).collect()).map_err(fail),
        };
        if answers.clone().joined(name).is_err_and(|error| !error.is_no()) {
            self.forget_dns();
        }
        answers
    }

    /// The records of a kind that a name has.
    async fn records<T>(
        &self,
        owner: &RecordName,
        (kind, record_type): (&'static str, RecordType),
        read: fn(&RData) -> Option<T>,
    ) -> Result<Vec<T>, ResolveError> {
        let fail = |reason: String| ResolveError::NoAnswer { kind, owner: owner.clone(), reason };
        let name = Name::from_ascii(owner.as_str()).map_err(|error| fail(error.to_string()))?;
        let dns = self.dns().map_err(|error| fail(error.to_string()))?;
        let found = match timeout(LOOKUP_TIME_MAX, rdata(&dns, name, record_type)).await {
            Ok(Ok(found)) => found,
            Ok(Err(error)) if error.is_no_records_found() => Vec::new(),
            Ok(Err(error)) => {
                self.forget_dns();
                return Err(fail(error.to_string()));
            }
            Err(_) => {
                self.forget_dns();
                return Err(fail(late()));
            }
        };
        let records: Vec<_> = found.iter().filter_map(read).take(ANSWERS_MAX).collect();
        if records.is_empty() {
            Err(ResolveError::NoRecords { kind, owner: owner.clone() })
        } else {
            Ok(records)
        }
    }
}

impl Resolver for SystemResolver {
    fn resolve<'a>(&'a self, name: &'a DnsName) -> BoxFuture<'a, Result<Vec<IpAddr>, ResolveError>> {
        Box::pin(async move { self.lookup(name).await.joined(name) })
    }

    fn addresses<'a>(&'a self, name: &'a DnsName) -> BoxFuture<'a, IpAnswers> {
        Box::pin(self.lookup(name))
    }

    fn srv<'a>(&'a self, owner: &'a RecordName) -> BoxFuture<'a, Result<Vec<SrvRecord>, ResolveError>> {
        Box::pin(self.records(owner, ("SRV", RecordType::SRV), |data| match data {
            RData::SRV(srv) => Some(SrvRecord {
                priority: srv.priority,
                weight: srv.weight,
                port: srv.port,
                target: srv.target.to_ascii(),
            }),
            _ => None,
        }))
    }

    fn naptr<'a>(&'a self, owner: &'a RecordName) -> BoxFuture<'a, Result<Vec<NaptrRecord>, ResolveError>> {
        Box::pin(self.records(owner, ("NAPTR", RecordType::NAPTR), |data| match data {
            RData::NAPTR(naptr) => Some(NaptrRecord {
                order: naptr.order,
                preference: naptr.preference,
                flags: text(&naptr.flags),
                services: text(&naptr.services),
                regexp: text(&naptr.regexp),
                replacement: naptr.replacement.to_ascii(),
            }),
            _ => None,
        }))
    }

    fn is_local(&self, name: &DnsName) -> bool {
        Name::from_ascii(name.as_str())
            .is_ok_and(|name| name.is_localhost() || !self.hosts_file(&name).is_empty())
    }
}

impl std::fmt::Debug for SystemResolver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SystemResolver").field("server", &self.server).finish_non_exhaustive()
    }
}

/// The set-up of a resolver that knows one name server.
fn only(server: SocketAddr) -> ResolverConfig {
    let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()].map(|mut connection| {
        connection.port = server.port();
        connection
    });
    let server = NameServerConfig::new(server.ip(), true, connections.into());
    ResolverConfig::from_parts(None, Vec::new(), vec![server])
}

/// The data of an answer. Hickory takes the target of an SRV record for an alias, and so finds none behind a true alias;
/// those are followed here.
async fn rdata(dns: &TokioResolver, mut name: Name, record_type: RecordType) -> Result<Vec<RData>, NetError> {
    for _ in 0..ALIASES_MAX {
        let data = |lookup: Lookup| lookup.answers().iter().map(|record| record.data.clone()).collect();
        let none = match dns.lookup(name.clone(), record_type).await {
            Err(error) if record_type == RecordType::SRV && error.is_no_records_found() => error,
            answer => return answer.map(data),
        };
        let aliases = dns.lookup(name, RecordType::CNAME).await?;
        let alias = aliases.answers().iter().find_map(|record| match &record.data {
            RData::CNAME(alias) => Some(alias.0.clone()),
            _ => None,
        });
        name = alias.ok_or(none)?;
    }
    Err(NetError::Message("too many aliases"))
}

fn ipv4(ip: IpAddr) -> Option<std::net::Ipv4Addr> {
    if let IpAddr::V4(ip) = ip { Some(ip) } else { None }
}

fn ipv6(ip: IpAddr) -> Option<std::net::Ipv6Addr> {
    if let IpAddr::V6(ip) = ip { Some(ip) } else { None }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn late() -> String {
    format!("no answer within {} s", LOOKUP_TIME_MAX.as_secs())
}

fn addresses(lookup: &Lookup) -> impl Iterator<Item = IpAddr> {
    lookup.answers().iter().filter_map(|record| record.data.ip_addr())
}

/// What one family says: addresses, none where the answer is *no*, or why there was no answer.
async fn one_family(lookup: impl Future<Output = Result<Lookup, NetError>>) -> Result<Vec<IpAddr>, String> {
    match timeout(LOOKUP_TIME_MAX, lookup).await {
        Ok(Ok(lookup)) => Ok(addresses(&lookup).take(ANSWERS_MAX).collect()),
        Ok(Err(error)) if error.is_no_records_found() => Ok(Vec::new()),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err(late()),
    }
}

/// What IPv4 and IPv6 say.
type Families = (Result<Vec<IpAddr>, String>, Result<Vec<IpAddr>, String>);

/// Asks for both families at once. The second one to answer is not waited for long where the first has addresses.
async fn both_families<F>(lookup: impl Fn(RecordType) -> F) -> Families
where
    F: Future<Output = Result<Lookup, NetError>>,
{
    let (v4, v6) = (pin!(one_family(lookup(RecordType::A))), pin!(one_family(lookup(RecordType::AAAA))));
    let late = || Err("no answer".to_owned());
    let grace = |first: &Result<Vec<IpAddr>, String>| match first {
        Ok(ips) if !ips.is_empty() => SECOND_FAMILY_GRACE,
        _ => LOOKUP_TIME_MAX,
    };
    match select(v4, v6).await {
        Either::Left((v4, v6)) => {
            let v6 = timeout(grace(&v4), v6).await.unwrap_or_else(|_| late());
            (v4, v6)
        }
        Either::Right((v6, v4)) => {
            let v4 = timeout(grace(&v6), v4).await.unwrap_or_else(|_| late());
            (v4, v6)
        }
    }
}

#[cfg(test)]
mod tests;
