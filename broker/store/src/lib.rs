//! What the broker keeps on disk, behind one contract.
//!
//! A shard hands its [`Batch`](flotilla_core::turn::Batch) to an [`Engine`] and goes on; the engine
//! tells the [`CommitSink`] when it is durable. [`Rocks`] is the engine of the broker, [`Memory`]
//! and [`Faulty`] serve tests and the simulator.

mod batch;
mod block;
mod clean;
mod commit;
mod encode;
mod engine;
mod error;
mod faulty;
mod files;
mod growing;
mod hash;
mod keys;
mod memory;
mod page;
mod partition;
mod progress;
mod quarantine;
mod recover;
mod rocks;
mod scan;
mod segment;
mod state;
mod verify;
mod wanted;

pub use clean::backlog::{Backlog, Loss, Lowest, PartitionBacklog};
pub use clean::plan::{Reason, Taken};
pub use engine::{
    Cleaned, CommitSink, Counters, Engine, LogSize, MemoryUse, Recovered, UncleanStop,
};
pub use error::Error;
pub use faulty::{Between, Faults, Faulty};
pub use memory::Memory;
pub use progress::{Phase, Progress};
pub use quarantine::Damage;
pub use rocks::{Options, Rocks, SegmentLimits, backlog_closed, copy_closed};
pub use state::State;
pub use verify::{Count, Finding, LogCount, Report, verify_closed};
