//! What a core wants sent: to which link, on which lane.

use phalanx_base::Lane;

use crate::session::LinkId;
use crate::wire::Frame;

/// One frame to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transmit {
    /// Over which link.
    pub link: LinkId,
    /// On which lane.
    pub lane: Lane,
    /// What.
    pub frame: Frame,
}
