//! Transfers from a task: what was asked for comes whole and verified, or both ends learn why it does not.

use futures_util::future::join_all;
use phalanx::{DrainOptions, Fetch, Reason, TaskHandle, TransferError};
use tests::{Answer, Ask, Cluster, Knob, Probe, Said, Wanted, Work, content, first, shared, soon};

const WORKER: &str = "shared-w3";

const MEGABYTE: u64 = 1 << 20;

/// What is on the way at most while nobody reads: the queue at the worker, and on each of two links a window of a stream and a
/// chunk or two, with room to spare.
const ON_THE_WAY_MAX: u64 = 8 * MEGABYTE;

async fn listen(cluster: &Cluster, control: &str, worker: &str) -> TaskHandle<Probe> {
    cluster.through(control, worker).start::<Probe>(Work::Listen).await.unwrap()
}

async fn fetch(task: &TaskHandle<Probe>, wanted: &Wanted) -> Fetch {
    soon("the task is asked", task.fetch(wanted.note())).await.unwrap()
}

/// Reads to the end: how many bytes came, their hash, and how it ended.
async fn read(fetch: &mut Fetch) -> (u64, blake3::Hash, Result<(), TransferError>) {
    let mut hasher = blake3::Hasher::new();
    let end = loop {
        match soon("something comes", fetch.next()).await {
            Some(Ok(chunk)) => drop(hasher.update(&chunk)),
            Some(Err(error)) => break Err(error),
            None => break Ok(()),
        }
    };
    assert!(fetch.next().await.is_none(), "an end is an end");
    (hasher.count(), hasher.finalize(), end)
}

/// Reads so many bytes at least, and no further.
async fn read_some(fetch: &mut Fetch, bytes: u64) {
    let mut count = 0;
    while count < bytes {
        count += soon("something comes", fetch.next()).await.unwrap().unwrap().len() as u64;
    }
}

fn hash(length: u64) -> blake3::Hash {
    blake3::hash(&content(0, usize::try_from(length).unwrap()))
}

/// What the task says of its transfer.
async fn said(cluster: &Cluster, task: &TaskHandle<Probe>) -> Said {
    cluster.record.wait_events(task.id(), 1).await;
    cluster.record.events(task.id()).remove(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_asked_for_comes_whole_through_any_control_node() {
    for control in shared().both_ways(WORKER) {
        let task = listen(shared(), &control, WORKER).await;
        for (number, length) in (1..).zip([8 * MEGABYTE, 1, 0]) {
            let mut fetch = fetch(&task, &Wanted::Whole(length)).await;
            assert_eq!(read(&mut fetch).await, (length, hash(length), Ok(())), "{control}");
            let receipt = fetch.receipt().unwrap();
            assert_eq!((receipt.bytes, receipt.blake3), (length, *hash(length).as_bytes()));
            // The task learns that it has arrived.
            shared().record.wait_events(task.id(), number).await;
            let expected = Said::Received { bytes: length, blake3: *hash(length).as_bytes() };
            assert_eq!(shared().record.events(task.id()).last(), Some(&expected), "{control}");
        }
        assert_eq!(task.command(Knob::Finish).await, Ok(0));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_is_slow_slows_the_task_and_nothing_else() {
    for control in shared().both_ways(WORKER) {
        let task = listen(shared(), &control, WORKER).await;
        let length = 64 * MEGABYTE;
        let mut fetch = fetch(&task, &Wanted::Whole(length)).await;
        // The task gives until everything on the way is full, and then it waits.
        let mut before = 0;
        let given = first("the task waits", async || {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            let given = task.command(Knob::Given).await.unwrap();
            (std::mem::replace(&mut before, given) == given && given > 0).then_some(given)
        })
        .await;
        assert!(given <= ON_THE_WAY_MAX, "{control}: {given} bytes wait for a reader that does not read");
        // Meanwhile others are served, over the same links.
        for _ in 0..50 {
            let number = shared().ledger.number();
            let ask = Ask::Echo(number, "here".into());
            let worker = shared().through(&control, WORKER);
            let Answer { text, .. } = soon("an answer comes", worker.request::<Probe>(ask)).await.unwrap();
            assert_eq!(text, "here");
        }
        let given = task.command(Knob::Given).await.unwrap();
        assert!(given <= ON_THE_WAY_MAX, "{control}: {given}");
        assert_eq!(read(&mut fetch).await, (length, hash(length), Ok(())), "{control}");
        assert_eq!(task.command(Knob::Finish).await, Ok(0));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_lets_go_ends_it_for_the_task() {
    for control in shared().both_ways(WORKER) {
        let task = listen(shared(), &control, WORKER).await;
        let mut fetch = fetch(&task, &Wanted::Stuck(4 * MEGABYTE)).await;
        read_some(&mut fetch, MEGABYTE).await;
        drop(fetch);
        assert_eq!(said(shared(), &task).await, Said::Broken(TransferError::Abandoned.to_string()));
        assert_eq!(task.command(Knob::Finish).await, Ok(0));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_fails_lets_go_or_ends_ends_it_for_the_reader() {
    for control in shared().both_ways(WORKER) {
        let task = listen(shared(), &control, WORKER).await;
        let mut failing = fetch(&task, &Wanted::Failing(2 * MEGABYTE)).await;
        let (bytes, _, end) = read(&mut failing).await;
        assert_eq!((bytes, end), (2 << 20, Err(TransferError::Source("the disk is gone".into()))));
        assert!(failing.receipt().is_none());
        let mut dropped = fetch(&task, &Wanted::Dropped(2 * MEGABYTE)).await;
        let (bytes, _, end) = read(&mut dropped).await;
        assert_eq!((bytes, end), (2 << 20, Err(TransferError::Abandoned)));

        // The task ends in the middle of one.
        let mut stuck = fetch(&task, &Wanted::Stuck(MEGABYTE)).await;
        read_some(&mut stuck, MEGABYTE).await;
        assert_eq!(task.command(Knob::Finish).await, Ok(0));
        let (_, _, end) = read(&mut stuck).await;
        assert_eq!(end, Err(TransferError::Abandoned), "{control}");

        // There is nobody any more who could be asked.
        let late = soon("that is refused", task.fetch(Wanted::Whole(1).note())).await.err();
        let refused = matches!(late, Some(TransferError::Refused(Reason::TaskEnded | Reason::NoSuchTask)));
        assert!(refused, "{late:?}");
        let long = task.fetch(vec![0; 513]).await.err();
        let too_large = Reason::TooLarge { bytes: 513, bytes_max: 512 };
        assert_eq!(long, Some(TransferError::Refused(too_large)));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn many_go_side_by_side() {
    for control in shared().both_ways(WORKER) {
        let task = listen(shared(), &control, WORKER).await;
        let reads = (1..=12).map(|number| {
            let task = &task;
            async move {
                let length = number * 100_000;
                let mut fetch = fetch(task, &Wanted::Whole(length)).await;
                assert_eq!(read(&mut fetch).await, (length, hash(length), Ok(())));
            }
        });
        soon("all come", join_all(reads)).await;
        assert_eq!(task.command(Knob::Finish).await, Ok(0));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_that_is_lost_ends_it_for_both() {
    // Whether the control node that is lost is the one that reads, or the one in between.
    for lost in ["reader", "owner"] {
        let names = [format!("lost-{lost}-c1"), format!("lost-{lost}-c2"), format!("lost-{lost}-c3")];
        let worker = format!("lost-{lost}-w");
        let mut cluster = Cluster::start(&names.each_ref().map(String::as_str), &[&worker]).await;
        let (owner, reader) = (cluster.ring_owner(&worker), cluster.bystander(&worker));
        let task = listen(&cluster, &reader, &worker).await;
        let mut fetch = fetch(&task, &Wanted::Stuck(4 * MEGABYTE)).await;
        read_some(&mut fetch, MEGABYTE).await;
        let gone = if lost == "owner" { &owner } else { &reader };
        drop(cluster.take_control(gone));
        let (_, _, end) = read(&mut fetch).await;
        assert_eq!(end, Err(TransferError::LinkLost), "{lost}");
        let Said::Broken(why) = said(&cluster, &task).await else { panic!("the task has sent all of it") };
        assert!(
            [TransferError::LinkLost, TransferError::Abandoned].map(|error| error.to_string()).contains(&why)
        );
        drop(fetch);
        drop(task);
        cluster.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_changes_hands_goes_on_giving() {
    let cluster = Cluster::start(&["moved-c1", "moved-c2"], &["moved-w"]).await;
    let (owner, other) = (cluster.ring_owner("moved-w"), cluster.bystander("moved-w"));
    for control in [&other, &owner] {
        let task = listen(&cluster, control, "moved-w").await;
        let length = 32 * MEGABYTE;
        let mut under_way = fetch(&task, &Wanted::Whole(length)).await;
        let head = soon("something comes", under_way.next()).await.unwrap().unwrap();
        if *control == other {
            let drain = cluster.control(&owner).drain(DrainOptions::default()).await;
            let done = soon("the owner gives it away", drain.finished()).await;
            assert_eq!((done.left, done.released), (0, 0), "{done:?}");
        }
        assert_eq!(cluster.worker("moved-w").owner().map(|node| node.to_string()), Some(other.clone()));
        let mut hasher = blake3::Hasher::new();
        hasher.update(&head);
        while let Some(chunk) = soon("something comes", under_way.next()).await {
            hasher.update(&chunk.unwrap());
        }
        assert_eq!((hasher.count(), hasher.finalize()), (length, hash(length)), "over the former link");
        // The next one goes over the new link.
        let mut next = fetch(&task, &Wanted::Whole(MEGABYTE)).await;
        assert_eq!(read(&mut next).await, (MEGABYTE, hash(MEGABYTE), Ok(())));
        assert_eq!(task.command(Knob::Finish).await, Ok(0));
    }
    cluster.shutdown().await;
}
