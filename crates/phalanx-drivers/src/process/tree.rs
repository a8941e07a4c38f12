//! The processes of one program: the first one, its group, and what has left the group.
//!
//! A number of a process is used again once the process has been waited for. So the first process is killed only while it
//! has not been, and it is waited for only after its group was killed: until then no stranger can have its number.

use std::fs;
use std::sync::{Mutex, PoisonError};
use std::thread::sleep;
use std::time::Duration;

use rustix::io::Errno;
use rustix::process::{
    Pid, Signal, WaitId, WaitIdOptions, WaitOptions, kill_process, kill_process_group, wait, waitid,
};

/// How often processes that have left the group are looked for, and how long it takes between two looks: ten seconds in
/// all. What goes on forking for longer, while it is killed, is not stopped by signals.
const SWEEPS_MAX: usize = 2_000;
const SWEEP_INTERVAL: Duration = Duration::from_millis(5);

/// A process that leads a group, and all below it.
#[derive(Debug)]
pub(super) struct Tree {
    leader: Pid,
    has_been_waited_for: Mutex<bool>,
}

impl Tree {
    pub(super) fn new(leader: Pid) -> Self {
        Self { leader, has_been_waited_for: Mutex::new(false) }
    }

    /// The number of the leader and of its group.
    pub(super) fn pid(&self) -> i32 {
        self.leader.as_raw_nonzero().get()
    }

    /// Sends a signal to the group. Once the leader has been waited for, there is nobody to send it to.
    pub(super) fn signal(&self, signal: Signal) {
        let gone = self.has_been_waited_for.lock().unwrap_or_else(PoisonError::into_inner);
        if !*gone {
            // One that is to have a terminal leads no group at first. Where nobody is left in it the end is on its way.
            if kill_process_group(self.leader, signal).is_err() {
                let _ = kill_process(self.leader, signal);
            }
        }
    }

    /// Kills the group, and its leader if that has joined another one.
    pub(super) fn kill(&self) {
        let gone = self.has_been_waited_for.lock().unwrap_or_else(PoisonError::into_inner);
        if !*gone {
            let _ = kill_process_group(self.leader, Signal::KILL);
            let _ = kill_process(self.leader, Signal::KILL);
        }
    }

    /// Waits until the leader has ended, kills what is left of its group, and calls `reap`, which waits for the leader.
    pub(super) fn wait<T>(&self, reap: impl FnOnce() -> T) -> T {
        // An error is that there is no such child, and then `reap` says so.
        while let Err(Errno::INTR) =
            waitid(WaitId::Pid(self.leader), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT)
        {}
        let mut gone = self.has_been_waited_for.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = kill_process_group(self.leader, Signal::KILL);
        let reaped = reap();
        *gone = true;
        reaped
    }
}

/// Kills all children of this process, until there is none: as their reaper it inherits whatever has left the group.
/// Says whether all are gone.
pub(super) fn sweep() -> bool {
    for _ in 0..SWEEPS_MAX {
        for child in children() {
            let _ = kill_process(child, Signal::KILL);
        }
        loop {
            match wait(WaitOptions::NOHANG) {
                Ok(Some(_)) => {}
                Ok(None) => break,
                Err(Errno::INTR) => {}
                Err(_) => return true,
            }
        }
        sleep(SWEEP_INTERVAL);
    }
    false
}

/// The children of all threads of this process.
fn children() -> Vec<Pid> {
    let Ok(threads) = fs::read_dir("/proc/self/task") else { return Vec::new() };
    let mut children = Vec::new();
    for thread in threads.flatten() {
        let text = fs::read_to_string(thread.path().join("children")).unwrap_or_default();
        children.extend(text.split_whitespace().filter_map(|pid| Pid::from_raw(pid.parse().ok()?)));
    }
    children
}
