//! A damaged store: what is lost is told, and everything else is there.

mod bench;
mod log;
mod records;
mod stops;
mod verify;
