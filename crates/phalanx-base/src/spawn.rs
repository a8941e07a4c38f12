//! The seam through which anything is started.

use std::future::Future;
use std::pin::Pin;

/// Work that runs by itself once it is started.
pub type Work = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Starts work. The framework's own work and the user's run on different threads, so that a handler that blocks delays
/// no heartbeat; a simulator runs both on one.
pub trait Spawn: Send + Sync + 'static {
    /// Starts work of the framework: it never blocks.
    fn spawn(&self, work: Work);
    /// Starts work of the user, on threads of its own.
    fn spawn_user(&self, work: Work);
    /// Starts work of the user that blocks for long.
    fn spawn_blocking(&self, work: Box<dyn FnOnce() + Send>);
}
