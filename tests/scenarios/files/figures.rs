//! How fast files go, and what small requests beside them wait: figures for whoever changes this, not promises.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tests::{Ask, Probe};
use tokio::time::Instant;

use super::{MEGABYTE, Served, content, make_folder, tree, write};

/// Asks one small thing after the other, and says how long the slowest hundredth took.
async fn p99_beside(served: &Served, stop: Arc<AtomicBool>) -> (usize, Duration, Duration) {
    let worker = served.cluster.through(&served.cluster.bystander(&served.worker), &served.worker);
    let mut times = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let begin = Instant::now();
        worker.request::<Probe>(Ask::Echo(1, "small".into())).await.unwrap();
        times.push(begin.elapsed());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    times.sort();
    (times.len(), times[times.len() / 2], times[times.len() * 99 / 100])
}

macro_rules! measured {
    ($served:expr, $what:expr, $bytes:expr, $call:expr) => {{
        let stop = Arc::new(AtomicBool::new(false));
        let begin = Instant::now();
        let (_, (count, median, p99)) = tokio::join!(
            async {
                $call.await.unwrap();
                let seconds = begin.elapsed().as_secs_f64();
                println!("{}: {:.1} MiB/s, {seconds:.2} s", $what, $bytes as f64 / MEGABYTE as f64 / seconds);
                stop.store(true, Ordering::Relaxed);
            },
            p99_beside(&$served, stop.clone())
        );
        println!("    {count} small requests beside it: median {median:?}, p99 {p99:?}");
    }};
}

/// The most memory that this process has had, in mebibytes.
fn memory_mebibytes_max() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kibibytes = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
    kibibytes.unwrap_or(0) >> 10
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "writes four gigabytes to the disk"]
async fn a_gigabyte_there_and_back() {
    let served = Served::start("gigabyte").await;
    let (from, back, length) = (served.local("from"), served.local("back"), 1 << 30);
    let hash = {
        let bytes = content("gigabyte", length);
        write(&from, &bytes, 0o644);
        blake3::hash(&bytes)
    };
    let before = memory_mebibytes_max();
    let client = served.client();
    measured!(served, "put", length, client.put(&from, "data", "f"));
    measured!(served, "get", length, client.get("data", "f", &back));
    println!("{before} MiB of memory at most before it, {} after", memory_mebibytes_max());
    let mut hasher = blake3::Hasher::new();
    hasher.update_reader(std::fs::File::open(&back).unwrap()).unwrap();
    assert_eq!(hasher.finalize(), hash);
    served.cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "writes and syncs twenty thousand files"]
async fn ten_thousand_small_files_there_and_back() {
    let served = Served::start("small-files").await;
    let (from, back, bytes) = (served.local("from"), served.local("back"), 10_000 * (10 << 10));
    make_folder(&from, 0o755);
    for number in 0..10_000 {
        write(&from.join(number.to_string()), &content(&number.to_string(), 10 << 10), 0o644);
    }
    let client = served.client();
    measured!(served, "put", bytes, client.put(&from, "data", "to"));
    measured!(served, "get", bytes, client.get("data", "to", &back));
    assert_eq!(tree(&back), tree(&from));
    served.cluster.shutdown().await;
}
