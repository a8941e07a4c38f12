//! A frame of the live view, drawn from the model and from nothing else.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line as TextLine, Span};
use ratatui::widgets::{Block, Cell, Paragraph, Row, Sparkline, Table, Wrap};

use super::keys::KEYS;
use super::model::{ControlRow, Model, WorkerRow};
use crate::journal::{Line, Tone};

/// The smallest terminal that all of it fits in.
const COLUMNS_MIN: u16 = 80;
const ROWS_MIN: u16 = 24;

/// Narrower tables name an owner by its number only; its colour is the same.
const OWNER_NAME_COLUMNS_MIN: u16 = 52;

/// What tells control nodes apart, in the order of their numbers.
const COLOURS: [Color; 8] = [
    Color::Cyan,
    Color::Magenta,
    Color::Green,
    Color::Yellow,
    Color::Blue,
    Color::LightRed,
    Color::LightGreen,
    Color::LightBlue,
];

/// The latencies between which the sparkline spreads, logarithmically: what is below is flat, what is above is full.
const SPARK_FLOOR_US: f64 = 100.0;
const SPARK_DECADES: f64 = 5.0;
const SPARK_HEIGHT: f64 = 1_000.0;

pub(super) fn draw(frame: &mut Frame<'_>, model: &Model) {
    let area = frame.area();
    if area.width < COLUMNS_MIN || area.height < ROWS_MIN {
        let text = format!(
            "The terminal is too small for the live view: it has {} × {} characters, {COLUMNS_MIN} × {ROWS_MIN} are \
             needed. Make it larger, or press q and use --headless. The demo goes on.",
            area.width, area.height
        );
        return frame.render_widget(Paragraph::new(text).wrap(Wrap { trim: true }), area);
    }
    let rows = [
        Constraint::Length(1),
        Constraint::Length(4),
        Constraint::Fill(1),
        Constraint::Fill(1),
        Constraint::Length(1),
    ];
    let [head, ring, nodes, below, keys] = Layout::vertical(rows).areas(area);
    let [controls, workers] = Layout::horizontal([Constraint::Length(38), Constraint::Fill(1)]).areas(nodes);
    let [requests, events] = Layout::horizontal([Constraint::Length(38), Constraint::Fill(1)]).areas(below);
    frame.render_widget(Paragraph::new(heading(model)), head);
    draw_ring(frame, ring, model);
    draw_controls(frame, controls, model);
    draw_workers(frame, workers, model);
    draw_requests(frame, requests, model);
    draw_events(frame, events, model);
    frame.render_widget(Paragraph::new(key_line(model)), keys);
}

/// The colour of a control node: by the number in its name, so that it never changes.
fn colour(control: &str) -> Color {
    let number = control.rsplit('-').next().and_then(|number| number.parse::<usize>().ok()).unwrap_or(0);
    COLOURS[number % COLOURS.len()]
}

fn heading(model: &Model) -> TextLine<'static> {
    let seconds = model.elapsed.as_secs();
    let told = format!(
        "  {:02}:{:02}   {} tasks running   {} files, {:.1} MB compared   ",
        seconds / 60,
        seconds % 60,
        model.tasks_running,
        model.files_done,
        model.bytes_done as f64 / 1e6,
    );
    let wrong = Style::new().fg(if model.mismatches == 0 { Color::Green } else { Color::Red });
    TextLine::from(vec![
        Span::styled("Phalanx", Style::new().add_modifier(Modifier::BOLD)),
        Span::raw(told),
        Span::styled(format!("{} wrong", model.mismatches), wrong),
    ])
}

/// One bar for all partitions, and the numbers below it.
fn draw_ring(frame: &mut Frame<'_>, area: Rect, model: &Model) {
    let block = Block::bordered().title(" who owns the partitions ");
    let columns = usize::from(block.inner(area).width);
    let (mut bar, mut numbers) = (Vec::new(), Vec::new());
    let (mut owned, mut drawn) = (0.0, 0);
    for (control, share) in &model.shares {
        owned += share;
        let until = ((owned * columns as f64).round() as usize).min(columns);
        bar.push(Span::styled("█".repeat(until - drawn), Style::new().fg(colour(control))));
        drawn = until;
        let number = format!("{control} {:.1} %  ", 100.0 * share);
        numbers.push(Span::styled(number, Style::new().fg(colour(control))));
    }
    let lines = vec![TextLine::from(bar), TextLine::from(numbers)];
    frame.render_widget(Paragraph::new(lines).block(block), area);
}

fn draw_controls(frame: &mut Frame<'_>, area: Rect, model: &Model) {
    let row = |control: &ControlRow| {
        let share = model.shares.get(&control.name).copied().unwrap_or(0.0);
        Row::new([
            Cell::new(control.name.clone()).style(Style::new().fg(colour(&control.name))),
            Cell::new(process(control.process)),
            Cell::new(control.state).style(state_style(control.state)),
            Cell::new(format!("{:>2}", control.workers)),
            Cell::new(format!("{:>3.0}%", 100.0 * share)),
        ])
    };
    let rows = model.controls.iter().map(row).collect();
    let widths = [10, 7, 9, 2, 4].map(Constraint::Length);
    let title = format!(" control nodes: {} ", model.controls.len());
    draw_table(frame, area, &title, ["name", "pid", "state", "w", "ring"], widths, rows);
}

fn draw_workers(frame: &mut Frame<'_>, area: Rect, model: &Model) {
    let is_wide = area.width >= OWNER_NAME_COLUMNS_MIN;
    let row = |worker: &WorkerRow| {
        let owner = worker.owner.as_deref().unwrap_or("-");
        let owner = if is_wide { owner } else { owner.trim_start_matches("control-") }.to_owned();
        let owner_colour = worker.owner.as_deref().map_or(Color::DarkGray, colour);
        Row::new([
            Cell::new(worker.name.clone()),
            Cell::new(process(worker.process)),
            Cell::new(worker.state.clone()).style(state_style(&worker.state)),
            Cell::new(owner).style(Style::new().fg(owner_colour)),
            Cell::new(worker.tasks.to_string()),
        ])
    };
    let rows = model.workers.iter().map(row).collect();
    let widths = if is_wide { [10, 7, 13, 10, 5] } else { [9, 7, 13, 5, 2] }.map(Constraint::Length);
    let title = format!(" workers: {} ", model.workers.len());
    draw_table(
        frame,
        area,
        &title,
        ["name", "pid", "state", "owner", if is_wide { "tasks" } else { "t" }],
        widths,
        rows,
    );
}

/// A table that says how many rows it has no room for.
fn draw_table(
    frame: &mut Frame<'_>,
    area: Rect,
    title: &str,
    heads: [&'static str; 5],
    widths: [Constraint; 5],
    mut rows: Vec<Row<'static>>,
) {
    let room = usize::from(area.height).saturating_sub(3);
    if rows.len() > room {
        let shown = room.saturating_sub(1);
        let hidden = rows.len() - shown;
        rows.truncate(shown);
        rows.push(Row::new([format!("…{hidden} more")]));
    }
    let heads = Row::new(heads).style(Style::new().add_modifier(Modifier::DIM));
    let block = Block::bordered().title(title.to_owned());
    frame.render_widget(Table::new(rows, widths).header(heads).block(block), area);
}

fn process(id: Option<u32>) -> String {
    id.map_or("-".to_owned(), |id| id.to_string())
}

fn state_style(state: &str) -> Style {
    Style::new().fg(match state {
        "running" | "ready" => Color::Green,
        "gone" | "seen down" | "not connected" | "stopped" => Color::Red,
        _ => Color::Yellow,
    })
}

fn draw_requests(frame: &mut Frame<'_>, area: Rect, model: &Model) {
    let block = Block::bordered().title(" requests ");
    let inner = block.inner(area);
    frame.render_widget(block, area);
    let [numbers, spark] = Layout::vertical([Constraint::Length(3), Constraint::Fill(1)]).areas(inner);
    let last = model.seconds.last().cloned().unwrap_or_default();
    let millis = |us: u64| us as f64 / 1_000.0;
    let failed = Style::new().fg(if last.failed == 0 { Color::Reset } else { Color::Red });
    let lines = vec![
        TextLine::from(vec![
            Span::raw(format!("{} answered/s   ", last.answered)),
            Span::styled(format!("{} failed/s", last.failed), failed),
        ]),
        TextLine::from(format!("p50 {:.1} ms   p99 {:.1} ms", millis(last.p50_us), millis(last.p99_us))),
        TextLine::from("p99 by second, 0.1 ms to 10 s (log)").style(Style::new().add_modifier(Modifier::DIM)),
    ];
    frame.render_widget(Paragraph::new(lines), numbers);
    let shown = model.seconds.len().saturating_sub(usize::from(spark.width));
    let heights: Vec<u64> = model.seconds[shown..].iter().map(|second| spark_height(second.p99_us)).collect();
    let sparkline =
        Sparkline::default().data(heights).max(SPARK_HEIGHT as u64).style(Style::new().fg(Color::Cyan));
    frame.render_widget(sparkline, spark);
}

fn spark_height(latency_us: u64) -> u64 {
    let decades = (latency_us as f64 / SPARK_FLOOR_US).max(1.0).log10();
    (decades / SPARK_DECADES * SPARK_HEIGHT).min(SPARK_HEIGHT) as u64
}

/// The newest events, the newest last; a line that is too long goes on below itself, and a word that is too long is cut.
fn draw_events(frame: &mut Frame<'_>, area: Rect, model: &Model) {
    let block = Block::bordered().title(format!(" events {}", model.shown));
    let inner = block.inner(area);
    let (columns, rows) = (usize::from(inner.width).max(1), usize::from(inner.height));
    let mut lines: Vec<TextLine<'static>> = Vec::new();
    for line in model.lines.iter().rev() {
        lines.extend(folded(line, columns).into_iter().rev());
        if lines.len() >= rows {
            break;
        }
    }
    lines.truncate(rows);
    lines.reverse();
    frame.render_widget(Paragraph::new(lines).block(block), area);
}

fn folded(line: &Line, columns: usize) -> Vec<TextLine<'static>> {
    let style = Style::new().fg(match line.tone {
        Tone::Plain => Color::Reset,
        Tone::Good => Color::Green,
        Tone::Bad => Color::Red,
    });
    let mut pieces = vec![String::new()];
    for word in line.to_string().split_whitespace() {
        let last = pieces.len() - 1;
        let taken = pieces[last].chars().count();
        if taken > 0 && taken + 1 + word.chars().count() > columns {
            pieces.push(format!("  {word}"));
        } else {
            let gap = if taken > 0 { " " } else { "" };
            pieces[last].push_str(&format!("{gap}{word}"));
        }
    }
    pieces.into_iter().map(|piece| TextLine::styled(piece, style)).collect()
}

fn key_line(model: &Model) -> TextLine<'static> {
    let mut spans = Vec::new();
    for (key, _, meaning) in KEYS {
        spans.push(Span::styled(key.to_string(), Style::new().add_modifier(Modifier::REVERSED)));
        spans.push(Span::raw(format!(" {meaning} ")));
    }
    if model.is_scripted {
        return TextLine::from(
            " the cluster forms, ends or follows its script: q quits, other keys do nothing",
        )
        .style(Style::new().add_modifier(Modifier::DIM));
    }
    TextLine::from(spans)
}

#[cfg(test)]
#[path = "draw_tests.rs"]
mod tests;
