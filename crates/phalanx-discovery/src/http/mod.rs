//! HTTP, as the strategies that ask a server need it: Kubernetes and etcd.
//!
//! A client lives for one look-up, one watch or one renewal. So nothing grows stale in it: files of certificates are read
//! anew, names go through the context's resolver, and no connection is kept that an idle firewall has forgotten. It
//! speaks HTTP/1.1 only, where a connection carries one answer and a slow one holds up no other.

mod backoff;
mod body;
mod files;
mod outage;
mod tls;

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use phalanx_base::DnsName;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::redirect::Policy;

use crate::{DiscoverContext, Resolver};

pub(crate) use backoff::Backoff;
pub(crate) use body::{Lines, whole_body};
pub(crate) use files::read_secret;
pub(crate) use outage::Outage;
pub(crate) use tls::TlsFiles;

/// How long to wait until a server takes the connection: it is near, and another one may be next.
const CONNECT_TIME_MAX: Duration = Duration::from_secs(2);

/// After how long without a packet the kernel asks whether a watch's server is still there.
const KEEPALIVE_PAUSE: Duration = Duration::from_secs(20);

/// The longest text of an error that is quoted.
const QUOTED_CHARS_MAX: usize = 300;

/// Why there is no answer, or none that can be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum HttpError {
    #[error("could not read {path}: {reason}")]
    File { path: String, reason: String },
    #[error("no HTTP client: {0}")]
    Client(String),
    #[error("{0}")]
    Transfer(String),
    #[error("the answer is longer than {bytes_max} bytes")]
    TooLong { bytes_max: usize },
}

/// A client that trusts these files, and sends its secrets to nobody else: it follows no redirect and uses no proxy.
pub(crate) fn client(context: &DiscoverContext, files: &TlsFiles) -> Result<reqwest::Client, HttpError> {
    reqwest::Client::builder()
        .use_preconfigured_tls(files.configuration()?)
        .dns_resolver(Arc::new(Names(context.resolver.clone())))
        .redirect(Policy::none())
        .no_proxy()
        .http1_only()
        .connect_timeout(CONNECT_TIME_MAX)
        .tcp_keepalive(KEEPALIVE_PAUSE)
        .user_agent(concat!("phalanx/", env!("CARGO_PKG_VERSION")))
        .build()
        .map_err(|error| HttpError::Client(chain(&error)))
}

/// The context's resolver, as the client wants it.
struct Names(Arc<dyn Resolver>);

impl Resolve for Names {
    fn resolve(&self, name: Name) -> Resolving {
        let resolver = self.0.clone();
        Box::pin(async move {
            let name = DnsName::new(name.as_str())?;
            let ips = resolver.resolve(&name).await?;
            // Port 0 stands for the port of the URL.
            let sockets: Addrs = Box::new(ips.into_iter().map(|ip| (ip, 0).into()));
            Ok(sockets)
        })
    }
}

/// An error with its causes, in a line.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let part = error.to_string();
        // Some errors repeat their cause.
        if !text.contains(&part) {
            text = format!("{text}: {part}");
        }
        cause = error.source();
    }
    quoted(&text)
}

/// The failure of a transfer. The URL is left out: who reports it knows which server it was.
pub(crate) fn transfer(error: reqwest::Error) -> HttpError {
    HttpError::Transfer(chain(&error.without_url()))
}

/// What a server said, fit for a line: short and without control characters.
pub(crate) fn quoted(text: &str) -> String {
    let line = |c: char| if c.is_control() { ' ' } else { c };
    text.trim().chars().map(line).take(QUOTED_CHARS_MAX).collect()
}
