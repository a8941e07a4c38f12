//! The plots of the page, as SVG: what was measured in, a picture out.

use std::fmt::Write;

use crate::change::{Change, Snapshot};
use crate::journal::Mark;
use crate::samples::Second;

/// The width of every plot, and the room that is left for labels, in the picture's own units.
const WIDTH: f64 = 900.0;
const LEFT: f64 = 170.0;
const RIGHT: f64 = 110.0;

/// The plot of latencies: its height, with the room below for the time, and above for the numbers of the marks.
const HEIGHT: f64 = 300.0;
const BELOW: f64 = 40.0;
const ABOVE: f64 = 24.0;

/// The latencies that the plot reaches from and to, in microseconds: it is logarithmic, as what happens spreads so.
const FLOOR_US: f64 = 100.0;
const CEILING_US: f64 = 10_000_000.0;

/// A row of a plot with bars, and the bar in it.
const ROW: f64 = 30.0;
const BAR: f64 = 20.0;

/// What tells control nodes apart, by the number in their names.
const COLOURS: [&str; 8] =
    ["#0e7490", "#a21caf", "#15803d", "#b45309", "#1d4ed8", "#be123c", "#4d7c0f", "#6d28d9"];

/// Text that can stand anywhere in the page.
pub(crate) fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            // Characters that no XML may hold, such as the escape that colours a terminal.
            other if other.is_control() => safe.push(' '),
            other => safe.push(other),
        }
    }
    safe
}

pub(crate) fn colour(control: &str) -> &'static str {
    let number = control.rsplit('-').next().and_then(|number| number.parse::<usize>().ok()).unwrap_or(0);
    COLOURS[number % COLOURS.len()]
}

/// A picture that is being drawn.
struct Picture(String);

impl Picture {
    fn new(height: f64, label: &str) -> Self {
        let label = escaped(label);
        Self(format!("<svg viewBox=\"0 0 {WIDTH} {height:.0}\" role=\"img\" aria-label=\"{label}\">"))
    }

    fn add(&mut self, shape: std::fmt::Arguments<'_>) {
        // Writing to a string never fails.
        let _ = self.0.write_fmt(shape);
    }

    fn text(&mut self, (x, y): (f64, f64), class: &str, text: &str) {
        let text = escaped(text);
        self.add(format_args!("<text x=\"{x:.1}\" y=\"{y:.1}\" class=\"{class}\">{text}</text>"));
    }

    fn bar(&mut self, (x, y): (f64, f64), width: f64, fill: &str) {
        let width = width.max(0.0);
        self.add(format_args!(
            "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{BAR}\" fill=\"{fill}\"/>"
        ));
    }

    fn end(mut self) -> String {
        self.0.push_str("</svg>");
        self.0
    }
}

/// Where a time and a latency are in the plot.
struct Axes {
    from_s: f64,
    until_s: f64,
}

impl Axes {
    fn x(&self, at_s: f64) -> f64 {
        let part = ((at_s - self.from_s) / (self.until_s - self.from_s)).clamp(0.0, 1.0);
        LEFT + part * (WIDTH - LEFT - RIGHT)
    }

    fn y(latency_us: f64) -> f64 {
        let part =
            (latency_us.clamp(FLOOR_US, CEILING_US) / FLOOR_US).log10() / (CEILING_US / FLOOR_US).log10();
        HEIGHT - BELOW - part * (HEIGHT - BELOW - ABOVE)
    }
}

/// Latencies over time, with numbered marks for what was done.
pub(crate) fn latencies(seconds: &[&Second], marks: &[Mark]) -> String {
    let mut picture = Picture::new(HEIGHT, "latency of requests over time");
    let from_s = seconds.first().map_or(0.0, |second| second.at_s as f64);
    let until_s = seconds.last().map_or(0.0, |second| second.at_s as f64) + 1.0;
    let axes = Axes { from_s, until_s };
    draw_axes(&mut picture, &axes);
    for second in seconds.iter().filter(|second| second.failed > 0) {
        let x = axes.x(second.at_s as f64 + 0.5);
        let (y, what) = (HEIGHT - BELOW - 6.0, second.failed);
        picture.add(format_args!(
            "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"4\" class=\"failed\"><title>{what} failed</title></circle>"
        ));
    }
    draw_line(&mut picture, &axes, seconds, "p50", |second| second.p50_us);
    draw_line(&mut picture, &axes, seconds, "p99", |second| second.p99_us);
    for (number, mark) in marks.iter().enumerate().filter(|(_, mark)| mark.at.as_secs_f64() >= from_s) {
        let x = axes.x(mark.at.as_secs_f64());
        let bottom = HEIGHT - BELOW;
        picture.add(format_args!(
            "<line x1=\"{x:.1}\" y1=\"{ABOVE}\" x2=\"{x:.1}\" y2=\"{bottom}\" class=\"mark\"/>"
        ));
        // Numbers of marks that follow at once stand at two heights.
        let y = if number % 2 == 0 { 10.0 } else { 20.0 };
        picture.text((x, y), "number", &(number + 1).to_string());
    }
    picture.end()
}

fn draw_axes(picture: &mut Picture, axes: &Axes) {
    let right = WIDTH - RIGHT;
    for (latency_us, label) in
        [(1e2, "0.1 ms"), (1e3, "1 ms"), (1e4, "10 ms"), (1e5, "100 ms"), (1e6, "1 s"), (1e7, "10 s")]
    {
        let y = Axes::y(latency_us);
        picture.add(format_args!(
            "<line x1=\"{LEFT}\" y1=\"{y:.1}\" x2=\"{right}\" y2=\"{y:.1}\" class=\"grid\"/>"
        ));
        picture.text((LEFT - 8.0, y + 4.0), "left", label);
    }
    let step_s = step(axes.until_s - axes.from_s);
    let mut at_s = (axes.from_s / step_s).ceil() * step_s;
    while at_s <= axes.until_s {
        picture.text((axes.x(at_s), HEIGHT - BELOW + 18.0), "number", &format!("{at_s} s"));
        at_s += step_s;
    }
}

/// A round number of seconds, of which about ten make the whole.
fn step(whole_s: f64) -> f64 {
    let steps = [1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0];
    steps.into_iter().find(|step| whole_s / step <= 12.0).unwrap_or(600.0)
}

/// One line through the seconds that had an answer, broken where none had.
fn draw_line(
    picture: &mut Picture,
    axes: &Axes,
    seconds: &[&Second],
    name: &str,
    latency_us: impl Fn(&Second) -> u64,
) {
    for stretch in seconds.split(|second| second.answered == 0).filter(|stretch| !stretch.is_empty()) {
        let point = |second: &&Second| {
            let (x, y) = (axes.x(second.at_s as f64 + 0.5), Axes::y(latency_us(second) as f64));
            format!("{x:.1},{y:.1}")
        };
        let points: Vec<String> = stretch.iter().map(point).collect();
        picture.add(format_args!("<polyline points=\"{}\" class=\"{name}\"/>", points.join(" ")));
    }
    if let Some(last) = seconds.iter().rfind(|second| second.answered > 0) {
        let y = Axes::y(latency_us(last) as f64) + 4.0;
        picture.text((WIDTH - RIGHT + 8.0, y), &format!("right {name}-text"), name);
    }
}

/// A bar of shares for the start and after each change, with how many workers each control node hosted.
pub(crate) fn ownership(snapshots: &[Snapshot]) -> String {
    let mut picture = Picture::new(ROW * snapshots.len() as f64 + 6.0, "shares of the control nodes");
    let all = WIDTH - LEFT - RIGHT;
    for (row, snapshot) in snapshots.iter().enumerate() {
        let y = ROW * row as f64 + 4.0;
        picture.text((LEFT - 8.0, y + 14.0), "left", &snapshot.label);
        let mut x = LEFT;
        for (control, share) in &snapshot.shares {
            let width = share * all;
            picture.bar((x, y), width, colour(control));
            let workers = snapshot.workers.get(control).copied().unwrap_or(0);
            // What does not fit a narrow bar is in the table of the page.
            if width > 110.0 {
                let name = control.trim_start_matches("control-");
                let told = format!("{name}: {:.1} %, {workers} w", 100.0 * share);
                picture.text((x + width / 2.0, y + 14.0), "inside", &told);
            }
            x += width;
        }
    }
    picture.end()
}

/// What each change moved beside what it had to, workers and partitions.
pub(crate) fn moves(changes: &[Change]) -> String {
    let measured: Vec<_> = changes
        .iter()
        .filter_map(|change| {
            let (workers, partitions) = (change.workers?, change.partitions?);
            let label = format!("{} {}", change.node, change.kind.word());
            Some((
                label,
                [
                    ("workers", workers.moved, workers.ideal),
                    ("partitions", partitions.partitions, partitions.ideal),
                ],
            ))
        })
        .collect();
    let mut picture = Picture::new(2.5 * ROW * measured.len() as f64 + 6.0, "moves against the ideal");
    let all = (WIDTH - LEFT - RIGHT) / 2.0 - 60.0;
    let most = |kind: usize| {
        measured.iter().map(|(_, bars)| bars[kind].1.max(bars[kind].2)).max().unwrap_or(0).max(1) as f64
    };
    for (row, (label, bars)) in measured.iter().enumerate() {
        let y = 2.5 * ROW * row as f64 + 4.0;
        picture.text((LEFT - 8.0, y + 14.0), "left", label);
        for (kind, (noun, moved, ideal)) in bars.iter().enumerate() {
            let x = LEFT + kind as f64 * (all + 120.0);
            let scale = all / most(kind);
            let rows = [
                (*moved, "#0e7490", format!("{moved} {noun}")),
                (*ideal, "#9ca3af", format!("{ideal} ideal")),
            ];
            for (line, (count, fill, told)) in rows.into_iter().enumerate() {
                let (y, width) = (y + line as f64 * (BAR + 4.0), count as f64 * scale);
                picture.bar((x, y), width, fill);
                picture.text((x + width + 6.0, y + 14.0), "right", &told);
            }
        }
    }
    picture.end()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_end_a_tag_is_escaped() {
        assert_eq!(escaped("<a b=\"c\">&'\u{1b}[1m"), "&lt;a b=&quot;c&quot;&gt;&amp;&#39; [1m");
    }

    #[test]
    fn a_higher_latency_is_higher_up_and_a_later_time_further_right() {
        assert!(Axes::y(1_000.0) > Axes::y(2_000.0));
        assert!(Axes::y(CEILING_US * 9.0) >= ABOVE - 0.01, "what is off the scale stays in the picture");
        let axes = Axes { from_s: 0.0, until_s: 10.0 };
        assert!(axes.x(1.0) < axes.x(2.0) && axes.x(99.0) <= WIDTH - RIGHT);
        assert_eq!(step(50.0), 5.0);
    }

    #[test]
    fn a_line_breaks_where_nothing_was_answered() {
        let second = |at_s, answered| Second { at_s, answered, p50_us: 500, p99_us: 900, failed: 0 };
        let seconds = [second(0, 5), second(1, 5), second(2, 0), second(3, 5)];
        let picture = latencies(&seconds.iter().collect::<Vec<_>>(), &[]);
        assert_eq!(picture.matches("<polyline").count(), 4, "two lines of two stretches each");
        assert!(!picture.contains("NaN"));
    }
}
