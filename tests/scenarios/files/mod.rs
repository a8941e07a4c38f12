//! Files and folders between a control node and a worker: whole, verified, gone on with, and never outside of a root.

mod attacks;
mod fan_out;
mod figures;
mod going_on;
mod whole;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use phalanx_drivers::files::{Access, FileServer, Files, FilesClient, FilesPolicy};
use tempfile::TempDir;
use tests::Cluster;

const MEGABYTE: usize = 1 << 20;

/// A cluster of two control nodes whose worker lets its folder `served` be read and written, as root `data`.
struct Served {
    cluster: Cluster,
    worker: String,
    temp: TempDir,
}

impl Served {
    async fn start(name: &str) -> Self {
        Self::with(name, |policy| policy).await
    }

    async fn with(name: &str, change: impl FnOnce(FilesPolicy) -> FilesPolicy) -> Self {
        let temp = tempfile::tempdir().unwrap();
        fs::create_dir(temp.path().join("served")).unwrap();
        let policy = FilesPolicy::new().root("data", temp.path().join("served"), Access::ReadWrite);
        let (controls, worker) = ([format!("{name}-c1"), format!("{name}-c2")], format!("{name}-w"));
        let mut cluster = Cluster::start(&controls.each_ref().map(String::as_str), &[]).await;
        let server = FileServer::open(&change(policy)).unwrap();
        let builder = cluster.worker_builder(&worker).job::<Files>(server);
        cluster.adopt_worker(builder.start().await.unwrap());
        cluster.settled().await;
        Self { cluster, worker, temp }
    }

    /// A file or folder of this test's own.
    fn local(&self, name: &str) -> PathBuf {
        self.temp.path().join(name)
    }

    /// A file or folder of the worker's.
    fn served(&self, name: &str) -> PathBuf {
        self.temp.path().join("served").join(name)
    }

    fn client_through(&self, control: &str) -> FilesClient {
        FilesClient::new(self.cluster.through(control, &self.worker))
    }

    /// Through a control node that does not own the worker.
    fn client(&self) -> FilesClient {
        self.client_through(&self.cluster.bystander(&self.worker))
    }

    /// Nothing that broke off is left.
    fn assert_clean(&self) {
        for folder in [self.temp.path().to_owned(), self.served("")] {
            assert!(!folder.join(".phalanx-partials").exists(), "{folder:?}");
        }
    }
}

/// Bytes of which no two pieces are alike.
fn content(seed: &str, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    blake3::Hasher::new().update(seed.as_bytes()).finalize_xof().fill(&mut bytes);
    bytes
}

/// Everything below a folder: its path, its mode, and the hash of what is in it.
fn tree(top: &Path) -> BTreeMap<PathBuf, (u32, Option<blake3::Hash>)> {
    let mut found = BTreeMap::new();
    let mut left = vec![top.to_owned()];
    while let Some(path) = left.pop() {
        let metadata = fs::symlink_metadata(&path).unwrap();
        let below = path.strip_prefix(top).unwrap().to_owned();
        let hash = if metadata.is_dir() {
            left.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
            None
        } else {
            Some(blake3::hash(&fs::read(&path).unwrap()))
        };
        found.insert(below, (metadata.mode() & 0o777, hash));
    }
    found
}

fn write(path: &Path, bytes: &[u8], mode: u32) {
    fs::write(path, bytes).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

fn make_folder(path: &Path, mode: u32) {
    fs::DirBuilder::new().mode(mode).create(path).unwrap();
}
