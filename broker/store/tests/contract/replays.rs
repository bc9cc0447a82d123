//! What replays give back.

use flotilla_core::id::Position;
use flotilla_core::message::Message;
use flotilla_core::turn::Replay;
use flotilla_mqtt::topic;
use flotilla_store::Error;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, TestRunner};

use crate::bench::{Bench, addressed, contract, id, message, replay};

contract!(
    an_empty_log_is_at_its_end,
    a_replay_begins_where_it_is_told_to,
    a_replay_from_behind_the_end_is_an_error,
    a_filter_counts_from_its_start,
    listed_positions_come_whatever_their_topic,
    addressed_messages_are_for_their_addressee,
    a_page_is_bounded_by_messages,
    a_page_is_bounded_by_bytes,
    a_page_has_at_least_one_message,
    a_wildcard_does_not_match_system_topics,
    a_replay_reaches_every_part_of_a_long_log,
    a_replay_is_what_the_definition_says,
    a_topic_that_is_everywhere,
    replays_that_are_asked_together_get_an_answer_each,
    many_replays_are_what_the_definition_says_whenever_it_is_opened,
    a_long_topic_is_found_by_its_leading_levels,
);

/// Messages on topics, one batch each `batch` messages.
fn fill(bench: &mut Bench, messages: &[Message], batch: usize) {
    for messages in messages.chunks(batch) {
        bench.submit(messages, vec![]);
    }
    bench.commit();
}

fn an_empty_log_is_at_its_end(bench: Bench) {
    for from in [0, 1] {
        let page = bench.replay(&Replay { from: Position(from), ..replay(&["#"]) });
        assert_eq!((page.messages.len(), page.next, page.reached_end), (0, Position(1), true));
    }
}

fn a_replay_begins_where_it_is_told_to(mut bench: Bench) {
    let messages: Vec<Message> = (0..30).map(|n| message("t", &[n])).collect();
    fill(&mut bench, &messages, 7);
    for from in 1..=31 {
        let page = bench.replay(&Replay { from: Position(from), ..replay(&["t"]) });
        let found: Vec<u64> = page.messages.iter().map(|(at, _)| at.0).collect();
        assert_eq!(found, (from..31).collect::<Vec<_>>());
        assert_eq!((page.next, page.reached_end), (Position(31), true));
    }
}

fn a_replay_from_behind_the_end_is_an_error(mut bench: Bench) {
    fill(&mut bench, &[message("t", b"")], 1);
    let outcome = bench.try_replay(&Replay { from: Position(3), ..replay(&["t"]) });
    assert_eq!(outcome, Err(Error::PastEnd { from: Position(3), end: Position(2) }));
}

fn a_filter_counts_from_its_start(mut bench: Bench) {
    let messages: Vec<Message> =
        ["a", "b", "a", "b", "a", "b", "c"].map(|t| message(t, b"")).into();
    fill(&mut bench, &messages, 3);
    let mut some = replay(&[]);
    some.filters = [(Box::from("a"), Position(3)), (Box::from("b"), Position(100))].into();
    let found: Vec<u64> = bench.replay_all(some.clone()).iter().map(|(at, _)| *at).collect();
    assert_eq!(found, [3, 5]);
    some.filters = some.filters.iter().cloned().chain([(Box::from("+"), Position(6))]).collect();
    let found: Vec<u64> = bench.replay_all(some).iter().map(|(at, _)| *at).collect();
    assert_eq!(found, [3, 5, 6, 7]);
}

fn listed_positions_come_whatever_their_topic(mut bench: Bench) {
    let messages: Vec<Message> = (0..20).map(|n| message(&format!("t/{n}"), b"")).collect();
    fill(&mut bench, &messages, 3);
    let mut some = replay(&["t/9"]);
    some.from = Position(4);
    some.positions = [2, 3, 4, 11, 20, 99].map(Position).into();
    let found: Vec<u64> = bench.replay_all(some).iter().map(|(at, _)| *at).collect();
    assert_eq!(found, [4, 10, 11, 20]);
}

fn addressed_messages_are_for_their_addressee(mut bench: Bench) {
    let messages = [
        addressed("a", "you", b""),
        addressed("z", "me", b""),
        message("a", b""),
        addressed("a", "me", b""),
        addressed("a", "m", b""),
    ];
    fill(&mut bench, &messages, 2);
    let mut mine = replay(&["a"]);
    mine.positions = vec![Position(1)];
    let found: Vec<u64> = bench.replay_all(mine).iter().map(|(at, _)| *at).collect();
    assert_eq!(found, [2, 3, 4]);
}

fn a_page_is_bounded_by_messages(mut bench: Bench) {
    let messages: Vec<Message> = (0..10).map(|n| message("t", &[n])).collect();
    fill(&mut bench, &messages, 4);
    let mut some = replay(&["t"]);
    some.messages_max = 3;
    for (from, next, reached_end) in [(1, 4, false), (4, 7, false), (7, 10, false), (10, 11, true)]
    {
        some.from = Position(from);
        let page = bench.replay(&some);
        assert_eq!((page.next, page.reached_end), (Position(next), reached_end));
        assert_eq!(page.messages.len() as u64, next - from);
    }
    // Exactly the rest.
    some.messages_max = 10;
    some.from = Position(1);
    assert!(bench.replay(&some).reached_end);
}

fn a_page_is_bounded_by_bytes(mut bench: Bench) {
    let one = message("t", &[0; 100]);
    let size = one.as_bytes().len();
    fill(&mut bench, &vec![one; 10], 4);
    let mut some = replay(&["t"]);
    for (bytes_max, messages) in [(size * 3, 3), (size * 3 + 1, 3), (size * 3 - 1, 2), (size, 1)] {
        some.bytes_max = bytes_max;
        assert_eq!(bench.replay(&some).messages.len(), messages, "{bytes_max} bytes");
    }
}

fn a_page_has_at_least_one_message(mut bench: Bench) {
    fill(&mut bench, &[message("t", &[0; 100]), message("t", b"")], 2);
    let mut some = replay(&["t"]);
    (some.bytes_max, some.messages_max) = (0, 0);
    let page = bench.replay(&some);
    assert_eq!((page.messages.len(), page.next), (1, Position(2)));
}

fn a_wildcard_does_not_match_system_topics(mut bench: Bench) {
    fill(&mut bench, &[message("$SYS/a", b""), message("a", b""), message("$SYS", b"")], 2);
    assert_eq!(bench.positions("#"), [2]);
    assert_eq!(bench.positions("+"), [2]);
    assert_eq!(bench.positions("$SYS/#"), [1, 3]);
}

/// More than one page may scan: pages that are empty still move on.
fn a_replay_reaches_every_part_of_a_long_log(mut bench: Bench) {
    let messages: Vec<Message> = (0..24_000_u32)
        .map(|n| {
            let topic = if n % 4000 == 3999 { "rare" } else { "frequent" };
            message(topic, &[n as u8; 1000])
        })
        .collect();
    fill(&mut bench, &messages, 500);
    assert_eq!(bench.positions("rare"), [4000, 8000, 12_000, 16_000, 20_000, 24_000]);
    assert_eq!(bench.positions("never"), [0_u64; 0]);
}

/// The definition, in a few lines.
fn expected(log: &[Message], replay: &Replay) -> Vec<(u64, Message)> {
    (1..)
        .zip(log)
        .filter(|(at, _)| *at >= replay.from.0)
        .filter(|(_, message)| ["", replay.client_id.as_str()].contains(&message.addressee()))
        .filter(|(at, message)| {
            let starts = replay.filters.iter().filter(|(f, _)| topic::matches(f, message.topic()));
            !message.addressee().is_empty()
                || starts.min_by_key(|(_, start)| *start).is_some_and(|(_, start)| start.0 <= *at)
                || replay.positions.contains(&Position(*at))
        })
        .map(|(at, message)| (at, message.clone()))
        .collect()
}

fn a_replay_is_what_the_definition_says(mut bench: Bench) {
    let topics = ["a", "a/b", "a/b/c", "a/c", "b", "/", "/a", "$SYS/x", "é/b"];
    let filters =
        ["#", "+", "a", "a/#", "a/+", "+/b", "a/b/c", "/+", "$SYS/#", "é/#", "$share/g/a", "none"];
    let log: Vec<Message> = (0..400_u32)
        .map(|n| {
            let hash = n.wrapping_mul(2_654_435_761) >> 8;
            let addressee = ["", "", "", "", "me", "you"][(hash / 64) as usize % 6];
            addressed(topics[hash as usize % topics.len()], addressee, &n.to_be_bytes())
        })
        .collect();
    fill(&mut bench, &log, 13);

    let replays = (
        0..=401_u64,
        prop::collection::vec((prop::sample::select(filters.to_vec()), 0..420_u64), 0..5),
        prop::collection::btree_set(0..420_u64, 0..5),
        1..60_usize,
        0..2000_usize,
    );
    let mut runner = TestRunner::new(Config { cases: 100, ..Config::default() });
    runner
        .run(&replays, |(from, filters, positions, messages_max, bytes_max)| {
            let request = Replay {
                from: Position(from),
                filters: filters.iter().map(|&(f, at)| (Box::from(f), Position(at))).collect(),
                positions: positions.iter().copied().map(Position).collect(),
                messages_max,
                bytes_max,
                ..replay(&[])
            };
            let expected = expected(&log, &request);
            prop_assert_eq!(bench.replay_all(request), expected);
            Ok(())
        })
        .expect("replays are what the definition says");
}

/// One topic is in so many blocks that an index does not help, another in a few.
fn a_topic_that_is_everywhere(mut bench: Bench) {
    let messages: Vec<Message> = (0..3000_u16)
        .map(|n| message(if n % 500 == 7 { "rare/a" } else { "everywhere/a" }, &n.to_be_bytes()))
        .collect();
    for message in &messages {
        bench.submit(std::slice::from_ref(message), vec![]);
        bench.commit();
    }
    let requests: Vec<Replay> = (0..)
        .zip(["everywhere/#", "rare/#", "everywhere/a", "rare/a"])
        .map(|(number, filter)| Replay { number, messages_max: 5000, ..replay(&[filter]) })
        .collect();
    let found = bench.replay_all_together(requests.clone());
    for (request, found) in requests.iter().zip(found) {
        assert_eq!(found, expected(&messages, request), "{request:?}");
    }
}

fn replays_that_are_asked_together_get_an_answer_each(mut bench: Bench) {
    let messages: Vec<Message> = (0..60).map(|n| message(&format!("{}/t", n % 3), &[n])).collect();
    fill(&mut bench, &messages, 7);
    let requests: Vec<Replay> = [("0/t", 1), ("+/t", 30), ("#", 61), ("1/#", 62), ("2/t", 59)]
        .into_iter()
        .zip(0..)
        .map(|((filter, from), number)| Replay {
            from: Position(from),
            number,
            ..replay(&[filter])
        })
        .collect();
    let answers = bench.engine().replay(&requests);
    assert_eq!(answers.len(), requests.len());
    for (answer, request) in answers.iter().zip(&requests) {
        assert_eq!(*answer, bench.try_replay(request));
    }
    let found: Vec<usize> =
        answers.iter().map(|page| page.as_ref().map_or(0, |page| page.messages.len())).collect();
    assert_eq!(found, [20, 31, 0, 0, 1]);
    assert_eq!(answers[3], Err(Error::PastEnd { from: Position(62), end: Position(61) }));
    assert_eq!(bench.engine().replay(&[]), []);
}

/// Any topics in any commits; any replays together; pages of any size; closed and opened in
/// between: always what matches by definition.
fn many_replays_are_what_the_definition_says_whenever_it_is_opened(mut bench: Bench) {
    let topics = ["a", "a/b", "a/b/c", "a/c", "b", "b/x", "c/x/y", "d", "e/f", "/", "/a", "é/b"];
    let filters = [
        "#",
        "+",
        "a",
        "a/#",
        "a/+",
        "+/b",
        "a/b/c",
        "/+",
        "b/#",
        "+/+",
        "c/+/y",
        "d",
        "e/f",
        "é/#",
        "none",
        "none/#",
        "$share/g/a",
    ];
    let request = (
        1..300_u64,
        prop::collection::vec((prop::sample::select(filters.to_vec()), 0..300_u64), 0..4),
        prop::collection::btree_set(0..300_u64, 0..3),
        1..40_usize,
        0..1500_usize,
        prop::sample::select(vec!["me", "you", "she"]),
    );
    let step = (
        prop::collection::vec((prop::sample::select(topics.to_vec()), 0..8_usize), 0..60),
        prop::collection::vec(request, 0..6),
        prop::bool::weighted(0.2),
    );
    let mut log: Vec<Message> = Vec::new();
    let mut runner = TestRunner::deterministic();
    for _ in 0..25 {
        let (appends, requests, reopens) = step.new_tree(&mut runner).expect("no filter").current();
        let appends: Vec<Message> = appends
            .into_iter()
            .zip(log.len()..)
            .map(|((topic, whose), n)| {
                let addressee = ["me", "you"].get(whose).copied().unwrap_or_default();
                addressed(topic, addressee, &n.to_be_bytes())
            })
            .collect();
        for (number, messages) in appends.chunks(9).enumerate() {
            bench.submit(messages, vec![]);
            if number % 2 == 0 {
                bench.commit();
            }
        }
        bench.submit(&[], vec![]);
        bench.commit();
        log.extend(appends);
        if reopens {
            bench.reopen();
            assert_eq!(bench.recovered.end.0, log.len() as u64 + 1);
        }
        let requests: Vec<Replay> = (0..)
            .zip(requests)
            .map(|(number, (from, filters, positions, messages_max, bytes_max, client))| Replay {
                number,
                client_id: id(client),
                from: Position(from.min(log.len() as u64 + 1)),
                filters: filters.iter().map(|&(f, at)| (Box::from(f), Position(at))).collect(),
                positions: positions.into_iter().map(Position).collect(),
                messages_max,
                bytes_max,
                ..replay(&[])
            })
            .collect();
        let found = bench.replay_all_together(requests.clone());
        for (request, found) in requests.iter().zip(found) {
            assert_eq!(found, expected(&log, request), "{request:?}");
        }
    }
    assert_eq!(bench.engine().counters().index_faults, 0);
}

fn a_long_topic_is_found_by_its_leading_levels(mut bench: Bench) {
    let long = "1/2/3/4/5/6/7/8/9/10/11";
    let topics = [long, "1/2/3/4/5/6/7/8/9/10/12", "1/2/3/4/5/6/7/8", "x"];
    fill(&mut bench, &topics.map(|topic| message(topic, b"")), 1);
    bench.reopen();
    assert_eq!(bench.positions(long), [1]);
    assert_eq!(bench.positions("1/2/3/4/5/6/7/8/9/10/+"), [1, 2]);
    assert_eq!(bench.positions("1/2/3/4/5/6/7/8/9/#"), [1, 2]);
    assert_eq!(bench.positions("1/2/3/4/5/6/7/8/#"), [1, 2, 3]);
    assert_eq!(bench.positions("1/2/3/4/5/6/7/8"), [3]);
    assert_eq!(bench.positions("1/2/3/4/5/6/7/8/9/10/13"), [0_u64; 0]);
}
