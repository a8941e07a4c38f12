//! Nothing outside of a root is read or written, whatever is asked for and whatever is swapped meanwhile.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use phalanx::TaskError;
use phalanx_drivers::files::{Announced, Entry, EntryKind, Files, FilesClientError, FilesError, FilesTask};
use tests::soon;

use super::{Served, make_folder, tree, write};

#[tokio::test(flavor = "multi_thread")]
async fn names_that_lead_out_are_refused() {
    let served = Served::start("names").await;
    let client = served.client();
    write(&served.local("secret"), b"secret", 0o644);
    write(&served.local("from"), b"new", 0o644);
    make_folder(&served.served("d"), 0o755);
    let (long, deep) = ("x".repeat(5_000), "d/".repeat(70));
    let before = tree(served.temp.path());
    let absolute = served.local("secret").to_str().unwrap().to_owned();
    for path in [
        "..",
        "../secret",
        "../../secret",
        "d/../../secret",
        "d/../d/f",
        "./f",
        "d/.",
        "d//f",
        "d/",
        "/",
        "/f",
        "f\0",
        "d\0/f",
        ".phalanx-partials",
        ".phalanx-partials/x",
        "d/.phalanx-partials",
        &absolute,
        &long,
        &deep,
    ] {
        let sent = soon("it is refused", client.put(served.local("from"), "data", path)).await;
        assert!(matches!(sent, Err(FilesClientError::Worker(FilesError::Path { .. }))), "{path:?}: {sent:?}");
        let got = soon("it is refused", client.get("data", path, served.local("back"))).await;
        assert!(matches!(got, Err(FilesClientError::Worker(FilesError::Path { .. }))), "{path:?}: {got:?}");
    }
    for root in ["..", "", "data/..", "/", "data\0"] {
        let sent = soon("it is refused", client.put(served.local("from"), root, "f")).await;
        assert!(
            matches!(sent, Err(FilesClientError::Worker(FilesError::NoSuchRoot { .. }))),
            "{root:?}: {sent:?}"
        );
    }
    assert_eq!(tree(served.temp.path()), before);
    served.cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_that_lead_out_are_refused() {
    let served = Served::start("lists").await;
    let before = tree(served.temp.path());
    let worker = served.cluster.through(&served.cluster.bystander(&served.worker), &served.worker);
    let file = |path: &str| {
        let kind = EntryKind::File { bytes: 3, blake3: Some(*blake3::hash(b"bad").as_bytes()) };
        Entry { path: path.to_owned(), mode: 0o6777, kind }
    };
    let folder = |path: &str| Entry { path: path.to_owned(), mode: 0o755, kind: EntryKind::Folder };
    for path in ["../out", "/out", "d/../../out", "a\0b", ".phalanx-partials"] {
        let put = |what| FilesTask::Put { root: "data".into(), path: "to".into(), what };
        let task = worker.start::<Files>(put(Announced::Folder)).await.unwrap();
        let list = [folder(""), file(path)];
        let mut bytes = vec![2];
        for entry in &list {
            bytes.extend(serialised(entry));
        }
        task.send_bytes(bytes).await.unwrap();
        let end = soon("it is refused", task.output()).await;
        let refused =
            matches!(end, Err(TaskError::Failed(FilesError::Path { .. } | FilesError::List { .. })));
        assert!(refused, "{path:?}: {end:?}");
        // A single file is named by the call alone.
        let task = worker.start::<Files>(put(Announced::File(file(path)))).await.unwrap();
        let end = soon("it is refused", task.output()).await;
        assert!(matches!(end, Err(TaskError::Failed(FilesError::List { .. }))), "{path:?}: {end:?}");
    }
    // A list of more entries than it has bytes for allocates nothing.
    let put = FilesTask::Put { root: "data".into(), path: "to".into(), what: Announced::Folder };
    let task = worker.start::<Files>(put).await.unwrap();
    task.send_bytes(vec![0xff, 0xff, 0xff, 0xff, 0x0f]).await.unwrap();
    let end = soon("it is refused", task.output()).await;
    assert!(matches!(end, Err(TaskError::Failed(FilesError::TooMany { .. }))), "{end:?}");
    assert_eq!(tree(served.temp.path()), before);
    served.cluster.shutdown().await;
}

/// An entry as it travels.
fn serialised(entry: &Entry) -> Vec<u8> {
    let text = |text: &str| -> Vec<u8> {
        let length = u8::try_from(text.len()).unwrap();
        assert!(length < 128);
        [&[length], text.as_bytes()].concat()
    };
    let mut bytes = text(&entry.path);
    let (low, high) = (entry.mode & 0x7f, entry.mode >> 7);
    bytes.extend([u8::try_from(low | 0x80).unwrap(), u8::try_from(high).unwrap()]);
    match &entry.kind {
        EntryKind::Folder => bytes.push(0),
        EntryKind::File { bytes: length, blake3 } => {
            bytes.extend([1, u8::try_from(*length).unwrap(), 1]);
            bytes.extend(blake3.unwrap());
        }
    }
    bytes
}

#[tokio::test(flavor = "multi_thread")]
async fn links_are_not_followed() {
    let served = Served::start("links").await;
    let client = served.client();
    let outside = served.local("outside");
    make_folder(&outside, 0o755);
    write(&outside.join("secret"), b"secret", 0o644);
    write(&served.local("from"), b"new", 0o644);
    make_folder(&served.local("folder"), 0o755);
    write(&served.local("folder/secret"), b"new", 0o644);
    make_folder(&served.served("d"), 0o755);
    symlink(&outside, served.served("out")).unwrap();
    symlink(outside.join("secret"), served.served("file")).unwrap();
    symlink(outside.join("secret"), served.served("d/file")).unwrap();
    symlink("d", served.served("inside")).unwrap();

    for path in ["out/secret", "out", "file", "d/file", "d", "", "inside", "inside/x", "out/none"] {
        let got = soon("it is refused", client.get("data", path, served.local("back"))).await;
        assert!(
            matches!(got, Err(FilesClientError::Worker(FilesError::SymbolicLink { .. }))),
            "{path:?}: {got:?}"
        );
    }
    for (from, path) in [("from", "out/new"), ("from", "inside/new"), ("folder", "out"), ("folder", "file")] {
        let sent = soon("it is refused", client.put(served.local(from), "data", path)).await;
        assert!(
            matches!(sent, Err(FilesClientError::Worker(FilesError::SymbolicLink { .. }))),
            "{path:?}: {sent:?}"
        );
    }
    // A file takes the place of a link, not of what the link points to.
    soon("it is sent", client.put(served.local("from"), "data", "file")).await.unwrap();
    assert_eq!(fs::read(served.served("file")).unwrap(), b"new");
    // Neither does a hard link let anybody write what is outside.
    fs::hard_link(outside.join("secret"), served.served("hard")).unwrap();
    soon("it is sent", client.put(served.local("from"), "data", "hard")).await.unwrap();
    assert_eq!(fs::read(outside.join("secret")).unwrap(), b"secret");
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 1);
    served.cluster.shutdown().await;
}

/// Swaps a folder and a link to the outside for each other, until told to stop.
#[cfg(target_os = "linux")]
fn swap(place: &Path, link: &Path, stop: &AtomicBool) {
    use rustix::fs::{CWD, RenameFlags, renameat_with};
    while !stop.load(Ordering::Relaxed) {
        renameat_with(CWD, place, CWD, link, RenameFlags::EXCHANGE).unwrap();
        std::thread::yield_now();
    }
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn a_link_that_is_swapped_in_leads_nowhere() {
    let served = Served::start("swap").await;
    let (outside, from) = (served.local("outside"), served.local("from"));
    make_folder(&outside, 0o755);
    write(&outside.join("f"), b"secret", 0o644);
    write(&from, b"new", 0o644);
    make_folder(&served.served("d"), 0o755);
    write(&served.served("d/f"), b"new", 0o644);
    symlink(&outside, served.served("link")).unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let swapping = std::thread::spawn({
        let (place, link) = (served.served("d"), served.served("link"));
        let stop = stop.clone();
        move || swap(&place, &link, &stop)
    });
    let client = served.client();
    let (mut arrived, mut refused) = (0, 0);
    for number in 0..60 {
        let path = format!("d/f{number}");
        match soon("it is sent or refused", client.put(&from, "data", &path)).await {
            Ok(_) => arrived += 1,
            Err(_) => refused += 1,
        }
        let back = served.local("back");
        match soon("it is got or refused", client.get("data", "d/f", &back)).await {
            Ok(_) => {
                assert_eq!(fs::read(&back).unwrap(), b"new", "nothing of the outside is read");
                arrived += 1;
            }
            Err(_) => refused += 1,
        }
    }
    stop.store(true, Ordering::Relaxed);
    swapping.join().unwrap();
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 1, "nothing is written outside");
    assert!(arrived > 0 && refused > 0, "the race is on: {arrived} arrived, {refused} were refused");
    served.cluster.shutdown().await;
}
