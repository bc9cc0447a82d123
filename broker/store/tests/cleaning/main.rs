//! The log is cleaned, and who loses by it is counted.

mod bench;
mod faults;
mod losses;
mod rules;
