//! A damaged store: what is lost is told, and everything else is there.

mod bench;
mod records;
mod stops;
mod verify;
