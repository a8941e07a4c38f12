//! One try to get a file or folder from a worker.

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use phalanx_jobs::TaskHandle;

use super::asking::{ask, start, unexpected};
use super::class::{CHUNK_BYTES, Files, FilesCommand, FilesReply, FilesTask, Place, Receipt};
use super::client::{Call, Ended, FilesClientError};
use super::dir::Dir;
use super::error::FilesError;
use super::local;
use super::manifest::{Digest, ENTRIES_MAX, Entry, Limits, Manifest};
use super::path::{RelativePath, shown};
use super::stage::Stage;

/// How many chunks are asked for at one time: a megabyte on the way keeps a link busy, and is what a call beside it waits
/// for at most.
const WINDOW: usize = 4;

/// Gets what this node does not have.
pub(super) async fn get(
    call: &mut Call,
    folder: &Dir,
    name: &RelativePath,
    is_first: bool,
) -> Result<Receipt, Ended> {
    let task = FilesTask::Get { root: call.root.clone(), path: call.path.clone() };
    let task = start(call, task, is_first).await?;
    let got = get_with(call, &task, folder, name).await;
    // The worker gives up by itself when it is asked no more; this is only sooner.
    let _ = ask(&task, FilesCommand::Done).await;
    got
}

async fn get_with(
    call: &mut Call,
    task: &TaskHandle<Files>,
    folder: &Dir,
    name: &RelativePath,
) -> Result<Receipt, Ended> {
    let (manifest, state) = list(task).await?;
    let stage_name = manifest.stage_name(&[
        "get",
        call.worker.id().as_str(),
        &call.root,
        &call.path,
        &name.to_string(),
        &hex(&state),
    ]);
    let (folder, place) = (folder.again()?, name.clone());
    let mut stage = local::run(move || {
        let mut stage = Stage::open(&folder, &stage_name, manifest)?;
        if let Err(error) = stage.check_place(&place) {
            return stage.discard().and(Err(error));
        }
        stage.scan(u64::MAX)?;
        Ok(stage)
    })
    .await?;
    if !is_same(task, &stage).await? {
        stage = local::run(move || stage.restart().map(|()| stage)).await?;
    }
    call.best = call.best.max(stage.offset());
    let stage = read(call, task, stage).await?;
    finish(task, stage, name.clone()).await
}

/// The list of what is got, and a name of its state.
async fn list(task: &TaskHandle<Files>) -> Result<(Manifest, Digest), Ended> {
    let mut all: Vec<Entry> = Vec::new();
    loop {
        let FilesReply::List { entries, more, state } =
            ask(task, FilesCommand::List { from: all.len() as u64 }).await?
        else {
            return Err(unexpected());
        };
        let goes_on = more && !entries.is_empty() && all.len() <= ENTRIES_MAX;
        all.extend(entries);
        if !goes_on {
            return Ok((Manifest::new(all, Limits::NONE).map_err(at_worker)?, state));
        }
    }
}

/// A list that does not hold together is the worker's fault, and so is what leads out of a folder.
fn at_worker(error: FilesError) -> Ended {
    Ended::Finally(FilesClientError::Worker(error))
}

fn hex(digest: &Digest) -> String {
    blake3::Hash::from_bytes(*digest).to_hex().to_string()
}

/// Whether what is here is what the worker has, as far as it goes.
async fn is_same(task: &TaskHandle<Files>, stage: &Stage) -> Result<bool, Ended> {
    if stage.offset() == 0 {
        return Ok(true);
    }
    let place = hash_through(task, stage.offset()).await?;
    let ours = Place { offset: stage.offset(), prefix: stage.cursor().prefix() };
    Ok(place == ours && first_difference(task, stage.cursor().digests()).await?.is_none())
}

/// Lets the worker hash up to a place.
async fn hash_through(task: &TaskHandle<Files>, through: u64) -> Result<Place, Ended> {
    let mut before = None;
    loop {
        match ask(task, FilesCommand::Hash { through }).await? {
            FilesReply::Hashed(place) if place.offset < through && before < Some(place.offset) => {
                before = Some(place.offset);
            }
            FilesReply::Hashed(place) => return Ok(place),
            _ => return Err(unexpected()),
        }
    }
}

/// The number of the first entry whose hash is another one at the worker, or not there.
async fn first_difference(task: &TaskHandle<Files>, ours: &[Digest]) -> Result<Option<usize>, Ended> {
    let mut same = 0;
    while same < ours.len() {
        let FilesReply::Digests(theirs) = ask(task, FilesCommand::Digests { from: same as u64 }).await?
        else {
            return Err(unexpected());
        };
        let compared = theirs.len().min(ours.len() - same);
        let different = (0..compared).find(|at| theirs[*at] != ours[same + at]);
        match different {
            Some(at) => return Ok(Some(same + at)),
            None if compared == 0 => return Ok(Some(same)),
            None => same += compared,
        }
    }
    Ok(None)
}

/// Reads the rest, a few chunks at a time, and writes each as it comes.
async fn read(call: &mut Call, task: &TaskHandle<Files>, mut stage: Stage) -> Result<Stage, Ended> {
    let (from, bytes_total) = (stage.offset(), stage.manifest().bytes());
    call.tell(from, bytes_total);
    let offsets = (from..bytes_total).step_by(CHUNK_BYTES as usize);
    let mut chunks = stream::iter(offsets)
        .map(|offset| {
            let (task, left) = (task.clone(), bytes_total - offset);
            let bytes = u32::try_from(left).unwrap_or(u32::MAX).min(CHUNK_BYTES);
            async move { (bytes, ask(&task, FilesCommand::Read { offset, bytes }).await) }
        })
        .buffered(WINDOW);
    while let Some((bytes, answer)) = chunks.next().await {
        let FilesReply::Chunk(chunk) = answer? else { return Err(unexpected()) };
        if chunk.len() != bytes as usize {
            return Err(unexpected());
        }
        stage = write(stage, chunk).await?;
        call.best = call.best.max(stage.offset());
        call.tell(stage.offset(), bytes_total);
    }
    Ok(stage)
}

async fn write(mut stage: Stage, chunk: Bytes) -> Result<Stage, Ended> {
    let written = local::run(move || match stage.write(&chunk) {
        Ok(()) => Ok(stage),
        // What does not fit is of no use later.
        Err(error) => stage.discard().and(Err(error)),
    });
    Ok(written.await?)
}

/// Compares all hashes, and puts what was got in its place.
async fn finish(task: &TaskHandle<Files>, mut stage: Stage, name: RelativePath) -> Result<Receipt, Ended> {
    stage =
        local::run(move || if stage.is_whole()? { Ok(stage) } else { Err(FilesError::Interrupted) }).await?;
    hash_through(task, stage.manifest().bytes()).await?;
    if let Some(at) = first_difference(task, stage.cursor().digests()).await? {
        let path = shown(&stage.manifest().entries()[at].path);
        local::run(move || stage.discard()).await?;
        return Err(FilesError::Corrupt { path }.into());
    }
    let manifest = stage.manifest().clone().with_digests(stage.cursor().digests());
    let receipt = Receipt {
        files: manifest.files(),
        bytes: manifest.bytes(),
        resumed_bytes: stage.resumed_bytes(),
        blake3: manifest.digest(),
    };
    local::run(move || stage.commit(&name)).await?;
    Ok(receipt)
}
