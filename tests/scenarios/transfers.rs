//! Transfers: what arrives is counted and hashed at the worker, and what does not arrive is said to both ends.

use std::convert::Infallible;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use phalanx::{DrainOptions, Reason, TaskHandle, TransferError};
use tests::{Cluster, Knob, Probe, Said, Work, shared, soon};

const WORKER: &str = "shared-w4";

const MEGABYTE: usize = 1 << 20;

/// Bytes that repeat with no power of two, so that no chunk is like another.
fn content(seed: usize, length: usize) -> Vec<u8> {
    (0..length).map(|at| ((at + seed) % 251) as u8).collect()
}

async fn listen(cluster: &Cluster, control: &str, worker: &str) -> TaskHandle<Probe> {
    cluster.through(control, worker).start::<Probe>(Work::Listen).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_sent_arrives_whole_through_any_control_node() {
    for control in shared().both_ways(WORKER) {
        let task = listen(shared(), &control, WORKER).await;
        let bytes = content(1, 8 * MEGABYTE);
        let expected = *blake3::hash(&bytes).as_bytes();
        let receipt = soon("8 MiB arrive", task.send_bytes(bytes)).await.unwrap();
        assert_eq!((receipt.bytes, receipt.blake3), (8 << 20, expected));
        shared().record.wait_events(task.id(), 1).await;
        let received = Said::Received { bytes: 8 << 20, blake3: expected };
        assert_eq!(shared().record.events(task.id()), [received], "the task has seen the same");

        // Nothing at all is a transfer too.
        let receipt = soon("nothing arrives", task.send_bytes(Bytes::new())).await.unwrap();
        assert_eq!((receipt.bytes, receipt.blake3), (0, *blake3::hash(b"").as_bytes()));
        assert_eq!(task.command(Knob::Finish).await, Ok(0));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_transfers_into_one_task_go_side_by_side() {
    for control in shared().both_ways(WORKER) {
        let task = listen(shared(), &control, WORKER).await;
        let (first, second) = (content(3, 3 * MEGABYTE), content(5, 2 * MEGABYTE));
        let hashes = [&first, &second].map(|bytes| *blake3::hash(bytes).as_bytes());
        // The first one waits in the middle until the second one has gone all the way.
        let (go_on, second_is_through) = tokio::sync::oneshot::channel::<()>();
        let head = Bytes::from(first[..MEGABYTE].to_vec());
        let tail = Bytes::from(first[MEGABYTE..].to_vec());
        let wait = stream::once(async move {
            let _ = second_is_through.await;
            Ok::<Bytes, Infallible>(tail)
        });
        let chunks = stream::iter([Ok(head)]).chain(wait);
        let (one, two) = soon("both arrive", async {
            tokio::join!(task.send(chunks), async {
                let receipt = task.send_bytes(second).await;
                let _ = go_on.send(());
                receipt
            })
        })
        .await;
        assert_eq!([one, two].map(|receipt| receipt.unwrap().blake3), hashes);
        shared().record.wait_events(task.id(), 2).await;
        assert_eq!(task.command(Knob::Finish).await, Ok(0));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_lets_go_ends_the_transfer_for_its_sender() {
    for control in shared().both_ways(WORKER) {
        let task = shared().through(&control, WORKER).start::<Probe>(Work::Reject).await.unwrap();
        let sent = soon("the sender is told", task.send_bytes(content(7, 16 * MEGABYTE))).await;
        assert_eq!(sent, Err(TransferError::Abandoned));
        // The task itself goes on, and takes the next one.
        let sent = soon("the next one arrives", task.send_bytes("once more")).await;
        assert_eq!(sent.unwrap().bytes, 9);
        assert_eq!(task.command(Knob::Finish).await, Ok(0));
        soon("the task ends", task.output()).await.unwrap();
        let late = soon("a transfer into nothing is refused", task.send_bytes("too late")).await;
        let refused = matches!(late, Err(TransferError::Refused(Reason::TaskEnded | Reason::NoSuchTask)));
        assert!(refused, "{late:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sender_that_goes_away_or_fails_ends_the_transfer_for_the_task() {
    for control in shared().both_ways(WORKER) {
        let task = listen(shared(), &control, WORKER).await;
        // A source that fails.
        let chunks = stream::iter([Ok(Bytes::from_static(b"some")), Err("the disk is gone")]);
        let sent = soon("the sender is told", task.send(chunks)).await;
        assert_eq!(sent, Err(TransferError::Source("the disk is gone".into())));
        shared().record.wait_events(task.id(), 1).await;

        // A sender that is dropped in the middle, once it is asked for more: what came before is more than fits on the way.
        let (begun, has_begun) = tokio::sync::oneshot::channel::<()>();
        let first = Bytes::from(content(9, 4 * MEGABYTE));
        let rest = stream::once(async move {
            let _ = begun.send(());
            std::future::pending::<Result<Bytes, Infallible>>().await
        });
        let chunks = stream::iter([Ok(first)]).chain(rest);
        tokio::select! {
            biased;
            sent = task.send(chunks) => panic!("{sent:?}"),
            _ = has_begun => {}
        }
        shared().record.wait_events(task.id(), 2).await;
        let said = shared().record.events(task.id());
        assert!(said.iter().all(|said| matches!(said, Said::Broken(_))), "{control}: {said:?}");
        assert_eq!(task.command(Knob::Finish).await, Ok(0));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_sent_to_a_worker_that_has_moved_arrives_once() {
    let names = ["stale-c1", "stale-c2", "stale-c3"];
    let cluster = Cluster::start(&names, &["stale-w"]).await;
    let owner = cluster.ring_owner("stale-w");
    // All know where it is, and one of them will have it next.
    let mut tasks = Vec::new();
    for control in names.iter().filter(|name| **name != owner) {
        tasks.push(listen(&cluster, control, "stale-w").await);
    }
    let drain = cluster.control(&owner).drain(DrainOptions::default()).await;
    let done = soon("the owner gives it away", drain.finished()).await;
    assert_eq!((done.left, done.released), (0, 0), "{done:?}");
    for task in tasks {
        let asked = AtomicUsize::new(0);
        let chunks = stream::iter((0..4).map(|number| content(number, MEGABYTE))).map(|chunk| {
            asked.fetch_add(1, Ordering::Relaxed);
            Ok::<Bytes, Infallible>(chunk.into())
        });
        let sent = soon("it arrives", task.send(chunks)).await.unwrap();
        assert_eq!((sent.bytes, asked.into_inner()), (4 << 20, 4));
        cluster.record.wait_events(task.id(), 1).await;
        let received = Said::Received { bytes: 4 << 20, blake3: sent.blake3 };
        assert_eq!(cluster.record.events(task.id()), [received]);
        assert_eq!(task.command(Knob::Finish).await, Ok(0));
    }
    cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_control_node_that_is_lost_ends_its_transfers_for_the_task() {
    let mut cluster = Cluster::start(&["way-c1", "way-c2"], &["way-w"]).await;
    let (owner, other) = (cluster.ring_owner("way-w"), cluster.bystander("way-w"));
    let task = listen(&cluster, &other, "way-w").await;
    let (begun, has_begun) = tokio::sync::oneshot::channel::<()>();
    let first = Bytes::from(content(9, 4 * MEGABYTE));
    let rest = stream::once(async move {
        let _ = begun.send(());
        std::future::pending::<Result<Bytes, Infallible>>().await
    });
    let sending = tokio::spawn({
        let task = task.clone();
        async move { task.send(stream::iter([Ok(first)]).chain(rest)).await }
    });
    soon("the transfer is under way", has_begun).await.unwrap();
    cluster.take_control(&other).shutdown().await;
    assert_eq!(soon("the sender is told", sending).await.unwrap(), Err(TransferError::LinkLost));
    let entries = cluster.record.wait_events(task.id(), 1).await;
    assert!(entries.iter().all(|seen| seen.control == owner), "{entries:?}");
    let said = cluster.record.events(task.id());
    assert!(matches!(said.as_slice(), [Said::Broken(_)]), "{said:?}");
    cluster.shutdown().await;
}
