//! The page is well formed whatever the cluster said, and holds what was found.

use std::time::Duration;

use super::*;
use crate::change::{Kind, WorkerMoves};
use crate::protocol::Moves;
use crate::report::{Findings, tests::report};

/// Every tag that is opened is closed, in the right order; texts hold no bare bracket.
fn must_be_well_formed(html: &str) {
    let mut open: Vec<&str> = Vec::new();
    let mut rest = html.strip_prefix("<!DOCTYPE html>").expect("a page says what it is");
    while let Some(start) = rest.find('<') {
        let (text, tag) = rest.split_at(start);
        assert!(!text.contains('>'), "a bare bracket in {text:?}");
        let end = tag.find('>').expect("a tag ends");
        let inside = &tag[1..end];
        assert!(!inside.contains('<'), "a tag in a tag: {inside:?}");
        assert_eq!(inside.matches('"').count() % 2, 0, "a value ends: {inside:?}");
        if let Some(name) = inside.strip_prefix('/') {
            assert_eq!(open.pop(), Some(name), "closed in the order of opening");
        } else if !inside.ends_with('/') {
            open.push(inside.split_whitespace().next().expect("a tag has a name"));
        }
        rest = &tag[end + 1..];
    }
    assert!(open.is_empty(), "{open:?} are not closed");
}

fn parts() -> (Report, Vec<Second>, Vec<Mark>, Vec<Snapshot>, Vec<Change>) {
    let second =
        |at_s| Second { at_s, answered: 10, failed: u64::from(at_s == 3), p50_us: 900, p99_us: 5_000 };
    let mark = |at_s, text: &str| Mark { at: Duration::from_secs(at_s), text: text.into() };
    let snapshot = |label: &str| Snapshot {
        label: label.into(),
        shares: [("control-1".to_owned(), 0.96), ("control-2".to_owned(), 0.04)].into(),
        workers: [("control-1".to_owned(), 5)].into(),
    };
    let change = Change {
        kind: Kind::Joined,
        node: "control-<4>".into(),
        at_s: 2.0,
        settled_s: Some(12.5),
        workers: Some(WorkerMoves { moved: 2, ideal: 1 }),
        partitions: Some(Moves { partitions: 21_999, ideal: 21_845 }),
    };
    (
        report(Findings::default()),
        (0..30).map(second).collect(),
        vec![
            mark(2, "killed <script>alert(1)</script> & \"more\""),
            mark(5, "started control node control-4"),
        ],
        vec![snapshot("at the start"), snapshot("a < b")],
        vec![change.clone(), Change { settled_s: None, workers: None, partitions: None, ..change }],
    )
}

#[test]
fn a_page_is_well_formed_and_shows_what_was_found() {
    let (report, seconds, marks, snapshots, changes) = parts();
    let html = page(&Page {
        report: &report,
        failures: vec!["1 < 2".into()],
        seconds: seconds.iter().collect(),
        marks: &marks,
        snapshots: &snapshots,
        changes: &changes,
    });
    must_be_well_formed(&html);
    assert_eq!(html.matches("class=\"mark\"").count(), 2, "each thing that was done is marked");
    for shown in [
        "5.0 s: started control node control-4",
        "&lt;script&gt;",
        "control-2 4.0 %, 0 w",
        "2 workers",
        "1 ideal",
        "21999 partitions",
        "21845 ideal",
        "settled after 12.5 s",
        "the next change came before",
        "Does not hold: 1 &lt; 2",
        "formed_ms",
        "1 failed",
    ] {
        assert!(html.contains(shown), "{shown} is missing in {html}");
    }
    for outside in ["<script", "http:", "https:", "src=", "href=", "@import", "url("] {
        assert!(!html.contains(outside), "{outside}: the page runs nothing and loads nothing");
    }
}

#[test]
fn a_page_of_nothing_is_a_page() {
    let report = report(Findings::default());
    let nothing = Page {
        report: &report,
        failures: Vec::new(),
        seconds: Vec::new(),
        marks: &[],
        snapshots: &[],
        changes: &[],
    };
    let html = page(&nothing);
    must_be_well_formed(&html);
    assert!(!html.contains("NaN") && html.contains("Everything holds"));
}
