//! What a supervisor does with its orders: those of the process that started it, and of those that come after it.
//!
//! One thread reads them and never blocks on anything else. When they end, the worker's process has. A program that is not
//! kept is killed then. For one that is, the supervisor waits at a socket in the task's folder, which is for the worker's
//! user alone, and goes on with whoever comes: one at a time.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::mpsc::{SyncSender, TrySendError};
use std::thread::{sleep, spawn};
use std::time::Duration;

use bytes::Bytes;
use rustix::process::Signal;

use super::folders::{is_abandoned, socket};
use super::protocol::{Order, read};
use super::supervise::Sink;
use super::terminal;
use super::tree::Tree;

/// How long a supervisor rests when nobody can be let in, as when the machine has no more open files to give.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How it stands with the writes to a program.
#[derive(Debug, Default)]
pub(super) struct Stdin {
    waiting: AtomicU32,
    is_closed: AtomicBool,
}

impl Stdin {
    /// A write has been taken from the queue: it has gone to the program, or is lost, as all after it.
    pub(super) fn taken(&self, is_lost: bool) {
        self.waiting.fetch_sub(1, Ordering::SeqCst);
        if is_lost {
            self.is_closed.store(true, Ordering::SeqCst);
        }
    }

    /// How many wait, while it is open.
    pub(super) fn waiting(&self) -> Option<u32> {
        (!self.is_closed.load(Ordering::SeqCst)).then(|| self.waiting.load(Ordering::SeqCst))
    }

    pub(super) fn close(&self) {
        self.is_closed.store(true, Ordering::SeqCst);
    }
}

/// The place in a task's folder where the supervisor of a program that is kept waits.
pub(super) fn listen(folder: &Path) -> io::Result<UnixListener> {
    let folder = File::open(folder)?;
    UnixListener::bind(socket(&folder))
}

/// Whoever does what is ordered.
pub(super) struct Obedient {
    pub(super) writes: Option<SyncSender<Bytes>>,
    pub(super) stdin: Arc<Stdin>,
    pub(super) tree: Arc<Tree>,
    pub(super) terminal: Option<File>,
    pub(super) folder: PathBuf,
    /// Where the next process of the worker is waited for; `None` for a program that is not kept.
    pub(super) listener: Option<UnixListener>,
    pub(super) sink: Arc<Sink>,
}

impl Obedient {
    /// Goes on until the program is not to be kept any more, which ends it.
    pub(super) fn start(mut self) {
        spawn(move || {
            self.follow(&mut io::stdin());
            while let Some(listener) = self.listener.take().filter(|_| !is_abandoned(&self.folder)) {
                let accepted = listener.accept().and_then(|(stream, _)| Ok((stream.try_clone()?, stream)));
                self.listener = Some(listener);
                match accepted {
                    Ok((mut orders, stream)) => {
                        self.sink.welcome(stream, self.tree.pid(), &self.stdin);
                        self.follow(&mut orders);
                    }
                    Err(_) => sleep(ACCEPT_PAUSE),
                }
            }
            self.tree.kill();
        });
    }

    /// Does what one process of the worker orders, until it has ended or has let go.
    fn follow(&mut self, orders: &mut impl Read) {
        while let Ok(Some(order)) = read::<Order>(orders) {
            match order {
                Order::Write(bytes) => self.write(bytes),
                Order::CloseStdin => {
                    self.stdin.close();
                    self.writes = None;
                }
                Order::Signal(number) => {
                    if let Some(signal) = Signal::from_named_raw(number) {
                        self.tree.signal(signal);
                    }
                }
                Order::Kill => self.tree.kill(),
                Order::LetDie => self.listener = None,
                Order::Resize(size) => {
                    if let Some(terminal) = &self.terminal {
                        // A size that the terminal does not take leaves it as it was.
                        let _ = terminal::resize(terminal, size);
                    }
                }
                Order::Begin(_) => return,
            }
        }
    }

    /// The worker counts what waits: the queue is never full.
    fn write(&self, bytes: Bytes) {
        let Some(queue) = &self.writes else { return };
        self.stdin.waiting.fetch_add(1, Ordering::SeqCst);
        if let Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) = queue.try_send(bytes) {
            self.stdin.waiting.fetch_sub(1, Ordering::SeqCst);
        }
    }
}
