//! The page that is left of a demo: one file with its plots and numbers, that needs nothing else and runs nothing.

use std::fmt::Write;

use crate::change::{Change, Snapshot};
use crate::demo::Demo;
use crate::journal::Mark;
use crate::options::Options;
use crate::plot::{self, colour, escaped};
use crate::report::Report;
use crate::samples::Second;

const STYLE: &str = "body{font:15px/1.5 system-ui,sans-serif;max-width:960px;margin:2em auto;padding:0 1em;\
color:#111;background:#fff}h1{font-size:1.5em}h2{font-size:1.15em;margin:1.6em 0 .4em}svg{width:100%;height:auto;\
font-size:12px}text{fill:#374151}.left{text-anchor:end}.right{text-anchor:start}.number,.inside{text-anchor:middle}\
.inside{fill:#fff}.grid{stroke:#e5e7eb}.mark{stroke:#dc2626;stroke-dasharray:3 3}.failed{fill:#dc2626}polyline{fill:\
none;stroke-width:2}.p50{stroke:#0e7490}.p99{stroke:#b45309}.p50-text{fill:#0e7490}.p99-text{fill:#b45309}\
table{border-collapse:collapse}td,th{text-align:left;padding:.15em 1em .15em 0}ol{columns:2;font-size:.9em}\
.good{color:#15803d}.bad{color:#dc2626;font-weight:bold}i{display:inline-block;width:.8em;height:.8em;margin:0 .3em}";

/// What the page is made of.
struct Page<'a> {
    report: &'a Report,
    failures: Vec<String>,
    seconds: Vec<&'a Second>,
    marks: &'a [Mark],
    snapshots: &'a [Snapshot],
    changes: &'a [Change],
}

/// The page of a demo as it stands.
pub(crate) fn write(demo: &Demo, report: &Report, options: &Options) -> String {
    page(&Page {
        report,
        failures: report.failures(options),
        seconds: demo.board.samples.seconds.iter().collect(),
        marks: &demo.journal.marks,
        snapshots: &demo.changes.snapshots,
        changes: &demo.changes.settled,
    })
}

fn page(page: &Page<'_>) -> String {
    let mut html = String::from("<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"/>");
    html.push_str("<title>Phalanx: what the demo found</title><style>");
    html.push_str(STYLE);
    html.push_str("</style></head><body><h1>Phalanx: what the demo found</h1>");
    verdict(&mut html, page);
    html.push_str(
        "<h2>Requests</h2><p>Median and 99th percentile by second; a red dot is a second in which requests \
                   failed, a dashed line something that was done:</p>",
    );
    html.push_str(&plot::latencies(&page.seconds, page.marks));
    html.push_str("<ol>");
    for mark in page.marks {
        add(&mut html, format_args!("<li>{:.1} s: {}</li>", mark.at.as_secs_f64(), escaped(&mark.text)));
    }
    html.push_str(
        "</ol><h2>Who owns the partitions</h2><p>The share of each control node, and how many workers (w) it \
                   hosts:</p>",
    );
    html.push_str(&plot::ownership(page.snapshots));
    shares_table(&mut html, page.snapshots);
    html.push_str(
        "<h2>Moves against the ideal</h2><p>Ideal is what no placement could spare: all that the leaver had, \
                   and all that the newcomer has.</p>",
    );
    html.push_str(&plot::moves(page.changes));
    changes_table(&mut html, page.changes);
    html.push_str("<h2>All numbers</h2><table>");
    if let Ok(serde_json::Value::Object(numbers)) = serde_json::to_value(page.report) {
        numbers
            .iter()
            .filter(|(name, _)| *name != "changes")
            .for_each(|(name, value)| row(&mut html, name, value));
    }
    html.push_str("</table></body></html>\n");
    html
}

fn add(html: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing to a string never fails.
    let _ = html.write_fmt(text);
}

fn verdict(html: &mut String, page: &Page<'_>) {
    let report = page.report;
    add(
        html,
        format_args!(
            "<p>{} control nodes and {} workers at the start, as processes of one machine. {} requests, {} failed; \
             {} files in {} full passes, {} bytes compared, {} wrong.</p>",
            report.controls,
            report.workers,
            report.requests,
            report.requests_failed,
            report.files,
            report.passes,
            report.bytes,
            report.mismatches
        ),
    );
    if page.failures.is_empty() {
        html.push_str("<p class=\"good\">Everything holds that was to be shown.</p>");
    } else {
        let failures = escaped(&page.failures.join("; "));
        add(html, format_args!("<p class=\"bad\">Does not hold: {failures}</p>"));
    }
}

fn shares_table(html: &mut String, snapshots: &[Snapshot]) {
    html.push_str("<table>");
    for snapshot in snapshots {
        add(html, format_args!("<tr><th>{}</th>", escaped(&snapshot.label)));
        for (control, share) in &snapshot.shares {
            let workers = snapshot.workers.get(control).copied().unwrap_or(0);
            let (fill, control, percent) = (colour(control), escaped(control), 100.0 * share);
            add(
                html,
                format_args!(
                    "<td><i style=\"background:{fill}\"></i>{control} {percent:.1} %, {workers} w</td>"
                ),
            );
        }
        html.push_str("</tr>");
    }
    html.push_str("</table>");
}

fn changes_table(html: &mut String, changes: &[Change]) {
    html.push_str("<table>");
    for change in changes {
        let settled = match change.settled_s {
            Some(settled_s) => format!("settled after {settled_s:.1} s"),
            None => "the next change came before it had settled".to_owned(),
        };
        let (node, word) = (escaped(&change.node), change.kind.word());
        add(
            html,
            format_args!("<tr><th>{node} {word}</th><td>at {:.1} s</td><td>{settled}</td></tr>", change.at_s),
        );
    }
    html.push_str("</table>");
}

/// A number, or the numbers of one finding.
fn row(html: &mut String, name: &str, value: &serde_json::Value) {
    match value {
        serde_json::Value::Object(inner) => {
            inner.iter().for_each(|(part, value)| row(html, &format!("{name}.{part}"), value));
        }
        serde_json::Value::Null => {}
        value => {
            let (name, value) = (escaped(name), escaped(value.to_string().trim_matches('"')));
            add(html, format_args!("<tr><td>{name}</td><td>{value}</td></tr>"));
        }
    }
}

#[cfg(test)]
#[path = "page_tests.rs"]
mod tests;
