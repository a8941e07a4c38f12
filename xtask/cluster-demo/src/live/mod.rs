//! The view of a demo that works: a screen that is drawn from a model, and keys that act on the cluster.
//!
//! What is shown is a function of the model alone (`draw`), and what a key means a function of the key (`keys`); only
//! this file touches the terminal, and gives it back however the demo ends.

mod draw;
mod keys;
mod model;

use std::time::{Duration, Instant};

use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event};

use crate::awaited::Awaited;
use crate::demo::{AnyError, Demo, Quit, now};
use crate::options::NODES_MAX;
use keys::Action;
use model::Model;

/// How often the screen is drawn: faster than one can read.
const DRAW_INTERVAL: Duration = Duration::from_millis(100);

/// How many keys are taken at a time, so that a stuck key does not stop the work.
const KEYS_MAX: usize = 16;

/// The terminal while the demo has it. It is given back when this is dropped, and by a hook when something panics.
pub(crate) struct Screen {
    terminal: DefaultTerminal,
    drawn_at: Option<Instant>,
}

impl Screen {
    /// Takes the terminal.
    ///
    /// # Errors
    /// It is no terminal, or cannot be set up; it is as it was.
    pub(crate) fn open() -> std::io::Result<Self> {
        match ratatui::try_init() {
            Ok(terminal) => Ok(Self { terminal, drawn_at: None }),
            Err(error) => {
                let _ = ratatui::try_restore();
                Err(std::io::Error::new(error.kind(), format!("no live view here, try --headless: {error}")))
            }
        }
    }

    /// What was pressed since the last time. Never waits.
    fn actions(&mut self) -> std::io::Result<Vec<Action>> {
        let mut actions = Vec::new();
        while actions.len() < KEYS_MAX && event::poll(Duration::ZERO)? {
            match event::read()? {
                Event::Key(key) => actions.extend(keys::action(key)),
                Event::Resize(..) => self.drawn_at = None,
                _ => {}
            }
        }
        Ok(actions)
    }

    fn draw(&mut self, model: &Model) -> std::io::Result<()> {
        self.terminal.draw(|frame| draw::draw(frame, model)).map(drop)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // There is nobody left to tell that it did not work.
        let _ = ratatui::try_restore();
    }
}

impl Demo {
    /// Does what the keys say, and draws what is known now. Without a screen it does nothing.
    pub(crate) async fn show(&mut self) -> Result<(), AnyError> {
        let Some(mut screen) = self.screen.take() else { return Ok(()) };
        let actions = screen.actions()?;
        let is_due = screen.drawn_at.is_none_or(|at| now() - at >= DRAW_INTERVAL);
        if is_due {
            screen.drawn_at = Some(now());
            screen.draw(&Model::of(self))?;
        }
        self.screen = Some(screen);
        for action in actions {
            self.act(action).await?;
        }
        Ok(())
    }

    async fn act(&mut self, action: Action) -> Result<(), AnyError> {
        if action == Action::Quit {
            self.takes_keys = false;
            return Err(Quit.into());
        }
        if !self.takes_keys {
            self.complain(
                "keys act on the cluster only while it runs freely: it forms, ends or follows its script",
            );
            return Ok(());
        }
        match action {
            Action::KillControl => self.kill_control_by_key().await,
            Action::Drain => self.drain_by_key().await,
            Action::KillWorker => self.kill_worker_by_key().await,
            Action::AddControl if self.board.controls.len() >= NODES_MAX => {
                self.complain(&format!("no control node is added: {NODES_MAX} are the most"));
                Ok(())
            }
            Action::AddControl => {
                let name = self.begin_join_control().await?;
                self.watch(Awaited::Active(name));
                self.watch(Awaited::Balanced);
                Ok(())
            }
            Action::AddWorker if self.board.workers.len() >= NODES_MAX => {
                self.complain(&format!("no worker is added: {NODES_MAX} are the most"));
                Ok(())
            }
            Action::AddWorker => {
                let name = self.begin_join_worker().await?;
                self.watch(Awaited::Placed(name));
                Ok(())
            }
            Action::Quit => Ok(()),
        }
    }

    /// A control node that another one can stand in for.
    fn spare_control(&mut self, what: &str) -> Option<String> {
        let running = self.board.fit_controls().count();
        if running < 2 {
            self.complain(&format!(
                "no control node {what}: two must run, and {running} does; add one with c"
            ));
            return None;
        }
        self.busiest_control()
    }

    async fn kill_control_by_key(&mut self) -> Result<(), AnyError> {
        let Some(victim) = self.spare_control("is killed") else { return Ok(()) };
        let workers = self.begin_kill_control(&victim).await?;
        self.watch(Awaited::Down(victim.clone()));
        self.watch(Awaited::Rehosted { control: victim, workers });
        self.watch(Awaited::Balanced);
        Ok(())
    }

    async fn drain_by_key(&mut self) -> Result<(), AnyError> {
        let Some(node) = self.spare_control("leaves") else { return Ok(()) };
        self.begin_leave(&node).await?;
        self.watch(Awaited::Exited(node));
        Ok(())
    }

    async fn kill_worker_by_key(&mut self) -> Result<(), AnyError> {
        if self.board.workers.len() < 2 {
            self.complain("no worker is killed: two must run, and one does; add one with n");
            return Ok(());
        }
        let Some(victim) = self.busy_worker() else { return Ok(()) };
        self.begin_kill_worker(&victim).await?;
        self.watch(Awaited::NotConnected(victim));
        Ok(())
    }
}
