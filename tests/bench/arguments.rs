//! What the program is told.

use std::fs;
use std::path::{Path, PathBuf};

use crate::Failure;
use crate::report::{Report, markdown, plot};

/// What is printed where it is not told to measure.
pub(crate) const USAGE: &str = "\
cargo xtask bench [--row NAME]… [--rounds N] [--json FILE] [--docs FOLDER] [--check]
  measures us beside other ways to the same end, in turn, and prints a table
    --row NAME      only rows whose name begins so; may be given several times
    --rounds N      how many times each is measured (5)
    --json FILE     write the rows as JSON too
    --docs FOLDER   write the table and a plot there too
    --check         exit with 1 where a bar does not hold
";

/// How many times each row is measured: with five a median forgives two disturbed rounds.
const ROUNDS: usize = 5;

/// What to do.
#[derive(Debug)]
pub(crate) enum Task {
    /// Nothing but to say how it is used.
    Help,
    /// Be one end of a peer.
    Role(Vec<String>),
    /// Measure.
    Measure(Arguments),
}

/// How to measure.
#[derive(Debug, Default)]
pub(crate) struct Arguments {
    /// What the names of the rows begin with; all rows where it is empty.
    pub(crate) rows: Vec<String>,
    /// How many times each is measured.
    pub(crate) rounds: usize,
    /// Whether a bar that does not hold is a failure.
    pub(crate) check: bool,
    json: Option<PathBuf>,
    docs: Option<PathBuf>,
}

impl Arguments {
    /// Reads them. `cargo bench` says `--bench`; without it nothing is measured, whatever else is said, since those who run
    /// all tests run this program too.
    pub(crate) fn parse(words: impl IntoIterator<Item = String>) -> Result<Task, Failure> {
        let words: Vec<String> = words.into_iter().collect();
        match words.split_first() {
            Some((first, rest)) if first == "--role" => return Ok(Task::Role(rest.to_vec())),
            _ if words.iter().any(|word| word == "--bench") => {}
            _ => return Ok(Task::Help),
        }
        let mut arguments = Self { rounds: ROUNDS, ..Self::default() };
        let mut words = words.into_iter();
        while let Some(word) = words.next() {
            let mut value = || words.next().ok_or_else(|| format!("{word} needs a value"));
            match word.as_str() {
                "--bench" => {}
                "--row" => arguments.rows.push(value()?),
                "--rounds" => arguments.rounds = value()?.parse::<usize>()?.max(1),
                "--json" => arguments.json = Some(value()?.into()),
                "--docs" => arguments.docs = Some(value()?.into()),
                "--check" => arguments.check = true,
                "--help" | "-h" => return Ok(Task::Help),
                unknown => return Err(format!("{unknown:?} is no argument\n{USAGE}").into()),
            }
        }
        Ok(Task::Measure(arguments))
    }

    /// Whether a row of this name is asked for.
    pub(crate) fn wants(&self, name: &str) -> bool {
        self.rows.is_empty() || self.rows.iter().any(|row| name.starts_with(row.as_str()))
    }

    /// Writes what was found so far wherever it is wanted.
    pub(crate) fn write(&self, report: &Report) -> Result<(), Failure> {
        if let Some(path) = &self.json {
            write(path, &serde_json::to_string_pretty(report)?)?;
        }
        if let Some(folder) = &self.docs {
            fs::create_dir_all(folder)?;
            write(&folder.join("results.md"), &markdown(&report.rows))?;
            write(&folder.join("results.svg"), &plot(&report.rows))?;
        }
        Ok(())
    }
}

fn write(path: &Path, text: &str) -> Result<(), Failure> {
    fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()).into())
}
