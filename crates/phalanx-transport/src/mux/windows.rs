//! How much a peer may make us keep, by lane. Both ends know these numbers, so that nobody announces them: they are part of
//! the wire format.
//!
//! A window of all streams of a lane, rather than one of the whole link, keeps transfers that nobody reads from taking the
//! room of heartbeats. All lanes together: 13 MiB a link at most.

use phalanx_base::Lane;

/// How much of one stream may be on its way or unread.
pub(crate) const fn stream_window(lane: Lane) -> u32 {
    match lane {
        // Heartbeats and what goes with them: more than a snapshot of a worker.
        Lane::Control => 256 * 1024,
        // As over QUIC, an eighth of a megabyte for each gigabit and millisecond; requests are small.
        Lane::Request | Lane::Event => 512 * 1024,
        // 1 Gbit/s over 16 ms.
        Lane::Bulk => 2 * 1024 * 1024,
    }
}

/// How much of all streams of a lane may be on its way or unread: several that nobody reads do not stop the others.
pub(crate) const fn lane_window(lane: Lane) -> u32 {
    match lane {
        Lane::Control => 1024 * 1024,
        Lane::Request | Lane::Event => 2 * 1024 * 1024,
        Lane::Bulk => 8 * 1024 * 1024,
    }
}

/// What has been read is told once it is this part of a window: rarely, and long before the sender must wait.
pub(crate) const GRANT_PART: u32 = 4;

/// What one stream may hold that was written and is not on its way.
pub(crate) const PIPE_BYTES_MAX: usize = 256 * 1024;

/// The longest datagram, as over QUIC on a path whose packet size is not known yet: who relies on more here would find
/// out over QUIC.
pub(crate) const DATAGRAM_BYTES_MAX: usize = 1162;

/// A lane's place among the others, the most urgent first.
pub(crate) fn rank(lane: Lane) -> usize {
    match lane {
        Lane::Control => 0,
        Lane::Request => 1,
        Lane::Event => 2,
        Lane::Bulk => 3,
    }
}
