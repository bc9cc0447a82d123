//! Shards on a bench: rules, faults, bounds.

mod aliases;
mod authenticate;
mod bounds;
mod cleaned;
mod dissolving;
mod durability;
mod exchanges;
mod faults;
mod finished;
mod forbidden;
mod full;
mod own_words;
mod refused;
mod replaced;
mod rules;
mod shared;
mod strays;
mod unreadable;

use sim::bench;
