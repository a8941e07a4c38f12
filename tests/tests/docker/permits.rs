//! What the policy does not allow is refused, and the daemon never hears of it.

use phalanx::TaskError;
use phalanx_drivers::docker::{DockerError, ImageError, MountSource, Pull, Run, load_bytes, pull};
use tests::soon;

use crate::archive::{IMAGE, archive, image};
use crate::stage::{Stage, shell};

async fn refusal(stage: &Stage, run: Run) -> DockerError {
    let container = stage.run(run).await;
    match soon("the task ends", container.finished()).await {
        Err(TaskError::Failed(error)) => error,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_part_of_a_run_needs_its_permit() {
    let stage = Stage::start().await;
    for image in ["alpine", "registry.example/busybox:test", "busybox/x", "BusyBox", "", "sha256:00"] {
        assert_eq!(refusal(&stage, Run::new(image)).await, DockerError::ImageNotAllowed(image.to_owned()));
    }
    let true_ = || shell("true");
    for run in [
        true_().privileged(),
        true_().keep(),
        true_().network("host"),
        true_().network("container:x"),
        true_().port(80, 8080),
        true_().mount(MountSource::Host("/".to_owned()), "/host"),
        true_().mount(MountSource::Volume("data".to_owned()), "/data"),
        Run::new("busybox:other"),
        true_().pull(Pull::Always),
    ] {
        let error = refusal(&stage, run.clone()).await;
        assert!(matches!(error, DockerError::Refused(_)), "{run:?}: {error:?}");
    }
    // An id of an image that is there is no name of it.
    let id = stage.daemon.docker(&["images", "--quiet", "--no-trunc"]);
    let short = id.trim().strip_prefix("sha256:").unwrap()[..12].to_owned();
    assert_eq!(refusal(&stage, Run::new(short.clone())).await, DockerError::ImageNotAllowed(short));
    let never = Run::new("busybox:other").pull(Pull::Never);
    assert_eq!(
        refusal(&stage, never).await,
        DockerError::ImageNotFound("docker.io/library/busybox:other".to_owned())
    );
    let pulled = pull(&stage.worker(), IMAGE).await;
    assert!(
        matches!(&pulled, Err(ImageError::Task(TaskError::Failed(DockerError::Refused(_))))),
        "{pulled:?}"
    );
    assert_eq!(stage.listener.all(), [], "nothing has started");
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn archives_need_their_permit_and_have_a_cap() {
    let stage = Stage::start_with(|policy| policy.allow_archives(4 << 20)).await;
    let mut large = archive(&image("large"), &[IMAGE]);
    large.resize((4 << 20) + 1, 0);
    let error = soon("it is refused", load_bytes(&stage.worker(), large)).await.unwrap_err();
    assert_eq!(error, ImageError::Task(TaskError::Failed(DockerError::ArchiveTooLarge(4 << 20))));
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_privileged_container_is_one_where_the_policy_says_so() {
    let stage = Stage::start_with(|policy| policy.allow_privileged()).await;
    let script = "cat /proc/self/status | head -n 60; test -e /dev/kmsg && echo has devices";
    let ordinary = stage.finish(shell(script)).await.last_lines;
    assert!(ordinary.contains(&"NoNewPrivs:\t1".to_owned()), "{ordinary:?}");
    assert!(!ordinary.contains(&"has devices".to_owned()), "{ordinary:?}");
    let container = stage.run(shell(script).privileged()).await;
    match soon("it ends", container.finished()).await {
        Ok(finished) => {
            assert!(finished.last_lines.contains(&"has devices".to_owned()), "{:?}", finished.last_lines);
        }
        // A machine whose root lacks a capability cannot give all of them away: the daemon was asked for it.
        Err(TaskError::Failed(DockerError::Api { text, .. })) => assert!(text.contains("caps"), "{text}"),
        other => panic!("{other:?}"),
    }
    stage.end().await;
}
