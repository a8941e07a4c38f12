//! The command that copies files and folders to workers and from them.

mod place;
mod progress;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use clap::Args;
use phalanx::NodeId;
use phalanx_drivers::files::{FanOut, FilesClient, FilesClientError, Receipt};
use phalanx_operator::Calls;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::exit::Failure;
use crate::output::{Format, FormatArguments, json as forms, print_json};
use crate::size::Size;
use crate::target::Target;
use place::{Place, There, path_here};
use progress::{Bar, Bars};

#[derive(Debug, Args)]
#[command(
    after_help = "One of the two is a path here, the other NODE:ROOT/PATH, with a root of the worker's configuration. What ends with / is a folder \
to copy into. What arrives is verified; what breaks off, also because this program is killed, goes on from what has arrived when the \
same is copied again.
Examples: phalanx cp model.bin camera-7:models/v2/
          phalanx cp -r site camera-7,camera-8:www/site
          phalanx cp camera-7:logs/today.log ."
)]
pub(crate) struct Arguments {
    /// What to copy
    #[arg(value_name = "SRC")]
    from: Place,
    /// Where to
    #[arg(value_name = "DST")]
    to: Place,
    /// Copy a folder with all that is in it
    #[arg(short, long)]
    recursive: bool,
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    format: FormatArguments,
}

/// What became of the copy at one worker.
struct Copied {
    node: NodeId,
    outcome: Result<Receipt, FilesClientError>,
    took: Duration,
}

impl Arguments {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let bars = Bars::new(self.format.output);
        let copied = match (self.from, self.to) {
            (Place::Here(from), Place::There(to)) => {
                check_source(&from, self.recursive)?;
                send(&self.target.calls().await?, &from, &to, &bars).await?
            }
            (Place::There(from), Place::Here(to)) => {
                let [node] = &from.nodes[..] else {
                    return Err(Failure::usage("files are got from one worker at a time: name one"));
                };
                let to = path_here(&to, from.name());
                let calls = self.target.calls().await?;
                vec![get(&calls, node, &from, &to, self.recursive, &bars).await?]
            }
            (Place::Here(_), Place::Here(_)) => {
                return Err(Failure::usage("both are here: write one of them as NODE:ROOT/PATH"));
            }
            (Place::There(_), Place::There(_)) => {
                return Err(Failure::usage("both are at workers: copy it here first, then on from here"));
            }
        };
        report(&copied, self.format.output)
    }
}

/// A folder is meant only where that is said.
fn check_source(from: &Path, recursive: bool) -> Result<(), Failure> {
    let known =
        std::fs::metadata(from).map_err(|error| Failure::usage(format!("{}: {error}", from.display())))?;
    if known.is_dir() && !recursive {
        return Err(Failure::usage(format!("{} is a folder: copy it with -r", from.display())));
    }
    Ok(())
}

/// Sends to one worker, or to many at one time, for whom the source is read once.
async fn send(calls: &Calls, from: &Path, to: &There, bars: &Bars) -> Result<Vec<Copied>, Failure> {
    let real = from.canonicalize()?;
    let name = real.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let path = to.path_for(&name);
    let shown: BTreeMap<NodeId, Bar> =
        to.nodes.iter().map(|node| (node.clone(), bars.bar(node.as_str()))).collect();
    let began = Instant::now();
    let telling = shown.clone();
    // The last word on each worker is when the last of it has arrived.
    let ends: Arc<Mutex<BTreeMap<NodeId, Duration>>> = Arc::default();
    let ending = ends.clone();
    let fan_out =
        FanOut::new(to.nodes.iter().map(|node| calls.worker(node))).progress(move |node, progress| {
            if let Some(bar) = telling.get(node) {
                bar.tell(progress.bytes, progress.bytes_total);
            }
            let took = Instant::now() - began;
            ending.lock().unwrap_or_else(PoisonError::into_inner).insert(node.clone(), took);
        });
    let fanned_out = fan_out.put(from, &to.root, &path).await;
    let all = Instant::now() - began;
    shown.values().for_each(Bar::finish);
    let ends = ends.lock().unwrap_or_else(PoisonError::into_inner);
    let copied = fanned_out.map_err(Failure::usage)?.results.into_iter().map(|(node, outcome)| {
        let took = ends.get(&node).copied().unwrap_or(all);
        Copied { node, outcome, took }
    });
    Ok(copied.collect())
}

async fn get(
    calls: &Calls,
    node: &NodeId,
    from: &There,
    to: &PathBuf,
    recursive: bool,
    bars: &Bars,
) -> Result<Copied, Failure> {
    let bar = bars.bar(node.as_str());
    let telling = bar.clone();
    let client = FilesClient::new(calls.worker(node))
        .progress(move |progress| telling.tell(progress.bytes, progress.bytes_total));
    let client = if recursive { client } else { client.files_only() };
    let began = Instant::now();
    let outcome = client.get(&from.root, &from.path, to).await;
    bar.finish();
    match outcome {
        Err(FilesClientError::IsFolder) => {
            Err(Failure::usage(format!("{node}:{}/{} is a folder: copy it with -r", from.root, from.path)))
        }
        outcome => Ok(Copied { node: node.clone(), outcome, took: Instant::now() - began }),
    }
}

/// Says what became of each, and fails unless all is well.
fn report(copied: &[Copied], format: Format) -> Result<(), Failure> {
    match format {
        Format::Json => print_json(&copied.iter().map(form).collect())?,
        Format::Table => copied.iter().filter_map(words).for_each(|words| eprintln!("{words}")),
    }
    let failed: Vec<String> = copied
        .iter()
        .filter_map(|copied| {
            let error = copied.outcome.as_ref().err()?;
            Some(format!("{}: {error}", copied.node))
        })
        .collect();
    if failed.is_empty() { Ok(()) } else { Err(Failure::failed(failed.join("\n"))) }
}

fn hash(receipt: &Receipt) -> String {
    receipt.blake3.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn words(copied: &Copied) -> Option<String> {
    let receipt = copied.outcome.as_ref().ok()?;
    let resumed = match receipt.resumed_bytes {
        0 => String::new(),
        bytes => format!(", {} of them were there already", Size(bytes)),
    };
    let pace = Size(
        (receipt.bytes.saturating_sub(receipt.resumed_bytes) as f64 / copied.took.as_secs_f64().max(0.001))
            as u64,
    );
    Some(format!(
        "{}: {} files, {}{resumed}, verified, {pace}/s",
        copied.node,
        receipt.files,
        Size(receipt.bytes)
    ))
}

fn form(copied: &Copied) -> Value {
    let mut form = json!({
        "node": copied.node.as_str(),
        "seconds": copied.took.as_secs_f64(),
        "error": copied.outcome.as_ref().err().map(ToString::to_string),
    });
    if let Ok(receipt) = &copied.outcome {
        let more = json!({
            "files": receipt.files,
            "bytes": receipt.bytes,
            "resumed_bytes": receipt.resumed_bytes,
            "blake3": hash(receipt),
        });
        forms::add(&mut form, more);
    }
    form
}
