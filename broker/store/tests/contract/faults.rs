//! What an engine promises when the world is wrong.

use flotilla_core::turn::Write;
use flotilla_store::{Error, State};

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
    a_failing_engine_reports_everything_when_it_has_healed,
    what_was_reported_before_the_failure_is_there_after_a_restart,
    a_refusal_keeps_its_place_when_the_engine_heals,
    a_failed_replay_is_an_error,
);

fn failing() -> State {
    let error = Error::Unwritable { reason: "a fault was asked for".into() };
    State::Failing { reason: error.to_string(), is_full: false }
}

/// Waits until the engine fails. How many batches were committed before.
fn fail(bench: &mut Bench) -> u64 {
    let mut committed = 0;
    loop {
        match bench.next_told() {
            Told::Committed(group, _) => committed += group.len() as u64,
            told => {
                assert_eq!(told, Told::State(failing()));
                return committed;
            }
        }
    }
}

fn a_failing_engine_reports_everything_when_it_has_healed(mut bench: Bench) {
    bench.faults.fail_after(3);
    for n in 0..10 {
        bench.submit(&[message("t", &[n])], vec![]);
    }
    assert_eq!(fail(&mut bench), 3);
    assert_eq!(bench.engine().state(), failing());
    bench.submit(&[message("t", b"")], vec![]);
    assert!(bench.engine().uncommitted_bytes() > 0, "so that publishers slow down");
    bench.faults.heal();
    let told = bench.settle();
    let rest: Vec<_> = (4..=11).map(|n| (0, n, n)).collect();
    let committed: Vec<_> = told
        .iter()
        .flat_map(|told| match told {
            Told::Committed(group, _) => group.clone(),
            told => {
                assert_eq!(*told, Told::State(State::Healthy));
                Vec::new()
            }
        })
        .collect();
    assert_eq!(committed, rest, "in order, none twice");
    bench.wait_for_sync(11);
    assert_eq!(bench.engine().state(), State::Healthy);
    assert_eq!(bench.engine().close(), Ok(()));
}

fn what_was_reported_before_the_failure_is_there_after_a_restart(mut bench: Bench) {
    bench.faults.fail_after(5);
    for n in 0..8 {
        let retained = Write::PutRetained(message(&format!("r/{n}"), b""));
        bench.submit(&[message("t", &[n])], vec![retained]);
    }
    assert_eq!(fail(&mut bench), 5);
    assert!(matches!(bench.engine().close(), Err(Error::Unwritable { .. })));
    bench.reopen();
    let end = bench.recovered.end.0;
    assert!((6..=9).contains(&end), "{end}");
    assert_eq!(bench.positions("t"), (1..end).collect::<Vec<_>>());
    assert_eq!(bench.recovered.retained.len() as u64, end - 1, "batches are whole");
    bench.submit(&[message("t", b"")], vec![]);
    assert_eq!(bench.commit(), end + 1, "it goes on");
}

fn a_refusal_keeps_its_place_when_the_engine_heals(mut bench: Bench) {
    bench.faults.fail_after(1);
    let first = bench.submit(&[], vec![put(session("a", 1))]);
    bench.submit(&[message("t", b"")], vec![]);
    let stale = bench.submit(&[], vec![put(session("a", 1))]);
    bench.submit(&[], vec![put(session("a", 2))]);
    assert_eq!(fail(&mut bench), first);
    bench.faults.heal();
    let told = bench.settle();
    let refused = told.iter().position(|told| *told == Told::Refused(0, stale));
    let tickets = |told: &[Told]| {
        let of = |told: &Told| match told {
            Told::Committed(group, _) => group.iter().map(|(_, ticket, _)| *ticket).collect(),
            _ => Vec::new(),
        };
        told.iter().flat_map(of).collect::<Vec<_>>()
    };
    let refused = refused.expect("it is told");
    assert_eq!((tickets(&told[..refused]), tickets(&told[refused..])), (vec![2], vec![4]));
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
