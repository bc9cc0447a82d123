//! The broker's core, run from a seed with every fault, against a model of the specification.

pub mod bench;
