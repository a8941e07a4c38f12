//! The strategy from its text.

use std::time::Duration;

use super::{Etcd, PORT};
use crate::{DynDiscover, StrategyAddress, StrategyError};

/// The strategy of an address.
pub(crate) fn from_address(address: &mut StrategyAddress) -> Result<DynDiscover, StrategyError> {
    strategy(address).map(DynDiscover::new)
}

fn strategy(address: &mut StrategyAddress) -> Result<Etcd, StrategyError> {
    let endpoints = address.hosts().iter().map(|(host, port)| (host.clone(), port.unwrap_or(PORT)));
    let mut made = Etcd::new(endpoints).map_err(|error| address.wrong(error.to_string()))?;
    if let Some(prefix) = address.path() {
        made = made.prefix(prefix).map_err(|error| address.wrong(error.to_string()))?;
    }
    match (address.take("user"), address.take("password-file")) {
        (None, None) => {}
        (Some(user), Some(file)) if !user.is_empty() && !file.is_empty() => made = made.user(user, file),
        _ => return Err(address.wrong("user and password-file belong together: write both")),
    }
    let ca_file = address.take("ca-file");
    let has_ca = ca_file.is_some();
    if let Some(file) = ca_file {
        made = made.ca_file(file);
    }
    match (address.take("cert-file"), address.take("key-file")) {
        (None, None) => {}
        (Some(certificate), Some(key)) if has_ca => made = made.identity(certificate, key),
        _ => return Err(address.wrong("cert-file, key-file and ca-file belong together: write all three")),
    }
    if let Some(text) = address.take("ttl") {
        let seconds = text.strip_suffix('s').and_then(|number| number.parse().ok()).map(Duration::from_secs);
        let ttl = seconds.filter(|ttl| (Etcd::TTL_MIN..=Etcd::TTL_MAX).contains(ttl));
        made = made.ttl(ttl.ok_or_else(|| address.wrong(format!("ttl={text}: write 2s to 3600s")))?);
    }
    Ok(made.refresh(address.take_refresh()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Etcd, String> {
        let mut address: StrategyAddress = text.parse().map_err(|error: StrategyError| error.to_string())?;
        strategy(&mut address).map_err(|error| error.to_string())
    }

    #[test]
    fn texts_are_read() {
        let made = read("phalanx://10.0.0.1,[::1]:4,etcd-3;discover=etcd").unwrap();
        let endpoints: Vec<String> =
            made.endpoints.iter().map(|(host, port)| format!("{host}:{port}")).collect();
        assert_eq!(endpoints, ["10.0.0.1:2379", "[::1]:4", "etcd-3:2379"]);
        assert_eq!((made.prefix.as_str(), made.ttl.as_secs(), made.scheme()), ("/phalanx", 15, "http"));
        assert_eq!((made.user, made.refresh), (None, crate::Refresh::default()));
        let made = read(
            "phalanx://a/media/x;discover=etcd;user=u;password-file=/p;ca-file=/c;cert-file=/d;key-file=/k;ttl=60s;\
             refresh=infinity",
        );
        let made = made.unwrap();
        assert_eq!((made.prefix.as_str(), made.ttl.as_secs(), made.scheme()), ("/media/x", 60, "https"));
        assert_eq!(made.user, Some(("u".to_owned(), "/p".into())));
        assert_eq!(made.tls.identity, Some(("/d".into(), "/k".into())));
        assert_eq!(made.refresh, crate::Refresh::Once);
    }

    #[test]
    fn mistakes_are_named() {
        let many = vec!["a"; 17].join(",");
        for (text, part) in [
            ("phalanx://;discover=etcd", "members"),
            (&format!("phalanx://{many};discover=etcd"), "members"),
            ("phalanx://a/;discover=etcd", "prefix"),
            ("phalanx://a/b c;discover=etcd", "prefix"),
            ("phalanx://a;discover=etcd;user=u", "password-file"),
            ("phalanx://a;discover=etcd;user=;password-file=p", "password-file"),
            ("phalanx://a;discover=etcd;cert-file=c;key-file=k", "ca-file"),
            ("phalanx://a;discover=etcd;ca-file=a;key-file=k", "cert-file"),
            ("phalanx://a;discover=etcd;ttl=1s", "2s"),
            ("phalanx://a;discover=etcd;ttl=15", "2s"),
        ] {
            let error = read(text).map(|_| ()).expect_err(text);
            assert!(error.contains(part), "{text}: {error}");
        }
        let address: StrategyAddress = "phalanx://a;discover=etcd;password=x".parse().unwrap();
        assert!(address.strategy().unwrap_err().to_string().contains("no parameter"));
    }

    #[test]
    fn endpoints_begin_with_the_one_that_answered() {
        let made = read("phalanx://a,b,c;discover=etcd").unwrap();
        made.preferred.store(1, std::sync::atomic::Ordering::Relaxed);
        let order: Vec<String> = made.endpoints().map(|(at, (host, _))| format!("{at}{host}")).collect();
        assert_eq!(order, ["1b", "2c", "0a"]);
    }
}
