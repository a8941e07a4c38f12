//! Connections, requests, and what is answered.

use std::sync::Arc;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::server::TlsStream;

use super::store::is_selected;
use super::{Fault, Request, Shared, State, Verb};
use crate::certificates::Authority;

type Stream = TlsStream<TcpStream>;

/// Starts to serve on a free port.
pub(crate) async fn start(shared: Arc<Shared>, authority: &Authority) -> (u16, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let acceptor = TlsAcceptor::from(Arc::new(tls(authority)));
    let server = tokio::spawn(async move {
        let mut connections = JoinSet::new();
        while let Ok((tcp, _)) = listener.accept().await {
            let (acceptor, shared) = (acceptor.clone(), shared.clone());
            connections.spawn(async move {
                // A client that does not trust the certificate ends here.
                let Ok(mut stream) = acceptor.accept(tcp).await else { return };
                while serve(&mut stream, &shared).await.is_some() {}
                let _ = stream.shutdown().await;
            });
        }
    });
    (port, server)
}

fn tls(authority: &Authority) -> ServerConfig {
    let (certificate, key) = authority.leaf("127.0.0.1");
    let certificate = CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap();
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
    ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap()
}

/// Serves one request; `None` where the connection is to end.
async fn serve(stream: &mut Stream, shared: &Shared) -> Option<()> {
    let request = read_request(stream).await?;
    let fault = {
        let mut state = shared.state();
        state.requests.push(request.clone());
        let at = state.faults.iter().position(|(verb, _)| *verb == request.verb);
        at.and_then(|at| state.faults.remove(at))
    };
    if let Some((_, fault)) = fault {
        return misbehave(stream, shared, fault).await;
    }
    let refused = refusal(&shared.state(), &request);
    if let Some((status, message)) = refused {
        return answer(stream, status, None, &status_object(status, &message).to_string()).await;
    }
    match request.verb {
        Verb::List => {
            let (status, body) = list(&shared.state(), &request);
            answer(stream, status, None, &body.to_string()).await
        }
        Verb::Watch => watch(stream, shared, &request).await,
    }
}

async fn read_request(stream: &mut Stream) -> Option<Request> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    let head = String::from_utf8(head).ok()?;
    let target = head.strip_prefix("GET ")?.split(' ').next()?;
    let url = reqwest::Url::parse(&format!("https://fake{target}")).ok()?;
    let header = |name: &str| {
        let mut lines = head.lines().filter_map(|line| line.split_once(": "));
        lines.find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.to_owned())
    };
    let query: std::collections::BTreeMap<String, String> = url.query_pairs().into_owned().collect();
    let verb = if query.get("watch").is_some_and(|on| on == "1") { Verb::Watch } else { Verb::List };
    let token = header("authorization").unwrap_or_default().trim_start_matches("Bearer ").to_owned();
    Some(Request { verb, path: url.path().to_owned(), query, token })
}

fn status_object(code: u16, message: &str) -> Value {
    json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": message, "code": code})
}

fn refusal(state: &State, request: &Request) -> Option<(u16, String)> {
    if !state.tokens.contains(&request.token) {
        return Some((401, "Unauthorized".to_owned()));
    }
    if plural(&request.path).is_none() {
        return Some((404, "the server could not find the requested resource".to_owned()));
    }
    None
}

/// Which objects a path stands for, and in which namespace.
fn plural(path: &str) -> Option<(&str, &str)> {
    let slices = path.strip_prefix("/apis/discovery.k8s.io/v1/namespaces/");
    let pods = path.strip_prefix("/api/v1/namespaces/");
    match (slices.and_then(|rest| rest.split_once('/')), pods.and_then(|rest| rest.split_once('/'))) {
        (Some((namespace, "endpointslices")), _) => Some((namespace, "endpointslices")),
        (_, Some((namespace, "pods"))) => Some((namespace, "pods")),
        _ => None,
    }
}

/// A page. The mark of the next one is the version, and the name before it.
fn list(state: &State, request: &Request) -> (u16, Value) {
    let (namespace, plural) = plural(&request.path).expect("it was checked before");
    let limit = request.query.get("limit").and_then(|limit| limit.parse().ok()).unwrap_or(usize::MAX);
    let mark = request.query.get("continue").map(|mark| mark.split_once('|').expect("the fake made it"));
    let version =
        mark.map_or(state.store.version(), |(version, _)| version.parse().expect("the fake made it"));
    if state.store.is_gone(version) {
        let message = "The provided continue parameter is too old to display a consistent list result.";
        return (410, status_object(410, message));
    }
    let selector = request.query.get("labelSelector").map_or("", String::as_str);
    let objects = state.store.at(plural, version);
    let selected = objects.into_iter().filter(|(name, object)| {
        mark.is_none_or(|(_, after)| name.as_str() > after)
            && namespace == state.namespace
            && is_selected(object, selector)
    });
    let mut selected: Vec<_> = selected.collect();
    let is_last = selected.len() <= limit;
    selected.truncate(limit);
    let mut metadata = json!({"resourceVersion": version.to_string()});
    if let Some((last, _)) = selected.last().filter(|_| !is_last) {
        metadata["continue"] = json!(format!("{version}|{last}"));
    }
    let items: Vec<Value> = selected.into_iter().map(|(_, object)| object).collect();
    let (kind, api) = match plural {
        "pods" => ("PodList", "v1"),
        _ => ("EndpointSliceList", "discovery.k8s.io/v1"),
    };
    (200, json!({"kind": kind, "apiVersion": api, "metadata": metadata, "items": items}))
}

/// Tells changes for as long as client and test want.
async fn watch(stream: &mut Stream, shared: &Shared, request: &Request) -> Option<()> {
    let (mut changes, mut cuts) = (shared.changes.subscribe(), shared.cuts.subscribe());
    let mut version: u64 = request.query.get("resourceVersion")?.parse().ok()?;
    let selector = request.query.get("labelSelector").cloned().unwrap_or_default();
    let (namespace, plural) = plural(&request.path)?;
    let (gone, as_event) = {
        let state = shared.state();
        (state.store.is_gone(version) || namespace != state.namespace, state.gone_as_event)
    };
    let message = "too old resource version";
    if gone && !as_event {
        return answer(stream, 410, None, &status_object(410, message).to_string()).await;
    }
    begin(stream).await?;
    if gone {
        let event = json!({"type": "ERROR", "object": status_object(410, message)});
        chunk(stream, &format!("{event}\n")).await?;
        return end(stream).await;
    }
    loop {
        let mut events = Vec::new();
        {
            let state = shared.state();
            for (_, kind, _, object) in state.store.after(plural, version) {
                if is_selected(object, &selector) {
                    events.push(json!({"type": kind, "object": object}));
                }
            }
            if events.is_empty() && state.store.version() > version {
                let metadata = json!({"resourceVersion": state.store.version().to_string()});
                events.push(json!({"type": "BOOKMARK", "object": {"metadata": metadata}}));
            }
            version = state.store.version();
        }
        for event in events {
            chunk(stream, &format!("{event}\n")).await?;
        }
        let mut byte = [0];
        tokio::select! {
            biased;
            _ = cuts.changed() => return None,
            changed = changes.changed() => changed.ok()?,
            // The client has gone.
            _ = stream.read(&mut byte) => return None,
        }
    }
}

async fn misbehave(stream: &mut Stream, shared: &Shared, fault: Fault) -> Option<()> {
    match fault {
        Fault::Status(status, wait) => {
            let body = status_object(status, "told to say so").to_string();
            answer(stream, status, wait, &body).await
        }
        Fault::ProxyPage(status) => answer(stream, status, None, "<html>a proxy's page</html>").await,
        Fault::BlackHole => {
            let mut byte = [0];
            let _ = stream.read(&mut byte).await;
            None
        }
        Fault::Cut => None,
        Fault::HalfBody => {
            begin(stream).await?;
            chunk(stream, "{\"type\":\"ADDED\",\"obj").await?;
            None
        }
        Fault::Body(body) => answer(stream, 200, None, &body).await,
        Fault::EndlessLine => {
            begin(stream).await?;
            let letters = "x".repeat(64 << 10);
            loop {
                chunk(stream, &letters).await?;
                shared.endless_bytes.send_modify(|count| *count += letters.len() as u64);
            }
        }
        Fault::ErrorEvent(code) => {
            begin(stream).await?;
            let event = json!({"type": "ERROR", "object": status_object(code, "told to say so")});
            chunk(stream, &format!("{event}\n")).await?;
            end(stream).await
        }
    }
}

async fn answer(stream: &mut Stream, status: u16, wait: Option<u64>, body: &str) -> Option<()> {
    let wait = wait.map(|seconds| format!("Retry-After: {seconds}\r\n")).unwrap_or_default();
    let head = format!(
        "HTTP/1.1 {status} Fake\r\nContent-Type: application/json\r\n{wait}Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    write(stream, &head).await
}

async fn begin(stream: &mut Stream) -> Option<()> {
    write(stream, "HTTP/1.1 200 Fake\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n")
        .await
}

async fn chunk(stream: &mut Stream, text: &str) -> Option<()> {
    write(stream, &format!("{:x}\r\n{text}\r\n", text.len())).await
}

async fn end(stream: &mut Stream) -> Option<()> {
    write(stream, "0\r\n\r\n").await
}

async fn write(stream: &mut Stream, text: &str) -> Option<()> {
    stream.write_all(text.as_bytes()).await.ok()?;
    stream.flush().await.ok()
}
