//! Programs as tasks: what they write comes whole and in order, what they are told reaches them, how they end is exact, and
//! nothing of them is left behind.

mod bounds;
mod death;
mod ends;
mod permits;
mod stage;
mod streams;
