//! Shards on a bench: rules, faults, chaos, simulation.

mod bench;
mod bounds;
mod chaos;
mod cleaned;
mod faults;
mod rules;
mod simulation;
