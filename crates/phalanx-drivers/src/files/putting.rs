//! A file or folder that is sent to this worker.

use bytes::Bytes;
use phalanx_jobs::{TaskContext, Transfer};

use super::arrival::Arrival;
use super::claims::Claim;
use super::class::{Announced, Files, FilesCommand, FilesReply, Progress, Receipt};
use super::error::FilesError;
use super::manifest::{LIST_BYTES_MAX, Manifest};
use super::path::RelativePath;
use super::policy::Access;
use super::server::{FileServer, Telling, next_command, panicked, waiting_for, with};
use super::stage::Stage;

/// How many bytes are hashed before a question is answered: within its time on the slowest disk.
const SCAN_BYTES: u64 = 256 << 20;

/// What has arrived, and the claim on it. They go together into blocking work.
struct Staged {
    arrival: Arrival,
    _claim: Claim,
}

/// Takes what is sent, as far as it comes, and puts it in its place.
pub(super) async fn put(
    server: &FileServer,
    cx: &TaskContext<Files>,
    root: &str,
    path: &str,
    what: Announced,
) -> Result<Receipt, FilesError> {
    let dir = server.policy.root(root, Access::Write)?;
    let path = RelativePath::parse(path)?;
    let limits = server.policy.limits;
    let manifest = match what {
        Announced::File(entry) => Manifest::new(vec![entry], limits)?,
        Announced::Folder => Manifest::decode(&receive_list(cx).await?, limits)?,
    };
    let name = manifest.stage_name(&["put", &path.to_string()]);
    let claim = server.claims.claim(&format!("{root}\0{name}")).await?;
    let wanted = claim.wanted();
    let taking = async move {
        let place = path.clone();
        let opening = cx.blocking(move || {
            let stage = Stage::open(&dir, &name, manifest)?;
            match stage.check_place(&place) {
                Ok(()) => Ok(Staged { arrival: Arrival::new(stage), _claim: claim }),
                Err(error) => stage.discard().and(Err(error)),
            }
        });
        let staged = opening.await.map_err(|_| panicked())??;
        let (staged, transfer) = agree(cx, staged).await?;
        take(cx, staged, transfer, path).await
    };
    tokio::select! {
        biased;
        () = wanted => Err(FilesError::Superseded),
        taken = taking => taken,
    }
}

/// The bytes of a folder's list.
async fn receive_list(cx: &TaskContext<Files>) -> Result<Vec<u8>, FilesError> {
    let mut transfer = next_transfer(cx).await?;
    let mut list = Vec::new();
    while let Some(chunk) = next_chunk(cx, &mut transfer).await? {
        if list.len() + chunk.len() > LIST_BYTES_MAX {
            return Err(FilesError::List { why: format!("it has more than {LIST_BYTES_MAX} bytes") });
        }
        list.extend_from_slice(&chunk);
    }
    Ok(list)
}

async fn next_transfer(cx: &TaskContext<Files>) -> Result<Transfer, FilesError> {
    waiting_for(cx, cx.transfer()).await?.ok_or(FilesError::Interrupted)
}

/// The next chunk; `None` when all have come. A sender that is silent for too long has broken off.
async fn next_chunk(cx: &TaskContext<Files>, transfer: &mut Transfer) -> Result<Option<Bytes>, FilesError> {
    waiting_for(cx, transfer.next()).await?.transpose().map_err(|_| FilesError::Interrupted)
}

/// Says how far everything has arrived, until the content begins to come.
async fn agree(cx: &TaskContext<Files>, mut staged: Staged) -> Result<(Staged, Transfer), FilesError> {
    let mut is_scanned = false;
    loop {
        let (command, reply) = tokio::select! {
            biased;
            command = next_command(cx) => command?,
            transfer = cx.transfer(), if is_scanned => {
                return Ok((staged, transfer.ok_or(FilesError::Interrupted)?));
            }
        };
        let is_restart = match command {
            FilesCommand::Arrived => false,
            FilesCommand::Restart => true,
            _ => {
                reply.send(Err(FilesError::OutOfTurn)).await;
                continue;
            }
        };
        let looked;
        (staged, looked) = with(cx, staged, move |staged| {
            let arrival = &mut staged.arrival;
            if is_restart {
                arrival.restart()?;
            }
            Ok(arrival.scan(SCAN_BYTES)?.then(|| arrival.place()))
        })
        .await?;
        is_scanned = matches!(looked, Ok(Some(_)));
        reply.send(looked.map(|place| place.map_or(FilesReply::Looking, FilesReply::Arrived))).await;
    }
}

/// Takes the content, and puts it in its place.
async fn take(
    cx: &TaskContext<Files>,
    mut staged: Staged,
    mut transfer: Transfer,
    path: RelativePath,
) -> Result<Receipt, FilesError> {
    let mut telling = Telling::new(cx);
    while let Some(chunk) = next_chunk(cx, &mut transfer).await? {
        let written;
        (staged, written) = with(cx, staged, move |staged| staged.arrival.take(&chunk)).await?;
        if let Err(error) = written {
            // What does not fit, or is not what was announced, is of no use later.
            let discarding = cx.blocking(move || staged.arrival.discard());
            let discarded = discarding.await.map_err(|_| panicked())?;
            return discarded.and(Err(error));
        }
        let (bytes, bytes_total) = (staged.arrival.offset(), staged.arrival.bytes_total());
        telling.tell(Progress { bytes, bytes_total }).await;
    }
    let committing = cx.blocking(move || {
        let Staged { arrival, _claim } = staged;
        arrival.commit(&path)
    });
    committing.await.map_err(|_| panicked())?
}
