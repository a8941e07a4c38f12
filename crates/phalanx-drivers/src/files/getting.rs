//! A file or folder that is got from this worker.

use bytes::Bytes;
use phalanx_jobs::{CommandReply, OutgoingTransfer, TaskContext};

use super::class::{CHUNK_BYTES, Files, FilesCommand, FilesReply, Place, Progress, Receipt, Wanted};
use super::error::FilesError;
use super::path::RelativePath;
use super::policy::Access;
use super::server::{FileServer, Telling, next_command, panicked, waiting_for, with};
use super::source::Source;

/// How many bytes are hashed before a question is answered: within its time on the slowest disk.
const HASH_BYTES: u64 = 256 << 20;

/// Gives a file or folder until whoever asks has all of it.
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
    let mut telling = Telling::new(cx);
    let mut asked = None;
    loop {
        let next = async {
            match asked.take() {
                Some(command) => Ok(command),
                None => next_command(cx).await,
            }
        };
        tokio::select! {
            biased;
            command = next => {
                let (command, reply) = command?;
                let answer;
                (source, answer) = with(cx, source, move |source| handle(source, command)).await?;
                reply.send(answer).await;
                if command == FilesCommand::Done {
                    return Ok(receipt(&source));
                }
            }
            transfer = cx.outgoing() => {
                let transfer = transfer.ok_or(FilesError::Interrupted)?;
                (source, asked) = give(cx, source, transfer, &mut telling).await?;
            }
        }
    }
}

fn handle(source: &mut Source, command: FilesCommand) -> Result<FilesReply, FilesError> {
    match command {
        FilesCommand::Hash { through } => {
            source.hash_through(through, HASH_BYTES)?;
            let offset = source.cursor().offset(source.manifest());
            Ok(FilesReply::Hashed(Place { offset, so_far: source.cursor().so_far(source.manifest()) }))
        }
        FilesCommand::Done => Ok(FilesReply::Done),
        FilesCommand::Arrived | FilesCommand::Restart => Err(FilesError::OutOfTurn),
    }
}

/// A command that is still to be answered.
type Asked = (FilesCommand, CommandReply<Files>);

/// Gives what is wanted. Who lets go of it has ended the call; who asks on has all of it, though the word that says so may be
/// overtaken by what is asked.
async fn give(
    cx: &TaskContext<Files>,
    mut source: Source,
    mut transfer: OutgoingTransfer,
    telling: &mut Telling<'_>,
) -> Result<(Source, Option<Asked>), FilesError> {
    match postcard::from_bytes(transfer.note()) {
        Ok(Wanted::List) => send(cx, &mut transfer, source.manifest().encode().into()).await?,
        Ok(Wanted::Content { from }) => {
            source = give_content(cx, source, &mut transfer, telling, from).await?;
        }
        Err(_) => return Err(FilesError::OutOfTurn),
    }
    tokio::select! {
        biased;
        finished = transfer.finish() => finished.map(|_| (source, None)).map_err(|_| FilesError::Interrupted),
        command = next_command(cx) => Ok((source, Some(command?))),
    }
}

async fn give_content(
    cx: &TaskContext<Files>,
    mut source: Source,
    transfer: &mut OutgoingTransfer,
    telling: &mut Telling<'_>,
    from: u64,
) -> Result<Source, FilesError> {
    let (mut at, bytes_total) = (from, source.manifest().bytes());
    if source.cursor().offset(source.manifest()) < from.min(bytes_total) {
        return Err(FilesError::OutOfTurn);
    }
    loop {
        let piece;
        (source, piece) = with(cx, source, move |source| source.piece(at, CHUNK_BYTES as usize)).await?;
        let piece = piece?;
        if piece.is_empty() {
            return Ok(source);
        }
        at += piece.len() as u64;
        send(cx, transfer, piece).await?;
        telling.tell(Progress { bytes: at.min(bytes_total), bytes_total }).await;
    }
}

/// A reader that takes nothing for too long has broken off.
async fn send(
    cx: &TaskContext<Files>,
    transfer: &mut OutgoingTransfer,
    bytes: Bytes,
) -> Result<(), FilesError> {
    waiting_for(cx, transfer.send(bytes)).await?.map_err(|_| FilesError::Interrupted)
}

/// What was got, as far as this end can say: how much was there before only the other one knows.
fn receipt(source: &Source) -> Receipt {
    let manifest = source.manifest();
    let blake3 = manifest.clone().with_digests(source.cursor().digests()).digest();
    Receipt { files: manifest.files(), bytes: manifest.bytes(), resumed_bytes: 0, blake3 }
}
