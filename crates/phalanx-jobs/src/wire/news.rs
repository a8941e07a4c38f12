//! News: small things that one control node tells every node of the cluster, as well as it can.

use bytes::Bytes;
use phalanx_base::{Boot, NodeId};
use serde::{Deserialize, Serialize};

/// The longest payload of news in bytes. News go to everybody; what is larger belongs into a transfer.
pub const NEWS_BYTES_MAX: usize = 64 << 10;

/// The longest name of news in bytes.
pub const NEWS_NAME_BYTES_MAX: usize = 128;

/// A piece of news on its way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Published {
    /// The control node that has published it.
    pub origin: Boot,
    /// Its number at that boot of it, from 1 on.
    pub number: u64,
    /// What is new.
    pub news: News,
}

/// What is new.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum News {
    /// Something of the user's own.
    User {
        /// What it is about, up to [`NEWS_NAME_BYTES_MAX`].
        name: String,
        /// Up to [`NEWS_BYTES_MAX`].
        payload: Bytes,
    },
    /// A worker will not come back; for control nodes only.
    Forget {
        /// Which worker.
        worker: NodeId,
    },
}

impl Published {
    /// Whether all lengths are within their bounds, which decoding does not check one by one.
    #[must_use]
    pub fn is_within_bounds(&self) -> bool {
        match &self.news {
            News::User { name, payload } => {
                (1..=NEWS_NAME_BYTES_MAX).contains(&name.len()) && payload.len() <= NEWS_BYTES_MAX
            }
            News::Forget { .. } => true,
        }
    }
}
