//! Goes on with the programs of an earlier process of this worker: those that were kept, and what is left of the others.
//!
//! What is believed is the supervisor: it holds a lock for as long as it lives, and answers at its socket. A number of a
//! process proves nothing.

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use phalanx_jobs::{Kept, TaskContext};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use super::cgroup::Groups;
use super::class::{Finished, Process, ProcessError, Run, Said};
use super::finish::finish;
use super::folders;
use super::handler::{CGROUP_MOUNT, Registered, Shared, panicked};
use super::policy::Policy;
use super::protocol::{Ended, Here};
use super::record::Record;
use super::running::{self, Beginning, Running, Task};
use super::supervisor::Supervised;
use super::telling::Telling;

/// How long a supervisor may take to say how it stands: it does so at once, unless it is about to end.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a supervisor that does not answer may take to end, and how often that is looked at.
const END_LOOKS_MAX: usize = 250;
const END_LOOK_INTERVAL: Duration = Duration::from_millis(20);

/// How much of what the former process was handed is told again: what pipes hold, and what may have been on its way from there
/// to a control node.
const TOLD_AGAIN_BYTES: u64 = 256 << 10;

/// Removes the control groups that are left of supervisors which were killed, with all that runs in them: nobody holds it.
pub(super) fn clear_groups(policy: &Policy) {
    let Some(parent) = &policy.cgroup else { return };
    for (name, folder) in folders::all(&policy.logs).unwrap_or_default() {
        let groups = Groups::find(CGROUP_MOUNT.as_ref(), parent, &name);
        if !groups.folders.is_empty() && !folders::is_locked(&folder) {
            groups.clear();
        }
    }
}

/// The tasks whose programs were kept. From now on none of their folders is removed.
pub(super) fn kept(shared: &Shared) -> Vec<Kept<Process>> {
    let folders = folders::all(&shared.policy.logs).unwrap_or_else(|error| {
        tracing::error!(%error, "the folder of programs cannot be read: what was kept there is lost");
        Vec::new()
    });
    let mut running = shared.running.lock().unwrap_or_else(PoisonError::into_inner);
    let mut kept = Vec::new();
    for (name, folder) in folders {
        if let Some(Record { task, on_disconnect, instance, run, .. }) = Record::read(&folder) {
            running.insert(name, Arc::new(watch::Sender::new(0)));
            kept.push(Kept { id: task, on_disconnect, instance, task: run });
        }
    }
    kept
}

/// What became of a program that was kept.
enum Found {
    Running(Box<Supervised>, Here),
    Ended(Ended),
    Gone(ProcessError),
}

/// Goes on with a task whose program was kept.
pub(super) async fn go_on(
    shared: &Arc<Shared>,
    cx: &Arc<TaskContext<Process>>,
    run: Run,
) -> Result<Finished, ProcessError> {
    let name = folders::name(cx.id());
    let folder = shared.policy.logs.join(&name);
    let record = folder.clone();
    let record = cx.blocking(move || Record::read(&record)).await.map_err(|error| panicked(&error))?;
    let groups =
        Groups { folders: record.map(|record| record.groups).unwrap_or_default(), ..Groups::default() };
    let end = {
        let mut running = shared.running.lock().unwrap_or_else(PoisonError::into_inner);
        running.entry(name.clone()).or_insert_with(|| Arc::new(watch::Sender::new(0))).clone()
    };
    let registered = Registered { shared: shared.clone(), name, groups };
    let telling = Telling::new(cx, shared.per_second(&run), end);
    let finished = match find(cx, &folder).await {
        Found::Running(supervised, here) => {
            let is_to_die = !shared.policy.keeps;
            hold(cx, &run, (*supervised, here), telling, &folder, is_to_die).await
        }
        Found::Ended(ended) => match tell_end(telling, &folder, &ended).await {
            Ok(()) => finish(cx, ended, run.must_succeed).await,
            Err(error) => Err(error),
        },
        Found::Gone(error) => Err(error),
    };
    close(cx, registered, &finished, Some(folder)).await;
    finished
}

/// Looks for the supervisor of a program, or for how the program has ended.
async fn find(cx: &Arc<TaskContext<Process>>, folder: &Path) -> Found {
    let is_held = |folder: &Path| {
        let folder = folder.to_owned();
        // A disk that panics says nothing.
        async move { cx.blocking(move || folders::is_locked(&folder)).await.unwrap_or(false) }
    };
    if !is_held(folder).await {
        // One that was being started as the former process died holds nothing yet: it must not start now, and looks for this
        // once it does.
        folders::abandon(folder);
        if !is_held(folder).await {
            return ended(folder);
        }
        folders::unabandon(folder);
    }
    if let Ok(Ok((supervised, here))) = timeout(ANSWER_TIMEOUT, Supervised::find(folder, cx.clone())).await {
        return Found::Running(Box::new(supervised), here);
    }
    // It is about to end, or does not do what it should, and then its program must not go on.
    folders::abandon(folder);
    for _ in 0..END_LOOKS_MAX {
        if !is_held(folder).await {
            return ended(folder);
        }
        sleep(END_LOOK_INTERVAL).await;
    }
    Found::Gone(ProcessError::SupervisorLost("it does not answer".to_owned()))
}

/// How a program has ended that nobody holds any more.
fn ended(folder: &Path) -> Found {
    match folders::read_end(folder) {
        Ok(Some(ended)) => Found::Ended(ended),
        Ok(None) => Found::Gone(match std::fs::read_to_string(folders::launch_error(folder)) {
            Ok(why) if !why.is_empty() => ProcessError::CannotStart(why),
            _ => ProcessError::SupervisorLost("it ended without a word while the worker was away".to_owned()),
        }),
        Err(error) => Found::Gone(ProcessError::Disk(error.to_string())),
    }
}

/// Goes on with a program that runs.
async fn hold(
    cx: &Arc<TaskContext<Process>>,
    run: &Run,
    (supervised, here): (Supervised, Here),
    telling: Telling<'_>,
    folder: &Path,
    is_to_die: bool,
) -> Result<Finished, ProcessError> {
    let stdin_waiting = here.stdin_waiting.map(|waiting| waiting as usize);
    let has_terminal = run.terminal.is_some();
    let task = Task { stdin_waiting, has_terminal, must_succeed: run.must_succeed };
    cx.outlive_worker(true).await;
    if is_to_die {
        tracing::warn!(task = %cx.id(), "the policy keeps no program any more: this one is killed");
    }
    let from = here.told.saturating_sub(TOLD_AGAIN_BYTES);
    let found = running::Found { here, from, folder: folder.to_owned(), is_to_die };
    Running::new(cx, supervised, &task, telling).run(Beginning::Kept(found)).await
}

/// Tells the end of a program that has ended while nobody listened.
async fn tell_end(mut telling: Telling<'_>, folder: &Path, ended: &Ended) -> Result<(), ProcessError> {
    let from = ended.told.saturating_sub(TOLD_AGAIN_BYTES);
    telling.emit(Said::Kept { pid: None, from }).await?;
    telling.catch_up(folder, from, ended.log_end()).await?;
    telling.skipped().await
}

/// A task is over, or the worker is: then what is kept stays as it is.
pub(super) async fn close(
    cx: &TaskContext<Process>,
    registered: Registered,
    ended: &Result<Finished, ProcessError>,
    kept: Option<PathBuf>,
) {
    let is_over = *ended != Err(ProcessError::ShuttingDown);
    let is_lost = matches!(ended, Err(ProcessError::SupervisorLost(_)));
    let work = move || {
        if let Some(folder) = kept.filter(|_| is_over) {
            Record::remove(&folder);
        }
        if is_lost {
            // What the supervisor held goes with it.
            registered.groups.clear();
        }
        drop(registered);
    };
    // It panics nowhere, and whoever waits for the end of the task is not helped by that.
    let _ = cx.blocking(work).await;
}
