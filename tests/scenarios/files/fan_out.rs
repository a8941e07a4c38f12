//! One file or folder to many workers: read once, and nobody is stopped by another one.

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use phalanx::{JobHandler, Signal, TaskContext, WorkerHandle};
use phalanx_drivers::files::{
    Access, FanOut, FileServer, Files, FilesClient, FilesCommand, FilesError, FilesPolicy, FilesReply,
    FilesTask, Place, Progress, Receipt,
};
use tempfile::TempDir;
use tests::{Cluster, soon, until};

use super::going_on::{at, drop_at};
use super::{MEGABYTE, content, make_folder, tree, write};

const LENGTH: usize = 24 * MEGABYTE;

/// A cluster whose workers have a folder each.
struct Many {
    cluster: Cluster,
    temp: TempDir,
    names: Vec<String>,
}

impl Many {
    async fn start(name: &str, workers: usize) -> Self {
        let names: Vec<String> = (0..workers).map(|number| format!("{name}-w{number}")).collect();
        let (controls, temp) = ([format!("{name}-c1"), format!("{name}-c2")], tempfile::tempdir().unwrap());
        let mut cluster = Cluster::start(&controls.each_ref().map(String::as_str), &[]).await;
        for name in &names {
            make_folder(&temp.path().join(name), 0o755);
            let server = server(temp.path().join(name));
            let builder = cluster.worker_builder(name).job::<Files>(server);
            cluster.adopt_worker(builder.start().await.unwrap());
        }
        cluster.settled().await;
        Self { cluster, temp, names }
    }

    fn local(&self, name: &str) -> PathBuf {
        self.temp.path().join(name)
    }

    fn workers(&self) -> Vec<WorkerHandle> {
        let control = self.cluster.controls().next().unwrap().id().to_string();
        self.names.iter().map(|name| self.cluster.through(&control, name)).collect()
    }
}

fn server(folder: PathBuf) -> FileServer {
    FileServer::open(&FilesPolicy::new().root("data", folder, Access::ReadWrite)).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_goes_to_many_is_read_once_and_comes_whole() {
    let many = Many::start("many", 6).await;
    let bytes = content("many", LENGTH);
    write(&many.local("from"), &bytes, 0o640);
    // One of them has half of it.
    let (client, reached) = at(&FilesClient::new(many.workers().remove(2)), LENGTH as u64 / 2);
    drop_at(client.put(many.local("from"), "data", "to"), &reached).await;

    // They wait for each other for as long as it takes, so that all of them keep up.
    let fan_out = FanOut::new(many.workers()).lag_max(Duration::MAX);
    let sent = soon("all have it", fan_out.put(many.local("from"), "data", "to")).await.unwrap();
    assert_eq!(sent.results.len(), 6);
    for (name, result) in &sent.results {
        let receipt = result.as_ref().unwrap();
        assert_eq!((receipt.bytes, receipt.blake3), (LENGTH as u64, *blake3::hash(&bytes).as_bytes()));
        assert!(receipt.resumed_bytes > 0 || name.as_str() != "many-w2", "it had half of it: {receipt:?}");
        assert!(fs::read(many.local(name.as_str()).join("to")).unwrap() == bytes, "{name}");
    }
    assert_eq!(sent.bytes_read, LENGTH as u64);

    let folder = many.local("folder");
    make_folder(&folder, 0o755);
    for number in 0..200 {
        write(&folder.join(number.to_string()), &content(&number.to_string(), number * 97), 0o644);
    }
    let told = Arc::new(Mutex::new(std::collections::BTreeMap::new()));
    let fan_out = FanOut::new(many.workers()).lag_max(Duration::MAX).progress({
        let told = told.clone();
        move |worker, progress: Progress| {
            told.lock().unwrap().insert(worker.clone(), progress);
        }
    });
    let sent = soon("all have it", fan_out.put(&folder, "data", "folder")).await.unwrap();
    let total = (0..200).map(|number| number * 97).sum::<usize>() as u64;
    assert!(sent.results.values().all(|result| result.as_ref().is_ok_and(|receipt| receipt.files == 200)));
    assert_eq!(sent.bytes_read, total);
    for name in &many.names {
        assert_eq!(tree(&many.local(name).join("folder")), tree(&folder));
    }
    let all = Progress { bytes: total, bytes_total: total };
    assert!(told.lock().unwrap().len() == 6 && told.lock().unwrap().values().all(|last| *last == all));
    many.cluster.shutdown().await;
}

/// Takes the first content that comes and reads no further; later ones it takes as it should.
struct Stalling {
    server: FileServer,
    has_stalled: AtomicBool,
}

impl JobHandler<Files> for Stalling {
    async fn task(&self, cx: TaskContext<Files>, task: FilesTask) -> Result<Receipt, FilesError> {
        if self.has_stalled.swap(true, Ordering::Relaxed) {
            return self.server.task(cx, task).await;
        }
        while let Some(signal) = cx.recv().await {
            if let Signal::Command(FilesCommand::Arrived, reply) = signal {
                let place = Place { offset: 0, so_far: *blake3::hash(b"").as_bytes() };
                reply.send(Ok(FilesReply::Arrived(place))).await;
                break;
            }
        }
        let mut transfer = cx.transfer().await.ok_or(FilesError::Interrupted)?;
        transfer.next().await;
        // Until the stop that never comes: what was not taken waits at the other end.
        while !matches!(cx.recv().await, Some(Signal::Stop { .. }) | None) {}
        drop(transfer);
        Err(FilesError::Interrupted)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_stalls_is_sent_the_rest_for_itself() {
    let mut many = Many::start("stall", 2).await;
    let bytes = content("stall", LENGTH);
    write(&many.local("from"), &bytes, 0o640);
    make_folder(&many.local("stall-s"), 0o755);
    let stalling = Stalling { server: server(many.local("stall-s")), has_stalled: AtomicBool::new(false) };
    let builder = many.cluster.worker_builder("stall-s").job::<Files>(stalling);
    many.cluster.adopt_worker(builder.start().await.unwrap());
    many.cluster.settled().await;
    many.names.push("stall-s".to_owned());

    let fan_out = FanOut::new(many.workers()).lag_max(Duration::from_millis(300));
    let sent = soon("it is over", fan_out.put(many.local("from"), "data", "to")).await.unwrap();
    for (name, result) in &sent.results {
        assert_eq!(result.as_ref().unwrap().bytes, LENGTH as u64, "{name}");
        assert!(fs::read(many.local(name.as_str()).join("to")).unwrap() == bytes, "{name}");
    }
    assert!(sent.bytes_read > LENGTH as u64, "what it did not take was read again");
    many.cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_is_dead_stops_nobody() {
    let mut many = Many::start("dead", 3).await;
    let bytes = content("dead", LENGTH);
    write(&many.local("from"), &bytes, 0o640);
    let (workers, from) = (many.workers(), many.local("from"));
    drop(many.cluster.take_worker("dead-w1"));
    let fan_out = FanOut::new(workers).patience(Duration::from_secs(2));
    let sending = tokio::spawn(async move { fan_out.put(from, "data", "to").await });
    until("the others have it", async || {
        let arrived = |name: &str| fs::read(many.local(name).join("to")).is_ok_and(|found| found == bytes);
        arrived("dead-w0") && arrived("dead-w2")
    })
    .await;
    let sent = soon("the dead one is given up", sending).await.unwrap().unwrap();
    for (name, result) in &sent.results {
        assert_eq!(result.is_ok(), name.as_str() != "dead-w1", "{name}: {result:?}");
    }
    many.cluster.shutdown().await;
}
