//! What can be refused, to the program and to other nodes.

use phalanx_base::{Boot, NodeId};

use crate::clock::STAMP_AHEAD_MS_MAX;
use crate::wire::{LOGS_MAX, VALUE_BYTES_MAX};
use crate::{Key, Table};

/// Why something was not written. Nothing has changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WriteError {
    /// The table is not in [`MetadataConfig::tables`](crate::MetadataConfig::tables).
    #[error("no table {table} was declared: name it and its rule in the configuration of each node")]
    UnknownTable {
        /// Which.
        table: Table,
    },
    /// A table of [`Rule::Greatest`](crate::Rule::Greatest) needs an order, and no other has one.
    #[error("the rule of table {table} {}", if *.needs_order { "needs an order: use set_ordered and remove_ordered" } else { "knows no order: use set and remove" })]
    WrongRule {
        /// Which.
        table: Table,
        /// Whether an order is missing.
        needs_order: bool,
    },
    /// The key belongs to another node, by the rule [`Rule::Single`](crate::Rule::Single).
    #[error("{key} is not this node's: its name must begin with the id of the node that writes it")]
    NotOwnKey {
        /// Which.
        key: Key,
    },
    /// The value is larger than [`VALUE_BYTES_MAX`].
    #[error(
        "a value of {bytes} bytes is larger than {VALUE_BYTES_MAX}: keep it elsewhere and write where it is"
    )]
    ValueTooLarge {
        /// Its size.
        bytes: usize,
    },
    /// This node's log, or what this node holds altogether, is at its limit.
    #[error("the log of this node is full: remove what is not needed, or raise the limits on every node")]
    Full,
    /// The present value was written far ahead of this node's clock, or this node's clock went back far.
    #[error(
        "the wall clock is far behind what was written before: set the clocks, or wait until it is there"
    )]
    ClockBehind,
    /// The present record has a greater order.
    #[error("the present record of {key} has a greater order: this one is out of date")]
    Outranked {
        /// Which.
        key: Key,
    },
}

/// Why a message, or a part of one, was not taken. The rest of the message was. Nothing is wrong with the link: tell it to
/// a log, and go on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The roster does not name its sender, or not yet. All of it was refused.
    #[error("metadata of {from}, which is not in the roster: it is taken once it is")]
    Stranger {
        /// Who sent it.
        from: NodeId,
    },
    /// The roster does not name the origin of a log, or not in that boot.
    #[error("{from} passes on the log of {origin}, which is not in the roster: it is taken once it is")]
    UnknownOrigin {
        /// Who sent it.
        from: NodeId,
        /// Whose log.
        origin: Boot,
    },
    /// A node pushed what another one has to say.
    #[error("{from} pretends that {origin} has just written something: {from} is faulty or hostile")]
    NotItsLog {
        /// Who sent it.
        from: NodeId,
        /// Whose log.
        origin: Boot,
    },
    /// A log has a record of [`Rule::Single`](crate::Rule::Single) that belongs to another node.
    #[error(
        "the log of {origin} has {key}, which is another node's: {origin} or who passes it on is faulty or hostile"
    )]
    NotItsKey {
        /// Whose log.
        origin: Boot,
        /// Which.
        key: Key,
    },
    /// A log has a record that was written more than [`STAMP_AHEAD_MS_MAX`] from now.
    #[error(
        "the log of {origin} is {ahead_ms} ms ahead of this node's wall clock, more than {STAMP_AHEAD_MS_MAX}: set the clocks and restart the node that was wrong"
    )]
    FutureStamp {
        /// Whose log.
        origin: Boot,
        /// How far.
        ahead_ms: u64,
    },
    /// A log would take more than the [`Limits`](crate::Limits).
    #[error(
        "the log of {origin} is over this node's limits: give all nodes the same, and remove what is not needed"
    )]
    TooLarge {
        /// Whose log.
        origin: Boot,
    },
    /// There are [`LOGS_MAX`] logs.
    #[error(
        "the log of {origin} is one more than {LOGS_MAX}: too many nodes, or some that restart all the time"
    )]
    TooManyLogs {
        /// Whose log.
        origin: Boot,
    },
}
