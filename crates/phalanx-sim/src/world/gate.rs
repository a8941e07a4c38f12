//! The tasks of one simulated process: killed, paused and slowed down all together, quinn's and the user's among them.

use std::any::Any;
use std::collections::BTreeMap;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use phalanx_base::{Spawn, Work};
use tokio::sync::Notify;
use tokio::time::Sleep;

/// What to do with the word of a task that has panicked.
pub(crate) type OnPanic = Arc<dyn Fn(&str) + Send + Sync>;

/// What the scheduler does to a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Life {
    Running,
    /// As after SIGSTOP: nothing of it runs, and its timers fire when it goes on.
    Paused,
    Dead,
}

struct State {
    life: Life,
    /// How long each task waits for its turn.
    lag: Duration,
    /// How often it was stopped or slowed down.
    hindrances: u64,
    /// Who is to be woken when any of this changes, by the order of their starts.
    tasks: BTreeMap<u64, Waker>,
    next_task: u64,
}

/// One simulated process, from its start to its death.
pub(crate) struct Gate {
    state: Mutex<State>,
    died: Notify,
    on_panic: OnPanic,
}

impl Gate {
    pub(crate) fn new(on_panic: OnPanic) -> Arc<Self> {
        let state = State {
            life: Life::Running,
            lag: Duration::ZERO,
            hindrances: 0,
            tasks: BTreeMap::new(),
            next_task: 0,
        };
        Arc::new(Self { state: Mutex::new(state), died: Notify::new(), on_panic })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends the process at once: none of its tasks runs again.
    pub(crate) fn kill(&self) {
        self.change(|state| state.life = Life::Dead);
        self.died.notify_waiters();
    }

    /// Waits for the death of the process.
    pub(crate) async fn dead(&self) {
        let mut died = pin!(self.died.notified());
        died.as_mut().enable();
        if !self.is_dead() {
            died.await;
        }
    }

    /// Stops the process, or lets it go on. A dead one stays dead.
    pub(crate) fn pause(&self, paused: bool) {
        self.change(|state| {
            if state.life != Life::Dead {
                state.life = if paused { Life::Paused } else { Life::Running };
                state.hindrances += 1;
            }
        });
    }

    /// Makes each task wait so long for each of its turns.
    pub(crate) fn slow_down(&self, lag: Duration) {
        self.change(|state| {
            state.lag = lag;
            state.hindrances += 1;
        });
    }

    /// Whether it runs, at whatever speed.
    pub(crate) fn is_running(&self) -> bool {
        self.lock().life == Life::Running
    }

    /// Grows whenever it is stopped, slowed down, or let go on.
    pub(crate) fn hindrances(&self) -> u64 {
        self.lock().hindrances
    }

    /// Whether it is slowed down now.
    pub(crate) fn is_slow(&self) -> bool {
        !self.lock().lag.is_zero()
    }

    pub(crate) fn is_dead(&self) -> bool {
        self.lock().life == Life::Dead
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        let wakers: Vec<Waker> = {
            let mut state = self.lock();
            change(&mut state);
            state.tasks.values().cloned().collect()
        };
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Runs work as a task of this process.
    pub(crate) fn run(self: &Arc<Self>, work: Work) -> Gated {
        let id = {
            let mut state = self.lock();
            state.next_task += 1;
            state.next_task
        };
        Gated { gate: self.clone(), id, work: Some(work), turn: None }
    }
}

/// Work that runs only while its process does.
pub(crate) struct Gated {
    gate: Arc<Gate>,
    id: u64,
    work: Option<Work>,
    /// When a slow process gives it its next turn.
    turn: Option<Pin<Box<Sleep>>>,
}

impl Future for Gated {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        let (life, lag) = {
            let mut state = this.gate.lock();
            match state.tasks.get(&this.id) {
                Some(known) if known.will_wake(cx.waker()) => {}
                _ => drop(state.tasks.insert(this.id, cx.waker().clone())),
            }
            (state.life, state.lag)
        };
        match life {
            Life::Dead => {
                this.work = None;
                return Poll::Ready(());
            }
            Life::Paused => return Poll::Pending,
            Life::Running => {}
        }
        if this.turn.is_some() || !lag.is_zero() {
            let turn = this.turn.get_or_insert_with(|| Box::pin(tokio::time::sleep(lag)));
            if turn.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            this.turn = None;
        }
        let Some(work) = &mut this.work else { return Poll::Ready(()) };
        match catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(cx))) {
            Ok(outcome) => outcome,
            Err(panic) => {
                (this.gate.on_panic)(message(&*panic));
                Poll::Ready(())
            }
        }
    }
}

fn message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("a panic without a text")
}

impl Drop for Gated {
    fn drop(&mut self) {
        // The work goes first: it may look at its process.
        self.work = None;
        self.gate.lock().tasks.remove(&self.id);
    }
}

/// Starts work as tasks of one process. What would block runs at once: a simulation has one thread.
pub(crate) struct GatedSpawn(pub(crate) Arc<Gate>);

impl Spawn for GatedSpawn {
    fn spawn(&self, work: Work) {
        tokio::spawn(self.0.run(work));
    }

    fn spawn_user(&self, work: Work) {
        tokio::spawn(self.0.run(work));
    }

    fn spawn_blocking(&self, work: Box<dyn FnOnce() + Send>) {
        if self.0.is_dead() {
            return;
        }
        if let Err(panic) = catch_unwind(AssertUnwindSafe(work)) {
            (self.0.on_panic)(message(&*panic));
        }
    }
}
