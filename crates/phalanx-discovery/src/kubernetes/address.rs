//! The strategy from its text.

use phalanx_base::Host;

use super::{Kubernetes, KubernetesError};
use crate::{DynDiscover, StrategyAddress, StrategyError};

/// The strategy of an address.
pub(crate) fn from_address(address: &mut StrategyAddress) -> Result<DynDiscover, StrategyError> {
    strategy(address).map(DynDiscover::new)
}

fn strategy(address: &mut StrategyAddress) -> Result<Kubernetes, StrategyError> {
    if address.path().is_some() {
        return Err(address.wrong("a path means nothing here: write SERVICE.NAMESPACE and parameters"));
    }
    let (service, mut namespace, host_port) = host(address)?;
    let given = address.take("namespace");
    if given.is_some() && namespace.is_some() {
        return Err(address.wrong("the namespace is given twice: behind the service, and as namespace"));
    }
    namespace = namespace.or(given);
    let selector = address.take("selector");
    let made = match (service, selector) {
        (Some(service), None) => Kubernetes::service(&service),
        (None, Some(selector)) => Kubernetes::pods(&selector),
        _ => {
            return Err(address.wrong("write either a service, SERVICE.NAMESPACE, or selector=LABEL=VALUE"));
        }
    };
    let refused = |address: &StrategyAddress, error: KubernetesError| address.wrong(error.to_string());
    let mut made = made.map_err(|error| refused(address, error))?;
    if let Some(namespace) = namespace {
        made = made.namespace(&namespace).map_err(|error| refused(address, error))?;
    }
    if let Some(server) = address.take("api") {
        made = made.server(&server).map_err(|error| refused(address, error))?;
    }
    if let Some(path) = address.take("token-file") {
        made = made.token_file(path);
    }
    if let Some(path) = address.take("ca-file") {
        made = made.ca_file(path);
    }
    made = port(address, made, host_port)?;
    made = made.not_ready(address.take_parsed("not-ready")?.unwrap_or_default());
    made = made.family(address.take_parsed("family")?.unwrap_or_default());
    Ok(made.refresh(address.take_refresh()?))
}

/// Service, namespace and port of the host, where there is one.
type Place = (Option<String>, Option<String>, Option<u16>);

fn host(address: &StrategyAddress) -> Result<Place, StrategyError> {
    let (name, port) = match address.hosts() {
        [] => return Ok((None, None, None)),
        [(Host::Name(name), port)] => (name.as_str(), *port),
        _ => return Err(address.wrong("write one service, SERVICE.NAMESPACE, and no IP address")),
    };
    let mut labels = name.split('.').map(str::to_owned);
    let (service, namespace) = (labels.next(), labels.next());
    if labels.next().is_some() {
        let hint = "write SERVICE.NAMESPACE; a whole DNS name is for discover=kubernetes-dns";
        return Err(address.wrong(hint));
    }
    Ok((service, namespace, port))
}

fn port(
    address: &mut StrategyAddress,
    made: Kubernetes,
    host_port: Option<u16>,
) -> Result<Kubernetes, StrategyError> {
    let number = address.take_parsed::<std::num::NonZeroU16>("port")?.map(u16::from);
    match (host_port, number, address.take("port-name")) {
        (None, None, None) => Ok(made),
        (Some(port), None, None) | (None, Some(port), None) => Ok(made.port(port)),
        (None, None, Some(name)) if !name.is_empty() => Ok(made.port_name(name)),
        _ => Err(address.wrong("the port is given twice, or is empty: write one of port and port-name")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kubernetes::endpoint::{Choice, IpFamily, NotReady, PortChoice};
    use crate::kubernetes::objects::Resource;

    fn read(text: &str) -> Result<Kubernetes, String> {
        let mut address: StrategyAddress = text.parse().map_err(|error: StrategyError| error.to_string())?;
        strategy(&mut address).map_err(|error| error.to_string())
    }

    #[test]
    fn texts_are_read() {
        let made =
            read("phalanx://media.prod:7100;discover=kubernetes;family=ipv6;not-ready=exclude;refresh=1s");
        let made = made.unwrap();
        assert_eq!((made.resource, made.namespace.as_deref()), (Resource::EndpointSlices, Some("prod")));
        assert_eq!(made.selector, "kubernetes.io/service-name=media");
        let port = PortChoice::Number(7100);
        let choice = Choice { port, family: IpFamily::Ipv6, not_ready: NotReady::Exclude };
        assert_eq!((made.choice, made.refresh.to_string()), (choice, "1s".to_owned()));
        assert_eq!(made.token_file.to_str(), Some("/var/run/secrets/kubernetes.io/serviceaccount/token"));

        let made = read(
            "phalanx://;discover=kubernetes;selector=app=phalanx,tier in (a,b);port-name=link;namespace=x;\
             api=https://[::1]:6443;token-file=/t;ca-file=/c",
        );
        let made = made.unwrap();
        assert_eq!((made.resource, made.selector.as_str()), (Resource::Pods, "app=phalanx,tier in (a,b)"));
        assert_eq!(made.server.as_deref(), Some("https://[::1]:6443"));
        assert_eq!(made.choice.port, PortChoice::Name("link".to_owned()));
        assert_eq!((made.token_file.to_str(), made.namespace.as_deref()), (Some("/t"), Some("x")));
        assert_eq!(made.tls.ca.and_then(|ca| ca.to_str().map(str::to_owned)).as_deref(), Some("/c"));
    }

    #[test]
    fn mistakes_are_named() {
        for (text, part) in [
            ("phalanx://;discover=kubernetes", "either"),
            ("phalanx://a;discover=kubernetes;selector=b=c", "either"),
            ("phalanx://;discover=kubernetes;selector=", "selector"),
            ("phalanx://a,b;discover=kubernetes", "one service"),
            ("phalanx://10.0.0.1;discover=kubernetes", "no IP address"),
            ("phalanx://a.b.svc;discover=kubernetes", "kubernetes-dns"),
            ("phalanx://a/b;discover=kubernetes", "path"),
            ("phalanx://a.b;discover=kubernetes;namespace=c", "twice"),
            ("phalanx://a;discover=kubernetes;namespace=..", "namespace"),
            ("phalanx://a:1;discover=kubernetes;port=2", "port"),
            ("phalanx://a;discover=kubernetes;port=2;port-name=b", "port"),
            ("phalanx://a;discover=kubernetes;port=0", "port"),
            ("phalanx://a;discover=kubernetes;port-name=", "port"),
            ("phalanx://a;discover=kubernetes;api=http://a", "https"),
            ("phalanx://a;discover=kubernetes;not-ready=maybe", "include or exclude"),
            ("phalanx://a;discover=kubernetes;family=4", "ipv4"),
            ("phalanx://a;discover=kubernetes;refresh=never", "infinity"),
        ] {
            let error = read(text).map(|_| ()).expect_err(text);
            assert!(error.contains(part), "{text}: {error}");
        }
        let address: StrategyAddress = "phalanx://a;discover=kubernetes;insecure=yes".parse().unwrap();
        assert!(address.strategy().unwrap_err().to_string().contains("insecure"));
    }
}
