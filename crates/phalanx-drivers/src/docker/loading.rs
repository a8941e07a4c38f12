//! Image archives that are sent as transfers: what `docker save` writes goes from the stream to the daemon, a few chunks at a
//! time.
//!
//! The end is held back until the whole was found to be what the sender hashed: the last chunk with content, and the zeros
//! behind it, of which an archive may have any number and which mark its end. So the daemon takes no archive that is not
//! whole. An archive names its images itself, and loading moves those names; a name that the
//! policy does not allow is given back to the image that had it before.

use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

use bollard::Docker as Api;
use bollard::query_parameters::{
    ImportImageOptionsBuilder, ListImagesOptionsBuilder, RemoveImageOptions, TagImageOptionsBuilder,
};
use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};
use phalanx_jobs::{TaskContext, Transfer};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::class::Docker;
use super::daemon::failed;
use super::error::{DockerError, shortened};
use super::policy::Policy;
use super::reference::{Reference, Version};

/// How long a task waits for its archive to begin: whoever starts it sends at once.
const BEGIN_MAX: Duration = Duration::from_secs(60);

/// Chunks on their way to the daemon: the transfer has a queue of its own.
const CHUNKS_MAX: usize = 2;

/// How long the daemon may take to unpack an archive after its last byte: many gigabytes on a slow disk.
const UNPACK_MAX: Duration = Duration::from_secs(3_600);

/// Names of images that are told and looked at, at most: an archive of so many is no one's release.
const NAMES_MAX: usize = 256;

/// How the daemon says which names are there now.
const LOADED: &str = "Loaded image: ";

/// Zeros, a piece at a time.
static ZEROS: [u8; 64 << 10] = [0; 64 << 10];

type Chunks = mpsc::Sender<io::Result<Bytes>>;

/// Loads the archive that comes as the task's first transfer. Says the full references of its images.
pub(super) async fn load(
    cx: &TaskContext<Docker>,
    api: &Api,
    policy: &Policy,
) -> Result<Vec<String>, DockerError> {
    let refused = || DockerError::Refused("image archives".to_owned());
    let bytes_max = policy.archive_bytes_max.ok_or_else(refused)?;
    let none = || DockerError::LoadFailed(format!("none came within {} s", BEGIN_MAX.as_secs()));
    let transfer = timeout(BEGIN_MAX, cx.transfer()).await.map_err(|_| none())?;
    let transfer = transfer.ok_or(DockerError::ShuttingDown)?;
    let before = names(api).await?;
    let (sender, receiver) = mpsc::channel(CHUNKS_MAX);
    let (pumped, loaded) = tokio::join!(pump(transfer, sender, bytes_max), order(api, receiver));
    // The transfer's end says more than what the daemon makes of half an archive.
    pumped?;
    check(api, policy, &before, loaded?).await
}

/// Hands the chunks on. Whatever ends them early ends the order to the daemon with an error.
async fn pump(mut transfer: Transfer, chunks: Chunks, bytes_max: u64) -> Result<(), DockerError> {
    let (mut held, mut bytes) = (Held::default(), 0_u64);
    let broken = || Err(io::Error::other("the archive broke off"));
    loop {
        match transfer.next().await {
            Some(Ok(chunk)) => {
                bytes = bytes.saturating_add(chunk.len() as u64);
                if bytes > bytes_max {
                    let _ = chunks.send(broken()).await;
                    return Err(DockerError::ArchiveTooLarge(bytes_max));
                }
                // A daemon that takes no more says why in its answer.
                if held.push(chunk, &chunks).await.is_err() {
                    return Ok(());
                }
            }
            Some(Err(error)) => {
                let _ = chunks.send(broken()).await;
                return Err(DockerError::LoadFailed(error.to_string()));
            }
            None => {
                let _ = held.release(&chunks).await;
                return Ok(());
            }
        }
    }
}

/// What may be the end of the archive.
#[derive(Debug, Default)]
struct Held {
    chunk: Bytes,
    /// So many follow.
    zeros: u64,
}

/// The daemon takes no more.
type Closed = mpsc::error::SendError<io::Result<Bytes>>;

impl Held {
    async fn push(&mut self, chunk: Bytes, chunks: &Chunks) -> Result<(), Closed> {
        if chunk.iter().all(|byte| *byte == 0) {
            self.zeros += chunk.len() as u64;
            return Ok(());
        }
        self.release(chunks).await?;
        self.chunk = chunk;
        Ok(())
    }

    async fn release(&mut self, chunks: &Chunks) -> Result<(), Closed> {
        let chunk = std::mem::take(&mut self.chunk);
        if !chunk.is_empty() {
            chunks.send(Ok(chunk)).await?;
        }
        while self.zeros > 0 {
            let zeros = usize::try_from(self.zeros).unwrap_or(usize::MAX).min(ZEROS.len());
            chunks.send(Ok(Bytes::from_static(&ZEROS[..zeros]))).await?;
            self.zeros -= zeros as u64;
        }
        Ok(())
    }
}

/// Gives the daemon the order, and collects the names that it tells.
async fn order(api: &Api, mut chunks: mpsc::Receiver<io::Result<Bytes>>) -> Result<Vec<String>, DockerError> {
    // It answers when it has read all.
    let api = api.clone().with_timeout(UNPACK_MAX);
    let body = stream::poll_fn(move |context| chunks.poll_recv(context));
    let options = ImportImageOptionsBuilder::new().quiet(true).build();
    collect(api.import_image_stream(options, body, None)).await
}

async fn collect(
    answers: impl Stream<Item = Result<bollard::models::BuildInfo, bollard::errors::Error>>,
) -> Result<Vec<String>, DockerError> {
    let mut answers = std::pin::pin!(answers);
    let mut names = Vec::new();
    while let Some(answer) = answers.next().await {
        let answer = answer.map_err(|error| match failed(error) {
            DockerError::Api { text, .. } => DockerError::LoadFailed(text),
            other => other,
        })?;
        let text = answer.stream.unwrap_or_default();
        let found =
            text.lines().filter_map(|line| line.strip_prefix(LOADED)).map(|name| name.trim().to_owned());
        names.extend(found);
        names.truncate(NAMES_MAX);
    }
    Ok(names)
}

/// Which image each name stands for.
async fn names(api: &Api) -> Result<BTreeMap<String, String>, DockerError> {
    let listed = api.list_images(Some(ListImagesOptionsBuilder::new().build())).await.map_err(failed)?;
    let mut names = BTreeMap::new();
    for image in listed {
        names.extend(image.repo_tags.into_iter().map(|name| (name, image.id.clone())));
    }
    Ok(names)
}

/// Takes back each name that the policy does not allow.
async fn check(
    api: &Api,
    policy: &Policy,
    before: &BTreeMap<String, String>,
    loaded: Vec<String>,
) -> Result<Vec<String>, DockerError> {
    let (mut allowed, mut refused) = (Vec::new(), None);
    for name in loaded {
        match policy.image(&name) {
            Ok(reference) => allowed.push(reference.to_string()),
            Err(error) => {
                take_back(api, &name, before.get(&name)).await?;
                refused = Some(error);
            }
        }
    }
    match refused {
        Some(error) => Err(error),
        None if allowed.is_empty() => {
            Err(DockerError::LoadFailed("it names no image: save it by a name with a tag".to_owned()))
        }
        None => Ok(allowed),
    }
}

async fn take_back(api: &Api, name: &str, before: Option<&String>) -> Result<(), DockerError> {
    tracing::warn!(image = shortened(name), "an archive names an image that the policy does not allow");
    let Some(reference) = Reference::parse(name) else { return Ok(()) };
    match (before, &reference.version) {
        (Some(image), Version::Tag(tag)) => {
            let options = TagImageOptionsBuilder::new().repo(&reference.name).tag(tag).build();
            api.tag_image(image, Some(options)).await.map_err(failed)
        }
        _ => {
            let removed = api.remove_image(&reference.to_string(), None::<RemoveImageOptions>, None).await;
            removed.map(|_| ()).map_err(failed)
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tokio::runtime::Builder;

    use super::*;

    proptest! {
        /// However an archive is cut: what is released is what was pushed, and before the release at the end the last
        /// content and all that follows is missing.
        #[test]
        fn the_end_is_held_back(pieces in prop::collection::vec((any::<bool>(), 1..100_000_usize), 1..12)) {
            let pieces = pieces.into_iter().map(|(is_zero, length)| vec![u8::from(!is_zero); length]);
            let pieces: Vec<Vec<u8>> = pieces.collect();
            let whole = pieces.concat();
            let last = pieces.iter().rposition(|piece| piece[0] != 0).unwrap_or(0);
            let before_last: usize = pieces[..last].iter().map(Vec::len).sum();
            let runtime = Builder::new_current_thread().build().unwrap();
            let (sent_before, sent) = runtime.block_on(async {
                let (sender, mut receiver) = mpsc::channel(4_096);
                let mut held = Held::default();
                for piece in pieces {
                    held.push(piece.into(), &sender).await.unwrap();
                }
                let mut sent = Vec::new();
                while let Ok(chunk) = receiver.try_recv() {
                    sent.extend(chunk.unwrap());
                }
                let sent_before = sent.len();
                held.release(&sender).await.unwrap();
                drop(sender);
                while let Some(chunk) = receiver.recv().await {
                    sent.extend(chunk.unwrap());
                }
                (sent_before, sent)
            });
            prop_assert!(sent == whole);
            prop_assert_eq!(sent_before, before_last);
        }
    }
}
