//! The files of a RocksDB database, read without RocksDB.
//!
//! RocksDB finds damage where it happens to read. What is here reads every byte, tells a write that
//! was cut off from a bit that has changed, and says which keys a damaged block had. The facts are
//! RocksDB's: `db/log_format.h`, `table/format.cc`, `table/block_based/block.cc`.

pub(crate) mod log;
pub(crate) mod salvage;
pub(crate) mod sums;
pub(crate) mod table;
pub(crate) mod wal;
