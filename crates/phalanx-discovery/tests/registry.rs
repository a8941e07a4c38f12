//! The registry with real files, locks and processes: this very binary takes the part of the other nodes of the machine.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "beacons/mod.rs"]
mod beacons;

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use beacons::{Cluster, OURS, PATIENCE, announcement, strategy};
use phalanx_base::Generation;
use phalanx_discovery::{Discover, DiscoverContext, DynDiscover, Journal, Registry};
use tempfile::TempDir;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

/// How often to look whether what must come is there.
const LOOK_PAUSE: Duration = Duration::from_millis(10);

/// Tells a process of this binary to be a node: the strategy, its name, its generation, its address.
const PEER: &str = "PHALANX_TEST_PEER";

/// Not a test by itself: what a process of this binary does. It announces a node until it is killed.
#[tokio::test]
async fn be_a_peer() {
    let Ok(part) = std::env::var(PEER) else { return };
    let [text, node, generation, address] = part.split(' ').collect::<Vec<_>>()[..] else { panic!("{part}") };
    let mut who = announcement(node, address);
    who.boot.generation = Generation::from_u64(generation.parse().unwrap());
    strategy(text).announce(&OURS.context(false), &who, Box::pin(std::future::pending())).await.unwrap();
}

/// A node in a process of its own, killed when dropped.
struct Peer(Child);

impl Peer {
    fn start(text: &str, node: &str, generation: u64, address: &str) -> Self {
        Self(Self::command(text, node, generation, address).spawn().unwrap())
    }

    fn command(text: &str, node: &str, generation: u64, address: &str) -> Command {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command
            .args(["--exact", "be_a_peer"])
            .env(PEER, format!("{text} {node} {generation} {address}"))
            .stdout(Stdio::null());
        command
    }

    /// Kills it in a way that it cannot notice (SIGKILL).
    fn kill(mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn folder() -> TempDir {
    TempDir::new().unwrap()
}

fn text(folder: &TempDir) -> String {
    format!("phalanx://{};discover=registry", folder.path().display())
}

async fn sockets(strategy: &impl Discover, context: &DiscoverContext) -> Vec<String> {
    let found = strategy.find(context).await.unwrap();
    found.iter().map(|candidate| candidate.socket.to_string()).collect()
}

/// Looks until exactly these are found.
async fn until(strategy: &impl Discover, expected: &[&str]) {
    let (deadline, context) = (Instant::now() + PATIENCE, OURS.context(true));
    loop {
        let found = sockets(strategy, &context).await;
        if found == expected {
            return;
        }
        assert!(Instant::now() < deadline, "found {found:?} and not {expected:?}");
        tokio::time::sleep(LOOK_PAUSE).await;
    }
}

fn names(folder: &Path) -> Vec<String> {
    fs::read_dir(folder).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap()).collect()
}

/// Announces a node in this process until it is told otherwise.
fn announce(strategy: &DynDiscover, node: &str, address: &str) -> (Arc<Notify>, JoinHandle<()>) {
    let withdraw = Arc::new(Notify::new());
    let (strategy, withdrawn, who) = (strategy.clone(), withdraw.clone(), announcement(node, address));
    let task = tokio::spawn(async move {
        let context = OURS.context(false);
        strategy.announce(&context, &who, Box::pin(withdrawn.notified())).await.unwrap();
    });
    (withdraw, task)
}

#[tokio::test]
async fn a_node_is_found_until_its_process_is_killed() {
    let folder = folder();
    let (text, registry) = (text(&folder), Registry::at(folder.path()));
    let first = Peer::start(&text, "c1", 1, "10.0.0.1:1");
    let _second = Peer::start(&text, "c2", 1, "10.0.0.2:1");
    until(&registry, &["10.0.0.1:1", "10.0.0.2:1"]).await;
    first.kill();
    // At once, and not only in the end.
    assert_eq!(sockets(&registry, &OURS.context(true)).await, ["10.0.0.2:1"]);
    assert_eq!(names(folder.path()).len(), 1);
}

#[tokio::test]
async fn two_who_look_do_not_take_each_other_for_the_node() {
    let folder = folder();
    let node = Peer::start(&text(&folder), "c1", 1, "10.0.0.1:1");
    let registry = Registry::at(folder.path());
    until(&registry, &["10.0.0.1:1"]).await;
    let entry = folder.path().join(&names(folder.path())[0]);
    node.kill();
    // As another one does that looks at the same time.
    let looking = fs::File::open(entry).unwrap();
    looking.lock_shared().unwrap();
    assert_eq!(sockets(&registry, &OURS.context(true)).await, [""; 0]);
}

#[tokio::test]
async fn a_withdrawn_node_leaves_nothing() {
    let folder = folder();
    let registry = strategy(&text(&folder));
    let (withdraw, task) = announce(&registry, "c1", "10.0.0.1:1");
    until(&registry, &["10.0.0.1:1"]).await;
    withdraw.notify_one();
    task.await.unwrap();
    assert_eq!(names(folder.path()), [""; 0]);
    // A task that is stopped cannot take anything back, but what it leaves is dead.
    let (_, task) = announce(&registry, "c1", "10.0.0.1:2");
    until(&registry, &["10.0.0.1:2"]).await;
    task.abort();
    assert!(task.await.unwrap_err().is_cancelled());
    assert_eq!(sockets(&registry, &OURS.context(true)).await, [""; 0]);
}

#[tokio::test]
async fn a_node_that_is_killed_and_started_again_is_found_while_others_clean_up() {
    let folder = folder();
    let text = text(&folder);
    let cleaners: Vec<_> = (0..3)
        .map(|_| {
            let registry = Registry::at(folder.path());
            tokio::spawn(async move {
                let context = OURS.context(true);
                loop {
                    sockets(&registry, &context).await;
                    tokio::task::yield_now().await;
                }
            })
        })
        .collect();
    let registry = Registry::at(folder.path());
    let mut former = None;
    for generation in 1..=12 {
        let address = format!("10.0.0.1:{generation}");
        let next = Peer::start(&text, "c1", generation, &address);
        // The later boot is the node, also while the earlier one still runs.
        until(&registry, &[&address]).await;
        if let Some(former) = former.replace(next) {
            Peer::kill(former);
        }
        if generation % 2 == 0 {
            former.take().expect("it was just started").kill();
            until(&registry, &[]).await;
        }
    }
    assert_eq!(names(folder.path()), [""; 0]);
    cleaners.iter().for_each(JoinHandle::abort);
}

#[tokio::test]
async fn many_come_and_go_at_once() {
    const NODES: usize = 24;
    let folder = folder();
    let registry = strategy(&text(&folder));
    let looking = {
        let registry = registry.clone();
        tokio::spawn(async move {
            loop {
                sockets(&registry, &OURS.context(true)).await;
                tokio::task::yield_now().await;
            }
        })
    };
    let nodes: Vec<_> = (0..NODES)
        .map(|node| {
            let registry = registry.clone();
            tokio::spawn(async move {
                // Each comes several times; a third leaves in good order, a third is dropped, a third stays.
                for round in 1..=8 {
                    let address = format!("10.0.0.{node}:{round}");
                    let (withdraw, task) = announce(&registry, &format!("c{node:02}"), &address);
                    if round == 8 && node % 3 == 2 {
                        return Some((address, withdraw, task));
                    }
                    tokio::task::yield_now().await;
                    if node % 3 == 0 {
                        withdraw.notify_one();
                        task.await.unwrap();
                    } else {
                        task.abort();
                    }
                }
                None
            })
        })
        .collect();
    let mut stay = Vec::new();
    for node in nodes {
        stay.extend(node.await.unwrap());
    }
    let expected: Vec<_> = stay.iter().map(|(address, ..)| address.as_str()).collect();
    assert_eq!(expected.len(), NODES / 3);
    until(&registry, &expected).await;
    looking.abort();
}

#[tokio::test]
async fn strangers_are_told_apart_where_a_cluster_is_known() {
    let folder = folder();
    let _ours = Peer::start(&text(&folder), "c1", 1, "10.0.0.1:1");
    let registry = Registry::at(folder.path());
    until(&registry, &["10.0.0.1:1"]).await;
    let theirs = Cluster { id: "theirs", seed: 2 }.context(true);
    let journal = Journal::default();
    assert_eq!(sockets(&registry, &theirs.with_journal(journal.clone())).await, [""; 0]);
    let seen = format!("{:?}", journal.attempts());
    assert!(seen.contains("c1@1 at phalanx://10.0.0.1:1") && seen.contains("another cluster"), "{seen}");
    assert_eq!(sockets(&registry, &DiscoverContext::system()).await, ["10.0.0.1:1"]);
}

#[tokio::test]
async fn what_is_no_entry_is_passed_over_and_left_alone() {
    let folder = folder();
    let _node = Peer::start(&text(&folder), "c1", 1, "10.0.0.1:1");
    let registry = Registry::at(folder.path());
    until(&registry, &["10.0.0.1:1"]).await;
    let entry = |node: &str| folder.path().join(format!("{node}@{:016x}.{:016x}.phalanx", 1, 2));
    let real = fs::read_to_string(folder.path().join(&names(folder.path())[0])).unwrap();
    fs::write(entry("half"), &real[..real.len() / 2]).unwrap();
    fs::write(entry("other"), &real).unwrap();
    fs::write(entry("huge"), vec![b' '; 100_000]).unwrap();
    fs::write(folder.path().join("notes.txt"), "mine").unwrap();
    fs::create_dir(entry("folder")).unwrap();
    symlink("/etc/passwd", entry("link")).unwrap();
    // Whoever opened it to read would wait for a writer.
    assert!(Command::new("mkfifo").arg(entry("pipe")).status().unwrap().success());
    let before = names(folder.path()).len();
    timeout(PATIENCE, until(&registry, &["10.0.0.1:1"])).await.unwrap();
    assert_eq!(names(folder.path()).len(), before);
    // But what a process left that was killed while it wrote is removed.
    fs::write(folder.path().join(format!(".x@{:016x}.{:016x}.phalanx.new", 1, 2)), "").unwrap();
    until(&registry, &["10.0.0.1:1"]).await;
    assert_eq!(names(folder.path()).len(), before);
}

#[tokio::test]
async fn a_hundred_thousand_files_hide_nobody() {
    let folder = folder();
    for number in 0..100_000 {
        fs::File::create(folder.path().join(format!("{number}"))).unwrap();
    }
    let _node = Peer::start(&text(&folder), "c1", 1, "10.0.0.1:1");
    let registry = Registry::at(folder.path());
    until(&registry, &["10.0.0.1:1"]).await;
    let begin = Instant::now();
    assert_eq!(sockets(&registry, &OURS.context(true)).await, ["10.0.0.1:1"]);
    println!("looked through 100,000 files in {:?}", begin.elapsed());
}

#[tokio::test]
async fn an_entry_that_was_cleaned_away_comes_back() {
    let folder = folder();
    let _node = Peer::start(&text(&folder), "c1", 1, "10.0.0.1:1");
    let registry = Registry::at(folder.path());
    until(&registry, &["10.0.0.1:1"]).await;
    fs::remove_file(folder.path().join(&names(folder.path())[0])).unwrap();
    assert_eq!(sockets(&registry, &OURS.context(true)).await, [""; 0]);
    timeout(PATIENCE, registry.changed(&OURS.context(true))).await.unwrap();
    until(&registry, &["10.0.0.1:1"]).await;
}

#[tokio::test]
async fn a_change_is_told_once() {
    let folder = folder();
    let (registry, context) = (Registry::at(folder.path()), OURS.context(true));
    assert_eq!(sockets(&registry, &context).await, [""; 0]);
    assert!(timeout(Duration::from_millis(1_500), registry.changed(&context)).await.is_err());
    let _node = Peer::start(&text(&folder), "c1", 1, "10.0.0.1:1");
    timeout(PATIENCE, registry.changed(&context)).await.unwrap();
    until(&registry, &["10.0.0.1:1"]).await;
    assert!(timeout(Duration::from_millis(1_500), registry.changed(&context)).await.is_err());
}

#[tokio::test]
async fn the_runtime_folder_is_the_default() {
    let runtime = folder();
    let text = "phalanx://;discover=registry";
    let mut command = Peer::command(text, "c1", 1, "10.0.0.1:1");
    let _node = Peer(command.env("XDG_RUNTIME_DIR", runtime.path()).spawn().unwrap());
    let folder = runtime.path().join("phalanx");
    until(&Registry::at(&folder), &["10.0.0.1:1"]).await;
    assert_eq!(fs::metadata(&folder).unwrap().permissions().mode() & 0o777, 0o700);
}

#[tokio::test]
async fn an_unsafe_folder_is_refused() {
    let outer = folder();
    let inner = |name: &str| outer.path().join(name);
    fs::create_dir(inner("open")).unwrap();
    fs::set_permissions(inner("open"), fs::Permissions::from_mode(0o777)).unwrap();
    fs::create_dir(inner("real")).unwrap();
    symlink(inner("real"), inner("link")).unwrap();
    fs::write(inner("file"), "").unwrap();
    let context = OURS.context(false);
    for (name, part) in
        [("open", "chmod"), ("link", "not a folder"), ("file", "not a folder"), ("file/x", "cannot use")]
    {
        let registry = Registry::at(inner(name));
        let error = registry.find(&context).await.unwrap_err().to_string();
        assert!(error.contains(part), "{name}: {error}");
        let who = announcement("c1", "10.0.0.1:1");
        let announced = registry.announce(&context, &who, Box::pin(std::future::pending())).await;
        assert!(announced.unwrap_err().to_string().contains(part));
    }
    // One that all may write is fine where each removes only what is his.
    fs::set_permissions(inner("open"), fs::Permissions::from_mode(0o1777)).unwrap();
    assert_eq!(sockets(&Registry::at(inner("open")), &context).await, [""; 0]);
    // None at all is nobody, and is not made by looking.
    assert_eq!(sockets(&Registry::at(inner("missing")), &context).await, [""; 0]);
    assert!(!inner("missing").exists());
}
