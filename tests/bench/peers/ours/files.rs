//! Files of ours, by the driver that everybody uses.

use phalanx::WorkerHandle;

use crate::Failure;
use crate::order::Figures;

/// Sends a folder as one transfer.
#[cfg(unix)]
pub(super) async fn put_folder(worker: &WorkerHandle, from: &str, to: &str) -> Result<Figures, Failure> {
    use phalanx_drivers::files::FilesClient;
    let count = std::fs::read_dir(from)?.count();
    let begin = tokio::time::Instant::now();
    let receipt = FilesClient::new(worker.clone()).put(from, super::ROOT, to).await?;
    Ok(figures(count, receipt.bytes, begin))
}

/// Sends each file of a folder by itself, one after the other.
#[cfg(unix)]
pub(super) async fn put_each(worker: &WorkerHandle, from: &str, to: &str) -> Result<Figures, Failure> {
    use phalanx_drivers::files::FilesClient;
    let client = FilesClient::new(worker.clone());
    let begin = tokio::time::Instant::now();
    let (mut count, mut bytes) = (0, 0);
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let to = format!("{to}/{}", entry.file_name().to_string_lossy());
        bytes += client.put(entry.path(), super::ROOT, &to).await?.bytes;
        count += 1;
    }
    Ok(figures(count, bytes, begin))
}

#[cfg(unix)]
fn figures(count: usize, bytes: u64, begin: tokio::time::Instant) -> Figures {
    let seconds = begin.elapsed().as_secs_f64();
    Figures { calls: count as f64, bytes: bytes as f64, seconds, ..Figures::default() }
}

#[cfg(not(unix))]
pub(super) async fn put_folder(_: &WorkerHandle, _: &str, _: &str) -> Result<Figures, Failure> {
    Err("files are for Unix only".into())
}

#[cfg(not(unix))]
pub(super) async fn put_each(_: &WorkerHandle, _: &str, _: &str) -> Result<Figures, Failure> {
    Err("files are for Unix only".into())
}
