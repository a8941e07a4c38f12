//! Signals: those that this program gets and another one is to have, and their names.

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::exit::Failure;

/// The signals of Linux that have one number on every machine, by their names (signal(7)).
const NAMES: [(&str, i32); 14] = [
    ("HUP", 1),
    ("INT", 2),
    ("QUIT", 3),
    ("ABRT", 6),
    ("KILL", 9),
    ("USR1", 10),
    ("SEGV", 11),
    ("USR2", 12),
    ("PIPE", 13),
    ("ALRM", 14),
    ("TERM", 15),
    ("CONT", 18),
    ("STOP", 19),
    ("WINCH", 28),
];

/// The number of a signal: `TERM`, `SIGTERM` or `15`.
pub(crate) fn signal_number(text: &str) -> Result<i32, String> {
    if let Ok(number) = text.parse::<i32>() {
        return if (1..=64).contains(&number) {
            Ok(number)
        } else {
            Err("no signal: it is from 1 to 64".to_owned())
        };
    }
    let name = text.to_ascii_uppercase();
    let name = name.strip_prefix("SIG").unwrap_or(&name);
    let found = NAMES.iter().find(|(own, _)| *own == name);
    found.map(|(_, number)| *number).ok_or_else(|| {
        format!("no signal: write its number, or one of {}", NAMES.map(|(name, _)| name).join(", "))
    })
}

/// The signals that are passed on. From when it is made on they end nothing here by themselves.
pub(crate) struct Interrupts {
    interrupt: Signal,
    terminate: Signal,
    quit: Signal,
    hang_up: Signal,
}

impl Interrupts {
    pub(crate) fn listen() -> Result<Self, Failure> {
        let listen = |kind| signal(kind).map_err(Failure::failed);
        Ok(Self {
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
            quit: listen(SignalKind::quit())?,
            hang_up: listen(SignalKind::hangup())?,
        })
    }

    /// The number of the next one. Cancellation safe.
    pub(crate) async fn next(&mut self) -> i32 {
        let kind = tokio::select! {
            biased;
            _ = self.interrupt.recv() => SignalKind::interrupt(),
            _ = self.terminate.recv() => SignalKind::terminate(),
            _ = self.quit.recv() => SignalKind::quit(),
            _ = self.hang_up.recv() => SignalKind::hangup(),
        };
        kind.as_raw_value()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_have_names_and_numbers() {
        assert_eq!(
            (signal_number("TERM"), signal_number("sigint"), signal_number("9")),
            (Ok(15), Ok(2), Ok(9))
        );
        assert!(signal_number("0").is_err() && signal_number("-1").is_err() && signal_number("65").is_err());
        assert!(signal_number("SIG").unwrap_err().contains("TERM"));
    }
}
