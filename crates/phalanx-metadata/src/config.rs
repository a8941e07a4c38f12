//! Which tables there are, who wins in them, and how much a node holds.

use std::collections::BTreeMap;

use crate::Table;

/// Who wins where several logs have a record under one key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// Each record has one natural writer, whose id begins the key's name ([`Key::belongs_to`](crate::Key::belongs_to)):
    /// nobody else can write it. The newest generation wins. It goes with its writer.
    Single,
    /// Any control node writes any key, and the last one wins, by [`Stamp`](crate::Stamp). Such records outlive who
    /// wrote them: another control node takes them over.
    LastWriter,
    /// The record with the greatest [`Order`](crate::Order) wins, and the last one of equal ones. It goes with its writer.
    Greatest,
}

/// How much a node holds. It must be the same on all nodes: a log that is over the limits of another node does not
/// spread to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// How many records one log has, removed ones included. A quarter of a million: the locations of all workers of a
    /// large cluster, at one control node.
    pub log_records_max: usize,
    /// How many bytes one log takes: a thousand of the largest values, or all of the smallest.
    pub log_bytes_max: usize,
    /// How many bytes all logs take together.
    pub total_bytes_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { log_records_max: 262_144, log_bytes_max: 64 << 20, total_bytes_max: 512 << 20 }
    }
}

/// What a program declares once, the same on all nodes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MetadataConfig {
    /// The tables and their rules. Records of others, as of a newer version of the program, are kept and passed on and
    /// cannot be read.
    pub tables: BTreeMap<Table, Rule>,
    /// How much a node holds.
    pub limits: Limits,
}
