//! The command that lets a shell complete the others.

use clap::{Args, CommandFactory};
use clap_complete::{Shell, generate};

use crate::exit::Failure;
use crate::output::print;

/// Print what completes this command line in a shell
#[derive(Debug, Args)]
#[command(after_help = "Example: phalanx completion bash > /etc/bash_completion.d/phalanx")]
pub(crate) struct Arguments {
    /// Which shell
    shell: Shell,
}

impl Arguments {
    pub(crate) fn run(&self) -> Result<(), Failure> {
        let mut text = Vec::new();
        generate(self.shell, &mut crate::arguments::Arguments::command(), "phalanx", &mut text);
        print(&String::from_utf8_lossy(&text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shell_is_served() {
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish, Shell::Elvish, Shell::PowerShell] {
            let mut text = Vec::new();
            generate(shell, &mut crate::arguments::Arguments::command(), "phalanx", &mut text);
            assert!(String::from_utf8(text).unwrap().contains("discover"), "{shell}");
        }
    }
}
