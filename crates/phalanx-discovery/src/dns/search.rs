//! The way from a place to its candidates.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::iter;
use phalanx_base::{Address, DnsName, Host, TransportKind};
use tokio::time::Instant;

use super::failing::Failing;
use super::naptr::{Rule, rules};
use super::place::{Place, Route};
use super::questions::{Failures, Questions};
use super::srv::{ordered, target};
use crate::{Attempt, Candidate, Candidates, DiscoverContext, DiscoverError, RecordName, ResolveError};

/// The longest that one look takes: three seconds for NAPTR, three for SRV, five for addresses, and one to spare.
const SEARCH_TIME_MAX: Duration = Duration::from_secs(12);

/// How many places are searched at the same time, so that a dead one leaves the others their time; each asks for several
/// names at once.
const PLACES_AT_ONCE: usize = 8;

/// How many machines of one place's services are looked up: all control nodes of the largest cluster.
const TARGETS_MAX: usize = 128;

/// The names of our services, the preferred one first.
const SERVICES: [(TransportKind, &str); 2] =
    [(TransportKind::Quic, "_phx._udp"), (TransportKind::Tls, "_phx._tcp")];

/// What one place gave.
struct Answer {
    candidates: Vec<Candidate>,
    /// Whether its records say that there is nobody.
    denied: bool,
    attempts: Vec<Attempt>,
    failures: Failures,
}

/// A machine that serves.
struct Target {
    transport: TransportKind,
    name: DnsName,
    port: u16,
}

/// Searches all places. What is written down comes in their order.
pub(super) async fn search(
    places: &[Place],
    failing: &Failing,
    context: &DiscoverContext,
) -> Result<Candidates, DiscoverError> {
    let deadline = Instant::now() + SEARCH_TIME_MAX;
    let searches: Vec<_> = places.iter().map(|place| search_place(place, context, deadline)).collect();
    let mut answers = iter(searches).buffered(PLACES_AT_ONCE);
    let (mut found, mut denied, mut failures) = (Candidates::default(), false, Failures::default());
    while let Some(answer) = answers.next().await {
        found.extend(answer.candidates);
        denied |= answer.denied;
        failures.merge(answer.failures);
        for attempt in answer.attempts {
            context.tried(|| attempt);
        }
    }
    if !found.is_empty() {
        failing.log(failures.failed());
    }
    let decided = !found.is_empty() || (denied && failures.failed().is_none());
    match failures.most() {
        Some((first, failed)) if !decided => Err(DiscoverError::Unresolved { first, failed }),
        _ => Ok(found),
    }
}

async fn search_place(place: &Place, context: &DiscoverContext, deadline: Instant) -> Answer {
    let mut search = Search { questions: Questions::new(context, deadline), denied: false };
    let candidates = match &place.host {
        Host::Ip(ip) => vec![candidate(place.address(), *ip)],
        Host::Name(name) => search.name(place, name).await,
    };
    let denied = search.denied && candidates.is_empty();
    let (attempts, failures) = search.questions.end();
    Answer { candidates, denied, attempts, failures }
}

/// The search of one place.
struct Search<'a> {
    questions: Questions<'a>,
    /// Whether a record said that a service is decidedly not there.
    denied: bool,
}

impl Search<'_> {
    async fn name(&mut self, place: &Place, name: &DnsName) -> Vec<Candidate> {
        match &place.route {
            Route::Addresses => self.addresses(place, name).await,
            Route::Services => self.services(name, &SERVICES).await,
            Route::Guess if self.questions.resolver().is_local(name) => self.addresses(place, name).await,
            Route::Guess | Route::Chain => {
                let mut found = self.chain(name).await;
                if found.is_empty() && !self.denied {
                    found = self.services(name, &SERVICES).await;
                }
                self.or_addresses(found, place, name).await
            }
            Route::NamedPort(port_name) => {
                let found = self.services(name, &[(TransportKind::Quic, port_name)]).await;
                self.or_addresses(found, place, name).await
            }
        }
    }

    async fn or_addresses(&mut self, found: Vec<Candidate>, place: &Place, name: &DnsName) -> Vec<Candidate> {
        if found.is_empty() && !self.denied { self.addresses(place, name).await } else { found }
    }

    /// A and AAAA of the name itself.
    async fn addresses(&mut self, place: &Place, name: &DnsName) -> Vec<Candidate> {
        let ips = self.questions.addresses(std::slice::from_ref(name)).await;
        ips.into_iter().flatten().map(|ip| candidate(place.address(), ip)).collect()
    }

    /// SRV below the name, and the addresses of what is there.
    async fn services(&mut self, name: &DnsName, services: &[(TransportKind, &str)]) -> Vec<Candidate> {
        let mut rules = Vec::new();
        for (transport, prefix) in services {
            match RecordName::below(prefix, name) {
                Ok(owner) => rules.push(Rule::Srv(*transport, owner)),
                Err(error) => {
                    self.questions
                        .fail(ResolveError::Failed { name: name.clone(), reason: error.to_string() });
                }
            }
        }
        self.follow(rules).await
    }

    /// NAPTR of the name, and what these lead to.
    async fn chain(&mut self, name: &DnsName) -> Vec<Candidate> {
        let records = self.questions.naptr(&name.clone().into()).await;
        self.follow(rules(&records)).await
    }

    async fn follow(&mut self, rules: Vec<Rule>) -> Vec<Candidate> {
        let owners: Vec<_> = rules
            .iter()
            .filter_map(|rule| if let Rule::Srv(_, owner) = rule { Some(owner.clone()) } else { None })
            .collect();
        let mut answers = self.questions.srv(&owners).await.into_iter();
        let mut targets = Vec::new();
        for rule in rules {
            match rule {
                Rule::Addresses(transport, name) => {
                    targets.push(Target { transport, name, port: Address::DEFAULT_PORT });
                }
                Rule::Srv(transport, _) => {
                    let records = answers.next().unwrap_or_default();
                    self.denied |= records.iter().any(crate::SrvRecord::is_denial);
                    let records = ordered(records, self.questions.context().entropy.as_ref());
                    let dialled = records.iter().filter_map(|record| {
                        Some(Target { transport, name: target(record)?, port: record.port })
                    });
                    targets.extend(dialled);
                }
            }
        }
        self.resolve(targets).await
    }

    /// The addresses of the targets, in their order. Each name is asked for once.
    async fn resolve(&mut self, targets: Vec<Target>) -> Vec<Candidate> {
        let mut names: Vec<DnsName> = Vec::new();
        for target in &targets {
            if !names.contains(&target.name) && names.len() < TARGETS_MAX {
                names.push(target.name.clone());
            }
        }
        let answers = self.questions.addresses(&names).await;
        let ips: BTreeMap<&DnsName, Vec<IpAddr>> = names.iter().zip(answers).collect();
        let mut candidates = Vec::new();
        for target in &targets {
            let address =
                Address::new(target.name.clone().into(), target.port).with_transport(target.transport);
            let ips = ips.get(&target.name).into_iter().flatten();
            candidates.extend(ips.map(|ip| candidate(address.clone(), *ip)));
            if candidates.len() >= Candidates::LENGTH_MAX {
                break;
            }
        }
        candidates
    }
}

fn candidate(address: Address, ip: IpAddr) -> Candidate {
    let socket = (ip, address.port()).into();
    Candidate { address, socket }
}
