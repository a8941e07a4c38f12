//! One try to get a file or folder from a worker.

use bytes::Bytes;
use phalanx_jobs::{Fetch, TaskHandle, TransferError};

use super::arrival::Arrival;
use super::asking::{ask, last_word, start, unexpected};
use super::class::{Files, FilesCommand, FilesReply, FilesTask, Place, Receipt, Wanted};
use super::client::{Call, Ended, FilesClientError};
use super::dir::Dir;
use super::error::FilesError;
use super::local;
use super::manifest::{LIST_BYTES_MAX, Limits, Manifest};
use super::path::RelativePath;
use super::stage::Stage;

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
    let manifest = list(task).await?;
    if manifest.is_folder() && !call.takes_folders {
        return Err(Ended::Finally(FilesClientError::IsFolder));
    }
    let arrival = open(call, folder, name, manifest).await?;
    let arrival = agree(task, arrival).await?;
    call.best = call.best.max(arrival.offset());
    let arrival = read(call, task, arrival).await?;
    let name = name.clone();
    Ok(local::run(move || arrival.commit(&name)).await?)
}

async fn fetch(task: &TaskHandle<Files>, wanted: Wanted) -> Result<Fetch, Ended> {
    let note = postcard::to_stdvec(&wanted).unwrap_or_default();
    match task.fetch(note).await {
        Ok(fetch) => Ok(fetch),
        Err(error) => Err(broken_off(task, &error).await),
    }
}

/// The next chunk; `None` after the last one.
async fn next(task: &TaskHandle<Files>, fetch: &mut Fetch) -> Result<Option<Bytes>, Ended> {
    match fetch.next().await.transpose() {
        Ok(chunk) => Ok(chunk),
        Err(error) => Err(broken_off(task, &error).await),
    }
}

/// Why a transfer broke off: the task knows best.
async fn broken_off(task: &TaskHandle<Files>, error: &TransferError) -> Ended {
    last_word(task, Ended::Again(error.to_string())).await
}

/// The list of what is got.
async fn list(task: &TaskHandle<Files>) -> Result<Manifest, Ended> {
    let mut fetch = fetch(task, Wanted::List).await?;
    let mut list = Vec::new();
    while let Some(chunk) = next(task, &mut fetch).await? {
        if list.len() + chunk.len() > LIST_BYTES_MAX {
            let why = format!("it has more than {LIST_BYTES_MAX} bytes");
            return Err(at_worker(FilesError::List { why }));
        }
        list.extend_from_slice(&chunk);
    }
    Manifest::decode(&list, Limits::NONE).map_err(at_worker)
}

/// A list that does not hold together is the worker's fault, and so is what leads out of a folder.
fn at_worker(error: FilesError) -> Ended {
    Ended::Finally(FilesClientError::Worker(error))
}

/// What has arrived before, if anything has.
async fn open(call: &Call, folder: &Dir, name: &RelativePath, manifest: Manifest) -> Result<Arrival, Ended> {
    let place = name.to_string();
    let stage_name = manifest.stage_name(&["get", call.worker.id().as_str(), &call.root, &call.path, &place]);
    let (folder, place) = (folder.again()?, name.clone());
    let opened = local::run(move || {
        let stage = Stage::open(&folder, &stage_name, manifest)?;
        if let Err(error) = stage.check_place(&place) {
            return stage.discard().and(Err(error));
        }
        let mut arrival = Arrival::new(stage);
        arrival.scan(u64::MAX)?;
        Ok(arrival)
    });
    Ok(opened.await?)
}

/// Begins anew where what is here is not what the worker has, as far as it goes.
async fn agree(task: &TaskHandle<Files>, mut arrival: Arrival) -> Result<Arrival, Ended> {
    let ours = arrival.place();
    if ours.offset > 0 && hash_through(task, ours.offset).await? != ours {
        arrival = local::run(move || arrival.restart().map(|()| arrival)).await?;
    }
    Ok(arrival)
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

/// Reads the rest, and writes each chunk as it comes.
async fn read(call: &mut Call, task: &TaskHandle<Files>, mut arrival: Arrival) -> Result<Arrival, Ended> {
    let (from, bytes_total) = (arrival.offset(), arrival.bytes_total());
    call.tell(from, bytes_total);
    let mut fetch = fetch(task, Wanted::Content { from }).await?;
    while let Some(chunk) = next(task, &mut fetch).await? {
        let before = arrival.offset();
        arrival = write(arrival, chunk).await?;
        if arrival.offset() > before {
            call.best = call.best.max(arrival.offset());
            call.tell(arrival.offset(), bytes_total);
        }
    }
    Ok(arrival)
}

async fn write(mut arrival: Arrival, chunk: Bytes) -> Result<Arrival, Ended> {
    let written = local::run(move || match arrival.take(&chunk) {
        Ok(()) => Ok(arrival),
        // What does not fit is of no use later.
        Err(error) => arrival.discard().and(Err(error)),
    });
    Ok(written.await?)
}
