//! The seam for names: the one way by which a host name becomes IP addresses, and by which a domain is asked for its
//! service records.

mod record_name;
mod records;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::pin::Pin;

use phalanx_base::DnsName;

use crate::Attempt;

pub use record_name::{RecordName, RecordNameError};
pub use records::{NaptrRecord, SrvRecord};

/// A future in a box, as traits need it that are used as `dyn`.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Turns host names into IP addresses: the system's way in production, a table in a simulation.
///
/// Only [`resolve`](Self::resolve) must be there. A resolver that can ask a name server for other records says so by the
/// other methods.
pub trait Resolver: Send + Sync + 'static {
    /// The IP addresses of a name, best first; never none.
    ///
    /// Ends by itself within seconds, with an answer or an error. Cancellation safe: dropping the future ends
    /// the look-up.
    ///
    /// # Errors
    /// [`ResolveError`] says whether the answer was *no* or there was none.
    fn resolve<'a>(&'a self, name: &'a DnsName) -> BoxFuture<'a, Result<Vec<IpAddr>, ResolveError>>;

    /// The same with what each family answered. Unless a resolver knows better it is [`resolve`](Self::resolve) taken apart,
    /// with one failure for both families. Ends and is cancelled likewise.
    fn addresses<'a>(&'a self, name: &'a DnsName) -> BoxFuture<'a, IpAnswers> {
        Box::pin(async move { IpAnswers::split(self.resolve(name).await) })
    }

    /// The SRV records of a name in the order of the answer; never none. Unless a resolver knows better there are no such
    /// records. Ends and is cancelled as [`resolve`](Self::resolve).
    ///
    /// # Errors
    /// [`ResolveError::NoRecords`] where the answer is *no*, [`ResolveError::NoAnswer`] where there is none.
    fn srv<'a>(&'a self, owner: &'a RecordName) -> BoxFuture<'a, Result<Vec<SrvRecord>, ResolveError>> {
        Box::pin(async move { Err(ResolveError::NoRecords { kind: "SRV", owner: owner.clone() }) })
    }

    /// The NAPTR records of a name in the order of the answer; never none. Unless a resolver knows better there are no such
    /// records. Ends and is cancelled as [`resolve`](Self::resolve).
    ///
    /// # Errors
    /// [`ResolveError::NoRecords`] where the answer is *no*, [`ResolveError::NoAnswer`] where there is none.
    fn naptr<'a>(&'a self, owner: &'a RecordName) -> BoxFuture<'a, Result<Vec<NaptrRecord>, ResolveError>> {
        Box::pin(async move { Err(ResolveError::NoRecords { kind: "NAPTR", owner: owner.clone() }) })
    }

    /// Whether this machine knows the name by itself, as by its hosts file. Such a name is a machine's, and no name server
    /// is asked which services it has unless the user wants that.
    fn is_local(&self, name: &DnsName) -> bool {
        let _ = name;
        false
    }
}

/// Why a name has no IP addresses or no records now.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ResolveError {
    /// There is no such name, or it has no IP address.
    #[error("{name} has no IP address: check the name, or wait until it is registered")]
    NotFound {
        /// The name.
        name: DnsName,
    },
    /// There was no answer; the name may be right.
    #[error("could not look up {name}: {reason}; check the name servers")]
    Failed {
        /// The name.
        name: DnsName,
        /// What went wrong, for people to read.
        reason: String,
    },
    /// There is no such name, or it has no record of the kind.
    #[error("{owner} has no {kind} record: check the name, or wait until it is registered")]
    NoRecords {
        /// `SRV` or `NAPTR`.
        kind: &'static str,
        /// Whose records they would be.
        owner: RecordName,
    },
    /// There was no answer to a question for records; they may be there.
    #[error("could not look up the {kind} records of {owner}: {reason}; check the name servers")]
    NoAnswer {
        /// `SRV` or `NAPTR`.
        kind: &'static str,
        /// Whose records they would be.
        owner: RecordName,
        /// What went wrong, for people to read.
        reason: String,
    },
}

impl ResolveError {
    /// Whether this is an answer, and the answer is *no*.
    #[must_use]
    pub fn is_no(&self) -> bool {
        matches!(self, Self::NotFound { .. } | Self::NoRecords { .. })
    }

    /// What stands beside the question where people read it.
    pub(crate) fn outcome(&self) -> String {
        match self {
            Self::NotFound { .. } | Self::NoRecords { .. } => NO.to_owned(),
            Self::Failed { reason, .. } | Self::NoAnswer { reason, .. } => reason.clone(),
        }
    }
}

/// What stands for the answer *no* where people read it.
const NO: &str = "no such record";

/// What both families of IP addresses answered: the addresses, none where the answer is *no*, or why there was no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IpAnswers {
    /// The answer to A.
    pub v4: Result<Vec<Ipv4Addr>, ResolveError>,
    /// The answer to AAAA.
    pub v6: Result<Vec<Ipv6Addr>, ResolveError>,
}

impl IpAnswers {
    /// Takes addresses of both families apart; each keeps its order.
    #[must_use]
    pub fn split(answer: Result<Vec<IpAddr>, ResolveError>) -> Self {
        let ips = match answer {
            Ok(ips) => ips,
            Err(error) if error.is_no() => Vec::new(),
            Err(error) => return Self { v4: Err(error.clone()), v6: Err(error) },
        };
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        for ip in ips {
            match ip {
                IpAddr::V4(ip) => v4.push(ip),
                IpAddr::V6(ip) => v6.push(ip),
            }
        }
        Self { v4: Ok(v4), v6: Ok(v6) }
    }

    /// Both questions, A first, for people to read.
    pub(crate) fn attempts(&self, name: &DnsName) -> [Attempt; 2] {
        let attempt = |kind, outcome| Attempt { kind, name: name.to_string(), outcome };
        [attempt("A", lines(&self.v4)), attempt("AAAA", lines(&self.v6))]
    }

    /// All addresses of this name, IPv4 first; never none.
    ///
    /// # Errors
    /// [`ResolveError::NotFound`] where both families answered *no*; where neither has addresses and one failed, its failure.
    pub fn joined(self, name: &DnsName) -> Result<Vec<IpAddr>, ResolveError> {
        let (v4, v4_failure) = taken(self.v4);
        let (v6, v6_failure) = taken(self.v6);
        let ips: Vec<_> = v4.into_iter().map(IpAddr::from).chain(v6.into_iter().map(IpAddr::from)).collect();
        match v4_failure.or(v6_failure) {
            _ if !ips.is_empty() => Ok(ips),
            Some(failure) => Err(failure),
            None => Err(ResolveError::NotFound { name: name.clone() }),
        }
    }
}

fn lines<T: ToString>(answer: &Result<Vec<T>, ResolveError>) -> Result<Vec<String>, String> {
    match answer {
        Ok(ips) if ips.is_empty() => Err(NO.to_owned()),
        Ok(ips) => Ok(ips.iter().map(T::to_string).collect()),
        Err(error) => Err(error.outcome()),
    }
}

fn taken<T>(answer: Result<Vec<T>, ResolveError>) -> (Vec<T>, Option<ResolveError>) {
    match answer {
        Ok(ips) => (ips, None),
        Err(failure) => (Vec::new(), Some(failure)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_are_taken_apart_and_joined() {
        let name = DnsName::new("a.test").unwrap();
        let (v4, v6): (IpAddr, IpAddr) = ([10, 0, 0, 1].into(), Ipv6Addr::LOCALHOST.into());
        let split = IpAnswers::split(Ok(vec![v6, v4]));
        assert_eq!(split.joined(&name), Ok(vec![v4, v6]));
        let none = ResolveError::NotFound { name: name.clone() };
        assert_eq!(IpAnswers::split(Err(none.clone())).joined(&name), Err(none));
        let failed = ResolveError::Failed { name: name.clone(), reason: "timeout".to_owned() };
        assert_eq!(IpAnswers::split(Err(failed.clone())).joined(&name), Err(failed.clone()));
        let half = IpAnswers { v4: Err(failed.clone()), v6: Ok(vec![Ipv6Addr::LOCALHOST]) };
        assert_eq!(half.joined(&name), Ok(vec![v6]));
        let bare = IpAnswers { v4: Ok(vec![]), v6: Err(failed.clone()) };
        assert_eq!(bare.joined(&name), Err(failed));
    }

    #[tokio::test]
    async fn a_resolver_of_addresses_knows_no_records() {
        struct Addresses;
        impl Resolver for Addresses {
            fn resolve<'a>(&'a self, name: &'a DnsName) -> BoxFuture<'a, Result<Vec<IpAddr>, ResolveError>> {
                Box::pin(async move { Err(ResolveError::NotFound { name: name.clone() }) })
            }
        }
        let owner = RecordName::new("_phx._udp.a.test").unwrap();
        let no = Addresses.srv(&owner).await.unwrap_err();
        assert!(no.is_no());
        assert!(no.to_string().starts_with("_phx._udp.a.test has no SRV record"), "{no}");
        assert!(Addresses.naptr(&owner).await.unwrap_err().is_no());
        assert!(!Addresses.is_local(&DnsName::new("a.test").unwrap()));
    }
}
