//! Shipped code on real nodes: pushed, called, exchanged and held, while everything else goes on.

mod guests;
mod held;
mod kept;
mod tasks;
mod versions;
