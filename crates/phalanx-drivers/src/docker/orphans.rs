//! Containers of this worker that belong to no task that runs: of an earlier boot, or kept.
//!
//! They are known by their labels. A worker that starts removes those of its earlier boots, or leaves them alone for
//! whoever asks. Here is the place where the tasks of earlier boots could be taken up again: each orphan that runs bears
//! the id of its task, and its output goes on where it is attached to.

use std::collections::{BTreeMap, BTreeSet};

use bollard::Docker as Api;
use bollard::models::{ContainerSummary, ContainerSummaryStateEnum};
use bollard::query_parameters::ListContainersOptions;

use super::class::{Listed, ORPHANS_MAX, Orphan};
use super::create::{LABEL_BOOT, LABEL_CLUSTER, LABEL_KEPT, LABEL_TASK, LABEL_WORKER};
use super::daemon::{failed, is_absent};
use super::error::DockerError;
use super::policy::OnOrphans;
use super::removal::with_all;

/// Who makes containers: the labels that they bear.
#[derive(Debug, Clone)]
pub(super) struct Maker {
    pub(super) cluster: String,
    pub(super) worker: String,
    pub(super) boot: String,
}

impl Maker {
    pub(super) fn labels(&self, task: &str, is_kept: bool) -> BTreeMap<String, String> {
        let mut labels = BTreeMap::from([
            (LABEL_CLUSTER.to_owned(), self.cluster.clone()),
            (LABEL_WORKER.to_owned(), self.worker.clone()),
            (LABEL_BOOT.to_owned(), self.boot.clone()),
            (LABEL_TASK.to_owned(), task.to_owned()),
        ]);
        if is_kept {
            labels.insert(LABEL_KEPT.to_owned(), "yes".to_owned());
        }
        labels
    }
}

/// One of this worker's containers.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) orphan: Orphan,
    name: String,
    is_of_this_boot: bool,
}

/// All containers of this worker, of whatever boot.
pub(super) async fn find(api: &Api, maker: &Maker) -> Result<Vec<Found>, DockerError> {
    let labels = [(LABEL_CLUSTER, &maker.cluster), (LABEL_WORKER, &maker.worker)];
    let labels: Vec<String> = labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let filters = [("label".to_owned(), labels)].into_iter().collect();
    let options =
        ListContainersOptions { all: true, filters: Some(filters), ..ListContainersOptions::default() };
    let listed = api.list_containers(Some(options)).await.map_err(failed)?;
    Ok(listed.into_iter().map(|summary| found(summary, maker)).collect())
}

fn found(summary: ContainerSummary, maker: &Maker) -> Found {
    let mut labels = summary.labels.unwrap_or_default();
    let is_running = !matches!(
        summary.state,
        Some(
            ContainerSummaryStateEnum::EXITED
                | ContainerSummaryStateEnum::CREATED
                | ContainerSummaryStateEnum::DEAD
        )
    );
    let name = summary.names.unwrap_or_default().into_iter().next().unwrap_or_default();
    Found {
        is_of_this_boot: labels.get(LABEL_BOOT) == Some(&maker.boot),
        name: name.trim_start_matches('/').to_owned(),
        orphan: Orphan {
            container: summary.id.unwrap_or_default(),
            image: summary.image.unwrap_or_default(),
            task: labels.remove(LABEL_TASK).unwrap_or_default(),
            is_running,
            is_kept: labels.contains_key(LABEL_KEPT),
            created_s: summary.created.and_then(|created| u64::try_from(created).ok()).unwrap_or_default(),
        },
    }
}

/// Does with the containers of earlier boots as the policy says.
pub(super) async fn reconcile(api: &Api, maker: &Maker, on_orphans: OnOrphans) -> Result<(), DockerError> {
    for Found { orphan, is_of_this_boot, .. } in find(api, maker).await? {
        let (container, task) = (&orphan.container, &orphan.task);
        if is_of_this_boot || (orphan.is_kept && !orphan.is_running) {
            continue;
        }
        match on_orphans {
            OnOrphans::Report => tracing::info!(container, task, "a container of an earlier boot is there"),
            OnOrphans::Remove => {
                remove(api, container).await?;
                tracing::info!(container, task, "a container of an earlier boot was removed");
            }
        }
    }
    Ok(())
}

/// Those that belong to no task that runs; the oldest first. `running` has the names of those that do.
pub(super) async fn list(
    api: &Api,
    maker: &Maker,
    running: &BTreeSet<String>,
) -> Result<Vec<Orphan>, DockerError> {
    let all = find(api, maker).await?.into_iter();
    let mut orphans: Vec<Orphan> =
        all.filter(|found| !running.contains(&found.name)).map(|found| found.orphan).collect();
    orphans.sort_by(|one, other| age(one).cmp(&age(other)));
    orphans.truncate(ORPHANS_MAX);
    Ok(orphans)
}

/// All containers of this worker, the oldest first. `running` has the names of those whose tasks run.
pub(super) async fn list_all(
    api: &Api,
    maker: &Maker,
    running: &BTreeSet<String>,
) -> Result<Vec<Listed>, DockerError> {
    let all = find(api, maker).await?.into_iter();
    let mut listed: Vec<Listed> = all
        .map(|found| Listed { has_task: running.contains(&found.name), container: found.orphan })
        .collect();
    listed.sort_by(|one, other| age(&one.container).cmp(&age(&other.container)));
    listed.truncate(ORPHANS_MAX);
    Ok(listed)
}

fn age(orphan: &Orphan) -> (u64, &str) {
    (orphan.created_s, &orphan.container)
}

/// Removes a container, killed first where it runs. One that is gone is as good.
pub(super) async fn remove(api: &Api, container: &str) -> Result<(), DockerError> {
    match api.remove_container(container, Some(with_all())).await {
        Err(error) if !is_absent(&error) => Err(failed(error)),
        _ => Ok(()),
    }
}
