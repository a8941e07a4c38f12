//! Frames are text: what is in the model must be on the screen.

use std::time::Duration;

use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::buffer::Buffer;

use super::*;
use crate::samples::Second;

fn model() -> Model {
    Model {
        elapsed: Duration::from_secs(83),
        controls: vec![
            ControlRow { name: "control-1".into(), process: Some(4_711), state: "running", workers: 2 },
            ControlRow { name: "control-2".into(), process: None, state: "gone", workers: 0 },
        ],
        workers: vec![WorkerRow {
            name: "worker-1".into(),
            process: Some(4_713),
            state: "ready".into(),
            owner: Some("control-1".into()),
            tasks: 3,
        }],
        shares: [("control-1".to_owned(), 0.25), ("control-2".to_owned(), 0.75)].into(),
        tasks_running: 6,
        files_done: 42,
        bytes_done: 2_500_000,
        mismatches: 0,
        shown: "· job 3/3 · 40 wasm calls ".into(),
        seconds: vec![
            Second { at_s: 0, answered: 140, failed: 0, p50_us: 900, p99_us: 100 },
            Second { at_s: 1, answered: 150, failed: 7, p50_us: 1_200, p99_us: 10_000_000 },
        ],
        lines: vec![
            Line {
                at: Duration::from_secs(80),
                tone: Tone::Plain,
                text: "killed control node control-2".into(),
            },
            Line {
                at: Duration::from_secs(82),
                tone: Tone::Good,
                text: "many words ".repeat(6) + "and the end",
            },
        ],
        is_scripted: false,
    }
}

fn frame(model: &Model, columns: u16, rows: u16) -> Buffer {
    let mut terminal = Terminal::new(TestBackend::new(columns, rows)).unwrap();
    terminal.draw(|frame| draw(frame, model)).unwrap();
    terminal.backend().buffer().clone()
}

fn rows(buffer: &Buffer) -> Vec<String> {
    let row = |cells: &[ratatui::buffer::Cell]| cells.iter().map(|cell| cell.symbol()).collect();
    buffer.content.chunks(usize::from(buffer.area.width)).map(row).collect()
}

fn has_row(rows: &[String], words: &[&str]) -> bool {
    rows.iter().any(|row| words.iter().all(|word| row.contains(word)))
}

#[test]
fn everything_of_the_model_is_on_the_smallest_screen() {
    let rows = rows(&frame(&model(), 80, 24));
    let shown = |words: &[&str]| assert!(has_row(&rows, words), "{words:?} in\n{}", rows.join("\n"));
    shown(&["events · job 3/3 · 40 wasm calls"]);
    shown(&["01:23", "6 tasks running", "42 files", "2.5 MB", "0 wrong"]);
    shown(&["control-1 25.0 %", "control-2 75.0 %"]);
    shown(&["control-1", "4711", "running", "25%", "worker-1", "4713", "ready", "1", "3"]);
    shown(&["control-2", "gone", "75%"]);
    shown(&["150 answered/s", "7 failed/s"]);
    shown(&["p50 1.2 ms", "p99 10000.0 ms"]);
    shown(&["80.0 s", "killed control node control-2"]);
    shown(&["82.0 s ✓ many words many words"]);
    shown(&["the end"]);
    shown(&["k kill control", "d drain control", "q quit"]);
}

#[test]
fn a_wider_screen_names_the_owners() {
    let rows = rows(&frame(&model(), 100, 30));
    assert!(has_row(&rows, &["worker-1   4713    ready         control-1  3"]), "{}", rows.join("\n"));
}

#[test]
fn the_ring_is_divided_by_the_shares() {
    let buffer = frame(&model(), 82, 24);
    let colour_at = |column| buffer[(column, 2)].fg;
    assert_eq!((colour_at(1), colour_at(20)), (colour("control-1"), colour("control-1")));
    assert_eq!((colour_at(21), colour_at(80)), (colour("control-2"), colour("control-2")));
    assert_ne!(colour("control-1"), colour("control-2"));
}

#[test]
fn rows_without_room_are_counted() {
    let mut model = model();
    let one = model.workers[0].clone();
    model.workers =
        (1..=30).map(|number| WorkerRow { name: format!("worker-{number}"), ..one.clone() }).collect();
    let rows = rows(&frame(&model, 80, 24));
    assert!(has_row(&rows, &["workers: 30"]));
    let shown = rows.iter().filter(|row| row.contains("worker-")).count();
    assert!(has_row(&rows, &[&format!("…{} more", 30 - shown)]), "{}", rows.join("\n"));
}

#[test]
fn a_small_terminal_is_told_so() {
    let text = rows(&frame(&model(), 60, 12)).join(" ");
    assert!(text.contains("too small") && text.contains("60 × 12"), "{text}");
}

#[test]
fn a_script_says_that_keys_do_nothing() {
    let scripted = Model { is_scripted: true, ..model() };
    let rows = rows(&frame(&scripted, 80, 24));
    assert!(has_row(&rows, &["follows its script"]) && !has_row(&rows, &["kill control"]));
}

#[test]
fn a_latency_is_as_high_as_its_decades() {
    assert_eq!((spark_height(0), spark_height(100)), (0, 0));
    assert_eq!(spark_height(1_000), 200);
    assert_eq!((spark_height(10_000_000), spark_height(u64::MAX)), (1_000, 1_000));
}

#[test]
fn an_empty_model_is_drawn_too() {
    let rows = rows(&frame(&Model::default(), 120, 40));
    assert!(has_row(&rows, &["0 answered/s"]));
}
