//! Shards on a bench: rules, faults, bounds.

mod authenticate;
mod bounds;
mod cleaned;
mod dissolving;
mod durability;
mod faults;
mod full;
mod refused;
mod rules;
mod shared;

use sim::bench;
