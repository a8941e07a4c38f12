//! Questions to the resolver: within their time, written down, and their failures kept.

use std::net::IpAddr;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::join_all;
use futures_util::stream::iter;
use phalanx_base::DnsName;
use tokio::time::{Instant, timeout_at};

use super::lottery::shuffle;
use crate::{
    Attempt, DiscoverContext, IpAnswers, NaptrRecord, RecordName, ResolveError, Resolver, SrvRecord,
};

/// How long to wait for NAPTR and for SRV records. Some name servers drop questions of kinds that they do not know; then the
/// next question must still have its time.
const RECORDS_TIME_MAX: Duration = Duration::from_secs(3);

/// How many names of one place are resolved at the same time: enough that a dead one holds up few others, and no flood for a name server.
const NAMES_AT_ONCE: usize = 8;

/// The questions about one place, one after the other.
pub(super) struct Questions<'a> {
    context: &'a DiscoverContext,
    deadline: Instant,
    attempts: Vec<Attempt>,
    failures: Failures,
}

/// What had no answer, and what had none but *no*.
#[derive(Debug, Default)]
pub(super) struct Failures {
    /// The first question without an answer.
    failed: Option<ResolveError>,
    /// The last question whose answer was *no*: of a chain, the one nearest to what the user named.
    no: Option<ResolveError>,
    count: usize,
}

impl Failures {
    fn add(&mut self, error: ResolveError) {
        self.count += 1;
        if error.is_no() {
            self.no = Some(error);
        } else {
            self.failed.get_or_insert(error);
        }
    }

    /// Adds those of the next place.
    pub(super) fn merge(&mut self, other: Self) {
        self.count += other.count;
        self.failed = self.failed.take().or(other.failed);
        self.no = self.no.take().or(other.no);
    }

    /// The first question that had no answer.
    pub(super) fn failed(&self) -> Option<&ResolveError> {
        self.failed.as_ref()
    }

    /// The failure that says most, and how many there are.
    pub(super) fn most(self) -> Option<(ResolveError, usize)> {
        self.failed.or(self.no).map(|error| (error, self.count))
    }
}

impl<'a> Questions<'a> {
    pub(super) fn new(context: &'a DiscoverContext, deadline: Instant) -> Self {
        Self { context, deadline, attempts: Vec::new(), failures: Failures::default() }
    }

    pub(super) fn resolver(&self) -> &dyn Resolver {
        self.context.resolver.as_ref()
    }

    pub(super) fn context(&self) -> &DiscoverContext {
        self.context
    }

    /// What was asked, in its order, and what failed of it.
    pub(super) fn end(self) -> (Vec<Attempt>, Failures) {
        (self.attempts, self.failures)
    }

    /// Takes a note of what failed before there was anything to ask.
    pub(super) fn fail(&mut self, error: ResolveError) {
        self.failures.add(error);
    }

    /// The NAPTR records of a name.
    pub(super) async fn naptr(&mut self, owner: &RecordName) -> Vec<NaptrRecord> {
        let answer = timeout_at(self.records_end(), self.resolver().naptr(owner)).await;
        let late = |_| Err(late("NAPTR", owner));
        self.note_records("NAPTR", owner, answer.unwrap_or_else(late))
    }

    /// The SRV records of each name, all asked at the same time.
    pub(super) async fn srv(&mut self, owners: &[RecordName]) -> Vec<Vec<SrvRecord>> {
        let end = self.records_end();
        let answers = join_all(owners.iter().map(|owner| timeout_at(end, self.resolver().srv(owner)))).await;
        let noted = answers.into_iter().zip(owners).map(|(answer, owner)| {
            let late = |_| Err(late("SRV", owner));
            self.note_records("SRV", owner, answer.unwrap_or_else(late))
        });
        noted.collect()
    }

    /// The addresses of each name, several asked at the same time. Each family is shuffled, so that nobody's first address is
    /// everybody's; IPv4 comes first, so that a network without a way for IPv6 costs nothing.
    pub(super) async fn addresses(&mut self, names: &[DnsName]) -> Vec<Vec<IpAddr>> {
        let (resolver, deadline) = (self.context.resolver.as_ref(), self.deadline);
        let lookups = names.iter().map(|name| async move {
            let late = |_| IpAnswers::split(Err(late_name(name)));
            timeout_at(deadline, resolver.addresses(name)).await.unwrap_or_else(late)
        });
        // A list, since a stream that borrows a closure is not `Send` for every lifetime.
        let lookups: Vec<_> = lookups.collect();
        let answers: Vec<IpAnswers> = iter(lookups).buffered(NAMES_AT_ONCE).collect().await;
        answers.into_iter().zip(names).map(|(answer, name)| self.note_addresses(name, answer)).collect()
    }

    fn records_end(&self) -> Instant {
        self.deadline.min(Instant::now() + RECORDS_TIME_MAX)
    }

    fn note_records<T: ToString>(
        &mut self,
        kind: &'static str,
        owner: &RecordName,
        answer: Result<Vec<T>, ResolveError>,
    ) -> Vec<T> {
        let outcome = match &answer {
            Ok(records) => Ok(records.iter().map(T::to_string).collect()),
            Err(error) => Err(error.outcome()),
        };
        self.attempts.push(Attempt { kind, name: owner.to_string(), outcome });
        answer.unwrap_or_else(|error| {
            self.failures.add(error);
            Vec::new()
        })
    }

    fn note_addresses(&mut self, name: &DnsName, mut answers: IpAnswers) -> Vec<IpAddr> {
        self.attempts.extend(answers.attempts(name));
        let entropy = self.context.entropy.as_ref();
        if let Ok(ips) = &mut answers.v4 {
            shuffle(entropy, ips);
        }
        if let Ok(ips) = &mut answers.v6 {
            shuffle(entropy, ips);
        }
        answers.joined(name).unwrap_or_else(|error| {
            self.failures.add(error);
            Vec::new()
        })
    }
}

fn late(kind: &'static str, owner: &RecordName) -> ResolveError {
    ResolveError::NoAnswer { kind, owner: owner.clone(), reason: "no answer in time".to_owned() }
}

fn late_name(name: &DnsName) -> ResolveError {
    ResolveError::Failed { name: name.clone(), reason: "no answer in time".to_owned() }
}
