//! Programs as tasks: what they write comes whole and in order, what they are told reaches them, how they end is exact, and
//! nothing of them is left behind.

mod apart;
mod bounds;
mod cgroups;
mod death;
mod ends;
mod keeping;
mod permits;
mod stage;
mod streams;
mod terminals;
