//! What becomes of a stream that a peer has opened: its first frame says what it is for, and the table who may.

use std::sync::Arc;
use std::time::Duration;

use phalanx_base::{Lane, Role, Spawn};

use super::control::ControlService;
use super::splice::{Route, Way};
use super::worker::{WorkerService, WorkerTransfer};
use crate::carrier::{Carrier, Stream};
use crate::wire::Opening;

/// How long a stream may take to say what it is for.
const OPENING_TIMEOUT: Duration = Duration::from_secs(5);

/// What has become of a stream.
pub enum Accepted {
    /// A service has it.
    Taken,
    /// It carries membership's messages, which are for the caller.
    Gossip(GossipStream),
    /// It carries news, which are for the caller.
    News(NewsStream),
    /// It carries what control nodes know, which is for the caller.
    Metadata(MetadataStream),
    /// The peer must not open such a stream, or did not say what it is for: the link is of no use.
    Refused,
}

/// A stream of membership's messages.
pub struct GossipStream(pub Stream);

/// A stream of news.
pub struct NewsStream(pub Stream);

/// A stream of what control nodes know.
pub struct MetadataStream(pub Stream);

/// Takes a stream that the peer has opened, and gives it to whom it is for.
pub async fn accept(
    carrier: &Arc<dyn Carrier>,
    lane: Lane,
    mut stream: Stream,
    worker: &WorkerService,
    control: Option<&ControlService>,
    spawn: &dyn Spawn,
) -> Accepted {
    // Only control nodes open streams: a worker answers on those that were opened to it.
    if carrier.role() != Role::Control {
        return Accepted::Refused;
    }
    let opening = match tokio::time::timeout(OPENING_TIMEOUT, stream.source.next()).await {
        Ok(Ok(Some(frame))) => Opening::from_frame(&frame),
        _ => return Accepted::Refused,
    };
    let link = carrier.id();
    match (opening, lane, control) {
        (Ok(Opening::Session), Lane::Control | Lane::Request | Lane::Event, _) => {
            worker.session(link, lane, stream).await;
        }
        (Ok(Opening::Transfer { fence, generation, task, transfer }), Lane::Bulk, _) => {
            let wanted = None;
            worker.transfer(WorkerTransfer { link, fence, generation, task, transfer, wanted, stream }).await;
        }
        (Ok(Opening::Fetch { fence, generation, task, transfer, note }), Lane::Bulk, _) => {
            let wanted = Some(note);
            worker.transfer(WorkerTransfer { link, fence, generation, task, transfer, wanted, stream }).await;
        }
        (Ok(Opening::Peer), Lane::Request, Some(control)) => control.peer_stream(link, stream).await,
        (Ok(Opening::PeerTransfer { worker, generation, task, transfer }), Lane::Bulk, Some(control)) => {
            let route = Route { worker, generation, task, transfer, way: Way::Into };
            let control = control.clone();
            spawn.spawn(Box::pin(async move { control.relay(stream, route).await }));
        }
        (Ok(Opening::PeerFetch { worker, generation, task, transfer, note }), Lane::Bulk, Some(control)) => {
            let route = Route { worker, generation, task, transfer, way: Way::From(note) };
            let control = control.clone();
            spawn.spawn(Box::pin(async move { control.relay(stream, route).await }));
        }
        (Ok(Opening::News), Lane::Event, _) => return Accepted::News(NewsStream(stream)),
        (Ok(Opening::Metadata), Lane::Event, Some(_)) => return Accepted::Metadata(MetadataStream(stream)),
        (Ok(Opening::Gossip), Lane::Control, Some(_)) => return Accepted::Gossip(GossipStream(stream)),
        _ => return Accepted::Refused,
    }
    Accepted::Taken
}
