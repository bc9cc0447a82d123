//! How long a check of a store takes, and a copy of it.

use std::path::Path;
use std::time::Instant;

use flotilla_store::{Report, verify_closed};

use crate::{MILLION, fill};

/// Of a million messages of 1 KB, in use and closed.
pub(crate) fn verifies(dir: &Path) {
    let store = dir.join("store");
    fill(&store, MILLION, 1024, 100_000, 100, |open| {
        let report = open.rocks.verify(&|_| true).unwrap_or_else(|error| panic!("{error}"));
        print("in use", &report);
        let began = Instant::now();
        open.rocks.copy(&dir.join("copy")).unwrap_or_else(|error| panic!("{error}"));
        println!("a copy while it is in use: {:.0?}", began.elapsed());
    });
    let report = verify_closed(&store, &|_| true).unwrap_or_else(|error| panic!("{error}"));
    print("closed", &report);
}

fn print(how: &str, report: &Report) {
    assert!(report.is_whole(), "{report:?}");
    let mib = report.files.values().map(|count| count.bytes).sum::<u64>() >> 20;
    println!("1,000,000 messages of 1 KB, {how}: {mib} MiB checked in {:.1} s", report.seconds);
}
