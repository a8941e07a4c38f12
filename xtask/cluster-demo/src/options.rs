//! What the demo was asked to do.

use std::collections::BTreeSet;
use std::path::PathBuf;

use crate::drivers::Drivers;

pub(crate) const USAGE: &str = "\
cargo xtask cluster-demo [OPTIONS]

  --controls N     control nodes to start with (default 3)
  --workers N      workers to start with (default 5)
  --input FOLDER   ship the files of this folder (default: this repository; what git tracks, elsewhere all
                   but .git and target)
  --seconds N      go on for at least so long (default 10)
  --seed N         choose workers, victims and ways by this number (default 1)
  --with PART      do this to the cluster too; may be given several times
                     kill     a control node and a worker are killed (unless --no-faults is given)
                     join     a control node and a worker are added (unless --no-faults is given)
                     leave    a control node leaves in order
                     pause    a control node is stopped for 20 s, and goes on (3 control nodes or more)
                     silence  a worker and a control node are stopped until they are given up, then killed
                     all      all of it until here
                     jobs     a job of 3 is kept at 3 while a worker that has one is killed and another one joins
                     wasm     code is shipped to all workers, called all the time, exchanged and rolled back
                     docker   containers run at all workers: end, fail, and are stopped (needs a Docker daemon, or
                              root and the programs to start one: Debian's docker.io and busybox-static)
                   parts can be given with commas: --with wasm,docker,jobs
  --no-faults      nothing but what --with asks for
  --headless       plain lines only; so it is wherever the output is not a terminal
  --script         at a terminal: first kill and add by the script, as in a headless run
  --json FILE      write the results there
  --report FILE    write a page with plots there (default demo-report.html)
  --help           this text

At a terminal the cluster is shown as it works, until you quit:
  k kill a control node    c add a control node    d let a control node leave in order
  w kill a worker          n add a worker          q quit";

/// A part of the script: something that is done to the cluster, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Part {
    Kill,
    Join,
    Pause,
    Leave,
    Silence,
    Jobs,
    Wasm,
    Docker,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Options {
    pub(crate) controls: usize,
    pub(crate) workers: usize,
    pub(crate) input: Option<PathBuf>,
    pub(crate) seconds: u64,
    pub(crate) seed: u64,
    pub(crate) parts: BTreeSet<Part>,
    pub(crate) headless: bool,
    pub(crate) script: bool,
    pub(crate) json: Option<PathBuf>,
    pub(crate) report: PathBuf,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            controls: 3,
            workers: 5,
            input: None,
            seconds: 10,
            seed: 1,
            parts: BTreeSet::from([Part::Kill, Part::Join]),
            headless: false,
            script: false,
            json: None,
            report: "demo-report.html".into(),
        }
    }
}

/// What a node of the demo is started with; the secret comes through its environment, which no other user can read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NodeOptions {
    pub(crate) is_control: bool,
    pub(crate) name: String,
    pub(crate) listen: String,
    pub(crate) peers: String,
    pub(crate) expected: usize,
    pub(crate) store: PathBuf,
    pub(crate) drivers: Drivers,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Command {
    Demo(Options),
    Node(NodeOptions),
    Help,
}

/// The most nodes one machine is asked to carry.
pub(crate) const NODES_MAX: usize = 64;

pub(crate) fn parse(arguments: &[String]) -> Result<Command, String> {
    if arguments.first().is_some_and(|first| first == "node") {
        return parse_node(&arguments[1..]).map(Command::Node);
    }
    let mut options = Options::default();
    let (mut asked, mut has_usual_parts) = (BTreeSet::<Part>::new(), true);
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        let mut value = || rest.next().ok_or_else(|| format!("{argument} needs a value"));
        match argument.as_str() {
            "--controls" => options.controls = number(argument, value()?)?,
            "--workers" => options.workers = number(argument, value()?)?,
            "--input" => options.input = Some(value()?.into()),
            "--seconds" => options.seconds = number(argument, value()?)?,
            "--seed" => options.seed = number(argument, value()?)?,
            "--no-faults" => has_usual_parts = false,
            "--with" => {
                for what in value()?.split(',') {
                    asked.extend(parts(what)?);
                }
            }
            "--headless" => options.headless = true,
            "--script" => options.script = true,
            "--json" => options.json = Some(value()?.into()),
            "--report" => options.report = value()?.into(),
            "--help" | "-h" => return Ok(Command::Help),
            other => return Err(format!("unknown option {other}")),
        }
    }
    if !has_usual_parts {
        options.parts.clear();
    }
    options.parts.extend(asked);
    check(&options)?;
    Ok(Command::Demo(options))
}

fn parts(what: &str) -> Result<&'static [Part], String> {
    match what {
        "kill" => Ok(&[Part::Kill]),
        "join" => Ok(&[Part::Join]),
        "pause" => Ok(&[Part::Pause]),
        "leave" => Ok(&[Part::Leave]),
        "silence" => Ok(&[Part::Silence]),
        "all" => Ok(&[Part::Kill, Part::Join, Part::Pause, Part::Leave, Part::Silence]),
        "jobs" => Ok(&[Part::Jobs]),
        "wasm" => Ok(&[Part::Wasm]),
        "docker" => Ok(&[Part::Docker]),
        other => Err(format!(
            "--with takes kill, join, leave, pause, silence, all, jobs, wasm or docker, not {other:?}"
        )),
    }
}

/// Enough nodes for all that is to be done, and no more than the machine carries.
fn check(options: &Options) -> Result<(), String> {
    let least = if options.parts.is_empty() { 1 } else { 2 };
    let fits = |count: usize| (least..=NODES_MAX).contains(&count);
    if !fits(options.controls) || !fits(options.workers) {
        return Err(format!("give {least} to {NODES_MAX} control nodes and as many workers"));
    }
    if options.parts.contains(&Part::Pause) && options.controls < 3 {
        return Err("--with pause needs 3 control nodes: the others must stay more than half".to_owned());
    }
    Ok(())
}

fn number<T: std::str::FromStr>(option: &str, value: &str) -> Result<T, String> {
    value.parse().map_err(|_| format!("{option} needs a number, not {value:?}"))
}

fn parse_node(arguments: &[String]) -> Result<NodeOptions, String> {
    match arguments {
        [role, name, listen, peers, expected, store, drivers] => Ok(NodeOptions {
            is_control: role == "control",
            name: name.clone(),
            listen: listen.clone(),
            peers: peers.clone(),
            expected: number("expected", expected)?,
            store: store.into(),
            drivers: serde_json::from_str(drivers).map_err(|error| format!("drivers: {error}"))?,
        }),
        _ => Err("a node is started by the demo itself".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse_words(words: &str) -> Result<Command, String> {
        parse(&words.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn options_are_taken_and_mistakes_named() {
        let Ok(Command::Demo(options)) = parse_words("--controls 5 --no-faults --json out.json") else {
            panic!("these are good options");
        };
        assert_eq!((options.controls, options.workers, options.parts.len()), (5, 5, 0));
        assert_eq!(parse_words("--help"), Ok(Command::Help));
        assert!(parse_words("--workers many").unwrap_err().contains("--workers"));
        assert!(parse_words("--frobnicate").unwrap_err().contains("--frobnicate"));
        assert!(parse_words("--controls 1").is_err(), "who is killed last cannot be moved");
    }

    #[test]
    fn parts_add_up_and_need_enough_nodes() {
        let Ok(Command::Demo(options)) = parse_words("--with leave --with pause --with leave") else {
            panic!("these are good options");
        };
        assert_eq!(options.parts, BTreeSet::from([Part::Kill, Part::Join, Part::Leave, Part::Pause]));
        let Ok(Command::Demo(options)) = parse_words("--with join --no-faults") else {
            panic!("these are good options");
        };
        assert_eq!(options.parts, BTreeSet::from([Part::Join]), "what was asked for is done");
        let Ok(Command::Demo(options)) = parse_words("--no-faults --with wasm,docker --with all") else {
            panic!("these are good options");
        };
        assert_eq!(options.parts.len(), 7, "what needs more than the system is in no other part");
        assert!(!options.parts.contains(&Part::Jobs));
        assert!(parse_words("--with wasm,cheese").unwrap_err().contains("cheese"));
        assert!(parse_words("--with cheese").unwrap_err().contains("cheese"));
        assert!(parse_words("--with pause --controls 2").unwrap_err().contains("pause"));
        assert!(parse_words("--with leave --no-faults --controls 1").is_err());
    }
}
