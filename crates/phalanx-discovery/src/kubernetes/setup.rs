//! Where the API server is: what the user says, else what Kubernetes tells each Pod by its environment.

use std::net::Ipv6Addr;

use reqwest::Url;

use super::error::{ApiError, KubernetesError};

/// Checks the URL of an API server; the path of a proxy in front of it may follow. Without a final `/`.
pub(super) fn server(text: &str) -> Result<String, KubernetesError> {
    let wrong = || KubernetesError::Server { text: text.chars().take(200).collect() };
    let url = Url::parse(text).map_err(|_| wrong())?;
    let plain = url.username().is_empty() && url.password().is_none();
    let plain = plain && url.query().is_none() && url.fragment().is_none();
    if url.scheme() != "https" || url.host_str().is_none() || !plain {
        return Err(wrong());
    }
    Ok(url.as_str().trim_end_matches('/').to_owned())
}

/// The server that the environment of a Pod names.
pub(super) fn server_of_pod() -> Result<String, ApiError> {
    let variable = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
    let (host, port) = (variable("KUBERNETES_SERVICE_HOST"), variable("KUBERNETES_SERVICE_PORT"));
    server_of(host.as_deref(), port.as_deref())
}

fn server_of(host: Option<&str>, port: Option<&str>) -> Result<String, ApiError> {
    let Some(host) = host else {
        return Err(ApiError::SetUp("KUBERNETES_SERVICE_HOST is not set: this is no Pod".to_owned()));
    };
    let port = port.unwrap_or("443");
    let url = match host.parse::<Ipv6Addr>() {
        Ok(ip) => format!("https://[{ip}]:{port}"),
        Err(_) => format!("https://{host}:{port}"),
    };
    server(&url).map_err(|error| ApiError::SetUp(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_server_of_a_pod_is_put_together() {
        let of = |host, port| server_of(host, port).unwrap();
        assert_eq!(of(Some("10.96.0.1"), Some("6443")), "https://10.96.0.1:6443");
        assert_eq!(of(Some("fd00::1"), None), "https://[fd00::1]");
        assert_eq!(of(Some("kubernetes.default.svc"), Some("443")), "https://kubernetes.default.svc");
        assert!(server_of(None, Some("443")).unwrap_err().to_string().contains("no Pod"));
        assert!(server_of(Some("a b"), None).is_err());
        assert!(server_of(Some("a"), Some("x")).is_err());
    }

    #[test]
    fn only_https_is_a_server() {
        assert_eq!(server("https://a:6443/k8s/clusters/one/").unwrap(), "https://a:6443/k8s/clusters/one");
        for wrong in ["http://a", "a:6443", "", "https://", "https://u:p@a", "https://a?b=c", "https://a#b"] {
            assert!(server(wrong).is_err(), "{wrong}");
        }
    }
}
