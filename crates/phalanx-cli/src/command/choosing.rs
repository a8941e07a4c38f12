//! Chooses a worker by what all workers say of themselves, by the very function with which control nodes choose.

use std::str::FromStr;

use clap::{Args, ValueEnum};
use phalanx::{Metric, Metrics, NodeId, Preferences, Ranking, Requirements, Selector, Usage};
use phalanx_base::Entropy;
use phalanx_operator::{Node, Nodes};
use phalanx_placement::{Class, Explanation, WorkerView, explain};

use super::job::Section;
use crate::exit::{Exit, Failure};

/// What a worker must be, and what makes one better than another.
#[derive(Debug, Args)]
pub(crate) struct Choosing {
    /// What its labels must be, such as 'gpu && zone in (a, b) && !spot'
    #[arg(long = "where", value_name = "SELECTOR", help_heading = "Choosing a worker")]
    selector: Option<Selector>,
    /// What its labels had better be, and how much better in percent of what load can weigh: 'zone=a:50', 'spot:-100'. May be
    /// given several times
    #[arg(long, value_name = "SELECTOR:WEIGHT", value_parser = preference, allow_hyphen_values = true, help_heading = "Choosing a worker")]
    prefer: Vec<(Selector, i16)>,
    /// Which of those that will do comes first
    #[arg(long, value_enum, default_value_t, help_heading = "Choosing a worker")]
    rank: Rank,
    /// By what they are ranked
    #[arg(long, value_enum, default_value_t, help_heading = "Choosing a worker")]
    by: By,
    /// How many tasks it may run, the new one included
    #[arg(long, value_name = "NUMBER", help_heading = "Choosing a worker")]
    tasks_max: Option<u32>,
    /// How full it may be, by what they are ranked by
    #[arg(long, value_name = "PERCENT", value_parser = clap::value_parser!(u8).range(0..=100), help_heading = "Choosing a worker")]
    used_max: Option<u8>,
}

/// Which worker comes first.
#[derive(Debug, Clone, Copy, Default, ValueEnum)]
enum Rank {
    /// The emptiest
    #[default]
    LeastLoaded,
    /// The fullest, so that others stay empty
    Pack,
    /// By lot, the emptier the likelier
    Weighted,
    /// By lot
    Random,
}

/// What a worker can be full by.
#[derive(Debug, Clone, Copy, Default, ValueEnum)]
enum By {
    #[default]
    Mix,
    Memory,
    Cpu,
    Load,
    Disk,
}

impl From<By> for Metric {
    fn from(by: By) -> Self {
        match by {
            By::Mix => Self::Mix,
            By::Memory => Self::Memory,
            By::Cpu => Self::Cpu,
            By::Load => Self::Load,
            By::Disk => Self::Disk,
        }
    }
}

/// A preference as it stands in a job's file.
struct Preferred(Selector, i16);

impl FromStr for Preferred {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        preference(text).map(|(selector, weight)| Self(selector, weight))
    }
}

/// A word of a list.
struct Word<T>(T);

impl<T: ValueEnum> FromStr for Word<T> {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        T::from_str(text, false).map(Self).map_err(|_| {
            let words = T::value_variants().iter().filter_map(ValueEnum::to_possible_value);
            let words: Vec<String> = words.map(|word| word.get_name().to_owned()).collect();
            format!("it is one of {}", words.join(", "))
        })
    }
}

/// A share in percent.
struct Percent(u8);

impl FromStr for Percent {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let percent = text.parse().ok().filter(|percent| *percent <= 100);
        percent.map(Self).ok_or("it is a number from 0 to 100")
    }
}

fn preference(text: &str) -> Result<(Selector, i16), String> {
    let (selector, weight) =
        text.rsplit_once(':').ok_or("no preference: write SELECTOR:WEIGHT, such as zone=a:50")?;
    let weight = weight.parse().map_err(|_| "the weight is a number in percent, such as 50 or -100")?;
    Ok((selector.parse().map_err(|error| format!("{error}"))?, weight))
}

/// `name/version`, as a worker says what it runs.
pub(crate) fn class(text: &str) -> Result<Class, &'static str> {
    let wrong = "no class: write NAME/VERSION, such as process/1";
    let (name, version) = text.rsplit_once('/').ok_or(wrong)?;
    Ok(Class { name: name.to_owned(), version: version.parse().map_err(|_| wrong)? })
}

impl Choosing {
    /// The same as it stands in a job's file.
    pub(super) fn read(section: &mut Section) -> Self {
        let preferred = section.all::<Preferred>("prefer");
        Self {
            selector: section.one("where"),
            prefer: preferred.into_iter().map(|Preferred(selector, weight)| (selector, weight)).collect(),
            rank: section.one::<Word<Rank>>("rank").map(|word| word.0).unwrap_or_default(),
            by: section.one::<Word<By>>("by").map(|word| word.0).unwrap_or_default(),
            tasks_max: section.one("tasks-max"),
            used_max: section.one::<Percent>("used-max").map(|percent| percent.0),
        }
    }

    pub(crate) fn requirements(&self, class: Option<Class>) -> Requirements {
        Requirements {
            class,
            selector: self.selector.clone().unwrap_or_default(),
            tasks_max: self.tasks_max,
            used_max_percent: self.used_max.map(|percent| (self.by.into(), percent)).into_iter().collect(),
            ..Requirements::default()
        }
    }

    pub(crate) fn preferences(&self) -> Result<Preferences, Failure> {
        let metric = self.by.into();
        let ranking = match self.rank {
            Rank::LeastLoaded => Ranking::LeastLoaded(metric),
            Rank::Pack => Ranking::Pack(metric),
            Rank::Weighted => Ranking::Weighted(metric),
            Rank::Random => Ranking::Random,
        };
        let ranked = Preferences::new(ranking);
        let preferred = self
            .prefer
            .iter()
            .try_fold(ranked, |ranked, (selector, weight)| ranked.prefer(selector.clone(), *weight));
        preferred.map_err(Failure::usage)
    }
}

/// The workers of a cluster, to choose among.
pub(crate) struct Workers {
    nodes: Nodes,
    classes: Vec<Vec<Class>>,
    seed: u64,
}

impl Workers {
    pub(crate) fn new(nodes: Nodes) -> Self {
        let classes = |node: &Node| node.classes.iter().filter_map(|text| class(text).ok()).collect();
        let classes = nodes.nodes.iter().map(classes).collect();
        Self { nodes, classes, seed: phalanx::SystemEntropy::new().bits64() }
    }

    /// Chooses, and says of each worker why it was chosen or not.
    pub(crate) fn explain<'r>(
        &self,
        requirements: &'r Requirements,
        preferences: &'r Preferences,
    ) -> Explanation<'r> {
        let views = self.nodes.nodes.iter().zip(&self.classes).map(|(node, classes)| WorkerView {
            classes,
            tasks: node.tasks,
            metrics: metrics(&node.usage),
            ..WorkerView::new(&node.node, &node.labels, node.status)
        });
        explain(requirements, preferences, views, self.seed)
    }

    /// The best worker.
    #[cfg_attr(
        not(feature = "process"),
        allow(dead_code, reason = "only programs are put where they fit best")
    )]
    pub(crate) fn best(
        &self,
        requirements: &Requirements,
        preferences: &Preferences,
    ) -> Result<NodeId, Failure> {
        match self.explain(requirements, preferences).decision {
            Ok(choice) => Ok(choice.best().clone()),
            Err(never) => Err(Failure::new(
                Exit::NotFound,
                format!("no worker will do: {never}; `phalanx task explain` says why of each"),
            )),
        }
    }

    /// The control nodes that did not answer: the workers that they host are missing here.
    pub(crate) fn silent(&self) -> &[NodeId] {
        &self.nodes.silent
    }
}

/// What a worker says of itself, as shares of a whole.
fn metrics(usage: &Usage) -> Metrics {
    let share = |percent: Option<u8>| percent.map(|percent| f64::from(percent) / 100.0);
    Metrics {
        memory: share(usage.memory_percent),
        cpu: share(usage.cpu_percent),
        load: share(usage.load_percent),
        disk: share(usage.disk_percent),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn preferences_and_classes_are_read() {
        let (selector, weight) = preference("zone in (a, b):-100").unwrap();
        assert_eq!((selector.to_string().as_str(), weight), ("zone in (a, b)", -100));
        for wrong in ["zone=a", "zone=a:much", "(:1"] {
            assert!(preference(wrong).is_err(), "{wrong}");
        }
        assert_eq!(class("a/b/2"), Ok(Class { name: "a/b".to_owned(), version: 2 }));
        assert!(class("process").is_err() && class("process/x").is_err());
    }
}
