//! The report as a table for people.

use std::fmt::Write;

use super::bar::Bar;
use super::row::{Row, rounded};

/// The rows as a table of Markdown.
pub(crate) fn markdown(rows: &[Row]) -> String {
    let mut text = String::from(
        "| row | ours | peer | peer's | unit | ratio | least–most | bar | holds | notes |\n|---|--:|---|--:|---|--:|---|--:|---|---|\n",
    );
    for row in rows {
        let told = |value: Option<f64>| value.map_or("–".to_owned(), rounded);
        let verdict = match (row.bar, row.holds) {
            (Bar::Reported, true) => "",
            (_, true) => "yes",
            (_, false) => "**no**",
        };
        let spread =
            row.ratios.map_or(String::new(), |(least, most)| format!("{}–{}", rounded(least), rounded(most)));
        // Writing to a string never fails.
        let _ = writeln!(
            text,
            "| `{}` | {} | {} | {} | {} | {} | {spread} | {} | {verdict} | {} |",
            row.name,
            told(row.ours),
            row.peer,
            told(row.peer_value),
            row.unit,
            told(row.ratio),
            row.bar,
            row.notes.join("; ").replace('|', "/").replace('\n', " ")
        );
    }
    text
}
