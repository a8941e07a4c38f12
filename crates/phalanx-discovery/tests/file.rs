//! A list in a real file, which is written, replaced, cut and removed.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::time::Duration;

use phalanx_discovery::{
    Discover, DiscoverContext, DiscoverError, DynDiscover, Journal, PeersFile, StrategyAddress,
};
use tempfile::TempDir;
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(20);

struct List {
    folder: TempDir,
    strategy: DynDiscover,
    context: DiscoverContext,
}

impl List {
    fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let text = format!("phalanx://{}/peers;discover=file", folder.path().display());
        let strategy = text.parse::<StrategyAddress>().unwrap().strategy().unwrap();
        Self { folder, strategy, context: DiscoverContext::system() }
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, text: impl AsRef<[u8]>) {
        fs::write(self.path("peers"), text).unwrap();
    }

    async fn find(&self) -> Result<Vec<String>, String> {
        let found =
            self.strategy.find(&self.context).await.map_err(|error: DiscoverError| error.to_string())?;
        Ok(found.iter().map(|candidate| candidate.socket.to_string()).collect())
    }

    async fn changed(&self) {
        timeout(PATIENCE, self.strategy.changed(&self.context)).await.unwrap();
    }
}

#[tokio::test]
async fn what_stands_in_the_file_is_found() {
    let list = List::new();
    list.write("# controls\n10.0.0.1\n10.0.0.2:5, [::1]:6 # two more\n\nlocalhost:9\n");
    let found = list.find().await.unwrap();
    assert_eq!(found[..3], ["10.0.0.1:7000", "10.0.0.2:5", "[::1]:6"]);
    assert!(found.contains(&"127.0.0.1:9".to_owned()), "{found:?}");
    list.write("# nobody yet\n");
    assert_eq!(list.find().await, Ok(vec![]));
}

#[tokio::test]
async fn every_way_to_change_it_is_noticed() {
    let list = List::new();
    list.write("10.0.0.1:1\n");
    assert_eq!(list.find().await.unwrap(), ["10.0.0.1:1"]);
    // As editors do: another file takes the name, with the same length.
    fs::write(list.path("peers.new"), "10.0.0.1:2\n").unwrap();
    fs::rename(list.path("peers.new"), list.path("peers")).unwrap();
    list.changed().await;
    assert_eq!(list.find().await.unwrap(), ["10.0.0.1:2"]);
    // Written over.
    list.write("10.0.0.1:33\n");
    list.changed().await;
    assert_eq!(list.find().await.unwrap(), ["10.0.0.1:33"]);
    // Gone, and back.
    fs::remove_file(list.path("peers")).unwrap();
    list.changed().await;
    assert!(list.find().await.unwrap_err().contains("there is no file"));
    list.write("10.0.0.1:4\n");
    list.changed().await;
    assert_eq!(list.find().await.unwrap(), ["10.0.0.1:4"]);
    // Nothing more: neither at once nor after looking twice.
    assert!(timeout(Duration::from_millis(2_500), list.strategy.changed(&list.context)).await.is_err());
}

#[tokio::test]
async fn a_change_is_told_once_even_if_nobody_looks() {
    let list = List::new();
    list.find().await.unwrap_err();
    list.write("10.0.0.1:1\n");
    list.changed().await;
    assert!(timeout(Duration::from_millis(1_500), list.strategy.changed(&list.context)).await.is_err());
}

#[tokio::test]
async fn errors_name_the_file_and_what_is_wrong() {
    let list = List::new();
    let refused = async |part: &str| {
        let error = list.find().await.unwrap_err();
        let path = list.path("peers").display().to_string();
        assert!(error.contains(part) && error.contains(&path), "{error}");
    };
    refused("write one").await;
    list.write("10.0.0.1:7000\n10.0.0");
    refused("peer 2").await;
    list.write([0xff, 0xfe, b'a']);
    refused("UTF-8").await;
    list.write("10.0.0.1\n".repeat(7_000));
    refused("peers").await;
    list.write("#".repeat(usize::try_from(PeersFile::BYTES_MAX).unwrap()));
    assert_eq!(list.find().await, Ok(vec![]));
    list.write("#".repeat(usize::try_from(PeersFile::BYTES_MAX).unwrap() + 1));
    refused("longer than 65536").await;
    fs::remove_file(list.path("peers")).unwrap();
    fs::create_dir(list.path("peers")).unwrap();
    refused("not a file").await;
}

#[tokio::test]
async fn what_was_read_is_told() {
    let list = List::new();
    list.write("10.0.0.1\nbad name");
    let journal = Journal::default();
    let context = list.context.clone().with_journal(journal.clone());
    list.write("10.0.0.1, 10.0.0.2:5");
    list.strategy.find(&context).await.unwrap();
    let attempts = journal.attempts();
    assert_eq!(attempts[0].kind, "file");
    assert_eq!(
        attempts[0].outcome,
        Ok(vec!["phalanx://10.0.0.1".to_owned(), "phalanx://10.0.0.2:5".to_owned()])
    );
}
