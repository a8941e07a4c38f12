//! An image archive, as `docker save` writes it, made by hand of a static busybox: so that no registry is needed.

use std::fs;

use ring::digest::{SHA256, digest};
use serde_json::json;

/// Where Debian puts it.
const BUSYBOX: &str = "/bin/busybox";

/// The programs of busybox that the demo's containers use.
const PROGRAMS: &[&str] = &["sh", "echo", "sleep", "test", "touch"];

/// The archive of an image of this name.
pub(crate) fn make(image: &str) -> Result<Vec<u8>, String> {
    let busybox = fs::read(BUSYBOX)
        .map_err(|error| format!("{BUSYBOX}: {error}: install the Debian package busybox-static"))?;
    let mut layer = Tar::default();
    layer.folder("bin/");
    layer.file("bin/busybox", 0o755, &busybox);
    for program in PROGRAMS {
        layer.link(&format!("bin/{program}"), "busybox");
    }
    layer.folder("tmp/");
    let layer = layer.end();
    let architecture = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };
    let config = json!({
        "architecture": architecture,
        "os": "linux",
        "config": { "Env": ["PATH=/bin"] },
        "rootfs": { "type": "layers", "diff_ids": [format!("sha256:{}", sha256(&layer))] },
    });
    let config = config.to_string().into_bytes();
    let name = format!("{}.json", sha256(&config));
    let manifest = json!([{ "Config": name, "RepoTags": [image], "Layers": ["layer.tar"] }]);
    let mut tar = Tar::default();
    tar.file(&name, 0o644, &config);
    tar.file("layer.tar", 0o644, &layer);
    tar.file("manifest.json", 0o644, manifest.to_string().as_bytes());
    Ok(tar.end())
}

/// The hash, in hexadecimal digits.
fn sha256(bytes: &[u8]) -> String {
    digest(&SHA256, bytes).as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A tar file that grows (POSIX.1-1988, ustar). Names are the demo's own, and short.
#[derive(Default)]
struct Tar(Vec<u8>);

impl Tar {
    fn folder(&mut self, name: &str) {
        self.header(name, 0o777, 0, b'5', "");
    }

    fn link(&mut self, name: &str, to: &str) {
        self.header(name, 0o777, 0, b'2', to);
    }

    fn file(&mut self, name: &str, mode: u32, bytes: &[u8]) {
        self.header(name, mode, bytes.len(), b'0', "");
        self.0.extend_from_slice(bytes);
        self.0.resize(self.0.len().next_multiple_of(512), 0);
    }

    fn header(&mut self, name: &str, mode: u32, size: usize, kind: u8, link: &str) {
        let mut header = [0; 512];
        let mut put = |at: usize, text: &str| header[at..at + text.len()].copy_from_slice(text.as_bytes());
        put(0, name);
        put(100, &format!("{mode:07o}"));
        put(108, "0000000");
        put(116, "0000000");
        put(124, &format!("{size:011o}"));
        put(136, "00000000000");
        put(148, "        ");
        put(157, link);
        put(257, "ustar");
        put(263, "00");
        header[156] = kind;
        let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
        header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        self.0.extend_from_slice(&header);
    }

    fn end(mut self) -> Vec<u8> {
        self.0.resize(self.0.len() + 1024, 0);
        self.0
    }
}
