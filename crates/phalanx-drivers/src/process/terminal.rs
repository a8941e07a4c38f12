//! A program's terminal: the supervisor holds one end, and the process that becomes the program makes the other its own.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{Mode, OFlags};
use rustix::process::{ioctl_tiocsctty, setsid};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::stdio::dup2_stdin;
use rustix::termios::{Winsize, tcsetwinsize};

use super::class::TerminalSize;

/// The character that a person types to say that there is no more input.
pub(super) const END_OF_INPUT: u8 = 4;

/// Opens a terminal: the supervisor's end, and the program's.
pub(super) fn open(size: TerminalSize) -> io::Result<(File, OwnedFd)> {
    let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
    grantpt(&ours)?;
    unlockpt(&ours)?;
    let name = ptsname(&ours, Vec::new())?;
    let theirs = rustix::fs::open(name, OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC, Mode::empty())?;
    resize(&ours, size)?;
    Ok((File::from(ours), theirs))
}

/// Gives it another size; who runs in its foreground gets SIGWINCH.
pub(super) fn resize(ours: impl AsFd, size: TerminalSize) -> io::Result<()> {
    let size = Winsize { ws_row: size.rows, ws_col: size.columns, ws_xpixel: 0, ws_ypixel: 0 };
    Ok(tcsetwinsize(ours, size)?)
}

/// Makes the terminal at this process's standard output the one that controls it, and its standard input: it leads a session
/// from now on, whose processes are sent SIGHUP when the supervisor's end is gone.
pub(super) fn take(user: Option<(u32, u32)>) -> io::Result<()> {
    setsid()?;
    let terminal = io::stdout();
    ioctl_tiocsctty(terminal.as_fd())?;
    if let Some((user, group)) = user {
        // So that the program can open it by its name.
        std::os::unix::fs::fchown(terminal.as_fd(), Some(user), Some(group))?;
    }
    Ok(dup2_stdin(terminal.as_fd())?)
}
