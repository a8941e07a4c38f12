//! The command with steps that do what a test says, instead of processes.

use super::*;
use crate::test::step::Command;

fn step(name: &str) -> Step {
    Step { name: name.to_owned(), action: Action::Run(Command::cargo("check")) }
}

fn passed() -> Outcome {
    Outcome::Passed(Tally::ONE_PASSED)
}

fn failed() -> Outcome {
    let (tally, reason) = Tally::one_failed("exit code 1".to_owned());
    Outcome::Failed(tally, reason)
}

fn arguments(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

#[test]
fn arguments_are_understood_or_refused() {
    let options = parse(&arguments("--keep-going --only fmt --only doc")).expect("these exist");
    let only = vec!["fmt".to_owned(), "doc".to_owned()];
    assert_eq!(options, Options { list: false, keep_going: true, only });
    assert!(parse(&arguments("--only")).is_err());
    assert!(parse(&arguments("--fast")).is_err());
}

#[test]
fn steps_are_chosen_by_their_first_word() {
    let all = || vec![step("alone a"), step("alone b"), step("fmt")];
    assert_eq!(chosen(all(), &[]).map(|steps| steps.len()), Ok(3));
    assert_eq!(chosen(all(), &arguments("alone")).map(|steps| steps.len()), Ok(2));
    assert!(
        chosen(all(), &arguments("alone nothing")).is_err(),
        "a name that no step has would run less than meant"
    );
}

#[test]
fn the_first_failure_ends_the_run() {
    let steps = [step("a"), step("b"), step("c")];
    let mut ran = Vec::new();
    let finished = run_all(&steps, false, |step| {
        ran.push(step.name.clone());
        if step.name == "b" { failed() } else { passed() }
    });
    assert_eq!(ran, ["a", "b"]);
    let summary = summary(&finished);
    assert!(summary.contains("FAILED") && summary.contains("b: exit code 1"), "{summary}");
    assert!(summary.ends_with("\n1 passed, 1 failed, 1 skipped\n"), "{summary}");
}

#[test]
fn the_run_goes_on_when_told_to() {
    let steps = [step("a"), step("b")];
    let finished = run_all(&steps, true, |step| if step.name == "a" { failed() } else { passed() });
    assert!(summary(&finished).ends_with("\n1 passed, 1 failed, 0 skipped\n"));
}

#[test]
fn each_test_counts_and_so_does_each_other_step() {
    let tests = Step { name: "test".to_owned(), action: Action::Tests(Command::cargo("test")) };
    let steps = [step("fmt"), tests, step("deny")];
    let finished = run_all(&steps, false, |step| match step.name.as_str() {
        "test" => Outcome::Passed(Tally { passed: 40, failed: 0, skipped: 2 }),
        "deny" => Outcome::Skipped("cargo-deny is not installed".to_owned()),
        _ => passed(),
    });
    let summary = summary(&finished);
    assert!(
        summary.contains("SKIPPED") && summary.contains("deny: cargo-deny is not installed"),
        "{summary}"
    );
    assert!(summary.ends_with("\n41 passed, 0 failed, 3 skipped\n"), "{summary}");
}
