//! Commands in a container that runs, and what it uses.

use phalanx::CallError;
use phalanx_drivers::docker::{DockerError, EXEC_OUTPUT_BYTES_MAX, Exec};
use tests::soon;

use crate::stage::{DEAF, Stage, shell};

fn command(script: &str) -> Exec {
    Exec { command: ["sh", "-c", script].map(str::to_owned).into(), ..Exec::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_run_inside_and_stats_are_there() {
    let stage = Stage::start_with(|policy| policy.allow_exec()).await;
    let limits = phalanx_drivers::docker::Limits { memory_bytes: Some(64 << 20), ..Default::default() };
    let container = stage.run(shell(DEAF).limits(limits)).await;
    stage.ready(&container).await;

    let mut exec = command("echo $A; pwd; id -u; echo oops >&2; exit 3");
    exec.environment.insert("A".to_owned(), "given".to_owned());
    (exec.folder, exec.user) = (Some("/work".to_owned()), Some("7".to_owned()));
    let output = soon("the command ends", container.exec(exec)).await.unwrap();
    assert_eq!((output.exit_code, output.is_cut), (3, false));
    assert_eq!((&output.stdout[..], &output.stderr[..]), (&b"given\n/work\n7\n"[..], &b"oops\n"[..]));

    let output = soon("it is cut", container.exec(command("head -c 1000000 /dev/zero"))).await.unwrap();
    assert_eq!((output.exit_code, output.is_cut, output.stdout.len()), (0, true, EXEC_OUTPUT_BYTES_MAX));
    let output = soon("it ends", container.exec(command("kill -0 1; echo $?"))).await.unwrap();
    assert_eq!(&output.stdout[..], b"0\n", "it sees the first process of the container");

    let stats = soon("the stats come", container.stats()).await.unwrap();
    assert!(stats.cpu_ns > 0 && stats.processes > 0, "{stats:?}");
    assert!((1..=64 << 20).contains(&stats.memory_bytes) && stats.memory_bytes_max == 64 << 20, "{stats:?}");

    container.signal(9).await.unwrap();
    soon("it ends", container.finished()).await.unwrap();
    let not_running = CallError::Failed(DockerError::NotRunning);
    assert_eq!(container.exec(command("true")).await, Err(not_running.clone()));
    assert_eq!(container.stats().await, Err(not_running));
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_are_refused_unless_the_policy_allows_them() {
    let stage = Stage::start().await;
    let container = stage.shell(DEAF).await;
    stage.ready(&container).await;
    let error = container.exec(command("true")).await.unwrap_err();
    assert!(matches!(&error, CallError::Failed(DockerError::Refused(_))), "{error:?}");
    container.signal(9).await.unwrap();
    soon("it ends", container.finished()).await.unwrap();
    stage.end().await;
}
