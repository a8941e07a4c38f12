//! Signals: those that this program gets and another one is to have, and their names.

use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::timeout;

use crate::exit::{Exit, Failure};

/// Ended by the user: 128 and the number of SIGINT, as shells have it.
const ENDED_BY_USER: u8 = 130;

/// How long a program is given to be ended with this one.
const END_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a forwarded signal may take.
const SIGNAL_TIMEOUT: Duration = Duration::from_secs(30);

/// The signals of Linux that have one number on every machine, by their names (signal(7)).
#[cfg(feature = "process")]
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
#[cfg(feature = "process")]
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

/// What signals are passed on to.
pub(crate) trait Interruptible {
    /// Sends it a signal; says whether it has got it.
    fn interrupt(&self, signal: i32) -> impl Future<Output = bool>;

    /// Ends it at once; says whether its worker knows.
    fn end(&self) -> impl Future<Output = bool>;
}

/// Passes signals on. The second request to end it ends the program, and this one.
pub(crate) async fn pass_on(program: &impl Interruptible, interrupts: &mut Interrupts) -> Failure {
    let mut was_asked = false;
    loop {
        let signal = interrupts.next().await;
        if std::mem::replace(&mut was_asked, true) {
            // Where even this does not arrive, the words say what may be.
            return match timeout(END_TIMEOUT, program.end()).await {
                Ok(true) => ended_by_user("the program was ended"),
                _ => ended_by_user("the worker does not answer: the program may still run"),
            };
        }
        let sending = timeout(SIGNAL_TIMEOUT, program.interrupt(signal));
        tokio::select! {
            biased;
            sent = sending => if sent != Ok(true) {
                eprintln!("phalanx: the signal did not arrive; once more ends the program");
            },
            // The next one is not to wait for an answer that does not come.
            _ = interrupts.next() => {
                let _ = timeout(END_TIMEOUT, program.end()).await;
                return ended_by_user("the program was told to end");
            }
        }
    }
}

/// How this program ends when its user has had enough.
pub(crate) fn ended_by_user(words: &str) -> Failure {
    Failure::new(Exit::Program(ENDED_BY_USER), words)
}

#[cfg(all(test, feature = "process"))]
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
