//! Several processes that run seeds: one a core, each given the next seed when it has finished one.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

use phalanx_sim::ONLY;

use crate::options::Options;
use crate::seed::SeedResult;

/// Runs seeds in other processes, with this mistake planted in them if there is one. `each` sees the results as they come,
/// in any order, and says whether to go on.
pub(crate) fn run(
    options: &Options,
    planted: Option<&str>,
    seeds: impl Iterator<Item = u64> + Send,
    mut each: impl FnMut(SeedResult) -> bool,
) -> Result<(), String> {
    let seeds = Mutex::new(seeds);
    let (sender, results) = channel();
    std::thread::scope(|scope| {
        let mut workers = Vec::new();
        for _ in 0..options.jobs {
            let (seeds, sender) = (&seeds, sender.clone());
            workers.push(scope.spawn(move || work(options, planted, seeds, &sender)));
        }
        drop(sender);
        for result in &results {
            if !each(result) {
                break;
            }
        }
        // The others find nobody who waits for their results, and end.
        drop(results);
        for worker in workers {
            worker.join().map_err(|_| "a thread panicked".to_owned())??;
        }
        Ok(())
    })
}

/// One process: it is given seeds until there are none, or nobody wants results.
fn work(
    options: &Options,
    planted: Option<&str>,
    seeds: &Mutex<impl Iterator<Item = u64>>,
    results: &Sender<SeedResult>,
) -> Result<(), String> {
    let next = || seeds.lock().unwrap_or_else(std::sync::PoisonError::into_inner).next();
    let mut process = Process::start(options, planted)?;
    while let Some(seed) = next() {
        let result = process.run(seed)?;
        if result.hash.is_empty() {
            process = Process::start(options, planted)?;
        }
        if results.send(result).is_err() {
            break;
        }
    }
    Ok(())
}

/// How long a simulated minute may take: a hundred times as long as it does. A run that goes in a circle never ends.
const MINUTE_TIME_MAX: Duration = Duration::from_secs(20);

struct Process {
    child: Child,
    input: Option<ChildStdin>,
    lines: Receiver<String>,
    patience: Duration,
}

impl Process {
    fn start(options: &Options, planted: Option<&str>) -> Result<Self, String> {
        let program = std::env::current_exe().map_err(|error| error.to_string())?;
        let mut command = Command::new(program);
        command.args(["--child", "--scenario", &options.scenario, "--minutes", &options.minutes.to_string()]);
        if options.mutants {
            command.arg("--mutants");
        }
        if let Some(only) = &options.only {
            command.env(ONLY, only);
        }
        if let Some(planted) = planted {
            command.env("PHALANX_PLANTED", planted);
        }
        let spawned = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut child = spawned.map_err(|error| format!("a process does not start: {error}"))?;
        let (input, output) = (child.stdin.take(), child.stdout.take());
        let output = BufReader::new(output.ok_or("a process has no output")?);
        let (sender, lines) = channel();
        // It ends with the output of the process.
        std::thread::spawn(move || {
            output.lines().map_while(Result::ok).try_for_each(|line| sender.send(line))
        });
        let minutes = u32::try_from(options.minutes).unwrap_or(u32::MAX);
        Ok(Self { child, input, lines, patience: MINUTE_TIME_MAX.saturating_mul(minutes) })
    }

    fn run(&mut self, seed: u64) -> Result<SeedResult, String> {
        let input = self.input.as_mut().ok_or("a process has no input")?;
        writeln!(input, "{seed}").and_then(|()| input.flush()).map_err(|error| error.to_string())?;
        match self.lines.recv_timeout(self.patience) {
            Ok(line) => serde_json::from_str(&line).map_err(|error| format!("seed {seed}: {error}")),
            Err(RecvTimeoutError::Disconnected) => Ok(SeedResult::broken(seed, "the run ends its process")),
            Err(RecvTimeoutError::Timeout) => {
                let _ = self.child.kill();
                Ok(SeedResult::broken(seed, "the run goes in a circle, and never ends"))
            }
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.input.take());
        let _ = self.child.wait();
    }
}
