//! Commands in containers that run, and what these use.

use std::time::Duration;

use bollard::Docker as Api;
use bollard::container::LogOutput;
use bollard::errors::Error;
use bollard::exec::StartExecResults;
use bollard::models::{ContainerStatsResponse, ExecConfig};
use bollard::query_parameters::StatsOptionsBuilder;
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use tokio::time::sleep;

use super::class::{Exec, ExecOutput, Stats};
use super::create::variables;
use super::daemon::{failed, is_absent};
use super::error::DockerError;
use super::policy::{check_names, check_words};

/// The bytes of output of a command, of both streams together, at most: half of what a reply may have.
pub const EXEC_OUTPUT_BYTES_MAX: usize = 512 << 10;

/// How often the daemon is asked for the exit code of a command whose streams have ended: it learns of it a moment later.
const EXIT_TRIES: u32 = 100;
const EXIT_PAUSE: Duration = Duration::from_millis(20);

/// Whether this can be asked.
pub(super) fn check(exec: &Exec) -> Result<(), DockerError> {
    if exec.command.is_empty() {
        return Err(DockerError::Invalid("an empty command".to_owned()));
    }
    let variables = exec.environment.iter().flat_map(|(name, value)| [name, value]);
    let other = exec.folder.iter().chain(&exec.user);
    let count = exec.command.len() + exec.environment.len();
    check_words(count, exec.command.iter().chain(variables).chain(other))?;
    check_names(exec.environment.keys())
}

/// Runs a command in a container. Dropping the future leaves the command alone, since the API has no way to end one.
pub(super) async fn run(api: &Api, container: &str, exec: Exec) -> Result<ExecOutput, DockerError> {
    let config = ExecConfig {
        attach_stdout: Some(true),
        attach_stderr: Some(true),
        cmd: Some(exec.command),
        env: Some(variables(exec.environment)),
        working_dir: exec.folder,
        user: exec.user,
        ..ExecConfig::default()
    };
    let id = api.create_exec(container, config).await.map_err(not_running)?.id;
    let StartExecResults::Attached { output: mut pieces, .. } =
        api.start_exec(&id, None).await.map_err(not_running)?
    else {
        return Err(DockerError::Api { status: 200, text: "the command is not attached to".to_owned() });
    };
    let mut output = Collected::default();
    while let Some(piece) = pieces.next().await {
        output.push(piece.map_err(failed)?);
    }
    let exit_code = exit_code(api, &id).await?;
    let Collected { stdout, stderr, is_cut } = output;
    Ok(ExecOutput { exit_code, stdout: stdout.freeze(), stderr: stderr.freeze(), is_cut })
}

async fn exit_code(api: &Api, id: &str) -> Result<i64, DockerError> {
    for _ in 0..EXIT_TRIES {
        let inspected = api.inspect_exec(id).await.map_err(failed)?;
        if let (Some(exit_code), Some(false) | None) = (inspected.exit_code, inspected.running) {
            return Ok(exit_code);
        }
        sleep(EXIT_PAUSE).await;
    }
    Err(DockerError::Api { status: 200, text: "the command has closed its output and goes on".to_owned() })
}

/// Output up to the cap.
#[derive(Default)]
struct Collected {
    stdout: BytesMut,
    stderr: BytesMut,
    is_cut: bool,
}

impl Collected {
    fn push(&mut self, piece: LogOutput) {
        let room = EXEC_OUTPUT_BYTES_MAX - self.stdout.len() - self.stderr.len();
        let is_stderr = matches!(piece, LogOutput::StdErr { .. });
        let bytes: Bytes = piece.into_bytes();
        let taken = &bytes[..bytes.len().min(room)];
        self.is_cut |= taken.len() < bytes.len();
        if is_stderr { &mut self.stderr } else { &mut self.stdout }.extend_from_slice(taken);
    }
}

/// What a container uses now.
pub(super) async fn stats(api: &Api, container: &str) -> Result<Stats, DockerError> {
    let options = StatsOptionsBuilder::new().stream(false).one_shot(true).build();
    let answer = Box::pin(api.stats(container, Some(options))).next().await;
    answer.ok_or(DockerError::NotRunning)?.map(used).map_err(not_running)
}

fn used(answer: ContainerStatsResponse) -> Stats {
    let cpu = answer.cpu_stats.and_then(|cpu| cpu.cpu_usage);
    let memory = answer.memory_stats.unwrap_or_default();
    let mut stats = Stats {
        cpu_ns: cpu.and_then(|usage| usage.total_usage).unwrap_or_default(),
        memory_bytes: memory.usage.unwrap_or_default(),
        memory_bytes_max: memory.limit.unwrap_or_default(),
        processes: answer.pids_stats.and_then(|pids| pids.current).unwrap_or_default(),
        ..Stats::default()
    };
    for network in answer.networks.unwrap_or_default().into_values() {
        stats.received_bytes += network.rx_bytes.unwrap_or_default();
        stats.sent_bytes += network.tx_bytes.unwrap_or_default();
    }
    stats
}

/// A container that is not there, or does not run.
fn not_running(error: Error) -> DockerError {
    match error {
        Error::DockerResponseServerError { status_code: 409, .. } => DockerError::NotRunning,
        error if is_absent(&error) => DockerError::NotRunning,
        error => failed(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_is_cut_at_the_cap() {
        let mut output = Collected::default();
        output.push(LogOutput::StdOut { message: vec![b'a'; EXEC_OUTPUT_BYTES_MAX - 1].into() });
        output.push(LogOutput::StdErr { message: Bytes::from_static(b"b") });
        assert!(!output.is_cut);
        output.push(LogOutput::StdErr { message: Bytes::from_static(b"c") });
        assert!(output.is_cut);
        assert_eq!((output.stdout.len(), &output.stderr[..]), (EXEC_OUTPUT_BYTES_MAX - 1, &b"b"[..]));
    }

    #[test]
    fn what_is_no_command_is_refused() {
        check(&Exec { command: vec!["true".into()], ..Exec::default() }).unwrap();
        let variable = [("A=B".to_owned(), String::new())].into();
        for wrong in [
            Exec::default(),
            Exec { command: vec!["a\0".into()], ..Exec::default() },
            Exec { command: vec!["true".into()], environment: variable, ..Exec::default() },
        ] {
            assert!(matches!(check(&wrong), Err(DockerError::Invalid(_))));
        }
    }
}
