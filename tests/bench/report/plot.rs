//! The report as a picture: the ratio of each row on a logarithmic scale, and where its bar is.

use std::fmt::Write;

use super::bar::Bar;
use super::row::{Row, rounded};

/// The width of the picture, and the room beside the bars for names and numbers, in the picture's own units.
const WIDTH: f64 = 900.0;
const LEFT: f64 = 230.0;
const RIGHT: f64 = 90.0;

/// A row of the picture, and the bar in it; the room above for the scale.
const ROW: f64 = 26.0;
const BAR: f64 = 16.0;
const ABOVE: f64 = 30.0;

/// The ratios that the scale reaches from and to: what lies beyond is drawn at its end, with its number.
const FLOOR: f64 = 0.01;
const CEILING: f64 = 100.0;

const HOLDS: &str = "#15803d";
const FAILS: &str = "#be123c";
const REPORTED: &str = "#64748b";

/// The rows that have a ratio, as SVG.
pub(crate) fn plot(rows: &[Row]) -> String {
    let drawn: Vec<(&Row, f64)> = rows.iter().filter_map(|row| Some((row, row.ratio?))).collect();
    let height = ABOVE + ROW * drawn.len() as f64 + 8.0;
    let mut picture = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height:.0}\" role=\"img\" \
         aria-label=\"ratios of ours to the peers'\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n"
    );
    // Writing to a string never fails, here and below.
    for at in [0.01, 0.1, 1.0, 10.0, 100.0] {
        let x = x(at);
        let _ = writeln!(
            picture,
            "<line x1=\"{x:.1}\" y1=\"{ABOVE}\" x2=\"{x:.1}\" y2=\"{height:.0}\" stroke=\"#d1d5db\"/>\
             <text x=\"{x:.1}\" y=\"18\" text-anchor=\"middle\">{at} ×</text>"
        );
    }
    for (number, (row, ratio)) in drawn.into_iter().enumerate() {
        draw(&mut picture, ABOVE + ROW * number as f64 + 6.0, row, ratio);
    }
    picture.push_str("</svg>\n");
    picture
}

/// Where a ratio is in the picture.
fn x(ratio: f64) -> f64 {
    let part = (ratio.clamp(FLOOR, CEILING) / FLOOR).log10() / (CEILING / FLOOR).log10();
    LEFT + part * (WIDTH - LEFT - RIGHT)
}

fn draw(picture: &mut String, y: f64, row: &Row, ratio: f64) {
    let fill = match (row.bar, row.holds) {
        (Bar::Reported, true) => REPORTED,
        (_, true) => HOLDS,
        (_, false) => FAILS,
    };
    let (one, end) = (x(1.0), x(ratio));
    // A ratio of exactly one is still to be seen.
    let (from, width) = (one.min(end), (one - end).abs().max(1.0));
    let (text_y, name) = (y + 12.0, escaped(&row.name));
    let _ = writeln!(
        picture,
        "<text x=\"{:.1}\" y=\"{text_y:.1}\" text-anchor=\"end\">{name}</text>\
         <rect x=\"{from:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{BAR}\" fill=\"{fill}\"/>\
         <text x=\"{:.1}\" y=\"{text_y:.1}\">{}</text>",
        LEFT - 8.0,
        one.max(end) + 6.0,
        rounded(ratio)
    );
    if let Some(bar) = row.bar.ratio() {
        let (at, bottom) = (x(bar), y + BAR + 3.0);
        let _ = writeln!(
            picture,
            "<line x1=\"{at:.1}\" y1=\"{:.1}\" x2=\"{at:.1}\" y2=\"{bottom:.1}\" stroke=\"#111827\" \
             stroke-width=\"2\"><title>bar {}</title></line>",
            y - 3.0,
            row.bar
        );
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
