//! The broker's core, run from a seed with every fault, against a model of the specification.
//!
//! [`bench`] is the broker on a bench: shards, router, an engine that lies when it is told to,
//! sockets as queues of bytes, a clock. [`plan`] is what happens in a run, [`play`] runs it.

pub mod bench;
mod client;
mod model;
pub mod plan;
pub mod play;
pub mod tally;
mod world;
