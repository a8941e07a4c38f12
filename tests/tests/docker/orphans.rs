//! Containers of a worker whose process was killed.

use std::process::{Child, Command, Stdio};

use phalanx::{CallError, TaskError};
use phalanx_drivers::docker::{Container, DockerError, Orphan, load_bytes, orphans, remove, run};
use tests::{first, soon, until};

use crate::archive::{IMAGE, archive, image};
use crate::stage::{DEAF, Stage, WORKER, shell};

/// A worker as a process of its own. Killed when it is dropped.
struct Apart(Child);

impl Apart {
    fn start(stage: &Stage, on_orphans: &str) -> Self {
        let arguments = [
            stage.cluster.secret.expose().to_string(),
            stage.cluster.addresses()[0].to_string(),
            WORKER.to_owned(),
            stage.daemon.socket().display().to_string(),
            on_orphans.to_owned(),
        ];
        let mut command = Command::new(env!("CARGO_BIN_EXE_container-worker"));
        Self(command.args(arguments).stdin(Stdio::null()).spawn().unwrap())
    }

    fn kill(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Apart {
    fn drop(&mut self) {
        // It may have been killed before.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A container of a worker that is killed then.
async fn left_behind(stage: &Stage, on_orphans: &str) -> Container {
    let mut worker = Apart::start(stage, on_orphans);
    let archive = archive(&image("first"), &[IMAGE]);
    first("the worker takes the image", async || load_bytes(&stage.worker(), archive.clone()).await.ok())
        .await;
    let container = soon("it starts", run(&stage.worker(), shell(DEAF))).await.unwrap();
    stage.ready(&container).await;
    worker.kill();
    assert_eq!(stage.daemon.containers().len(), 1, "it runs on");
    container
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_starts_again_removes_what_its_former_life_has_left() {
    let stage = Stage::without_worker().await;
    let container = left_behind(&stage, "remove").await;
    // Somebody else's containers are nobody's business here.
    let foreign = ["run", "--detach", "--network=none", "--name=foreign", IMAGE, "sleep", "1000"];
    stage.daemon.docker(&foreign);
    let _again = Apart::start(&stage, "remove");
    until("it is removed", async || stage.daemon.containers() == ["foreign"]).await;
    assert_eq!(soon("its task is lost", container.finished()).await, Err(TaskError::Lost));
    let left = first("the worker answers", async || orphans(&stage.worker()).await.ok()).await;
    assert_eq!(left, []);
    stage.daemon.docker(&["rm", "--force", "foreign"]);
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_reports_lists_them_and_removes_them_when_asked() {
    let stage = Stage::without_worker().await;
    let container = left_behind(&stage, "report").await;
    let _again = Apart::start(&stage, "report");
    let left = first("it is listed", async || orphans(&stage.worker()).await.ok()).await;
    let [Orphan { container: id, task, is_running: true, is_kept: false, .. }] = &left[..] else {
        panic!("{left:?}")
    };
    assert_eq!(*task, container.task().id().to_string());
    for wrong in ["", &id[..12], "../..", "foreign"] {
        let error = remove(&stage.worker(), wrong).await;
        assert_eq!(error, Err(CallError::Failed(DockerError::NoSuchContainer(wrong.to_owned()))));
    }
    // What runs for a task is no orphan.
    let running = soon("it starts", run(&stage.worker(), shell(DEAF))).await.unwrap();
    stage.ready(&running).await;
    assert_eq!(orphans(&stage.worker()).await.unwrap(), left);
    remove(&stage.worker(), id.clone()).await.unwrap();
    assert_eq!(orphans(&stage.worker()).await.unwrap(), []);
    running.signal(9).await.unwrap();
    soon("it ends", running.finished()).await.unwrap();
    stage.end().await;
}
