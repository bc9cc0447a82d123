//! Shards on a bench: rules, faults, chaos, simulation.

mod bench;
mod chaos;
mod faults;
mod rules;
mod simulation;
