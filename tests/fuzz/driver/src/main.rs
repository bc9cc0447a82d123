//! One program for all fuzz targets: `FLOTILLA_FUZZ` names one.

#![no_main]

use std::sync::LazyLock;

use flotilla_fuzz::{TARGETS, Target};
use libfuzzer_sys::fuzz_target;

static TARGET: LazyLock<Target> = LazyLock::new(|| {
    let name = std::env::var("FLOTILLA_FUZZ").unwrap_or_default();
    let names: Vec<_> = TARGETS.iter().map(|target| target.name).collect();
    let target = TARGETS.into_iter().find(|target| target.name == name);
    target.unwrap_or_else(|| panic!("FLOTILLA_FUZZ={name} is none of {names:?}"))
});

fuzz_target!(|bytes: &[u8]| (TARGET.body)(bytes));
