//! What is sent and got is what there was.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use phalanx::{Config, EventContext, EventHandler};
use phalanx_drivers::files::{
    Access, FileServer, Files, FilesClient, FilesClientError, FilesError, FilesPolicy, Progress,
};
use tests::{Cluster, DEADLINE, soon, until};
use tokio::time::timeout;

use super::{MEGABYTE, Served, content, make_folder, tree, write};

/// How long a call of so many bytes may take: ten times what it does on a machine without much else to do.
fn patience(length: usize) -> Duration {
    DEADLINE + Duration::from_secs((length / (4 * MEGABYTE)) as u64)
}

async fn there_and_back(served: &Served, length: usize) {
    let name = format!("f{length}");
    let (from, back) = (served.local(&name), served.local("back"));
    let bytes = content(&name, length);
    write(&from, &bytes, 0o640);
    for control in served.cluster.both_ways(&served.worker) {
        let client = served.client_through(&control);
        let path = format!("new/way/{control}/{name}");
        let put = timeout(patience(length), client.put(&from, "data", &path)).await.unwrap().unwrap();
        assert_eq!((put.files, put.bytes, put.resumed_bytes), (1, length as u64, 0));
        assert_eq!(put.blake3, *blake3::hash(&bytes).as_bytes());
        assert!(
            fs::read(served.served(&path)).unwrap() == bytes,
            "{control}: {length} bytes arrive as they are"
        );
        assert_eq!(fs::metadata(served.served(&path)).unwrap().mode() & 0o777, 0o640);

        let got = timeout(patience(length), client.get("data", &path, &back)).await.unwrap().unwrap();
        assert_eq!(got, put);
        assert!(fs::read(&back).unwrap() == bytes, "{control}: {length} bytes come back as they were");
        assert_eq!(fs::metadata(&back).unwrap().mode() & 0o777, 0o640);
    }
    served.assert_clean();
}

#[tokio::test(flavor = "multi_thread")]
async fn files_of_all_sizes_come_as_they_are() {
    let served = Served::start("size").await;
    for length in [0, 1, 500, 256 << 10, (256 << 10) + 1, 2 * MEGABYTE] {
        there_and_back(&served, length).await;
    }
    served.cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_file_comes_as_it_is() {
    let served = Served::start("large").await;
    there_and_back(&served, 64 * MEGABYTE).await;
    served.cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_comes_with_all_that_is_in_it() {
    let served = Served::start("folder").await;
    let from = served.local("from");
    make_folder(&from, 0o755);
    for (number, mode) in (0..10).zip([0o755, 0o700].into_iter().cycle()) {
        make_folder(&from.join(format!("d{number}")), mode);
        for file in 0..100 {
            let name = format!("d{number}/file {file} ä");
            write(&from.join(&name), &content(&name, file * 37), if file % 2 == 0 { 0o644 } else { 0o755 });
        }
    }
    make_folder(&from.join("empty"), 0o711);
    write(&from.join("nothing"), b"", 0o600);
    // Its owner may not write it, and yet what is in it arrives.
    make_folder(&from.join("d0/deep"), 0o755);
    write(&from.join("d0/deep/file"), b"deep", 0o444);
    fs::set_permissions(from.join("d0/deep"), std::os::unix::fs::PermissionsExt::from_mode(0o555)).unwrap();

    let client = served.client();
    let put = soon("the folder is sent", client.put(&from, "data", "to")).await.unwrap();
    assert_eq!((put.files, put.resumed_bytes), (1_002, 0));
    assert_eq!(tree(&served.served("to")), tree(&from));
    let got = soon("the folder is got", client.get("data", "to", served.local("back"))).await.unwrap();
    assert_eq!(got, put);
    assert_eq!(tree(&served.local("back")), tree(&from));
    served.assert_clean();
    served.cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_without_anything_in_it_and_one_that_is_there_already() {
    let served = Served::start("merge").await;
    let from = served.local("from");
    make_folder(&from, 0o750);
    let client = served.client();
    let put = soon("it is sent", client.put(&from, "data", "to")).await.unwrap();
    assert_eq!((put.files, put.bytes), (0, 0));
    assert_eq!(tree(&served.served("to")), tree(&from));

    // A folder that is there keeps what else it has.
    write(&served.served("to/old"), b"old", 0o600);
    write(&served.served("to/both"), b"before", 0o600);
    write(&from.join("both"), b"after", 0o644);
    soon("it is sent", client.put(&from, "data", "to")).await.unwrap();
    assert_eq!(fs::read(served.served("to/old")).unwrap(), b"old");
    assert_eq!(fs::read(served.served("to/both")).unwrap(), b"after");

    // The root itself can be sent and got.
    soon("it is sent", client.put(&from, "data", "")).await.unwrap();
    assert_eq!(fs::read(served.served("both")).unwrap(), b"after");
    soon("all is got", client.get("data", "", served.local("back"))).await.unwrap();
    assert_eq!(tree(&served.local("back")), tree(&served.served("")));
    served.assert_clean();
    served.cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_in_the_way_or_not_there_is_said_and_stays() {
    let served = Served::start("way").await;
    let client = served.client();
    let (file, folder) = (served.local("file"), served.local("folder"));
    write(&file, b"new", 0o644);
    make_folder(&folder, 0o755);
    make_folder(&served.served("d"), 0o755);
    write(&served.served("d/f"), b"old", 0o644);

    let worker = |error| Err(FilesClientError::Worker(error));
    let name = |name: &str| name.to_owned();
    let put = |from, to: &'static str| soon("it is refused", client.put(from, "data", to));
    assert_eq!(put(&file, "d").await, worker(FilesError::IsAFolder { path: name("d") }));
    assert_eq!(put(&file, "").await, worker(FilesError::IsAFolder { path: String::new() }));
    assert_eq!(put(&folder, "d/f").await, worker(FilesError::NotAFolder { path: name("f") }));
    assert_eq!(put(&file, "d/f/g").await, worker(FilesError::NotAFolder { path: name("f") }));
    let got = client.get("data", "none", served.local("back")).await;
    assert_eq!(got, worker(FilesError::NotFound { path: name("none") }));
    let got = client.get("data", "d/f", &folder).await;
    assert_eq!(got, Err(FilesClientError::Local(FilesError::IsAFolder { path: name("folder") })));
    let sent = client.put(served.local("none"), "data", "x").await;
    assert!(matches!(sent, Err(FilesClientError::Local(FilesError::NotFound { .. }))), "{sent:?}");
    assert_eq!(fs::read(served.served("d/f")).unwrap(), b"old");

    // A file takes the place of a file.
    soon("it is sent", client.put(&file, "data", "d/f")).await.unwrap();
    assert_eq!(fs::read(served.served("d/f")).unwrap(), b"new");
    served.assert_clean();
    served.cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_is_kept() {
    let read_only = tempfile::tempdir().unwrap();
    let write_only = tempfile::tempdir().unwrap();
    write(&read_only.path().join("f"), b"read", 0o644);
    let served = Served::with("policy", |policy| {
        let policy = policy.root("in", write_only.path(), Access::Write);
        policy
            .root("out", read_only.path(), Access::Read)
            .file_bytes_max(1_000)
            .call_bytes_max(1_500)
            .entries_max(4)
    })
    .await;
    let client = served.client();
    let (small, large) = (served.local("small"), served.local("large"));
    write(&small, &content("small", 1_000), 0o644);
    write(&large, &content("large", 1_001), 0o644);

    let refused = |error| Err(FilesClientError::Worker(error));
    let not_allowed =
        |root: &str, access: &str| FilesError::NotAllowed { root: root.into(), access: access.into() };
    assert_eq!(client.put(&small, "out", "f").await, refused(not_allowed("out", "write")));
    assert_eq!(client.get("in", "f", served.local("b")).await, refused(not_allowed("in", "read")));
    assert_eq!(
        client.put(&small, "none", "f").await,
        refused(FilesError::NoSuchRoot { root: "none".into() })
    );
    assert_eq!(client.put(&small, "in", "f").await.unwrap().bytes, 1_000);
    assert_eq!(client.get("out", "f", served.local("b")).await.unwrap().bytes, 4);
    let said = client.put(&large, "data", "f").await;
    assert_eq!(said, refused(FilesError::TooLarge { path: String::new(), bytes: 1_001, bytes_max: 1_000 }));
    write(&served.served("large"), &content("large", 1_001), 0o644);
    let said = client.get("data", "large", served.local("b")).await;
    assert_eq!(said, refused(FilesError::TooLarge { path: String::new(), bytes: 1_001, bytes_max: 1_000 }));

    let folder = served.local("folder");
    make_folder(&folder, 0o755);
    for name in ["a", "b"] {
        write(&folder.join(name), &content(name, 800), 0o644);
    }
    let said = client.put(&folder, "data", "folder").await;
    assert_eq!(said, refused(FilesError::TooLarge { path: "b".into(), bytes: 1_600, bytes_max: 1_500 }));
    for name in ["a", "b", "c", "d"] {
        write(&folder.join(name), b"", 0o644);
    }
    let said = client.put(&folder, "data", "folder").await;
    assert_eq!(said, refused(FilesError::TooMany { entries_max: 4 }));
    assert!(!served.served("folder").exists());
    served.assert_clean();
    served.cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn progress_is_told_and_ends_at_the_end() {
    let served = Served::start("progress").await;
    let from = served.local("from");
    write(&from, &content("progress", 3 * MEGABYTE), 0o644);
    let told = Arc::new(Mutex::new(Vec::new()));
    let client = served.client().progress({
        let told = told.clone();
        move |progress: Progress| told.lock().unwrap().push(progress)
    });
    let check = |what: &str| {
        let told = std::mem::take(&mut *told.lock().unwrap());
        assert!(told.len() >= 12 && told.is_sorted_by_key(|progress| progress.bytes), "{what}: {told:?}");
        let last = Progress { bytes: 3 << 20, bytes_total: 3 << 20 };
        assert_eq!(told.last(), Some(&last), "{what}");
    };
    soon("it is sent", client.put(&from, "data", "f")).await.unwrap();
    check("put");
    soon("it is got", client.get("data", "f", served.local("back"))).await.unwrap();
    check("get");
    served.cluster.shutdown().await;
}

/// Keeps what workers tell.
#[derive(Clone, Default)]
struct Heard(Arc<Mutex<Vec<Progress>>>);

impl EventHandler<Files> for Heard {
    type State = ();
    async fn event(&self, _: &EventContext, (): &mut (), progress: Progress) {
        self.0.lock().unwrap().push(progress);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_worker_tells_its_control_node_how_far_a_call_is() {
    let temp = tempfile::tempdir().unwrap();
    let from = temp.path().join("from");
    write(&from, &content("events", 20 * MEGABYTE), 0o644);
    let heard = Heard::default();
    let mut cluster = Cluster::start_with(Config::default(), &[], &[]).await;
    let builder = cluster.control_builder("told-c").events::<Files>(heard.clone());
    cluster.adopt_control(builder.start().await.unwrap());
    cluster.control_nodes_formed().await;
    let server = FileServer::open(&FilesPolicy::new().root("data", temp.path(), Access::ReadWrite)).unwrap();
    let builder = cluster.worker_builder("told-w").job::<Files>(server);
    cluster.adopt_worker(builder.start().await.unwrap());
    cluster.settled().await;
    let client = FilesClient::new(cluster.through("told-c", "told-w"));
    let check = async |what: &str| {
        let last = Progress { bytes: 20 << 20, bytes_total: 20 << 20 };
        until(what, async || heard.0.lock().unwrap().last() == Some(&last)).await;
        let told = std::mem::take(&mut *heard.0.lock().unwrap());
        assert!(told.len() == 4 && told.is_sorted_by_key(|progress| progress.bytes), "{what}: {told:?}");
    };
    soon("it is sent", client.put(&from, "data", "f")).await.unwrap();
    check("all of the sent file is told").await;
    soon("it is got", client.get("data", "f", temp.path().join("back"))).await.unwrap();
    check("all of the got file is told").await;
    cluster.shutdown().await;
}
