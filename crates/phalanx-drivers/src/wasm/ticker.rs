//! Counts time for guests: one thread, which moves the engine's epoch on while a guest runs, and sleeps while none does.
//!
//! It is a thread of its own, since a handler that blocks the threads for user code must not give a guest more time. And it
//! counts rather than reads a clock: on a machine that is too busy a guest has a little more time, never less.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use wasmtime::Engine;

/// How long an epoch is: a guest that is to end goes on for so long at most.
const TICK: Duration = Duration::from_millis(10);

/// Moves the epoch on while there is a [`Ticking`]. Its thread ends when it is dropped.
#[derive(Debug)]
pub(super) struct Ticker(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    ticks: AtomicU64,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    running: u64,
    is_over: bool,
}

impl Ticker {
    /// Starts the thread.
    pub(super) fn start(engine: Engine) -> io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let ticking = shared.clone();
        thread::Builder::new().name("phalanx-wasm".to_owned()).spawn(move || {
            while ticking.wait() {
                thread::sleep(TICK);
                ticking.ticks.fetch_add(1, Ordering::Relaxed);
                engine.increment_epoch();
            }
        })?;
        Ok(Self(shared))
    }

    /// A guest runs, until this is dropped.
    pub(super) fn begin(&self) -> Ticking {
        self.0.change(|state| state.running += 1);
        Ticking(self.0.clone())
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.0.change(|state| state.is_over = true);
    }
}

impl Shared {
    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner));
        self.changed.notify_one();
    }

    /// Waits until a guest runs; false when there will be none any more.
    fn wait(&self) -> bool {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let idle = |state: &mut State| state.running == 0 && !state.is_over;
        let state = self.changed.wait_while(state, idle).unwrap_or_else(PoisonError::into_inner);
        state.running > 0
    }
}

/// A guest that runs.
#[derive(Debug)]
pub(super) struct Ticking(Arc<Shared>);

impl Ticking {
    /// How many ticks there have been.
    pub(super) fn now(&self) -> u64 {
        self.0.ticks.load(Ordering::Relaxed)
    }

    /// When so much time will have gone by: not sooner.
    pub(super) fn after(&self, time: Duration) -> u64 {
        let ticks = time.as_millis().div_ceil(TICK.as_millis());
        // The present tick is a part of one.
        self.now().saturating_add(u64::try_from(ticks).unwrap_or(u64::MAX)).saturating_add(1)
    }
}

impl Drop for Ticking {
    fn drop(&mut self) {
        self.0.change(|state| state.running -= 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_ticks_while_a_guest_runs_and_ends_with_its_owner() {
        let ticker = Ticker::start(Engine::default()).unwrap();
        let ticking = ticker.begin();
        let end = ticking.after(TICK);
        let other = ticker.begin();
        drop(other);
        while ticking.now() < end {
            thread::yield_now();
        }
        let shared = Arc::downgrade(&ticker.0);
        drop(ticker);
        drop(ticking);
        while shared.strong_count() > 0 {
            thread::yield_now();
        }
    }
}
