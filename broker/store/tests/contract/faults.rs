//! What an engine promises when the world is wrong.

use flotilla_core::turn::Write;
use flotilla_store::Error;

use crate::bench::{Bench, Kind, Told, message, put, replay, session};

/// Runs a test against the engines that fail when told.
macro_rules! faulty {
    ($($test:ident),* $(,)?) => {
        mod memory {
            $(#[test] fn $test() { super::$test(super::Bench::new(super::Kind::FaultyMemory)); })*
        }
        mod rocks {
            $(#[test] fn $test() { super::$test(super::Bench::new(super::Kind::FaultyRocks)); })*
        }
    };
}

faulty!(
    a_poisoned_engine_reports_nothing_more,
    what_was_reported_before_the_poison_is_there_after_a_restart,
    a_refusal_is_reported_before_the_poison,
    a_failed_replay_is_an_error,
);

fn poison() -> Error {
    Error::Poisoned { reason: "a fault was asked for".into() }
}

fn a_poisoned_engine_reports_nothing_more(mut bench: Bench) {
    bench.faults.poison_after(3);
    for n in 0..10 {
        bench.submit(&[message("t", &[n])], vec![]);
    }
    let told = bench.settle();
    assert_eq!(
        told,
        [Told::Committed(vec![(0, 1, 1), (0, 2, 2), (0, 3, 3)], 4), Told::Poisoned(poison())]
    );
    bench.submit(&[message("t", b"")], vec![]);
    assert_eq!(bench.engine().close(), Err(poison()));
    assert_eq!(bench.engine().close(), Err(poison()));
    assert_eq!(bench.told_to_the_end(), []);
}

fn what_was_reported_before_the_poison_is_there_after_a_restart(mut bench: Bench) {
    bench.faults.poison_after(5);
    for n in 0..8 {
        let retained = Write::PutRetained(message(&format!("r/{n}"), b""));
        bench.submit(&[message("t", &[n])], vec![retained]);
    }
    bench.settle();
    bench.reopen();
    let end = bench.recovered.end.0;
    assert!((6..=9).contains(&end), "{end}");
    assert_eq!(bench.positions("t"), (1..end).collect::<Vec<_>>());
    assert_eq!(bench.recovered.retained.len() as u64, end - 1, "batches are whole");
    bench.submit(&[message("t", b"")], vec![]);
    assert_eq!(bench.commit(), end + 1, "it goes on");
}

fn a_refusal_is_reported_before_the_poison(mut bench: Bench) {
    bench.faults.poison_after(1);
    bench.submit(&[], vec![put(session("a", 1))]);
    let stale = bench.submit(&[], vec![put(session("a", 1))]);
    bench.submit(&[], vec![put(session("a", 2))]);
    let told = bench.settle();
    assert_eq!(told[1..], [Told::Refused(0, stale), Told::Poisoned(poison())]);
}

fn a_failed_replay_is_an_error(mut bench: Bench) {
    bench.submit(&[message("t", b"")], vec![]);
    bench.commit();
    let error = Error::Unreadable { reason: "the disk is gone".into() };
    bench.faults.fail_replays(Some(error.clone()));
    assert_eq!(bench.try_replay(&replay(&["t"])), Err(error));
    bench.faults.fail_replays(None);
    assert_eq!(bench.positions("t"), [1]);
}
