//! Images: whether they are there, and pulling them.

use std::time::Duration;

use bollard::Docker as Api;
use bollard::errors::Error;
use bollard::models::{CreateImageInfo, ImageSummary};
use bollard::query_parameters::{CreateImageOptionsBuilder, ListImagesOptions};
use futures_util::StreamExt;
use phalanx_jobs::TaskContext;
use tokio::time::{MissedTickBehavior, interval};

use super::class::{Docker, ImageInfo, ORPHANS_MAX, Progress, Said};
use super::daemon::{failed, is_absent};
use super::error::{DockerError, shortened};
use super::policy::Policy;
use super::reference::{Reference, Version};
use super::run::Pull;

/// How often the progress of a pull is told: a person looks at it.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(250);

/// Sees to it that an image is there.
pub(super) async fn ensure(
    cx: &TaskContext<Docker>,
    api: &Api,
    policy: &Policy,
    image: &Reference,
    when: Pull,
) -> Result<(), DockerError> {
    if when == Pull::Always || (id(api, image).await?.is_none() && when == Pull::IfNotPresent) {
        policy.pull()?;
        return pull(cx, api, image).await;
    }
    // What is not there now is found so when the container is made.
    Ok(())
}

/// The id of an image, if it is there.
pub(super) async fn id(api: &Api, image: &Reference) -> Result<Option<String>, DockerError> {
    match api.inspect_image(&image.to_string()).await {
        Ok(inspected) => Ok(inspected.id),
        Err(error) if is_absent(&error) => Ok(None),
        Err(error) => Err(failed(error)),
    }
}

/// The images that are there and that the policy allows, each under each of its references, in their order.
pub(super) async fn list(api: &Api, policy: &Policy) -> Result<Vec<ImageInfo>, DockerError> {
    let images = api.list_images(None::<ListImagesOptions>).await.map_err(failed)?;
    let mut listed: Vec<ImageInfo> = images.iter().flat_map(|image| infos(image, policy)).collect();
    listed.sort_by(|one, other| one.reference.cmp(&other.reference));
    listed.truncate(ORPHANS_MAX);
    Ok(listed)
}

fn infos(image: &ImageSummary, policy: &Policy) -> Vec<ImageInfo> {
    let unsigned = |number: i64| u64::try_from(number).unwrap_or_default();
    let names = image.repo_tags.iter().chain(&image.repo_digests);
    let allowed = names.filter_map(|name| policy.image(name).ok()).map(|reference| ImageInfo {
        reference: reference.to_string(),
        id: image.id.clone(),
        bytes: unsigned(image.size),
        created_s: unsigned(image.created),
    });
    allowed.collect()
}

/// Pulls an image, and tells how far it is.
pub(super) async fn pull(cx: &TaskContext<Docker>, api: &Api, image: &Reference) -> Result<(), DockerError> {
    let version = match &image.version {
        Version::Tag(version) | Version::Digest(version) => version,
    };
    let options = CreateImageOptionsBuilder::new().from_image(&image.name).tag(version).build();
    let mut pulling = api.create_image(Some(options), None, None);
    let mut ticks = interval(PROGRESS_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut newest = None;
    loop {
        tokio::select! {
            biased;
            _ = ticks.tick(), if newest.is_some() => {
                if let Some(progress) = newest.take() {
                    cx.emit(Said::Pulling(progress)).await.map_err(|_| DockerError::ShuttingDown)?;
                }
            }
            info = pulling.next() => match info {
                Some(Ok(info)) => newest = Some(progress(info)),
                Some(Err(error)) => return Err(pull_failed(image, error)),
                None => return Ok(()),
            },
        }
    }
}

fn progress(info: CreateImageInfo) -> Progress {
    let bytes = |bytes: Option<i64>| bytes.and_then(|bytes| u64::try_from(bytes).ok()).unwrap_or_default();
    let detail = info.progress_detail.unwrap_or_default();
    Progress {
        layer: shortened(&info.id.unwrap_or_default()),
        status: shortened(&info.status.unwrap_or_default()),
        bytes: bytes(detail.current),
        bytes_total: bytes(detail.total),
    }
}

fn pull_failed(image: &Reference, error: Error) -> DockerError {
    let image = image.to_string();
    if is_absent(&error) {
        return DockerError::ImageNotFound(image);
    }
    match failed(error) {
        // The word of a registry that is there and does not have it.
        DockerError::Api { text, .. } if text.contains("manifest unknown") => {
            DockerError::ImageNotFound(image)
        }
        DockerError::Api { text, .. } => DockerError::PullFailed { image, text },
        other => other,
    }
}
