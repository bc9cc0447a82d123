//! Shards on a bench: rules, faults, chaos, simulation.

mod authenticate;
mod bounds;
mod chaos;
mod cleaned;
mod dissolving;
mod durability;
mod faults;
mod full;
mod refused;
mod rules;
mod shared;
mod simulation;

use sim::bench;
