//! Who is said to host a worker: a hint, where [`Owners`](super::Owners) say who should.

use phalanx_base::NodeId;

/// Where the proxies of workers are said to be, such as by a table that all control nodes keep. Nothing rests on it: who is
/// named is asked, and an entry that is out of date costs one question.
pub trait Directory: Send + Sync + 'static {
    /// The control node that is said to host the proxy of `worker`. Asked on the way of calls, so it must not wait.
    fn location(&self, worker: &NodeId) -> Option<NodeId>;
}

/// Says nothing: whoever should host a worker is asked, and then everybody.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoDirectory;

impl Directory for NoDirectory {
    fn location(&self, _: &NodeId) -> Option<NodeId> {
        None
    }
}
