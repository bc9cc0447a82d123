//! How batches are committed.

use std::thread;

use flotilla_core::id::{ShardId, Ticket};
use flotilla_core::message::Message;
use flotilla_core::turn::{Append, Batch, Write};
use flotilla_store::Error;

use crate::bench::{Bench, Kind, Told, contract, id, message, put, replay, session};

contract!(
    positions_follow_the_submissions_of_all_shards,
    a_batch_without_appends_gets_the_next_position,
    a_barrier_is_reported_behind_everything_submitted_before,
    bytes_are_uncommitted_until_they_are_committed,
    close_commits_everything_submitted,
    a_closed_engine_takes_and_gives_nothing,
    a_stale_revision_refuses_the_whole_batch,
    a_revision_counts_from_the_batch_before,
    threads_share_an_engine,
    counters_count,
    a_large_batch_is_one_batch,
    what_somebody_waits_for_is_synced_behind_its_commit,
);

fn positions_follow_the_submissions_of_all_shards(mut bench: Bench) {
    let messages: Vec<Message> = (0..6_u8).map(|n| message("t", &[n])).collect();
    bench.submit_of(1, &messages[..2], vec![]);
    bench.submit_of(0, &messages[2..3], vec![]);
    bench.submit_of(1, &messages[3..6], vec![]);
    let group = vec![(1, 1, 1), (0, 2, 3), (1, 3, 4)];
    assert_eq!(bench.settle(), [Told::Committed(group, 7)]);
    let stored = bench.replay_all(replay(&["#"]));
    assert_eq!(stored, (1..).zip(messages).collect::<Vec<_>>());
}

fn a_batch_without_appends_gets_the_next_position(mut bench: Bench) {
    bench.submit(&[message("t", b"")], vec![]);
    bench.submit(&[], vec![put(session("a", 1))]);
    bench.submit(&[message("t", b"")], vec![]);
    let group = vec![(0, 1, 1), (0, 2, 2), (0, 3, 2)];
    assert_eq!(bench.settle(), [Told::Committed(group, 3)]);
}

fn a_barrier_is_reported_behind_everything_submitted_before(mut bench: Bench) {
    let mut expected = Vec::new();
    for n in 0..50 {
        let ticket = bench.submit(&[message("t", &[n])], vec![]);
        expected.push((0, ticket, u64::from(n) + 1));
    }
    let ticket = bench.submit_of(3, &[], vec![]);
    expected.push((3, ticket, 51));
    assert_eq!(bench.settle(), [Told::Committed(expected, 51)]);
}

fn bytes_are_uncommitted_until_they_are_committed(mut bench: Bench) {
    assert_eq!(bench.engine().uncommitted_bytes(), 0);
    for n in 1..=3 {
        bench.submit(&[message("t", &[0; 1000])], vec![put(session("a", n))]);
    }
    bench.submit(&[message("t", &[0; 1000])], vec![put(session("a", 1))]);
    bench.settle();
    assert_eq!(bench.engine().uncommitted_bytes(), 0, "committed and refused");
}

fn close_commits_everything_submitted(mut bench: Bench) {
    for n in 0..20 {
        bench.submit(&[message("t", &[n])], vec![Write::PutRetained(message("r", &[n]))]);
    }
    bench.engine().close().expect("it closes");
    let tickets = (1..=20).map(|n| (0, n, n)).collect();
    assert_eq!(bench.settle(), [Told::Committed(tickets, 21)]);
    bench.reopen();
    assert_eq!(bench.recovered.end.0, 21);
    assert_eq!(bench.recovered.retained, [message("r", &[19])]);
    assert_eq!(bench.positions("t"), (1..=20).collect::<Vec<_>>());
}

fn a_closed_engine_takes_and_gives_nothing(mut bench: Bench) {
    bench.engine().close().expect("it closes");
    bench.submit(&[message("t", b"")], vec![]);
    assert_eq!(bench.engine().uncommitted_bytes(), 0);
    assert_eq!(bench.try_replay(&replay(&["#"])), Err(Error::Closed));
    bench.engine().close().expect("it closes");
    assert_eq!(bench.told_to_the_end(), []);
}

fn a_stale_revision_refuses_the_whole_batch(mut bench: Bench) {
    bench.submit(&[], vec![put(session("a", 1)), put(session("b", 1))]);
    bench.commit();
    for stale in [1, 3, 0] {
        let refused = bench.submit(
            &[message("refused", b"")],
            vec![
                Write::PutRetained(message("r", b"")),
                put(session("b", 2)),
                put(session("new", 1)),
                put(session("a", stale)),
            ],
        );
        let later = bench.submit(&[message("later", b"")], vec![]);
        let told = bench.settle();
        assert_eq!(told[0], Told::Refused(0, refused), "revision {stale}");
        assert!(matches!(&told[1], Told::Committed(group, _) if group[0].1 == later));
    }
    assert_eq!(bench.positions("refused"), [0_u64; 0]);
    assert_eq!(bench.positions("later"), [1, 2, 3]);
    bench.reopen();
    assert_eq!(bench.recovered.retained, []);
    let names: Vec<(&str, u64)> = bench
        .recovered
        .sessions
        .iter()
        .map(|stored| (stored.record.client_id.as_str(), stored.record.revision))
        .collect();
    assert_eq!(names, [("a", 1), ("b", 1)]);
}

fn a_revision_counts_from_the_batch_before(mut bench: Bench) {
    bench.submit(&[], vec![put(session("a", 1)), put(session("a", 2))]);
    bench.submit(&[], vec![put(session("a", 3))]);
    let stale = bench.submit(&[], vec![put(session("a", 3))]);
    bench.submit(&[], vec![Write::EndSession(id("a"))]);
    let ended = bench.submit(&[], vec![put(session("a", 4))]);
    bench.submit(&[], vec![put(session("a", 1)), Write::EndSession(id("a")), put(session("a", 1))]);
    let told = bench.settle();
    assert_eq!(told.len(), 5, "{told:?}");
    assert_eq!((&told[1], &told[3]), (&Told::Refused(0, stale), &Told::Refused(0, ended)));
    bench.reopen();
    assert_eq!(bench.recovered.sessions[0].record, session("a", 1));
    bench.submit(&[], vec![put(session("a", 2))]);
    bench.commit();
}

fn threads_share_an_engine(mut bench: Bench) {
    const EACH: u64 = 300;
    let engine = bench.engine();
    thread::scope(|scope| {
        for shard in 0..4_u16 {
            scope.spawn(move || {
                for ticket in 1..=EACH {
                    let message = message(&format!("s/{shard}"), &ticket.to_be_bytes());
                    engine.submit(Batch {
                        shard: ShardId(shard),
                        ticket: Ticket(ticket),
                        appends: vec![Append { message, targets: Vec::new() }],
                        ..Batch::default()
                    });
                }
            });
        }
    });
    bench.engine().close().expect("it closes");
    bench.reopen();
    assert_eq!(bench.recovered.end.0, 4 * EACH + 1);
    for shard in 0..4 {
        let stored = bench.replay_all(replay(&[&format!("s/{shard}")]));
        let payloads: Vec<&[u8]> = stored.iter().map(|(_, message)| message.payload()).collect();
        let expected: Vec<[u8; 8]> = (1..=EACH).map(u64::to_be_bytes).collect();
        assert_eq!(payloads, expected);
    }
}

fn counters_count(mut bench: Bench) {
    bench.submit(&[message("t", b"abc"), message("t", b"")], vec![]);
    bench.submit(&[], vec![put(session("a", 5))]);
    bench.submit(&[], vec![put(session("a", 1))]);
    bench.settle();
    let counters = bench.engine().counters();
    assert_eq!((counters.batches, counters.refused, counters.messages), (2, 1, 2));
    let bytes = message("t", b"abc").as_bytes().len() + message("t", b"").as_bytes().len();
    assert_eq!(counters.message_bytes, bytes as u64);
    assert!((1..=2).contains(&counters.commits), "{counters:?}");
}

/// More than a block, more than a group.
fn a_large_batch_is_one_batch(mut bench: Bench) {
    let mut messages: Vec<Message> = (0..5000_u32)
        .map(|n| message(&format!("t/{}", n % 10), &vec![n as u8; (n % 1500) as usize]))
        .collect();
    messages.push(message("t/0", &vec![1; 2 * 1024 * 1024]));
    messages.push(message("t/1", b"last"));
    bench.submit(&messages, vec![Write::PutRetained(message("r", b""))]);
    assert_eq!(bench.commit(), 5003);
    let mut everything = replay(&["t/#"]);
    everything.messages_max = 777;
    assert_eq!(bench.replay_all(everything), (1..).zip(messages).collect::<Vec<_>>());
}

fn what_somebody_waits_for_is_synced_behind_its_commit(mut bench: Bench) {
    if bench.kind == Kind::RelaxedRocks {
        bench.submit(&[message("t", b"")], vec![]);
        bench.commit();
        assert_eq!(bench.engine().counters().syncs.count(), 0, "nobody waits for a sync");
        return;
    }
    for n in 0..100 {
        let ticket = bench.submit(&[message("t", &[n])], vec![]);
        // That each is reported committed first is checked wherever something is told.
        if n % 10 == 0 {
            bench.wait_for_sync(ticket);
        }
    }
}
