//! The event log of a task, from both ends: the worker's [`Outbox`] keeps what is not acknowledged, the control node's
//! [`Cursor`] says what has been handled.
//!
//! A number is acknowledged only after the control node's handler has returned. So a lost link repeats what was not
//! handled, the cursor drops what was, and nothing is lost in silence: what did not fit is a gap with its bounds.

mod cursor;
mod outbox;

pub use cursor::{Cursor, Received};
pub use outbox::{EVENTS_IN_FLIGHT_BYTES_MAX, EVENTS_IN_FLIGHT_MAX, Entry, LOGS_MAX, Log, Outbox};
