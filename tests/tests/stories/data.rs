//! Small data and files.

use std::fs;
use std::time::Duration;

use phalanx_drivers::files::FilesClient;
use phalanx_drivers::kv::{Condition, KvClient};
use tests::within;

use crate::{WORKER, tell};

/// How long a gigabyte may take without optimisation, beside other tests.
const LARGE_DEADLINE: Duration = Duration::from_secs(300);

#[tokio::test(flavor = "multi_thread")]
async fn data_is_put_got_and_deleted() {
    tell(async |stage, blow| {
        let data = KvClient::new(stage.worker(WORKER).await);
        assert_eq!(data.get("key").await, Ok(None));
        let version = data.put("key", "value").await.unwrap();
        stage.strike(WORKER, blow).await;
        let got = data.get("key").await.unwrap().unwrap();
        assert_eq!((got.version, &got.value[..]), (version, &b"value"[..]), "it lives with the worker");
        assert_eq!(data.delete("key", Condition::Always).await, Ok(true));
        assert_eq!(data.get("key").await, Ok(None));
    })
    .await;
}

/// Bytes of which no two pieces are alike.
fn content(length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    blake3::Hasher::new().finalize_xof().fill(&mut bytes);
    bytes
}

async fn files(bytes: usize) {
    tell(async |stage, blow| {
        let (from, back) = (stage.local().join("from"), stage.local().join("back"));
        let content = content(bytes);
        fs::write(&from, &content).unwrap();
        let files = FilesClient::new(stage.worker(WORKER).await);
        let put = async { files.put(&from, "data", "file").await };
        let put = within(LARGE_DEADLINE, "it is sent", put).await.unwrap();
        assert_eq!(put.bytes, bytes as u64);
        stage.strike(WORKER, blow).await;
        assert!(fs::read(stage.served(WORKER).join("file")).unwrap() == content);
        within(LARGE_DEADLINE, "it is got", files.get("data", "file", &back)).await.unwrap();
        assert!(fs::read(&back).unwrap() == content);
        fs::remove_file(&back).unwrap();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_of_500_bytes_comes_back_as_it_was() {
    files(500).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_of_two_megabytes_comes_back_as_it_was() {
    files(2 << 20).await;
}

/// Takes a minute or some: for whoever asks for it.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "a gigabyte there and back, three times"]
async fn a_file_of_a_gigabyte_comes_back_as_it_was() {
    files(1 << 30).await;
}
