//! Images: sent as archives, and pulled from a registry.

use bytes::Bytes;
use futures_util::stream;
use phalanx::TaskError;
use phalanx_drivers::docker::{DockerError, ImageError, Pull, Run, Said, load, load_bytes, pull};
use tests::soon;

use crate::archive::{IMAGE, archive, image};
use crate::registry::Registry;
use crate::stage::{Stage, shell};

fn failed<T: std::fmt::Debug>(result: Result<T, ImageError>) -> DockerError {
    match result {
        Err(ImageError::Task(TaskError::Failed(error))) => error,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_archive_in_many_chunks_is_an_image_that_runs() {
    let stage = Stage::start().await;
    let archive = archive(&image("second"), &[IMAGE, "busybox:also"]);
    let chunks: Vec<Result<Bytes, String>> =
        archive.chunks(100_000).map(|chunk| Ok(Bytes::copy_from_slice(chunk))).collect();
    let loaded = soon("it is loaded", load(&stage.worker(), stream::iter(chunks))).await.unwrap();
    assert_eq!(loaded, ["docker.io/library/busybox:test", "docker.io/library/busybox:also"]);
    for name in [IMAGE, "busybox:also"] {
        let run = Run::new(name).pull(Pull::Never).command(["cat", "/mark"]);
        assert_eq!(stage.finish(run).await.last_lines, ["second"]);
    }
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_archive_that_is_none_or_breaks_off_changes_nothing() {
    let stage = Stage::start().await;
    let whole = archive(&image("broken"), &[IMAGE]);
    let broken: Vec<Result<Bytes, String>> =
        vec![Ok(whole.clone().into()), Ok(Bytes::from(vec![0; 1_000])), Err("the disk failed".to_owned())];
    let error = failed(soon("it ends", load(&stage.worker(), stream::iter(broken))).await);
    assert!(matches!(error, DockerError::LoadFailed(_)), "{error:?}");
    let run = || Run::new(IMAGE).command(["cat", "/mark"]);
    assert_eq!(stage.finish(run()).await.last_lines, ["first"], "nothing but its last zeros was missing");
    let error = failed(soon("it ends", load_bytes(&stage.worker(), vec![b'x'; 5_000])).await);
    assert!(matches!(error, DockerError::LoadFailed(_)), "{error:?}");
    // Without a name nobody could be allowed to run it.
    let nameless = archive(&image("nameless"), &[]);
    let error = failed(soon("it ends", load_bytes(&stage.worker(), nameless)).await);
    assert!(matches!(&error, DockerError::LoadFailed(text) if text.contains("names no image")), "{error:?}");
    assert_eq!(stage.finish(run()).await.last_lines, ["first"]);
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_archive_cannot_take_names_that_are_not_allowed() {
    let stage = Stage::start().await;
    stage.daemon.docker(&["tag", IMAGE, "payroll:1"]);
    let ids = |stage: &Stage| stage.daemon.docker(&["images", "--no-trunc", "--quiet", "payroll:1"]);
    let before = ids(&stage);
    let taking = archive(&image("taking"), &["payroll:1", "other:1", IMAGE]);
    let error = failed(soon("it ends", load_bytes(&stage.worker(), taking)).await);
    assert!(matches!(error, DockerError::ImageNotAllowed(_)), "{error:?}");
    assert_eq!(ids(&stage), before, "the name means what it meant");
    assert_eq!(stage.daemon.docker(&["images", "--quiet", "other"]), "");
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_is_pulled_and_its_progress_told() {
    let registry = Registry::start(&image("pulled"));
    let name = registry.image("app:1");
    let pattern = registry.image("app");
    let stage = Stage::start_with(|policy| policy.allow_image(pattern).allow_pull()).await;
    let container = stage.run(Run::new(&name).command(["cat", "/mark"])).await;
    let finished = soon("it is pulled, and runs", container.finished()).await.unwrap();
    assert_eq!(finished.last_lines, ["pulled"]);
    let told = |said: &[Said]| said.iter().any(|said| matches!(said, Said::Pulling(_)));
    stage.listener.wait(container.task().id(), "progress", told).await;
    // Now it is there, and is not pulled again unless it is to be.
    registry.close();
    assert_eq!(stage.finish(Run::new(&name).command(["cat", "/mark"])).await.exit_code, 0);
    let error = failed(soon("it ends", pull(&stage.worker(), &name)).await);
    assert!(matches!(error, DockerError::PullFailed { .. }), "{error:?}");
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_that_no_registry_has_is_not_found() {
    let registry = Registry::start(&image("pulled"));
    let pattern = registry.image("*");
    let stage = Stage::start_with(|policy| policy.allow_image(pattern).allow_pull()).await;
    let id = soon("it is pulled", pull(&stage.worker(), registry.image("app:1"))).await.unwrap();
    assert!(id.starts_with("sha256:"), "{id}");
    let absent = registry.image("absent:1");
    let container = stage.run(Run::new(&absent)).await;
    let end = soon("it ends", container.finished()).await;
    assert_eq!(end, Err(TaskError::Failed(DockerError::ImageNotFound(absent))));
    assert_eq!(stage.finish(shell("true")).await.exit_code, 0);
    stage.end().await;
}
