//! Strategies of DNS: addresses (A, AAAA), services (SRV), and the chain that leads to services (NAPTR), as SIP finds its
//! servers (RFC 3263); and the headless services of Kubernetes.
//!
//! A question that failed is not one whose answer is *no*, but both lead to the next one; only where nothing at all is found it
//! matters what failed.

mod failing;
mod kubernetes;
mod lottery;
mod naptr;
mod peers;
mod place;
mod questions;
mod search;
mod srv;

use phalanx_base::{Host, TransportKind};

use crate::{DynDiscover, StrategyAddress, StrategyError, StrategyKind};

pub use kubernetes::KubernetesDnsPeers;
pub use peers::DnsPeers;
use place::{Place, Route};

/// The strategy of an address.
pub(crate) fn from_address(address: &mut StrategyAddress) -> Result<DynDiscover, StrategyError> {
    if address.hosts().is_empty() {
        return Err(address.wrong("whose records? write phalanx://control.example.org"));
    }
    if address.path().is_some_and(|path| path != "/") {
        return Err(address.wrong("a name in DNS has no path: leave it out"));
    }
    if address.kind() == StrategyKind::KubernetesDns {
        return kubernetes::from_address(address).map(DynDiscover::new);
    }
    let refresh = address.take_refresh()?;
    let transport = match address.kind() {
        StrategyKind::Auto | StrategyKind::Dns => take_transport(address)?,
        _ => None,
    };
    let places = address.hosts().iter().map(|(host, port)| place(address, host, *port, transport));
    Ok(DynDiscover::new(DnsPeers::at(places.collect::<Result<Vec<_>, _>>()?).refresh(refresh)))
}

fn take_transport(address: &mut StrategyAddress) -> Result<Option<TransportKind>, StrategyError> {
    let Some(word) = address.take("transport") else { return Ok(None) };
    let known = TransportKind::ALL.into_iter().find(|kind| kind.as_str() == word);
    let words = TransportKind::ALL.map(TransportKind::as_str).join(", ");
    known.map(Some).ok_or_else(|| address.wrong(format!("unknown transport {word:?}; there are {words}")))
}

/// What one host of an address stands for.
fn place(
    address: &StrategyAddress,
    host: &Host,
    port: Option<u16>,
    transport: Option<TransportKind>,
) -> Result<Place, StrategyError> {
    let route = match address.kind() {
        StrategyKind::Srv => Route::Services,
        StrategyKind::Naptr => Route::Chain,
        StrategyKind::Auto if port.is_none() && transport.is_none() => Route::Guess,
        _ => Route::Addresses,
    };
    if matches!(route, Route::Services | Route::Chain) {
        if port.is_some() {
            return Err(address.wrong("the records name the ports: leave the port out"));
        }
        if host.ip().is_some() {
            return Err(address.wrong("an IP address has no such records: write a name"));
        }
    }
    Ok(Place { host: host.clone(), port, transport, route })
}

#[cfg(test)]
mod tests {
    use crate::{Discover, StrategyAddress};

    #[test]
    fn addresses_make_strategies_or_say_what_is_wrong() {
        for text in [
            "phalanx://example.org",
            "phalanx://example.org/",
            "phalanx://10.0.0.1,[::1]:7001,example.org:7002;transport=tls;refresh=1s",
            "phalanx://a,b;discover=dns;transport=quic",
            "phalanx://example.org;discover=srv;refresh=infinity",
            "phalanx://example.org;discover=naptr",
            "phalanx://control.media;discover=kubernetes-dns;domain=k8s.local;port-name=mesh;refresh=2s",
            "phalanx://control:7001;discover=kubernetes-dns;namespace=media",
        ] {
            let made = text.parse::<StrategyAddress>().unwrap().strategy();
            made.unwrap_or_else(|error| panic!("{error}"));
        }
        for (text, part) in [
            ("phalanx://;discover=dns", "whose records"),
            ("phalanx://a/b", "no path"),
            ("phalanx://a;transport=udp", "quic, tls, wss"),
            ("phalanx://a;discover=srv;transport=tls", "knows no parameter"),
            ("phalanx://a:7000;discover=srv", "leave the port out"),
            ("phalanx://10.0.0.1;discover=naptr", "write a name"),
            ("phalanx://a;refresh=now", "refresh"),
            ("phalanx://a,b;discover=kubernetes-dns", "one service"),
            ("phalanx://10.0.0.1;discover=kubernetes-dns", "write SERVICE"),
            ("phalanx://a;discover=kubernetes-dns;port-name=a_b", "port-name"),
            ("phalanx://a;discover=kubernetes-dns;domain=a_b", "domain"),
            ("phalanx://a;discover=kubernetes-dns;namespace=a.b", "namespace"),
            ("phalanx://a.b;discover=kubernetes-dns;namespace=c", "namespace"),
        ] {
            let error = text.parse::<StrategyAddress>().unwrap().strategy().unwrap_err().to_string();
            assert!(error.contains(part), "{text}: {error}");
        }
    }

    #[test]
    fn refresh_is_taken_from_the_address() {
        for kind in ["auto", "dns", "srv", "naptr", "kubernetes-dns"] {
            let text = format!("phalanx://a;discover={kind};refresh=2s");
            let strategy = text.parse::<StrategyAddress>().unwrap().strategy().unwrap();
            assert_eq!(strategy.refresh().to_string(), "2s", "{kind}");
        }
    }
}
