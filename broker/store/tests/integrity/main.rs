//! A damaged store: what is lost is told, and everything else is there.

mod bench;
#[path = "../ends/mod.rs"]
mod ends;
mod log;
mod records;
mod stops;
mod verify;
