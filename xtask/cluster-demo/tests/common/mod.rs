//! Runs the demo as a program, on some files of its own.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

pub(crate) fn demo(folder: &Path, arguments: &[&str]) -> (Output, Value) {
    let json = folder.join("out.json");
    let output = Command::new(env!("CARGO_BIN_EXE_cluster-demo"))
        .args(["--headless", "--json"])
        .arg(&json)
        .arg("--report")
        .arg(page(folder))
        .args(arguments)
        .output()
        .expect("the demo was built for this test");
    let report = std::fs::read_to_string(&json).ok().and_then(|text| serde_json::from_str(&text).ok());
    (output, report.unwrap_or_default())
}

/// Where the page with the plots is written.
pub(crate) fn page(folder: &Path) -> PathBuf {
    folder.join("page.html")
}

/// Some files, among them an empty one and one of several chunks.
pub(crate) fn input(folder: &Path) -> String {
    let input = folder.join("input");
    std::fs::create_dir(&input).expect("a new folder takes a folder");
    for number in 0..40_usize {
        let text = format!("line {number} of some words\n").repeat(number * number);
        std::fs::write(input.join(format!("{number}.txt")), text).expect("a new folder takes files");
    }
    std::fs::write(input.join("large"), vec![b'x'; 3 << 20]).expect("a new folder takes files");
    input.display().to_string()
}

pub(crate) fn must_hold((output, report): &(Output, Value)) {
    let said = String::from_utf8_lossy(&output.stdout);
    let complained = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}\n{complained}");
    assert_eq!(report["verified"], true, "{said}");
    assert_eq!(report["files"], 41, "{said}");
    for nothing in ["mismatches", "duplicates", "gaps", "orphans"] {
        assert_eq!(report[nothing], 0, "{nothing}: {said}\n{complained}");
    }
}

pub(crate) fn must_have((output, report): &(Output, Value), findings: &[&str]) {
    for finding in findings {
        assert!(report[finding].is_object(), "{finding}: {}", String::from_utf8_lossy(&output.stdout));
    }
}
