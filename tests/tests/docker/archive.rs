//! Image archives, as `docker save` writes them, made by hand.

use std::fs;
use std::io::Write;
use std::process::{Command, Stdio};

use serde_json::json;

/// The name of the image that scenarios run.
pub(crate) const IMAGE: &str = "busybox:test";

/// Its programs.
const PROGRAMS: &[&str] = &[
    "sh", "echo", "sleep", "cat", "env", "pwd", "dd", "id", "kill", "head", "yes", "true", "test", "touch",
    "tail",
];

/// The parts of an image of one layer.
pub(crate) struct Image {
    pub(crate) layer: Vec<u8>,
    pub(crate) config: Vec<u8>,
}

/// Static busybox with its names, and this file beside it.
pub(crate) fn image(mark: &str) -> Image {
    let advice = "install the Debian package busybox-static";
    let busybox = fs::read("/bin/busybox").unwrap_or_else(|error| panic!("/bin/busybox: {error}; {advice}"));
    let mut layer = Tar::default();
    layer.folder("bin/");
    layer.file("bin/busybox", 0o755, &busybox);
    for program in PROGRAMS {
        layer.link(&format!("bin/{program}"), "busybox");
    }
    layer.folder("tmp/");
    layer.folder("work/");
    layer.file("mark", 0o644, mark.as_bytes());
    let layer = layer.end();
    let architecture = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };
    let config = json!({
        "architecture": architecture,
        "os": "linux",
        "config": { "Env": ["PATH=/bin", "FROM=image"], "Cmd": ["/bin/echo", "as the image says"] },
        "rootfs": { "type": "layers", "diff_ids": [format!("sha256:{}", sha256(&layer))] },
    });
    Image { layer, config: config.to_string().into_bytes() }
}

/// The archive of an image under these names.
pub(crate) fn archive(image: &Image, names: &[&str]) -> Vec<u8> {
    let mut tar = Tar::default();
    let config = format!("{}.json", sha256(&image.config));
    let manifest = json!([{ "Config": config, "RepoTags": names, "Layers": ["layer.tar"] }]);
    tar.file(&config, 0o644, &image.config);
    tar.file("layer.tar", 0o644, &image.layer);
    tar.file("manifest.json", 0o644, manifest.to_string().as_bytes());
    tar.end()
}

/// The hash, in hexadecimal digits.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    let mut command = Command::new("sha256sum");
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(bytes).unwrap();
    let output = child.wait_with_output().unwrap();
    String::from_utf8(output.stdout).unwrap()[..64].to_owned()
}

/// A tar file that grows (POSIX.1-1988, ustar).
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
