//! `cargo xtask sim`: simulated clusters under faults, by the hundred; and the proof that it would find mistakes.
//!
//! Each seed is a whole cluster in one thread, in virtual time. Several processes share the seeds, one a core.

mod farm;
mod mutants;
mod options;
mod outcome;
mod scenario;
mod seed;

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::Instant;

use options::{Command, Options, USAGE};
use outcome::Outcome;
use scenario::{SCENARIOS, Scenario};

fn main() -> ExitCode {
    if std::env::var_os("RUST_LOG").is_some() {
        let filter = tracing_subscriber::EnvFilter::from_default_env();
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    }
    let outcome = match options::parse(std::env::args().skip(1)) {
        Ok(Command::Help) => {
            println!("{USAGE}");
            Ok(true)
        }
        Ok(Command::List) => {
            list();
            Ok(true)
        }
        Ok(Command::Child(options)) => seed::serve(&options).map(|()| true),
        Ok(Command::Run(options)) => run(&options),
        Err(error) => Err(error),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(2)
        }
    }
}

fn list() {
    println!("scenarios");
    for Scenario { name, what, .. } in SCENARIOS {
        println!("  {name:12} {what}");
    }
    println!("mistakes to plant");
    for mutant in mutants::MUTANTS {
        println!("  {:28} {}", mutant.name, mutant.what);
    }
}

/// Does what was asked, and says whether all is well.
fn run(options: &Options) -> Result<bool, String> {
    let begin = now();
    Scenario::find(&options.scenario)?;
    let mut outcome = Outcome { scenario: options.scenario.clone(), ..Outcome::default() };
    if options.mutants {
        outcome.mutants = Some(mutants::run(options)?);
    } else {
        run_seeds(options, &mut outcome)?;
    }
    outcome.finish(begin.elapsed_s());
    match &outcome.mutants {
        Some(mutants) => print!("{}", mutants::summary(mutants)),
        None => print!("{}", outcome.summary()),
    }
    if let Some(file) = &options.json {
        let text = serde_json::to_string_pretty(&outcome).map_err(|error| error.to_string())?;
        std::fs::write(file, text).map_err(|error| format!("{}: {error}", file.display()))?;
    }
    Ok(outcome.is_good())
}

fn run_seeds(options: &Options, outcome: &mut Outcome) -> Result<(), String> {
    let last = options.first + options.seeds;
    let mut hashes: BTreeMap<u64, String> = BTreeMap::new();
    farm::run(options, None, options.first..last, |result| {
        let bad = result.property.is_some();
        let shown = if bad { "BROKEN" } else { "ok" };
        eprintln!(
            "seed {:6} {} {:6} calls {:6} events  {shown}",
            result.seed, result.hash, result.calls, result.events
        );
        if let Some(explanation) = &result.explanation {
            eprintln!("{explanation}");
        }
        hashes.insert(result.seed, result.hash.clone());
        outcome.add(options, &result);
        true
    })?;
    if options.twice {
        // Other processes, in another order: backwards.
        farm::run(options, None, (options.first..last).rev(), |result| {
            outcome.compared += 1;
            if hashes.get(&result.seed) != Some(&result.hash) {
                eprintln!("seed {} is another run in another process: {}", result.seed, result.hash);
                outcome.differing.push(result.seed);
            }
            true
        })?;
    }
    Ok(())
}

/// The time of the machine, for the report alone.
struct Stopwatch(Instant);

#[allow(clippy::disallowed_methods, reason = "what is measured is how long this program takes")]
fn now() -> Stopwatch {
    Stopwatch(Instant::now())
}

impl Stopwatch {
    #[allow(clippy::disallowed_methods, reason = "what is measured is how long this program takes")]
    fn elapsed_s(&self) -> std::time::Duration {
        self.0.elapsed()
    }
}
