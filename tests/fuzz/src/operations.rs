//! The core by operations: a run of the simulator that a fuzzer chooses.

use sim::plan::Plan;
use sim::play::{Telling, play};

/// Two bytes are the seed of the broker, each four that follow an operation.
pub(crate) fn play_any(bytes: &[u8]) {
    let Some((seed, bytes)) = bytes.split_first_chunk::<2>() else { return };
    let plan = Plan::of_bytes(u16::from_be_bytes(*seed).into(), &bytes[..bytes.len().min(4_000)]);
    if let Some(fault) = play(&plan, Telling::Silent).fault {
        panic!("{fault}\n{plan}");
    }
}
