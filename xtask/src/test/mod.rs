//! `cargo xtask test`: everything that must hold before a change is good. What continuous integration runs is this.
//!
//! The steps are data (`plan`), so that they can be listed without running any; each becomes a process (`process`)
//! whose tests are counted (`tally`). The last line says how many checks passed, failed and were skipped: each test is
//! one, and so is each step that runs no tests.

mod features;
mod nextest;
mod plan;
mod process;
mod servers;
mod step;
mod tally;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use crate::Workspace;
use step::{Action, Step};
use tally::Tally;

/// What the user asked for.
#[derive(Debug, Default, PartialEq, Eq)]
struct Options {
    list: bool,
    keep_going: bool,
    /// The first words of the steps to run; none for all.
    only: Vec<String>,
}

/// How a step ended.
#[derive(Debug)]
enum Outcome {
    Passed(Tally),
    Failed(Tally, String),
    Skipped(String),
    /// An earlier failure ended the run.
    NotRun,
}

/// A step that is over.
#[derive(Debug)]
struct Finished<'a> {
    step: &'a Step,
    outcome: Outcome,
    time: Duration,
}

/// The command: lists the steps, or runs them and sums up.
pub(crate) fn run(arguments: &[String]) -> Result<ExitCode, String> {
    let options = parse(arguments)?;
    let workspace = Workspace::load()?;
    if !options.list && (options.only.is_empty() || options.only.iter().any(|only| only == "test")) {
        servers::install();
    }
    let steps = chosen(plan::steps(&workspace, &plan::Tools::find(&workspace.root)), &options.only)?;
    if options.list {
        steps.iter().for_each(|step| println!("{step}"));
        return Ok(ExitCode::SUCCESS);
    }
    let finished = run_all(&steps, options.keep_going, |step| run_one(step, &workspace));
    print!("{}", summary(&finished));
    let failed = finished.iter().any(|step| matches!(step.outcome, Outcome::Failed(..)));
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn parse(arguments: &[String]) -> Result<Options, String> {
    let mut options = Options::default();
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--list" => options.list = true,
            "--keep-going" => options.keep_going = true,
            "--only" => {
                let name = arguments.next().ok_or("--only needs the name of a step; --list shows them")?;
                options.only.push(name.clone());
            }
            unknown => {
                return Err(format!("test has no argument {unknown:?}; `cargo xtask help` lists them"));
            }
        }
    }
    Ok(options)
}

fn chosen(mut steps: Vec<Step>, only: &[String]) -> Result<Vec<Step>, String> {
    let names: Vec<String> = steps.iter().map(|step| step.first_word().to_owned()).collect();
    if let Some(unknown) = only.iter().find(|name| !names.contains(name)) {
        return Err(format!("no step is called {unknown:?}; --list shows them"));
    }
    steps.retain(|step| only.is_empty() || only.iter().any(|name| name == step.first_word()));
    Ok(steps)
}

/// Runs the steps in order. After a failure the others are not run, unless told to keep going.
#[expect(
    clippy::disallowed_methods,
    reason = "how long a step takes is measured on the real clock; nobody replays it"
)]
fn run_all<'a>(
    steps: &'a [Step],
    keep_going: bool,
    mut run: impl FnMut(&Step) -> Outcome,
) -> Vec<Finished<'a>> {
    let mut stopped = false;
    let mut finished = Vec::with_capacity(steps.len());
    for step in steps {
        let start = Instant::now();
        let outcome = if stopped { Outcome::NotRun } else { run(step) };
        stopped |= !keep_going && matches!(outcome, Outcome::Failed(..));
        let ended = Finished { step, outcome, time: start.elapsed() };
        if !matches!(ended.outcome, Outcome::NotRun) {
            println!("<== {}\n", ended.line());
        }
        finished.push(ended);
    }
    finished
}

fn run_one(step: &Step, workspace: &Workspace) -> Outcome {
    println!("==> {step}");
    let result = match &step.action {
        Action::Skip(reason) => return Outcome::Skipped(reason.clone()),
        Action::Tidy => crate::tidy::check(workspace).map(|()| Tally::ONE_PASSED).map_err(Tally::one_failed),
        Action::Run(command) => {
            process::run(command, workspace).map(|()| Tally::ONE_PASSED).map_err(Tally::one_failed)
        }
        Action::Tests(command) => process::run_tests(command, workspace),
    };
    match result {
        Ok(tally) => Outcome::Passed(tally),
        Err((tally, reason)) => Outcome::Failed(tally, reason),
    }
}

impl Finished<'_> {
    fn tally(&self) -> Tally {
        match &self.outcome {
            Outcome::Passed(tally) | Outcome::Failed(tally, _) => *tally,
            Outcome::Skipped(_) | Outcome::NotRun => Tally { skipped: 1, ..Tally::default() },
        }
    }

    /// One line on what became of the step.
    fn line(&self) -> String {
        let name = &self.step.name;
        let seconds = self.time.as_secs_f64();
        let count = match &self.step.action {
            Action::Tests(_) => format!("  {}", self.tally()),
            _ => String::new(),
        };
        match &self.outcome {
            Outcome::Passed(_) => format!("passed   {seconds:>6.1} s  {name}{count}"),
            Outcome::Failed(_, reason) => format!("FAILED   {seconds:>6.1} s  {name}{count}: {reason}"),
            Outcome::Skipped(reason) => format!("SKIPPED            {name}: {reason}"),
            Outcome::NotRun => format!("not run            {name}"),
        }
    }
}

/// A line for each step, then the sum on a line of its own, which is the last one.
fn summary(finished: &[Finished<'_>]) -> String {
    let lines: String = finished.iter().map(|step| step.line() + "\n").collect();
    let time: Duration = finished.iter().map(|step| step.time).sum();
    let sum = finished.iter().map(Finished::tally).fold(Tally::default(), Tally::plus);
    format!("Summary, after {:.1} s\n{lines}{sum}\n", time.as_secs_f64())
}

#[cfg(test)]
mod tests;
