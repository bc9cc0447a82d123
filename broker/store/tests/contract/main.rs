//! The conformance suite of engines: each test runs against each of them.

mod bench;
mod commits;
mod faults;
mod records;
mod replays;
