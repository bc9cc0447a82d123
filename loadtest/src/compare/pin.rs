//! Which core runs what.

use rustix::thread::{CpuSet, sched_setaffinity};

use crate::error::Error;

/// The core of the broker.
pub(crate) const BROKER: usize = 0;
/// The core of this program.
pub(crate) const TOOL: usize = 1;

/// This thread, with all that it starts from now on, runs on that core; `None`: as before.
///
/// # Errors
/// When there is no such core.
pub(crate) fn to(core: Option<usize>) -> Result<(), Error> {
    let Some(core) = core else { return Ok(()) };
    let mut cores = CpuSet::new();
    cores.set(core);
    sched_setaffinity(None, &cores).map_err(|error| Error::System {
        what: "cannot pin to a core, see --no-pin",
        source: error.into(),
    })
}
