//! The terminal of this program, lent to a program elsewhere: every key goes there, and it is put back however this ends.

use std::io::{self, IsTerminal};

use phalanx_drivers::process::{Run, TerminalSize};
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::exit::Failure;
use crate::output::Format;

/// What is on the other end does not know what this is, unless it is told by this variable.
const KIND: &str = "TERM";

/// A terminal that takes keys as they come, and shows what comes as it is. Dropping it puts it back as it was.
pub(super) struct Terminal {
    before: Termios,
    changes: Signal,
}

impl Terminal {
    /// Takes the terminal of the standard input. That and the standard output must be one: where output goes elsewhere this
    /// program may end without a word when its reader has gone, and nobody would put the terminal back.
    pub(super) fn take(format: Format) -> Result<Self, Failure> {
        if format == Format::Json {
            return Err(Failure::usage("a terminal has no JSON form: leave out -o json, or -t"));
        }
        if !io::stdin().is_terminal() || !io::stdout().is_terminal() {
            return Err(Failure::usage(
                "this is no terminal: leave out -t where input or output is a file or a pipe",
            ));
        }
        // From here on no change of the size is missed.
        let changes = signal(SignalKind::window_change()).map_err(Failure::failed)?;
        let before = tcgetattr(io::stdin()).map_err(io::Error::from)?;
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(io::stdin(), OptionalActions::Now, &raw).map_err(io::Error::from)?;
        Ok(Self { before, changes })
    }

    /// The same run with a terminal of this kind and size.
    pub(super) fn give(&self, run: Run) -> Result<Run, Failure> {
        let mut run = run;
        if let Ok(kind) = std::env::var(KIND) {
            run.environment.entry(KIND.to_owned()).or_insert(kind);
        }
        run.terminal = Some(size()?);
        Ok(run)
    }

    /// Waits until it has another size. Cancellation safe.
    pub(super) async fn resized(&mut self) -> TerminalSize {
        loop {
            self.changes.recv().await;
            if let Ok(size) = size() {
                return size;
            }
        }
    }
}

fn size() -> io::Result<TerminalSize> {
    let size = tcgetwinsize(io::stdout())?;
    Ok(TerminalSize { rows: size.ws_row, columns: size.ws_col })
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // One that has gone needs it no more.
        let _ = tcsetattr(io::stdin(), OptionalActions::Now, &self.before);
    }
}
