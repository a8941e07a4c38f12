//! The seam through which anything is started.

use futures_util::future::BoxFuture;

/// Starts work. The framework's own work and the user's run on different threads, so that a handler that blocks delays
/// no heartbeat; a simulator runs both on one.
pub trait Spawn: Send + Sync + 'static {
    /// Starts work of the framework: it never blocks.
    fn spawn(&self, work: BoxFuture<'static, ()>);
    /// Starts work of the user, on threads of its own.
    fn spawn_user(&self, work: BoxFuture<'static, ()>);
    /// Starts work of the user that blocks for long.
    fn spawn_blocking(&self, work: Box<dyn FnOnce() + Send>);
}
