//! The Kubernetes API: the Pods behind a Service, or Pods with certain labels.
//!
//! A thin client of our own rather than the `kube` crate: the token must be read at each request, since it is rotated, and
//! who wants two requests should not build a whole client of Kubernetes.

mod address;
mod api;
mod endpoint;
mod error;
mod list;
mod objects;
mod setup;
mod watch;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::{Mutex, Once, PoisonError};
use std::time::Duration;

use crate::http::{Outage, TlsFiles};
use crate::{Candidate, Candidates, Discover, DiscoverContext, DiscoverError, Refresh};
use api::Api;
use endpoint::{Choice, PortChoice};
use objects::Resource;

pub(crate) use address::from_address;
pub use endpoint::{IpFamily, NotReady};
pub use error::KubernetesError;

/// Where Kubernetes puts what a Pod needs to talk to the API.
const ACCOUNT_FOLDER: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// The longest label selector: that of the text of a strategy leaves less.
const SELECTOR_BYTES_MAX: usize = 1_024;

/// How long a request may take until its answer is there, unless the user says otherwise: an API server that is overloaded
/// sheds requests, it does not keep them for long.
const REQUEST_TIME_MAX: Duration = Duration::from_secs(10);

/// Control nodes by the Kubernetes API, over TLS only: the Pods behind a Service by its EndpointSlices
/// (`discovery.k8s.io/v1`, Kubernetes 1.21 and later), or the Pods with certain labels.
///
/// As text: `phalanx://SERVICE.NAMESPACE:PORT;discover=kubernetes`, where namespace and port may be left out, or
/// `phalanx://;discover=kubernetes;selector=app=phalanx`. Further parameters: `namespace`, `port`, `port-name`,
/// `not-ready=include|exclude`, `family=any|ipv4|ipv6`, `api=https://host:port`, `token-file`, `ca-file`, `refresh`.
///
/// Inside a Pod nothing else is needed than the right to `list` and `watch` `endpointslices` (or `pods`) in the namespace.
/// Token and CA are read from their files again and again, since Kubernetes rotates them. In both modes Pods that are not
/// ready are found too, after the ready ones ([`NotReady`]): a Service needs no `publishNotReadyAddresses` for that.
/// Pods that terminate come last.
///
/// [`changed`](Discover::changed) watches, and returns a quarter of a second after the candidates have become others than
/// those last seen. Whatever the server does meanwhile, it tries again with growing pauses.
///
/// ```
/// use phalanx_discovery::{Kubernetes, NotReady};
///
/// # fn main() -> Result<(), phalanx_discovery::KubernetesError> {
/// let strategy = Kubernetes::service("media")?.namespace("prod")?.port_name("link").not_ready(NotReady::Exclude);
/// let text = "phalanx://media.prod;discover=kubernetes;port-name=link;not-ready=exclude";
/// # let _ = (strategy, text);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Kubernetes {
    resource: Resource,
    /// The label selector.
    selector: String,
    /// `None`: the Pod's own.
    namespace: Option<String>,
    /// `None`: the one that the Pod's environment names.
    server: Option<String>,
    token_file: PathBuf,
    tls: TlsFiles,
    choice: Choice,
    request_time_max: Duration,
    refresh: Refresh,
    /// What was found last, so that no change is missed between a look-up and the next watch.
    known: Mutex<Option<BTreeSet<Candidate>>>,
    outage: Outage,
    /// The warning that there is more than is taken.
    too_many: Once,
}

impl Kubernetes {
    /// The Pods behind a Service, headless or not.
    ///
    /// # Errors
    /// [`KubernetesError::Name`] where no Service can have this name.
    pub fn service(name: &str) -> Result<Self, KubernetesError> {
        check_label("Service", name)?;
        Ok(Self::new(Resource::EndpointSlices, format!("kubernetes.io/service-name={name}")))
    }

    /// The Pods with these labels, such as `app=phalanx,tier!=test`. Pods that have ended are left out.
    ///
    /// # Errors
    /// [`KubernetesError::Selector`] where it is empty or longer than 1,024 bytes.
    pub fn pods(selector: &str) -> Result<Self, KubernetesError> {
        let bytes = selector.len();
        if selector.trim().is_empty() || bytes > SELECTOR_BYTES_MAX {
            return Err(KubernetesError::Selector { bytes });
        }
        Ok(Self::new(Resource::Pods, selector.to_owned()))
    }

    fn new(resource: Resource, selector: String) -> Self {
        let account = PathBuf::from(ACCOUNT_FOLDER);
        Self {
            resource,
            selector,
            namespace: None,
            server: None,
            token_file: account.join("token"),
            tls: TlsFiles { ca: Some(account.join("ca.crt")), identity: None },
            choice: Choice::default(),
            request_time_max: REQUEST_TIME_MAX,
            refresh: Refresh::default(),
            known: Mutex::new(None),
            outage: Outage::default(),
            too_many: Once::new(),
        }
    }

    /// In this namespace; else in that of the Pod in which this runs.
    ///
    /// # Errors
    /// [`KubernetesError::Name`] where no namespace can have this name.
    pub fn namespace(self, namespace: &str) -> Result<Self, KubernetesError> {
        check_label("namespace", namespace)?;
        Ok(Self { namespace: Some(namespace.to_owned()), ..self })
    }

    /// The API server, `https://host:port`; else the one that `KUBERNETES_SERVICE_HOST` and `KUBERNETES_SERVICE_PORT` name.
    ///
    /// # Errors
    /// [`KubernetesError::Server`] where it is no URL, or not `https`.
    pub fn server(self, url: &str) -> Result<Self, KubernetesError> {
        Ok(Self { server: Some(setup::server(url)?), ..self })
    }

    /// The file of the bearer token, read at each request; else the service account's.
    #[must_use]
    pub fn token_file(self, path: impl Into<PathBuf>) -> Self {
        Self { token_file: path.into(), ..self }
    }

    /// The PEM file of the certificates that vouch for the API server, read at each look-up; else the service account's.
    #[must_use]
    pub fn ca_file(self, path: impl Into<PathBuf>) -> Self {
        Self { tls: TlsFiles { ca: Some(path.into()), identity: None }, ..self }
    }

    /// This port of each Pod; else the port named `phalanx`, else the only one that is declared, else 7000.
    #[must_use]
    pub fn port(mut self, port: u16) -> Self {
        self.choice.port = PortChoice::Number(port);
        self
    }

    /// The port of this name; Pods without one are left out.
    #[must_use]
    pub fn port_name(mut self, name: impl Into<String>) -> Self {
        self.choice.port = PortChoice::Name(name.into());
        self
    }

    /// What to do with Pods that are not ready; they are included unless this says otherwise.
    #[must_use]
    pub fn not_ready(mut self, not_ready: NotReady) -> Self {
        self.choice.not_ready = not_ready;
        self
    }

    /// The IP addresses to take; all unless this says otherwise.
    #[must_use]
    pub fn family(mut self, family: IpFamily) -> Self {
        self.choice.family = family;
        self
    }

    /// How long a request may take until its answer is there; 10 s unless this says otherwise.
    #[must_use]
    pub fn request_time_max(self, request_time_max: Duration) -> Self {
        Self { request_time_max, ..self }
    }

    /// How often to look.
    #[must_use]
    pub fn refresh(self, refresh: Refresh) -> Self {
        Self { refresh, ..self }
    }

    /// Remembers what is there now, and says whether it is something else than before. What is seen first is no change, nor
    /// is another order.
    fn is_new(&self, now: &Candidates) -> bool {
        let now: BTreeSet<_> = now.iter().cloned().collect();
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let is_new = known.as_ref().is_some_and(|known| *known != now);
        if is_new || known.is_none() {
            *known = Some(now);
        }
        is_new
    }
}

impl Discover for Kubernetes {
    async fn find(&self, context: &DiscoverContext) -> Result<Candidates, DiscoverError> {
        let api = Api::open(self, context).map_err(DiscoverError::other)?;
        let found = api.list(context).await.map_err(DiscoverError::other)?.candidates();
        self.is_new(&found);
        Ok(found)
    }

    async fn changed(&self, context: &DiscoverContext) {
        watch::changed(self, context).await;
    }

    fn refresh(&self) -> Refresh {
        self.refresh
    }
}

/// Checks a name after RFC 1123: it becomes part of a path or of a selector.
fn check_label(what: &'static str, text: &str) -> Result<(), KubernetesError> {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let edges = text.starts_with('-') || text.ends_with('-');
    if text.is_empty() || text.len() > 63 || edges || !text.bytes().all(allowed) {
        let text = text.chars().take(80).collect();
        return Err(KubernetesError::Name { what, text });
    }
    Ok(())
}
