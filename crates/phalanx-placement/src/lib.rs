#![doc = include_str!("../README.md")]

mod hash;
mod placement;
mod plan;
mod ring;
mod zones;

pub use hash::partition;
pub use placement::Placement;
pub use plan::Plan;
