//! The command that labels a node anew.

use std::fmt;
use std::str::FromStr;

use clap::Args;
use phalanx::{Labels, NodeId};
use phalanx_base::{Item, ItemError, LabelsError};
use serde_json::json;

use crate::exit::Failure;
use crate::output::{Format, FormatArguments, json as forms, print, print_json};
use crate::target::Target;

#[derive(Debug, Args)]
#[command(
    after_help = "A key is set where a label has it, else in a label of its own name: zone=a makes zone;zone=a, which the selectors zone and \
zone=a meet. 'core;group=a' sets the key of the label core. The labels hold over starts of the node, before what its own \
configuration says, until --reset; with --until-restart until it starts again.
Example: phalanx node label camera-7 gpu zone=a spot-"
)]
pub(crate) struct Label {
    /// The node
    node: NodeId,
    /// NAME, KEY=VALUE, 'NAME;KEY=VALUE', and each with a - behind it (and without a value) to take it away
    #[arg(required_unless_present = "reset", value_name = "CHANGE")]
    changes: Vec<Change>,
    /// Only until the node starts again
    #[arg(long)]
    until_restart: bool,
    /// Take back all labels that were given for good: from its next start on the node has those of its configuration
    #[arg(long, conflicts_with_all = ["changes", "until_restart"])]
    reset: bool,
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    format: FormatArguments,
}

impl Label {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let (mut client, calls) = self.target.both().await?;
        if self.reset {
            client.set_labels(self.node.clone(), None).await?;
            return forms::done(self.format.output, &json!({"node": self.node.as_str(), "reset": true}));
        }
        let worker = calls.worker(&self.node);
        let before = worker.labels().await?;
        let labels = self.changes.iter().try_fold(before, |labels, change| change.apply(labels));
        let labels = labels.map_err(Failure::usage)?;
        if !self.until_restart {
            client.set_labels(self.node.clone(), Some(labels.clone())).await?;
        }
        // Whoever hosts it does so too a moment later: now, so that the next command sees it.
        worker.set_labels(labels.clone()).await?;
        match self.format.output {
            Format::Json => print_json(&json!({"node": self.node.as_str(), "labels": labels.to_string()})),
            Format::Table => print(&format!("{labels}\n")),
        }
    }
}

/// One change of the labels of a node.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Change {
    item: Option<String>,
    /// The key, or where there is neither an item nor a value, a label.
    word: String,
    value: Option<String>,
    takes_away: bool,
}

/// Why a text is no change.
#[derive(Debug, Clone, PartialEq, Eq)]
struct ChangeError(&'static str);

impl fmt::Display for ChangeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for ChangeError {}

impl FromStr for Change {
    type Err = ChangeError;
    fn from_str(text: &str) -> Result<Self, ChangeError> {
        let (rest, value) = match text.split_once('=') {
            Some((rest, value)) => (rest, Some(value.to_owned())),
            None => (text, None),
        };
        let takes_away = value.is_none() && rest.ends_with('-');
        let rest = if takes_away { &rest[..rest.len() - 1] } else { rest };
        let (item, word) = match rest.split_once(';') {
            Some((item, word)) => (Some(item.to_owned()), word.to_owned()),
            None => (None, rest.to_owned()),
        };
        let is_named = !word.is_empty() && item.as_ref().is_none_or(|item| !item.is_empty());
        match is_named && !word.contains([';', ',']) && !word.starts_with('-') {
            true => Ok(Self { item, word, value, takes_away }),
            false => {
                Err(ChangeError("no change: write NAME, KEY=VALUE, 'NAME;KEY=VALUE', NAME- or 'NAME;KEY-'"))
            }
        }
    }
}

/// The same item with a key that has this value, whether it had it before or not.
fn with(item: &Item, key: &str, value: Option<&str>) -> Result<Item, ItemError> {
    let put = |item: Item, key: &str, value: Option<&str>| match value {
        Some(value) => item.with_value(key, value),
        None => item.with_key(key),
    };
    let mut same = item.keys().map(|(own, had)| (own, if own == key { value } else { had }));
    let changed = same.try_fold(Item::new(item.name())?, |item, (key, value)| put(item, key, value))?;
    if item.has(key) { Ok(changed) } else { put(changed, key, value) }
}

/// The same item without a key.
fn without(item: &Item, key: &str) -> Result<Item, ItemError> {
    let mut kept = item.keys().filter(|(own, _)| *own != key);
    kept.try_fold(Item::new(item.name())?, |item, (key, value)| match value {
        Some(value) => item.with_value(key, value),
        None => item.with_key(key),
    })
}

impl Change {
    fn apply(&self, mut labels: Labels) -> Result<Labels, String> {
        let words = |error: ItemError| error.to_string();
        if self.takes_away {
            return self.take_away(labels).map_err(|error| error.to_string());
        }
        let changed = match (&self.item, &self.value) {
            (Some(name), value) => {
                let item = labels.item(name).cloned().map_or_else(|| Item::new(name.as_str()), Ok);
                vec![item.and_then(|item| with(&item, &self.word, value.as_deref())).map_err(words)?]
            }
            (None, None) if labels.item(&self.word).is_some() => Vec::new(),
            (None, None) => vec![Item::new(self.word.as_str()).map_err(words)?],
            (None, Some(value)) => {
                let mut having: Vec<Item> =
                    labels.items().iter().filter(|item| item.has(&self.word)).cloned().collect();
                if having.is_empty() {
                    let own =
                        labels.item(&self.word).cloned().map_or_else(|| Item::new(self.word.as_str()), Ok);
                    having.push(own.map_err(words)?);
                }
                having
                    .iter()
                    .map(|item| with(item, &self.word, Some(value)).map_err(words))
                    .collect::<Result<_, _>>()?
            }
        };
        for item in changed {
            labels.update(item).map_err(|error| error.to_string())?;
        }
        Ok(labels)
    }

    /// Takes a key of an item away, or without an item the label and the key of this name wherever they are.
    fn take_away(&self, mut labels: Labels) -> Result<Labels, LabelsError> {
        let is_meant = |item: &Item| self.item.as_ref().is_none_or(|name| name == item.name());
        let having: Vec<Item> =
            labels.items().iter().filter(|item| is_meant(item) && item.has(&self.word)).cloned().collect();
        if self.item.is_none() {
            labels.remove(&self.word);
        }
        for item in having.iter().filter(|item| self.item.is_some() || item.name() != self.word) {
            // It had one key more before.
            if let Ok(item) = without(item, &self.word) {
                labels.update(item)?;
            }
        }
        Ok(labels)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_change_one_by_one() {
        for (before, change, after) in [
            ("", "gpu", "gpu"),
            ("gpu;a=1", "gpu", "gpu;a=1"),
            ("", "zone=a", "zone;zone=a"),
            ("zone;zone=a", "zone=b", "zone;zone=b"),
            ("core;zone=a;x", "zone=b", "core;zone=b;x"),
            ("core;zone=a,edge;zone=a", "zone=b", "core;zone=b,edge;zone=b"),
            ("core", "core;group=a", "core;group=a"),
            ("", "core;master", "core;master"),
            ("core;group=a", "core;group", "core;group"),
            ("core,gpu", "gpu-", "core"),
            ("core;gpu;x=1,gpu", "gpu-", "core;x=1"),
            ("zone;zone=a", "zone-", ""),
            ("core;group=a;x,edge;group=b", "core;group-", "core;x,edge;group=b"),
            ("core", "absent-", "core"),
            ("", "empty=", "empty;empty="),
        ] {
            let change: Change = change.parse().expect(change);
            let labels = change.apply(before.parse().unwrap()).unwrap();
            assert_eq!(labels.to_string(), after, "{before} {change:?}");
        }
        for wrong in ["", "-", "=a", ";a", "a;", "--gpu", "a;b;c", "a,b"] {
            assert!(wrong.parse::<Change>().is_err(), "{wrong}");
        }
    }
}
