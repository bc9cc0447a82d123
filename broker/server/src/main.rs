//! The broker's program.

use std::process::ExitCode;

/// What a message is, one small allocation for a turn, costs it less than the C library (docs/performance.md).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    flotilla::run_program()
}
