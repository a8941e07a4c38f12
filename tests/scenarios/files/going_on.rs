//! What breaks off goes on from what has arrived, and a full disk changes nothing.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use phalanx::CallError;
use phalanx_drivers::files::{
    Access, Files, FilesClient, FilesClientError, FilesCommand, FilesError, FilesReply, FilesTask, Progress,
    Receipt,
};
use tests::{first, soon};
use tokio::sync::Notify;

use super::{MEGABYTE, Served, content, make_folder, tree, write};

/// Tells when a call has come so far.
pub(super) fn at(client: &FilesClient, bytes: u64) -> (FilesClient, Arc<Notify>) {
    let (reached, told) = (Arc::new(Notify::new()), AtomicBool::new(false));
    let notify = reached.clone();
    let client = client.clone().progress(move |progress: Progress| {
        if progress.bytes >= bytes && !told.swap(true, Ordering::Relaxed) {
            notify.notify_one();
        }
    });
    (client, reached)
}

/// Polls a call until it has come so far, and drops it.
pub(super) async fn drop_at(call: impl Future<Output = Result<Receipt, FilesClientError>>, reached: &Notify) {
    soon("the call gets so far", async {
        tokio::select! {
            biased;
            () = reached.notified() => {}
            ended = call => panic!("it has ended before: {ended:?}"),
        }
    })
    .await;
}

const HALF: u64 = 16 << 20;

/// What is on the way at most: a window on each of two links, what waits at the worker, and a chunk or two here and there.
const WINDOW: u64 = 6 << 20;

#[tokio::test(flavor = "multi_thread")]
async fn a_call_goes_on_where_one_before_was_dropped() {
    let served = Served::start("dropped").await;
    let bytes = content("dropped", 32 * MEGABYTE);
    let (from, back) = (served.local("from"), served.local("back"));
    write(&from, &bytes, 0o644);

    let (client, reached) = at(&served.client(), HALF);
    drop_at(client.put(&from, "data", "f"), &reached).await;
    assert!(!served.served("f").exists(), "nothing happens at the destination before all is there");
    let put = soon("it is sent", served.client().put(&from, "data", "f")).await.unwrap();
    let rest = put.bytes - HALF;
    assert!(
        put.bytes - put.resumed_bytes <= rest + WINDOW,
        "no more is sent again than was on the way: {put:?}"
    );
    assert!(put.resumed_bytes < put.bytes);
    assert!(fs::read(served.served("f")).unwrap() == bytes);

    let (client, reached) = at(&served.client(), HALF);
    drop_at(client.get("data", "f", &back), &reached).await;
    assert!(!back.exists());
    let got = soon("it is got", served.client().get("data", "f", &back)).await.unwrap();
    assert!(got.resumed_bytes >= HALF && got.resumed_bytes < got.bytes, "what was told is there: {got:?}");
    assert!(fs::read(&back).unwrap() == bytes);
    served.assert_clean();
    served.cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_fit_what_has_arrived_begins_anew() {
    let served = Served::start("spoilt").await;
    let bytes = content("spoilt", 8 * MEGABYTE);
    let (from, back) = (served.local("from"), served.local("back"));
    write(&from, &bytes, 0o644);
    let staged = |folder: &Path| -> PathBuf {
        let partials = fs::read_dir(folder.join(".phalanx-partials")).unwrap();
        partials.map(|entry| entry.unwrap().path().join("0")).next().unwrap()
    };
    let (client, reached) = at(&served.client(), 4 << 20);
    drop_at(client.put(&from, "data", "f"), &reached).await;
    // Somebody has written into what has arrived, while nobody was at it.
    let file = staged(&served.served(""));
    tests::until("the worker lets go", async || spoil(&file)).await;
    let put = soon("it is sent", served.client().put(&from, "data", "f")).await.unwrap();
    assert_eq!(put.resumed_bytes, 0);
    assert!(fs::read(served.served("f")).unwrap() == bytes);

    let (client, reached) = at(&served.client(), 4 << 20);
    drop_at(client.get("data", "f", &back), &reached).await;
    tests::until("this node lets go", async || spoil(&staged(served.temp.path()))).await;
    let got = soon("it is got", served.client().get("data", "f", &back)).await.unwrap();
    assert_eq!(got.resumed_bytes, 0);

    // A source that has changed is not mixed with what has arrived of it.
    let (client, reached) = at(&served.client(), 4 << 20);
    let other = served.local("other");
    drop_at(client.get("data", "f", &other), &reached).await;
    let changed = content("changed", 8 * MEGABYTE);
    write(&served.served("f"), &changed, 0o644);
    let got = soon("it is got", served.client().get("data", "f", &other)).await.unwrap();
    assert_eq!(got.resumed_bytes, 0);
    assert!(fs::read(&other).unwrap() == changed);
    served.cluster.shutdown().await;
}

/// Changes the first byte of a file, once it has at least one.
fn spoil(path: &Path) -> bool {
    use std::os::unix::fs::FileExt;
    let file = fs::OpenOptions::new().read(true).write(true).open(path).unwrap();
    let mut first = [0];
    if file.read_exact_at(&mut first, 0).is_err() {
        return false;
    }
    file.write_all_at(&[!first[0]], 0).unwrap();
    true
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_go_on_when_the_owner_of_the_worker_is_lost() {
    for direction in ["sent", "got"] {
        let mut served = Served::start(&format!("lost-{direction}")).await;
        let bytes = content(direction, 64 * MEGABYTE);
        let (from, back) = (served.local("from"), served.local("back"));
        write(&from, &bytes, 0o644);
        write(&served.served("there"), &bytes, 0o644);
        let owner = served.cluster.ring_owner(&served.worker);
        let (client, reached) = at(&served.client(), HALF);
        let calling = tokio::spawn(async move {
            match direction {
                "sent" => client.put(&from, "data", "f").await,
                _ => client.get("data", "there", &back).await,
            }
        });
        soon("the call gets so far", reached.notified()).await;
        assert!(!calling.is_finished());
        drop(served.cluster.take_control(&owner));
        let receipt = soon("the call goes on", calling).await.unwrap().unwrap();
        assert_eq!(receipt.bytes, bytes.len() as u64);
        let arrived = if direction == "sent" { served.served("f") } else { served.local("back") };
        assert!(fs::read(arrived).unwrap() == bytes);
        assert!(receipt.resumed_bytes >= HALF - WINDOW, "{direction}: {receipt:?}");
        served.cluster.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_goes_on_where_it_broke_off() {
    let served = Served::start("rest").await;
    let from = served.local("from");
    make_folder(&from, 0o755);
    for number in 0..40 {
        write(&from.join(number.to_string()), &content(&number.to_string(), 300_000 + number), 0o644);
    }
    let (client, reached) = at(&served.client(), 6 << 20);
    drop_at(client.put(&from, "data", "to"), &reached).await;
    let put = soon("it is sent", served.client().put(&from, "data", "to")).await.unwrap();
    assert!(put.resumed_bytes > 0, "{put:?}");
    assert_eq!(tree(&served.served("to")), tree(&from));
    let (client, reached) = at(&served.client(), 6 << 20);
    drop_at(client.get("data", "to", served.local("back")), &reached).await;
    let got = soon("it is got", served.client().get("data", "to", served.local("back"))).await.unwrap();
    assert!(got.resumed_bytes > 0, "{got:?}");
    assert_eq!(tree(&served.local("back")), tree(&from));
    served.assert_clean();
    served.cluster.shutdown().await;
}

/// A file system of a few megabytes.
struct Small(PathBuf);

impl Small {
    /// `None`, loudly, where this process may not mount one.
    fn mount(path: PathBuf) -> Option<Self> {
        make_folder(&path, 0o755);
        let mount = Command::new("mount").args(["-t", "tmpfs", "-o", "size=4m", "none"]).arg(&path).status();
        if mount.is_ok_and(|status| status.success()) {
            return Some(Self(path));
        }
        eprintln!("SKIPPED: a full disk needs root, to mount a small file system");
        None
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_leaves_the_destination_as_it_was() {
    let temp = tempfile::tempdir().unwrap();
    let Some(small) = Small::mount(temp.path().join("small")) else { return };
    write(&small.0.join("f"), b"as it was", 0o644);
    let served = Served::with("full", |policy| policy.root("small", &small.0, Access::ReadWrite)).await;
    let from = served.local("from");
    write(&from, &content("full", 6 * MEGABYTE), 0o644);
    write(&served.served("f"), &content("full", 6 * MEGABYTE), 0o644);
    let client = served.client();

    let sent = soon("it is refused", client.put(&from, "small", "f")).await;
    assert!(matches!(sent, Err(FilesClientError::Worker(FilesError::DiskFull { .. }))), "{sent:?}");
    let got = soon("it is refused", client.get("data", "f", small.0.join("f"))).await;
    assert!(matches!(got, Err(FilesClientError::Local(FilesError::DiskFull { .. }))), "{got:?}");
    assert_eq!(fs::read(small.0.join("f")).unwrap(), b"as it was");
    let names: Vec<_> = fs::read_dir(&small.0).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["f"], "what had arrived is deleted");
    // What fits goes on to fit.
    write(&from, &content("full", 2 * MEGABYTE), 0o644);
    soon("it is sent", client.put(&from, "small", "f")).await.unwrap();
    assert_eq!(fs::metadata(small.0.join("f")).unwrap().len(), 2 << 20);
    served.cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_asked_may_overtake_the_word_that_all_has_come() {
    let served = Served::start("overtake").await;
    write(&served.served("f"), &content("overtake", MEGABYTE), 0o644);
    let worker = served.cluster.through(&served.cluster.bystander(&served.worker), &served.worker);
    let get = FilesTask::Get { root: "data".into(), path: "f".into() };
    let task = worker.start::<Files>(get).await.unwrap();
    // `Wanted::List`, as it is written; its end is never read, so that the worker does not hear that it has come.
    let mut list = task.fetch(vec![0]).await.unwrap();
    assert!(!soon("the list comes", list.next()).await.unwrap().unwrap().is_empty());
    let place = first("the question is answered", async || {
        match task.command(FilesCommand::Hash { through: u64::MAX }).await {
            Ok(FilesReply::Hashed(place)) => Some(place.offset),
            answer => {
                assert!(matches!(answer, Err(CallError::Failed(FilesError::OutOfTurn))), "{answer:?}");
                None
            }
        }
    });
    assert_eq!(place.await, MEGABYTE as u64);
    assert_eq!(task.command(FilesCommand::Done).await, Ok(FilesReply::Done));
    soon("the call ends", task.output()).await.unwrap();
    served.cluster.shutdown().await;
}
