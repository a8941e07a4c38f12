//! What a node is labelled with.
use serde::{Deserialize, Serialize};

/// One label: a name, keys, and optional values.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Item {}

/// The labels of a node.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Labels {}

/// Why a text is not [`Labels`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LabelsError {}
