//! Control nodes behind a headless service of Kubernetes, by the cluster's own DNS.
//!
//! A headless service has an A or AAAA record for each pod that is ready, and an SRV record for each of them and each port that
//! has a name. This needs no permission, unlike the API.

use std::fs::File;
use std::io::Read;
use std::path::PathBuf;

use phalanx_base::{DnsName, Host};

use super::failing::Failing;
use super::place::{Place, Route};
use super::search::search;
use crate::{Candidates, Discover, DiscoverContext, DiscoverError, Refresh, StrategyAddress, StrategyError};

/// Where Kubernetes tells a pod its namespace.
const NAMESPACE_FILE: &str = "/var/run/secrets/kubernetes.io/serviceaccount/namespace";

/// What a cluster is called unless its operator wants else.
const DOMAIN: &str = "cluster.local";

/// The name of the port, in the service's own list of ports.
const PORT_NAME: &str = "phalanx";

/// Control nodes behind a headless service of Kubernetes.
///
/// SRV at `_phalanx._udp.SERVICE.NAMESPACE.svc.cluster.local` (QUIC), where the service has a UDP port with that name; where
/// that finds nobody, A and AAAA of the service, at the given port. Nodes that are not ready are found only where the service has
/// `publishNotReadyAddresses: true`, which a cluster that starts needs. Looks every 5 s unless it is told else.
///
/// As text: `phalanx://SERVICE[.NAMESPACE[.svc.cluster.local]][:PORT];discover=kubernetes-dns[;namespace=NAMESPACE]`
/// `[;domain=cluster.local][;port-name=phalanx][;refresh=5s]`, such as `phalanx://control.media;discover=kubernetes-dns`. A name
/// of three parts or more is taken as it is. Without a namespace it is this pod's own, read at each look from
/// `/var/run/secrets/kubernetes.io/serviceaccount/namespace`.
///
/// ```
/// use phalanx_discovery::KubernetesDnsPeers;
///
/// let peers = KubernetesDnsPeers::new("control".parse()?).namespaced("media".parse()?);
/// # Ok::<(), phalanx_base::HostError>(())
/// ```
#[derive(Debug)]
pub struct KubernetesDnsPeers {
    service: DnsName,
    port: Option<u16>,
    namespace: Option<DnsName>,
    namespace_file: PathBuf,
    domain: DnsName,
    port_name: String,
    refresh: Refresh,
    failing: Failing,
}

impl KubernetesDnsPeers {
    /// The pods behind this service: its name, `SERVICE.NAMESPACE`, or all of its name in DNS.
    #[must_use]
    pub fn new(service: DnsName) -> Self {
        Self {
            service,
            port: None,
            namespace: None,
            namespace_file: NAMESPACE_FILE.into(),
            domain: DOMAIN.parse().expect("it is a name"),
            port_name: PORT_NAME.to_owned(),
            refresh: Refresh::default(),
            failing: Failing::default(),
        }
    }

    /// The namespace of a service that is given without one; this pod's own unless it is told.
    #[must_use]
    pub fn namespaced(self, namespace: DnsName) -> Self {
        Self { namespace: Some(namespace), ..self }
    }

    /// The domain of the cluster; `cluster.local` unless it is told.
    #[must_use]
    pub fn with_domain(self, domain: DnsName) -> Self {
        Self { domain, ..self }
    }

    /// The name of the service's UDP port for QUIC; `phalanx` unless it is told.
    #[must_use]
    pub fn with_port_name(self, name: &DnsName) -> Self {
        Self { port_name: name.to_string(), ..self }
    }

    /// The port of addresses where no SRV record names one; 7000 unless it is told.
    #[must_use]
    pub fn with_port(self, port: u16) -> Self {
        Self { port: Some(port), ..self }
    }

    /// The same, looking this often.
    #[must_use]
    pub fn refresh(self, refresh: Refresh) -> Self {
        Self { refresh, ..self }
    }

    /// The service's whole name, with the dot at its end that keeps a pod's long search list out.
    fn name(&self) -> Result<DnsName, DiscoverError> {
        let service = self.service.as_str().trim_end_matches('.');
        let domain = self.domain.as_str().trim_end_matches('.');
        let name = match service.split('.').count() {
            1 => format!("{service}.{}.svc.{domain}.", self.own_namespace()?),
            2 => format!("{service}.svc.{domain}."),
            _ => format!("{service}."),
        };
        DnsName::new(&name).map_err(DiscoverError::other)
    }

    fn own_namespace(&self) -> Result<DnsName, DiscoverError> {
        if let Some(namespace) = &self.namespace {
            return Ok(namespace.clone());
        }
        let mut text = String::new();
        let limit = u64::try_from(DnsName::LABEL_LENGTH_MAX + 2).expect("it is small");
        // It is a file in memory, which Kubernetes puts there.
        let read =
            File::open(&self.namespace_file).and_then(|file| file.take(limit).read_to_string(&mut text));
        let path = self.namespace_file.display();
        let hint =
            format!("give the service as SERVICE.NAMESPACE, since {path} does not tell this pod's namespace");
        read.map_err(|error| DiscoverError::other(format!("{hint}: {error}")))?;
        let namespace = DnsName::new(text.trim()).ok().filter(|name| !name.as_str().contains('.'));
        namespace.ok_or_else(|| DiscoverError::other(format!("{hint}: it holds no name")))
    }
}

impl Discover for KubernetesDnsPeers {
    async fn find(&self, context: &DiscoverContext) -> Result<Candidates, DiscoverError> {
        let route = Route::NamedPort(format!("_{}._udp", self.port_name));
        let place = Place { host: self.name()?.into(), port: self.port, transport: None, route };
        search(&[place], &self.failing, context).await
    }

    fn refresh(&self) -> Refresh {
        self.refresh
    }
}

/// The strategy of an address.
pub(super) fn from_address(address: &mut StrategyAddress) -> Result<KubernetesDnsPeers, StrategyError> {
    let [(host, port)] = address.hosts() else {
        return Err(address.wrong("name one service: phalanx://SERVICE"));
    };
    let (host, port) = (host.clone(), *port);
    let Host::Name(service) = host else {
        return Err(address.wrong("an IP address is no service: write SERVICE or SERVICE.NAMESPACE"));
    };
    let has_namespace = service.as_str().trim_end_matches('.').contains('.');
    let mut peers = KubernetesDnsPeers::new(service);
    peers.port = port;
    peers.refresh = address.take_refresh()?;
    if let Some(domain) = address.take_parsed("domain")? {
        peers.domain = domain;
    }
    if let Some(name) = take_label(address, "port-name")? {
        peers.port_name = name.to_string();
    }
    peers.namespace = take_label(address, "namespace")?;
    if has_namespace && peers.namespace.is_some() {
        return Err(address.wrong("the service's name has a namespace already: leave out namespace="));
    }
    Ok(peers)
}

/// Takes out a parameter that is one part of a name.
fn take_label(address: &mut StrategyAddress, name: &str) -> Result<Option<DnsName>, StrategyError> {
    let label: Option<DnsName> = address.take_parsed(name)?;
    match &label {
        Some(label) if label.as_str().contains('.') => {
            Err(address.wrong(format!("{name}={label}: leave out the dots")))
        }
        _ => Ok(label),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peers(service: &str) -> KubernetesDnsPeers {
        KubernetesDnsPeers::new(service.parse().unwrap())
    }

    #[test]
    fn names_are_made_whole() {
        let name = |peers: KubernetesDnsPeers| peers.name().unwrap().to_string();
        assert_eq!(name(peers("control.media")), "control.media.svc.cluster.local.");
        assert_eq!(name(peers("control.media.svc.k8s.local.")), "control.media.svc.k8s.local.");
        let given =
            peers("control").namespaced("media".parse().unwrap()).with_domain("k8s.".parse().unwrap());
        assert_eq!(name(given), "control.media.svc.k8s.");
    }

    #[test]
    fn the_namespace_is_read_from_where_kubernetes_puts_it() {
        let folder = tempfile::tempdir().unwrap();
        let namespace_file = folder.path().join("namespace");
        let read =
            || KubernetesDnsPeers { namespace_file: namespace_file.clone(), ..peers("control") }.name();
        assert!(read().unwrap_err().to_string().contains("SERVICE.NAMESPACE"));
        std::fs::write(&namespace_file, "media\n").unwrap();
        assert_eq!(read().unwrap().as_str(), "control.media.svc.cluster.local.");
        for wrong in ["", "a.b", "a_b", &"a".repeat(1_000)] {
            std::fs::write(&namespace_file, wrong).unwrap();
            assert!(read().is_err(), "{wrong}");
        }
    }
}
