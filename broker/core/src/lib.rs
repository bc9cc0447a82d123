//! The broker's logic as a pure state machine.
//!
//! Nothing here waits: no socket, file, thread, lock or clock. [`shard::Shard`] is told what
//! happened and at what time; what the outside must do about it comes back in a [`turn::Turn`].
//! So the same code runs in the broker and in a simulator that replays a seed exactly.

pub mod connection;
pub mod counters;
pub mod durability;
pub mod histogram;
pub mod id;
pub mod limits;
pub mod mail;
pub mod message;
pub mod notice;
mod rare;
pub mod record;
pub mod router;
pub mod session;
pub mod shard;
mod spare;
pub mod subscription;
pub mod time;
pub mod turn;
pub mod words;
