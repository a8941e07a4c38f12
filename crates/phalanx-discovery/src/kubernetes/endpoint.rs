//! Sockets with how good they are, and the choices of the user among them.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use super::error::KubernetesError;
use crate::Candidate;

/// The port's name that is looked for where the user names neither a port nor a name.
const PORT_NAME: &str = "phalanx";

/// Which Pods are candidates beside the ready ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum NotReady {
    /// All of them: first those that are ready, then those that are not, last those that terminate.
    ///
    /// The default, for control nodes that form a cluster are often not ready before they have found each other; who
    /// waits for the others to become ready waits for ever.
    #[default]
    Include,
    /// Only those that are ready and do not terminate.
    Exclude,
}

/// Which IP addresses are candidates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum IpFamily {
    /// All.
    #[default]
    Any,
    /// IPv4 only.
    Ipv4,
    /// IPv6 only.
    Ipv6,
}

/// How the port is chosen.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) enum PortChoice {
    /// The port named `phalanx`, else the only one, else the default of every address.
    #[default]
    Usual,
    /// The port of this name; what has none is left out.
    Name(String),
    /// This one.
    Number(u16),
}

/// What the user wants of all that there is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Choice {
    pub(super) port: PortChoice,
    pub(super) family: IpFamily,
    pub(super) not_ready: NotReady,
}

/// How likely there is a control node that answers; the best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Rank {
    Ready,
    NotReady,
    /// It is on its way out. It still knows the others.
    Terminating,
}

/// A socket of a Pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Endpoint {
    pub(super) rank: Rank,
    pub(super) candidate: Candidate,
}

impl FromStr for NotReady {
    type Err = KubernetesError;

    fn from_str(text: &str) -> Result<Self, KubernetesError> {
        match text {
            "include" => Ok(Self::Include),
            "exclude" => Ok(Self::Exclude),
            _ => Err(KubernetesError::Word { expected: "include or exclude" }),
        }
    }
}

impl FromStr for IpFamily {
    type Err = KubernetesError;

    fn from_str(text: &str) -> Result<Self, KubernetesError> {
        match text {
            "any" => Ok(Self::Any),
            "ipv4" => Ok(Self::Ipv4),
            "ipv6" => Ok(Self::Ipv6),
            _ => Err(KubernetesError::Word { expected: "any, ipv4 or ipv6" }),
        }
    }
}

impl PortChoice {
    /// The port among those that a slice or a Pod declares, each with its name, where there is one.
    pub(super) fn of(&self, declared: &[(String, u16)]) -> Option<u16> {
        let named = |name: &str| declared.iter().find(|(known, _)| known == name).map(|(_, port)| *port);
        match self {
            Self::Number(port) => Some(*port),
            Self::Name(name) => named(name),
            Self::Usual => Some(named(PORT_NAME).unwrap_or_else(|| {
                let first = declared.first().map(|(_, port)| *port);
                // The same number over TCP and UDP is one port.
                let only = first.filter(|first| declared.iter().all(|(_, port)| port == first));
                only.unwrap_or(phalanx_base::Address::DEFAULT_PORT)
            })),
        }
    }
}

impl Choice {
    /// The endpoint, if it is wanted.
    pub(super) fn endpoint(&self, ip: IpAddr, port: u16, rank: Rank) -> Option<Endpoint> {
        let family = match self.family {
            IpFamily::Any => true,
            IpFamily::Ipv4 => ip.is_ipv4(),
            IpFamily::Ipv6 => ip.is_ipv6(),
        };
        let ready = self.not_ready == NotReady::Include || rank == Rank::Ready;
        let socket = (ip, port).into();
        let wanted = family && ready && port != 0 && !ip.is_unspecified();
        wanted.then(|| Endpoint { rank, candidate: Candidate { address: (ip, port).into(), socket } })
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = match self.rank {
            Rank::Ready => "ready",
            Rank::NotReady => "not ready",
            Rank::Terminating => "terminating",
        };
        write!(f, "{} {word}", self.candidate.socket)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_port_is_the_wanted_one_or_the_usual_one() {
        let declared = |ports: &[(&str, u16)]| -> Vec<(String, u16)> {
            ports.iter().map(|(name, port)| ((*name).to_owned(), *port)).collect()
        };
        let many = declared(&[("http", 80), ("phalanx", 7100), ("link", 7200)]);
        assert_eq!(PortChoice::Usual.of(&many), Some(7100));
        assert_eq!(PortChoice::Name("link".to_owned()).of(&many), Some(7200));
        assert_eq!(PortChoice::Name("web".to_owned()).of(&many), None);
        assert_eq!(PortChoice::Number(9).of(&many), Some(9));
        assert_eq!(PortChoice::Usual.of(&declared(&[("tcp", 7300), ("udp", 7300)])), Some(7300));
        assert_eq!(PortChoice::Usual.of(&declared(&[("a", 1), ("b", 2)])), Some(7000));
        assert_eq!(PortChoice::Usual.of(&[]), Some(7000));
    }

    #[test]
    fn only_what_is_wanted_becomes_an_endpoint() {
        let choice = |family, not_ready| Choice { family, not_ready, ..Choice::default() };
        let v4: IpAddr = "10.0.0.1".parse().unwrap();
        let v6: IpAddr = "fd00::1".parse().unwrap();
        let all = choice(IpFamily::Any, NotReady::Include);
        assert!(all.endpoint(v6, 1, Rank::Terminating).is_some());
        assert!(all.endpoint(v4, 0, Rank::Ready).is_none());
        assert!(all.endpoint("0.0.0.0".parse().unwrap(), 1, Rank::Ready).is_none());
        let some = choice(IpFamily::Ipv4, NotReady::Exclude);
        assert!(some.endpoint(v4, 1, Rank::Ready).is_some());
        assert!(some.endpoint(v6, 1, Rank::Ready).is_none());
        assert!(some.endpoint(v4, 1, Rank::NotReady).is_none());
        assert!(some.endpoint(v4, 1, Rank::Terminating).is_none());
        assert!(choice(IpFamily::Ipv6, NotReady::Include).endpoint(v4, 1, Rank::Ready).is_none());
    }
}
