//! `cargo xtask tidy`: the rules of this workspace that no compiler checks.
//!
//! Each rule is a file of this folder: a function from what it looks at to what it found wrong, with tests that show
//! it failing. They read the text of the project and what cargo knows about it, and build nothing.

mod allow;
mod biased_select;
mod bounded_channels;
mod headers;
mod layers;
mod lexer;
mod manifests;
mod ordered_maps;
mod runtime_free;
mod seams;
mod sizes;
mod source;
mod test_code;
mod words;

use std::fmt;
use std::process::ExitCode;

use crate::Workspace;
use source::Sources;

/// Something that breaks a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Violation {
    /// The rule.
    rule: &'static str,
    /// A file from the root, with a line where there is one, or a package.
    place: String,
    /// What is wrong, and what to do.
    message: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} [{}]", self.place, self.message, self.rule)
    }
}

/// The command: every rule, then the report of sizes.
pub(crate) fn run(arguments: &[String]) -> Result<ExitCode, String> {
    if let Some(unknown) = arguments.first() {
        return Err(format!("tidy takes no arguments, and got {unknown:?}"));
    }
    match check(&Workspace::load()?) {
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(reason) => {
            println!("tidy: {reason}");
            Ok(ExitCode::FAILURE)
        }
    }
}

/// Runs every rule and prints what it finds. Fails if there is anything.
pub(crate) fn check(workspace: &Workspace) -> Result<(), String> {
    let sources = Sources::load(&workspace.root)?;
    print!("{}", sizes::report(&sources));
    let found = violations(workspace, &sources)?;
    for violation in &found {
        println!("{violation}");
    }
    match found.len() {
        0 => {
            println!("tidy: {} files keep the rules", sources.files.len());
            Ok(())
        }
        1 => Err("1 violation".to_owned()),
        many => Err(format!("{many} violations")),
    }
}

fn violations(workspace: &Workspace, sources: &Sources) -> Result<Vec<Violation>, String> {
    let mut found = layers::check(workspace);
    found.extend(runtime_free::check(workspace)?);
    found.extend(manifests::check(workspace)?);
    found.extend(seams::check(sources));
    found.extend(biased_select::check(sources));
    found.extend(bounded_channels::check(sources));
    found.extend(ordered_maps::check(sources));
    found.extend(headers::check(sources));
    found.extend(sizes::check(sources));
    found.extend(words::check(&workspace.root)?);
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_violation_is_one_line_that_an_editor_can_follow() {
        let violation =
            Violation { rule: "sizes", place: "a.rs:7".to_owned(), message: "too long".to_owned() };
        assert_eq!(violation.to_string(), "a.rs:7: too long [sizes]");
    }

    #[test]
    fn arguments_are_refused() {
        assert!(run(&["--fix".to_owned()]).is_err());
    }
}
