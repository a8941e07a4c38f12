//! The report of the bench: medians, bars, and its three forms.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod report;

use report::{Bar, Report, Row, Unit, markdown, median, plot};

fn rows() -> Vec<Row> {
    let rounds = [(300.0, 100.0), (100.0, 100.0), (260.0, 130.0)];
    vec![
        Row::compared("calls_64/tonic", "tonic", Unit::CallsPerSecond, Bar::RatioMin(1.5), &rounds),
        Row::compared("calls_1/quinn", "quinn", Unit::Microseconds, Bar::RatioMax(1.3), &rounds)
            .noting("a | in a note"),
        Row::compared("calls_4k/tcp", "tcp", Unit::CallsPerSecond, Bar::Reported, &rounds),
        Row::alone("tasks", Unit::CyclesPerSecond, Bar::ValueMin(5_000.0), &[5_100.0, 4_000.0, 6_000.0]),
        Row::missing("calls_64/nats", "nats", Unit::CallsPerSecond, Bar::RatioMin(1.5), "not installed"),
    ]
}

#[test]
fn the_median_is_in_the_middle_in_any_order() {
    assert_eq!(median([]), None);
    assert_eq!(median([3.0]), Some(3.0));
    assert_eq!(median([9.0, 1.0, 2.0]), Some(2.0));
    assert_eq!(median([9.0, 1.0, 2.0, 4.0]), Some(3.0));
}

#[test]
fn ratios_are_taken_round_by_round() {
    let row = &rows()[0];
    // The ratio of the medians would be 2.6: what slows both ends of one round must not count.
    assert_eq!((row.ours, row.peer_value, row.ratio), (Some(260.0), Some(100.0), Some(2.0)));
    assert_eq!((row.ratios, row.rounds, row.holds), (Some((1.0, 3.0)), 3, true));
}

#[test]
fn bars_hold_on_their_own_side_and_at_their_edge() {
    for (bar, ours, ratio, holds) in [
        (Bar::RatioMin(0.6), 1.0, Some(0.6), true),
        (Bar::RatioMin(0.6), 1.0, Some(0.59), false),
        (Bar::RatioMax(1.3), 9.0, Some(1.3), true),
        (Bar::RatioMax(1.3), 9.0, Some(1.31), false),
        (Bar::RatioMax(1.3), 9.0, None, false),
        (Bar::ValueMin(5_000.0), 5_000.0, None, true),
        (Bar::ValueMin(5_000.0), 4_999.0, None, false),
        (Bar::ValueMax(200.0), 200.0, None, true),
        (Bar::ValueMax(200.0), 201.0, None, false),
        (Bar::Reported, 0.0, None, true),
    ] {
        assert_eq!(bar.holds(ours, ratio), holds, "{bar} with {ours} and {ratio:?}");
    }
}

#[test]
fn a_peer_that_did_nothing_proves_nothing() {
    let row = Row::compared("calls", "tcp", Unit::CallsPerSecond, Bar::RatioMin(0.5), &[(10.0, 0.0)]);
    assert_eq!((row.ratio, row.holds), (None, false));
    let never = Row::compared("calls", "tcp", Unit::CallsPerSecond, Bar::Reported, &[]);
    assert!(!never.holds, "what was not measured does not hold, also where nothing is promised");
}

#[test]
fn a_spoilt_row_does_not_hold_whatever_its_values() {
    let row = Row::alone("tasks", Unit::CyclesPerSecond, Bar::ValueMin(1.0), &[2.0]);
    assert!(row.clone().spoilt(None).holds);
    assert!(!row.spoilt(Some("calls failed".to_owned())).holds);
}

#[test]
fn one_row_that_fails_is_enough() {
    assert!(!Report { rows: rows() }.holds());
    assert!(Report { rows: rows().split_off(2).into_iter().take(2).collect() }.holds());
}

#[test]
fn the_report_as_json() {
    let row = Report { rows: vec![rows().swap_remove(4)] };
    insta::assert_snapshot!(serde_json::to_string(&row).unwrap(), @r#"{"rows":[{"name":"calls_64/nats","ours":null,"peer":"nats","peer_value":null,"ratio":null,"ratios":null,"bar":"≥ 1.5 ×","holds":false,"unit":"calls/s","rounds":0,"notes":["not installed"]}]}"#);
    let value = serde_json::to_value(Report { rows: rows() }).unwrap();
    assert_eq!(value["rows"][0]["ratio"], 2.0);
    assert_eq!(value["rows"][0]["bar"], "≥ 1.5 ×");
    assert_eq!(value["rows"][1]["holds"], false);
}

#[test]
fn the_report_as_a_table() {
    insta::assert_snapshot!(markdown(&rows()), @"
    | row | ours | peer | peer's | unit | ratio | least–most | bar | holds | notes |
    |---|--:|---|--:|---|--:|---|--:|---|---|
    | `calls_64/tonic` | 260 | tonic | 100 | calls/s | 2.00 | 1.00–3.00 | ≥ 1.5 × | yes |  |
    | `calls_1/quinn` | 260 | quinn | 100 | µs | 2.00 | 1.00–3.00 | ≤ 1.3 × | **no** | a / in a note |
    | `calls_4k/tcp` | 260 | tcp | 100 | calls/s | 2.00 | 1.00–3.00 | reported |  |  |
    | `tasks` | 5100 |  | – | cycles/s | – |  | ≥ 5000 | yes |  |
    | `calls_64/nats` | – | nats | – | calls/s | – |  | ≥ 1.5 × | **no** | not installed |
    ");
}

#[test]
fn the_report_as_lines() {
    let lines: Vec<String> = rows().iter().map(Row::to_string).collect();
    insta::assert_snapshot!(lines.join("\n"), @"
    calls_64/tonic: 260 calls/s, tonic 100, ratio 2.00, bar ≥ 1.5 ×: holds
    calls_1/quinn: 260 µs, quinn 100, ratio 2.00, bar ≤ 1.3 ×: DOES NOT HOLD (a | in a note)
    calls_4k/tcp: 260 calls/s, tcp 100, ratio 2.00, bar reported: reported
    tasks: 5100 cycles/s, bar ≥ 5000: holds
    calls_64/nats: - calls/s, nats -, ratio -, bar ≥ 1.5 ×: DOES NOT HOLD (not installed)
    ");
}

#[test]
fn the_picture_has_the_rows_that_have_a_ratio() {
    let picture = plot(&rows());
    assert_eq!(picture.matches("calls_").count(), 3, "{picture}");
    assert_eq!(picture.matches("<title>bar").count(), 2, "what is only reported has no bar");
    assert!(!picture.contains("NaN") && !picture.contains("inf"), "{picture}");
}

#[test]
fn numbers_are_told_with_the_digits_that_count() {
    let told = |unit, value| Row::alone("row", unit, Bar::Reported, &[value]).to_string();
    assert_eq!(told(Unit::FilesPerSecond, 1_234.56), "row: 1235 files/s, bar reported: reported");
    assert_eq!(told(Unit::MebibytesPerSecond, 12.345), "row: 12.3 MiB/s, bar reported: reported");
    assert_eq!(told(Unit::CpuMicrosecondsPerCall, 1.2), "row: 1.20 µs of CPU a call, bar reported: reported");
    assert_eq!(told(Unit::Milliseconds, 0.01), "row: 0.0100 ms, bar reported: reported");
    assert_eq!(told(Unit::KilobytesPerWorker, 108.35), "row: 108 kB a worker, bar reported: reported");
    assert_eq!(told(Unit::PercentOfACore, 15.5), "row: 15.5 % of a core, bar reported: reported");
}
