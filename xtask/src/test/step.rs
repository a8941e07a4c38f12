//! A step of the run, as data: its name and what it does.

use std::fmt;

/// One step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Step {
    /// Its name; the first word is what `--only` takes.
    pub(super) name: String,
    pub(super) action: Action,
}

/// What a step does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Action {
    /// The rules of `cargo xtask tidy`, in this process.
    Tidy,
    /// A command that must succeed.
    Run(Command),
    /// A command that must succeed, and whose tests are counted: none at all is a failure.
    Tests(Command),
    /// Nothing, because a tool is missing: the reason.
    Skip(String),
}

/// A call of cargo.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Command {
    pub(super) arguments: Vec<String>,
    /// Where it runs, from the root of the workspace; empty for the root.
    pub(super) folder: &'static str,
    /// What it finds in its environment besides ours.
    pub(super) variables: Vec<(&'static str, &'static str)>,
}

impl Step {
    /// What `--only` takes.
    pub(super) fn first_word(&self) -> &str {
        self.name.split_whitespace().next().unwrap_or_default()
    }
}

impl Command {
    /// Cargo with the words of `arguments`, at the root of the workspace.
    pub(super) fn cargo(arguments: &str) -> Self {
        let arguments = arguments.split_whitespace().map(str::to_owned).collect();
        Self { arguments, folder: "", variables: Vec::new() }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.name)?;
        match &self.action {
            Action::Tidy => f.write_str("cargo xtask tidy"),
            Action::Run(command) | Action::Tests(command) => command.fmt(f),
            Action::Skip(reason) => write!(f, "SKIP, {reason}"),
        }
    }
}

/// As one would type it into a shell.
impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.folder.is_empty() {
            write!(f, "cd {} && ", self.folder)?;
        }
        for (name, value) in &self.variables {
            write!(f, "{name}={value:?} ")?;
        }
        write!(f, "cargo {}", self.arguments.join(" "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_reads_as_one_would_type_it() {
        let mut command = Command::cargo("doc --no-deps");
        command.variables.push(("RUSTDOCFLAGS", "-D warnings"));
        command.folder = "fuzz";
        let step = Step { name: "doc of fuzz".to_owned(), action: Action::Run(command) };
        assert_eq!(
            step.to_string(),
            "doc of fuzz: cd fuzz && RUSTDOCFLAGS=\"-D warnings\" cargo doc --no-deps"
        );
        assert_eq!(step.first_word(), "doc");
    }
}
