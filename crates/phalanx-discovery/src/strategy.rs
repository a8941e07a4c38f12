//! Strategies as text: `phalanx://HOST[:PORT][,HOST[:PORT]…][/PATH][;discover=KIND][;name=value]…`.
//!
//! One line of a configuration or of a command makes one strategy. The text is taken apart here, once; each strategy
//! takes the parameters that it knows, and what nobody took is refused by name.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use phalanx_base::{Address, Host, HostError};

use crate::{DynDiscover, Refresh};

/// The longest text: room for several hosts, a path and every parameter.
const TEXT_BYTES_MAX: usize = 2_048;

/// The most hosts of one text: the members of a large etcd cluster, or all control nodes.
const HOSTS_MAX: usize = 128;

/// Which strategy a text asks for: the word after `discover=`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum StrategyKind {
    /// IP addresses, and names with a port or a transport: A and AAAA. Names without either: [`StrategyKind::Naptr`].
    Auto,
    /// A and AAAA.
    Dns,
    /// SRV, then A and AAAA.
    Srv,
    /// NAPTR, then SRV, then A and AAAA.
    Naptr,
    /// Beacons in the local network.
    Multicast,
    /// The nodes of this machine.
    Registry,
    /// A list in a file.
    File,
    /// The Kubernetes API.
    Kubernetes,
    /// A headless service of Kubernetes.
    KubernetesDns,
    /// etcd, version 3.
    Etcd,
}

impl StrategyKind {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Auto,
        Self::Dns,
        Self::Srv,
        Self::Naptr,
        Self::Multicast,
        Self::Registry,
        Self::File,
        Self::Kubernetes,
        Self::KubernetesDns,
        Self::Etcd,
    ];

    /// The word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Dns => "dns",
            Self::Srv => "srv",
            Self::Naptr => "naptr",
            Self::Multicast => "multicast",
            Self::Registry => "registry",
            Self::File => "file",
            Self::Kubernetes => "kubernetes",
            Self::KubernetesDns => "kubernetes-dns",
            Self::Etcd => "etcd",
        }
    }
}

impl fmt::Display for StrategyKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Why a text makes no strategy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StrategyError {
    /// It is longer than any strategy needs.
    #[error("an address of {bytes} bytes is longer than {TEXT_BYTES_MAX}")]
    TooLong {
        /// How long it is.
        bytes: usize,
    },
    /// It does not begin with `phalanx://`.
    #[error("{text:?}: unknown scheme; write {}://host:port", Address::SCHEME)]
    Scheme {
        /// The text.
        text: String,
    },
    /// There are more than 128 hosts.
    #[error("{text:?}: more than {HOSTS_MAX} hosts; give fewer, or a name that stands for many")]
    TooManyHosts {
        /// The text.
        text: String,
    },
    /// One of the hosts is wrong.
    #[error("{text:?}: bad host: {reason}")]
    Host {
        /// The text.
        text: String,
        /// What is wrong.
        reason: HostError,
    },
    /// What stands after a colon is not a port.
    #[error("{text:?}: {found:?} is not a port: write a number from 1 to 65535")]
    Port {
        /// The text.
        text: String,
        /// What stands there.
        found: String,
    },
    /// A part after a semicolon is not `name=value`, or comes twice.
    #[error("{text:?}: {found:?} is no parameter or is given twice: write name=value, each once")]
    Parameter {
        /// The text.
        text: String,
        /// What stands there.
        found: String,
    },
    /// The word after `discover=` is none.
    #[error("{text:?}: unknown strategy {found:?}; there are {}", kinds())]
    Kind {
        /// The text.
        text: String,
        /// What stands there.
        found: String,
    },
    /// The strategy knows no such parameter.
    #[error("{text:?}: {kind} knows no parameter {name:?}")]
    UnknownParameter {
        /// The text.
        text: String,
        /// The strategy.
        kind: StrategyKind,
        /// The parameter.
        name: String,
    },
    /// The value of a parameter is wrong, or something is missing or too much.
    #[error("{text:?}: {reason}")]
    Value {
        /// The text.
        text: String,
        /// What is wrong and what to write instead.
        reason: String,
    },
    /// The strategy is not part of this build: its feature is off, or the system has no such thing.
    #[error(
        "{text:?}: this build has no {kind}; build phalanx-discovery with its feature (multicast is for Linux only)"
    )]
    NotBuilt {
        /// The text.
        text: String,
        /// The strategy.
        kind: StrategyKind,
    },
}

fn kinds() -> String {
    StrategyKind::ALL.map(StrategyKind::as_str).join(", ")
}

/// The text of a strategy, taken apart. Each strategy takes out what it knows.
#[derive(Debug, Clone)]
pub struct StrategyAddress {
    text: String,
    kind: StrategyKind,
    hosts: Vec<(Host, Option<u16>)>,
    path: Option<String>,
    parameters: BTreeMap<String, String>,
}

#[allow(dead_code, reason = "without any feature there is no strategy that takes something out")]
impl StrategyAddress {
    /// Which strategy is asked for.
    #[must_use]
    pub fn kind(&self) -> StrategyKind {
        self.kind
    }

    /// The hosts, each with the port where one was given. None in `phalanx://;discover=registry`.
    #[must_use]
    pub fn hosts(&self) -> &[(Host, Option<u16>)] {
        &self.hosts
    }

    /// What stands after the hosts, its first `/` included.
    #[must_use]
    pub fn path(&self) -> Option<&str> {
        self.path.as_deref()
    }

    /// The text for messages to people: as it was given, its parameters left out.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Takes out a parameter.
    pub(crate) fn take(&mut self, name: &str) -> Option<String> {
        self.parameters.remove(name)
    }

    /// Takes out a parameter and reads it.
    pub(crate) fn take_parsed<T>(&mut self, name: &str) -> Result<Option<T>, StrategyError>
    where
        T: FromStr<Err: fmt::Display>,
    {
        let Some(value) = self.take(name) else { return Ok(None) };
        let wrong = |error| self.wrong(format!("{name}={value}: {error}"));
        value.parse().map(Some).map_err(wrong)
    }

    /// Takes out `refresh`.
    pub(crate) fn take_refresh(&mut self) -> Result<Refresh, StrategyError> {
        Ok(self.take_parsed("refresh")?.unwrap_or_default())
    }

    /// The error that something is wrong with a value.
    pub(crate) fn wrong(&self, reason: impl Into<String>) -> StrategyError {
        StrategyError::Value { text: self.text.clone(), reason: reason.into() }
    }

    /// Refuses what nobody has taken out.
    fn finish(self) -> Result<(), StrategyError> {
        match self.parameters.into_keys().next() {
            None => Ok(()),
            Some(name) => Err(StrategyError::UnknownParameter { text: self.text, kind: self.kind, name }),
        }
    }

    /// Makes the strategy. It does no I/O.
    ///
    /// # Errors
    /// [`StrategyError`] says what is wrong with the text, or that this build lacks the strategy.
    pub fn strategy(mut self) -> Result<DynDiscover, StrategyError> {
        let made = self.make()?;
        self.finish()?;
        Ok(made)
    }

    fn make(&mut self) -> Result<DynDiscover, StrategyError> {
        match self.kind {
            #[cfg(feature = "hickory")]
            StrategyKind::Auto
            | StrategyKind::Dns
            | StrategyKind::Srv
            | StrategyKind::Naptr
            | StrategyKind::KubernetesDns => crate::dns::from_address(self),
            #[cfg(all(feature = "multicast", target_os = "linux"))]
            StrategyKind::Multicast => crate::multicast::from_address(self),
            #[cfg(all(feature = "registry", unix))]
            StrategyKind::Registry => crate::registry::from_address(self),
            #[cfg(all(feature = "file", unix))]
            StrategyKind::File => crate::file::from_address(self),
            #[cfg(feature = "kubernetes")]
            StrategyKind::Kubernetes => crate::kubernetes::from_address(self),
            #[cfg(feature = "etcd")]
            StrategyKind::Etcd => crate::etcd::from_address(self),
            #[allow(unreachable_patterns, reason = "there is none left where every feature is on")]
            kind => Err(StrategyError::NotBuilt { text: self.text.clone(), kind }),
        }
    }
}

impl FromStr for StrategyAddress {
    type Err = StrategyError;

    fn from_str(text: &str) -> Result<Self, StrategyError> {
        if text.len() > TEXT_BYTES_MAX {
            return Err(StrategyError::TooLong { bytes: text.len() });
        }
        let owned = || quotable(text);
        let rest = match text.split_once("://") {
            None => text,
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case(Address::SCHEME) => rest,
            Some(_) => return Err(StrategyError::Scheme { text: owned() }),
        };
        let (place, parameters) = rest.split_once(';').unwrap_or((rest, ""));
        let (hosts, path) = match place.find('/') {
            Some(at) => (&place[..at], Some(place[at..].to_owned())),
            None => (place, None),
        };
        let hosts: Vec<_> = hosts.split(',').filter(|host| !host.is_empty()).collect();
        if hosts.len() > HOSTS_MAX {
            return Err(StrategyError::TooManyHosts { text: owned() });
        }
        let hosts = hosts.into_iter().map(|host| parse_host(host, text)).collect::<Result<_, _>>()?;
        let mut parameters = parse_parameters(parameters, text)?;
        let kind = match parameters.remove("discover") {
            None => StrategyKind::Auto,
            Some(word) => StrategyKind::ALL
                .into_iter()
                .find(|kind| kind.as_str() == word)
                .ok_or_else(|| StrategyError::Kind { text: owned(), found: word })?,
        };
        Ok(Self { text: quotable(text), kind, hosts, path, parameters })
    }
}

/// A text as errors and logs quote it: without the parameters, one of which may be a password by mistake.
fn quotable(text: &str) -> String {
    match text.split_once(';') {
        Some((place, _)) => format!("{place};…"),
        None => text.to_owned(),
    }
}

fn parse_host(host: &str, text: &str) -> Result<(Host, Option<u16>), StrategyError> {
    let name_end = host.rfind(']').map_or(0, |bracket| bracket + 1);
    let (name, port) = match host[name_end..].find(':').map(|colon| name_end + colon) {
        // An IPv6 address without brackets is told so by the host's own error.
        Some(colon) if !host[colon + 1..].contains(':') => (&host[..colon], Some(&host[colon + 1..])),
        _ => (host, None),
    };
    let reason = |reason| StrategyError::Host { text: quotable(text), reason };
    let name = name.parse().map_err(reason)?;
    let Some(port) = port else { return Ok((name, None)) };
    let wrong = || StrategyError::Port { text: quotable(text), found: port.to_owned() };
    let digits = port.bytes().all(|byte| byte.is_ascii_digit());
    let port: u16 = if digits { port.parse().map_err(|_| wrong())? } else { return Err(wrong()) };
    if port == 0 { Err(wrong()) } else { Ok((name, Some(port))) }
}

fn parse_parameters(parameters: &str, text: &str) -> Result<BTreeMap<String, String>, StrategyError> {
    let mut found = BTreeMap::new();
    for parameter in parameters.split(';').filter(|parameter| !parameter.is_empty()) {
        let found_name = parameter.split('=').next().unwrap_or_default();
        let wrong = || StrategyError::Parameter { text: quotable(text), found: found_name.to_owned() };
        let (name, value) = parameter.split_once('=').ok_or_else(wrong)?;
        if name.is_empty() || found.insert(name.to_owned(), value.to_owned()).is_some() {
            return Err(wrong());
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_taken_apart() {
        let text = "phalanx://10.0.0.1:2379,[::1]:2379,etcd-3/media;discover=etcd;refresh=2s;user=x";
        let mut address: StrategyAddress = text.parse().unwrap();
        assert_eq!((address.kind(), address.path()), (StrategyKind::Etcd, Some("/media")));
        let hosts: Vec<_> = address.hosts().iter().map(|(host, port)| format!("{host:?} {port:?}")).collect();
        assert_eq!(hosts.len(), 3);
        assert!(hosts[2].ends_with("None") && hosts[1].ends_with("Some(2379)"), "{hosts:?}");
        assert_eq!(address.take_refresh().unwrap().to_string(), "2s");
        assert_eq!(address.take("user").as_deref(), Some("x"));
        assert_eq!(address.take("user"), None);
        assert_eq!("phalanx://;discover=registry".parse::<StrategyAddress>().unwrap().hosts().len(), 0);
    }

    #[test]
    fn what_is_given_by_mistake_is_not_quoted() {
        for text in
            ["phalanx://a;discover=etcd;password=hush", "phalanx://a:0;password=hush", "http://a;hush=hush"]
        {
            let parsed = text.parse::<StrategyAddress>();
            let error = parsed.and_then(|address| address.strategy().map(drop)).unwrap_err().to_string();
            assert!(!error.contains("=hush"), "{error}");
        }
    }

    #[test]
    fn mistakes_are_named() {
        for (text, part) in [
            ("http://a", "scheme"),
            ("phalanx://a:0", "port"),
            ("phalanx://a:+1", "port"),
            ("phalanx://::1", "brackets"),
            ("phalanx://a;b", "parameter"),
            ("phalanx://a;b=1;b=2", "twice"),
            ("phalanx://a;discover=carrier-pigeon", "kubernetes-dns"),
            ("phalanx://a_b", "bad host"),
        ] {
            let error = text.parse::<StrategyAddress>().unwrap_err().to_string();
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
