//! What the simulator was asked to do.

use std::path::PathBuf;

pub(crate) const USAGE: &str = "\
cargo xtask sim [OPTIONS]

  --seeds N        how many seeds (default 20)
  --seed S         the first of them (default 1); with --seeds 1 a replay
  --minutes M      simulated minutes for each (default 10), the last two of them without faults
  --scenario NAME  what goes wrong (default soak); --list names all
  --only N,N,…     of the schedule only these episodes: a replay of a failure that was made shorter
  --twice          each seed again in another process, to compare the hashes of both
  --mutants        plants mistakes in the framework, one after the other, and counts the seeds that find each
  --mutant NAME    only this one; may be given several times
  --jobs N         so many processes (default: one a core)
  --json FILE      write the results there
  --list           name the scenarios and the mistakes
  --help           this text";

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Options {
    pub(crate) seeds: u64,
    pub(crate) first: u64,
    pub(crate) minutes: u64,
    pub(crate) scenario: String,
    pub(crate) only: Option<String>,
    pub(crate) twice: bool,
    pub(crate) mutants: bool,
    pub(crate) mutant: Vec<String>,
    pub(crate) jobs: usize,
    pub(crate) json: Option<PathBuf>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            seeds: 20,
            first: 1,
            minutes: 10,
            scenario: "soak".to_owned(),
            only: None,
            twice: false,
            mutants: false,
            mutant: Vec::new(),
            jobs: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            json: None,
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Command {
    Run(Options),
    /// One process of several: seeds come by its input, results go to its output.
    Child(Options),
    List,
    Help,
}

/// The least time for faults and the quiet time after them.
const MINUTES_MIN: u64 = 3;

pub(crate) fn parse(arguments: impl IntoIterator<Item = String>) -> Result<Command, String> {
    let mut options = Options::default();
    let mut child = false;
    let mut arguments = arguments.into_iter();
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().ok_or_else(|| format!("{argument} needs a value"));
        match argument.as_str() {
            "--seeds" => options.seeds = number(&argument, &value()?)?.max(1),
            "--seed" => options.first = number(&argument, &value()?)?,
            "--minutes" => options.minutes = number(&argument, &value()?)?.max(MINUTES_MIN),
            "--scenario" => options.scenario = value()?,
            "--only" => options.only = Some(value()?),
            "--twice" => options.twice = true,
            "--mutants" => options.mutants = true,
            "--mutant" => options.mutant.push(value()?),
            "--jobs" => options.jobs = usize::try_from(number(&argument, &value()?)?.max(1)).unwrap_or(1),
            "--json" => options.json = Some(value()?.into()),
            "--child" => child = true,
            "--list" => return Ok(Command::List),
            "--help" | "-h" => return Ok(Command::Help),
            unknown => return Err(format!("unknown argument {unknown:?}; --help lists them all")),
        }
    }
    options.mutants |= !options.mutant.is_empty();
    Ok(if child { Command::Child(options) } else { Command::Run(options) })
}

fn number(name: &str, text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| format!("{name} needs a number, not {text:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Command, String> {
        parse(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn a_replay_is_one_seed() {
        let Ok(Command::Run(options)) = parsed("--seeds 1 --seed 41 --minutes 10") else { panic!("no run") };
        assert_eq!((options.seeds, options.first, options.minutes), (1, 41, 10));
    }

    #[test]
    fn one_mutant_is_enough_to_plant() {
        let Ok(Command::Run(options)) = parsed("--mutant equal-fence") else { panic!("no run") };
        assert!(options.mutants);
    }

    #[test]
    fn mistakes_are_named() {
        assert!(parsed("--seeds").unwrap_err().contains("needs a value"));
        assert!(parsed("--seeds many").unwrap_err().contains("needs a number"));
        assert!(parsed("--sneeze").unwrap_err().contains("--sneeze"));
    }
}
