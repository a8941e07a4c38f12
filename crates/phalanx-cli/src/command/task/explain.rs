//! The command that says where a task would run, and why not elsewhere.

use clap::Args;
use phalanx_placement::{Class, Explanation, Verdict};
use serde_json::{Value, json};

use super::super::choosing::{Choosing, Workers, class};
use crate::exit::{Exit, Failure};
use crate::output::{Format, FormatArguments, Table, print_json, print_table};
use crate::target::Target;

#[derive(Debug, Args)]
#[command(after_help = "Example: phalanx task explain --where 'gpu && zone=a' --prefer 'rack=7:50'")]
pub(crate) struct Explain {
    /// The job class that it must run
    #[arg(long, value_name = "NAME/VERSION", default_value = "process/1", value_parser = class)]
    class: Class,
    #[command(flatten)]
    choosing: Choosing,
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    format: FormatArguments,
}

impl Explain {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let workers = Workers::new(self.target.connect().await?.nodes().await?);
        let requirements = self.choosing.requirements(Some(self.class));
        let preferences = self.choosing.preferences()?;
        let explanation = workers.explain(&requirements, &preferences);
        match self.format.output {
            Format::Json => print_json(&form(&explanation))?,
            Format::Table => print_table(&table(&explanation))?,
        }
        for node in workers.silent() {
            eprintln!("phalanx: {node} did not answer: what it hosts is missing");
        }
        match explanation.decision {
            Ok(_) => Ok(()),
            Err(never) => Err(Failure::new(Exit::NotFound, format!("no worker will do: {never}"))),
        }
    }
}

/// The place of each worker in the choice, the best first.
fn place(explanation: &Explanation<'_>, node: &phalanx::NodeId) -> Option<usize> {
    let choice = explanation.decision.as_ref().ok()?;
    choice.ranked().iter().position(|ranked| ranked.node == *node).map(|place| place + 1)
}

/// Those that will do first, the best of them on top.
fn ordered<'e, 'r>(explanation: &'e Explanation<'r>) -> Vec<&'e (phalanx::NodeId, Verdict<'r>)> {
    let mut verdicts: Vec<_> = explanation.verdicts.iter().collect();
    verdicts.sort_by(|one, other| {
        let key = |(node, verdict): &(phalanx::NodeId, Verdict<'r>)| match verdict {
            Verdict::Fits(score) => (place(explanation, node).unwrap_or(usize::MAX), -score.total()),
            Verdict::Refused(_) => (usize::MAX, f64::INFINITY),
        };
        let (one, other) = (key(one), key(other));
        one.0.cmp(&other.0).then(one.1.total_cmp(&other.1))
    });
    verdicts
}

fn table(explanation: &Explanation<'_>) -> Table {
    let mut table = Table::new(&["PLACE", "NODE", "VERDICT"]);
    for (node, verdict) in ordered(explanation) {
        let place = place(explanation, node).map(|place| place.to_string()).unwrap_or_default();
        table.row([place, node.to_string(), verdict.to_string()]);
    }
    table
}

fn form(explanation: &Explanation<'_>) -> Value {
    let verdicts = ordered(explanation).into_iter().map(|(node, verdict)| {
        let (score, reasons) = match verdict {
            Verdict::Fits(score) => (Some(score.total()), Vec::new()),
            Verdict::Refused(refusals) => (None, refusals.iter().map(ToString::to_string).collect()),
        };
        json!({
            "node": node.as_str(),
            "place": place(explanation, node),
            "score": score,
            "words": verdict.to_string(),
            "refusals": reasons,
        })
    });
    json!({
        "chosen": explanation.decision.as_ref().ok().map(|choice| choice.best().as_str()),
        "never": explanation.decision.as_ref().err().map(ToString::to_string),
        "workers": verdicts.collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use phalanx::{NodeStatus, Preferences, Requirements};

    use super::*;
    use crate::output::samples;

    #[test]
    fn every_worker_has_its_reasons() {
        let mut nodes = samples::nodes();
        nodes.nodes[1].status = NodeStatus::Ready;
        nodes.nodes[0].labels = "spot".parse().unwrap();
        let workers = Workers::new(nodes);
        let requirements = Requirements {
            class: Some(class("double/1").unwrap()),
            selector: "group=a && !spot".parse().unwrap(),
            ..Requirements::default()
        };
        let preferences = Preferences::default();
        let explanation = workers.explain(&requirements, &preferences);
        insta::assert_snapshot!(format!("{}\n{:#}", table(&explanation).render(false), form(&explanation)));
        let requirements = Requirements { tasks_max: Some(1), ..requirements };
        let failure = workers.best(&requirements, &preferences).unwrap_err().to_string();
        assert!(failure.contains("task explain"), "{failure}");
    }
}
