//! Limits hold: of the kernel for one container, of the policy for all.

use phalanx::TaskError;
use phalanx_drivers::docker::{DockerError, Limits, MountSource};
use tests::{first, soon};

use crate::stage::{DEAF, Stage, shell};

#[tokio::test(flavor = "multi_thread")]
async fn who_takes_too_much_memory_is_killed_and_the_end_says_so() {
    let all = Limits { memory_bytes: Some(32 << 20), processes: Some(20), cpu_percent: Some(150) };
    let stage = Stage::start_with(|policy| policy.limits(all)).await;
    // What asks for more than the policy says gets what the policy says.
    let asked = Limits { memory_bytes: Some(1 << 40), ..Limits::default() };
    let greedy = shell("exec dd if=/dev/zero of=/dev/null bs=128M count=1").limits(asked);
    // Each is killed; whether the daemon hears why before it hears of the exit is a race of its own.
    first("the daemon has noticed why", async || {
        let finished = stage.finish(greedy.clone()).await;
        assert_eq!(finished.exit_code, 128 + 9, "{finished:?}");
        finished.oom_killed.then_some(())
    })
    .await;

    let modest = stage.finish(shell("dd if=/dev/zero of=/dev/null bs=1M count=1")).await;
    assert_eq!((modest.exit_code, modest.oom_killed), (0, false));

    let script = "i=0; while test $i -lt 40; do sleep 1000 & i=$((i+1)); done; echo all";
    let finished = stage.finish(shell(script)).await;
    assert!(finished.exit_code != 0 && !finished.last_lines.contains(&"all".to_owned()), "{finished:?}");
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_more_containers_run_or_are_kept_than_the_policy_says() {
    let stage = Stage::start_with(|policy| policy.containers_max(2).kept_max(1)).await;
    let running = [stage.shell(DEAF).await, stage.shell(DEAF).await];
    for container in &running {
        stage.ready(container).await;
    }
    let third = stage.shell("true").await;
    let end = soon("it is refused", third.finished()).await;
    assert_eq!(end, Err(TaskError::Failed(DockerError::TooMany(2))));
    for container in running {
        container.signal(9).await.unwrap();
        soon("it ends", container.finished()).await.unwrap();
    }
    let kept = stage.finish(shell("echo kept").keep()).await;
    let second = stage.run(shell("true").keep()).await;
    assert_eq!(
        soon("it is refused", second.finished()).await,
        Err(TaskError::Failed(DockerError::TooManyKept(1)))
    );
    assert_eq!(stage.daemon.docker(&["logs", kept.kept.as_ref().unwrap()]), "kept\n");
    phalanx_drivers::docker::remove(&stage.worker(), kept.kept.unwrap()).await.unwrap();
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn folders_and_volumes_are_mounted_as_the_policy_allows() {
    use phalanx_drivers::docker::Access;
    let shared = tempfile::tempdir().unwrap();
    std::fs::write(shared.path().join("in"), "from outside").unwrap();
    let stage = Stage::start_with(|policy| {
        policy.allow_folder(shared.path(), Access::ReadWrite).allow_volume("data", Access::ReadWrite)
    })
    .await;
    let host = || MountSource::Host(shared.path().to_str().unwrap().to_owned());
    let volume = || MountSource::Volume("data".to_owned());
    let writes = shell("cat /host/in; echo from inside > /host/out; echo stays > /data/file");
    let finished = stage.finish(writes.mount(host(), "/host").mount(volume(), "/data")).await;
    assert_eq!((finished.exit_code, &finished.last_lines[..]), (0, &["from outside".to_owned()][..]));
    assert_eq!(std::fs::read_to_string(shared.path().join("out")).unwrap(), "from inside\n");
    let reads =
        shell("cat /data/file; echo x > /data/file || echo refused").mount_read_only(volume(), "/data");
    let lines = stage.finish(reads).await.last_lines;
    assert!(lines.contains(&"stays".to_owned()) && lines.contains(&"refused".to_owned()), "{lines:?}");
    stage.end().await;
}
