//! A file or folder that is got from this worker.

use phalanx_jobs::TaskContext;

use super::class::{CHUNK_BYTES, Files, FilesCommand, FilesReply, Place, Progress, Receipt};
use super::error::FilesError;
use super::manifest::Entry;
use super::path::RelativePath;
use super::policy::Access;
use super::server::{FileServer, Telling, next_command, panicked, with};
use super::source::Source;

/// How many bytes of entries one answer has: half a message, since the last entry may go over it.
const PAGE_BYTES: usize = 512 << 10;

/// How many hashes one answer has: half a message too.
const PAGE_DIGESTS: usize = 16_384;

/// How many bytes are hashed before a question is answered: within its time on the slowest disk.
const HASH_BYTES: u64 = 256 << 20;

/// Answers questions about a file or folder until whoever asks has all of it.
pub(super) async fn get(
    server: &FileServer,
    cx: &TaskContext<Files>,
    root: &str,
    path: &str,
) -> Result<Receipt, FilesError> {
    let dir = server.policy.root(root, Access::Read)?;
    let path = RelativePath::parse(path)?;
    let limits = server.policy.limits;
    let opening = cx.blocking(move || Source::open(&dir, &path, limits));
    let mut source = opening.await.map_err(|_| panicked())??;
    let (mut telling, bytes_total) = (Telling::new(cx), source.manifest().bytes());
    loop {
        let (command, reply) = next_command(cx).await?;
        let is_done = command == FilesCommand::Done;
        let read = match command {
            FilesCommand::Read { offset, .. } => Some(offset),
            _ => None,
        };
        let answer;
        (source, answer) = with(cx, source, move |source| handle(source, command)).await?;
        if let (Some(offset), Ok(FilesReply::Chunk(chunk))) = (read, &answer) {
            let bytes = offset.saturating_add(chunk.len() as u64);
            telling.tell(Progress { bytes, bytes_total }).await;
        }
        reply.send(answer).await;
        if is_done {
            return Ok(receipt(&source));
        }
    }
}

fn handle(source: &mut Source, command: FilesCommand) -> Result<FilesReply, FilesError> {
    match command {
        FilesCommand::List { from } => {
            let (entries, more) = page(source.manifest().entries(), from);
            Ok(FilesReply::List { entries, more, state: source.state() })
        }
        FilesCommand::Read { offset, bytes } => {
            source.read(offset, bytes.min(CHUNK_BYTES) as usize).map(FilesReply::Chunk)
        }
        FilesCommand::Hash { through } => {
            source.hash_through(through, HASH_BYTES)?;
            let offset = source.cursor().offset(source.manifest());
            Ok(FilesReply::Hashed(Place { offset, prefix: source.cursor().prefix() }))
        }
        FilesCommand::Digests { from } => {
            let digests = source.cursor().digests();
            let from = usize::try_from(from).unwrap_or(usize::MAX).min(digests.len());
            let page = &digests[from..];
            Ok(FilesReply::Digests(page[..page.len().min(PAGE_DIGESTS)].to_vec()))
        }
        FilesCommand::Done => Ok(FilesReply::Done),
        FilesCommand::Arrived | FilesCommand::Restart => Err(FilesError::OutOfTurn),
    }
}

/// A page of entries from that number on, and whether more follow. It has one at least, if there is one.
fn page(entries: &[Entry], from: u64) -> (Vec<Entry>, bool) {
    let from = usize::try_from(from).unwrap_or(usize::MAX).min(entries.len());
    let mut bytes = 0;
    let fits = |entry: &&Entry| {
        // What is around a path: a mode, a size, a hash.
        bytes += entry.path.len() + 64;
        bytes <= PAGE_BYTES
    };
    let page: Vec<Entry> = entries[from..].iter().take_while(fits).cloned().collect();
    let more = from + page.len() < entries.len();
    (page, more)
}

/// What was got, as far as this end can say: how much was there before only the other one knows.
fn receipt(source: &Source) -> Receipt {
    let manifest = source.manifest();
    let blake3 = manifest.clone().with_digests(source.cursor().digests()).digest();
    Receipt { files: manifest.files(), bytes: manifest.bytes(), resumed_bytes: 0, blake3 }
}
