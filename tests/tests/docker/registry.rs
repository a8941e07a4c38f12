//! A registry of one image, as small as a daemon takes it (Docker Registry HTTP API V2). Daemons speak plain HTTP to loopback.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::json;

use crate::archive::{Image, sha256};

const MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";

/// What it has, by path.
type Content = Vec<(String, &'static str, Vec<u8>)>;

/// A registry on loopback.
pub(crate) struct Registry {
    address: SocketAddr,
    is_closed: Arc<AtomicBool>,
}

impl Registry {
    /// Serves an image as `app:1`.
    pub(crate) fn start(image: &Image) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let is_closed = Arc::new(AtomicBool::new(false));
        let (content, closed) = (content(image), is_closed.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if !closed.load(Ordering::Relaxed) {
                    // A daemon that goes away is no concern of a registry.
                    let _ = serve(&stream, &content);
                }
            }
        });
        Self { address, is_closed }
    }

    /// The full reference of something that it may have.
    pub(crate) fn image(&self, name: &str) -> String {
        format!("{}/{name}", self.address)
    }

    /// Answers nobody any more.
    pub(crate) fn close(&self) {
        self.is_closed.store(true, Ordering::Relaxed);
    }
}

fn content(image: &Image) -> Content {
    let part = |kind: &str, bytes: &[u8]| {
        let digest = format!("sha256:{}", sha256(bytes));
        json!({ "mediaType": kind, "size": bytes.len(), "digest": digest })
    };
    let config = part("application/vnd.docker.container.image.v1+json", &image.config);
    let layer = part("application/vnd.docker.image.rootfs.diff.tar", &image.layer);
    let manifest = json!({ "schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": [layer] });
    let manifest = manifest.to_string().into_bytes();
    let blob = |bytes: &[u8]| format!("/v2/app/blobs/sha256:{}", sha256(bytes));
    let octets = "application/octet-stream";
    vec![
        ("/v2/".to_owned(), "application/json", b"{}".to_vec()),
        ("/v2/app/manifests/1".to_owned(), MANIFEST, manifest.clone()),
        (format!("/v2/app/manifests/sha256:{}", sha256(&manifest)), MANIFEST, manifest),
        (blob(&image.config), octets, image.config.clone()),
        (blob(&image.layer), octets, image.layer.clone()),
    ]
}

/// Answers one question.
fn serve(stream: &TcpStream, content: &Content) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream).lines();
    let question = lines.next().transpose()?.unwrap_or_default();
    for line in lines {
        if line?.is_empty() {
            break;
        }
    }
    let mut words = question.split(' ');
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let mut stream = stream;
    let Some((_, kind, body)) = content.iter().find(|(at, _, _)| at == path) else {
        let body = r#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}"#;
        let length = body.len();
        let head = "HTTP/1.1 404 Not Found\r\nConnection: close\r\nContent-Type: application/json";
        return write!(stream, "{head}\r\nContent-Length: {length}\r\n\r\n{body}");
    };
    let (length, digest) = (body.len(), sha256(body));
    write!(stream, "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Type: {kind}\r\n")?;
    write!(stream, "Docker-Content-Digest: sha256:{digest}\r\nContent-Length: {length}\r\n\r\n")?;
    if method == "HEAD" { Ok(()) } else { stream.write_all(body) }
}
