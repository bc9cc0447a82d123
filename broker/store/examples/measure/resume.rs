//! What it costs to read the log for sessions that come back.

use std::path::Path;
use std::time::{Duration, Instant};

use flotilla_core::id::{ClientId, Position, SessionKey};
use flotilla_core::turn::Replay;
use flotilla_store::Engine;

use super::{MILLION, Store, fill, fill_and_kill};

const TOPICS: u64 = 100_000;

/// From the beginning, what one filter matches.
fn request(filter: &str, number: u64) -> Replay {
    Replay {
        session: SessionKey::default(),
        number,
        client_id: ClientId::from(format!("subscriber-{number}").as_str()),
        from: Position::ZERO,
        filters: [(Box::from(filter), Position::ZERO)].into(),
        positions: Vec::new(),
        messages_max: 1000,
        bytes_max: 1024 * 1024,
    }
}

/// All pages of all replays, at most `together` asked at once. How many messages came, in how many
/// calls, how long all and the longest call took.
fn read(
    store: &Store,
    replays: Vec<Replay>,
    together: usize,
) -> (usize, usize, Duration, Duration) {
    let (mut found, mut calls, mut longest) = (0, 0, Duration::ZERO);
    let began = Instant::now();
    let mut waiting = replays;
    while !waiting.is_empty() {
        let later = waiting.split_off(together.min(waiting.len()));
        let asked = Instant::now();
        let pages = store.rocks.replay(&waiting);
        longest = longest.max(asked.elapsed());
        calls += 1;
        let mut again = Vec::new();
        for (page, mut replay) in pages.into_iter().zip(waiting) {
            let page = page.unwrap_or_else(|error| panic!("{error}"));
            found += page.messages.len();
            if !page.reached_end {
                replay.from = page.next;
                again.push(replay);
            }
        }
        again.extend(later);
        waiting = again;
    }
    (found, calls, began.elapsed(), longest)
}

/// 1,000 sessions, each with a topic of its own, out of 1,000,000 messages.
pub(crate) fn resumes(dir: &Path) {
    for in_a_batch in [1, 100] {
        let dir = dir.join(format!("resume-{in_a_batch}"));
        let measured = |store: &Store, when: &str| {
            for (how, together) in [("together", 1024), ("one after the other", 1)] {
                let replays = (0..1000).map(|n| {
                    let device = n * 97;
                    request(&format!("fleet/r{}/d{device:07}/#", device % 10), n)
                });
                let (found, calls, took, longest) = read(store, replays.collect(), together);
                assert_eq!(found, 10_000);
                println!(
                    "{in_a_batch} a batch, {when}, 1,000 sessions {how}: {took:.0?}, {calls} calls, \
                     longest {longest:.1?}"
                );
            }
        };
        fill(&dir, MILLION, 100, TOPICS, in_a_batch, |store| measured(store, "just written"));
        for when in ["right after a reopen", "again"] {
            let (store, _) = Store::open(&dir);
            measured(&store, when);
            assert_eq!(store.rocks.counters().index_faults, 0);
        }
        let _ = std::fs::remove_dir_all(dir);
    }
}

/// Sessions that want everything, from the beginning.
pub(crate) fn storms(dir: &Path) {
    let dir = dir.join("storm");
    fill(&dir, MILLION, 100, TOPICS, 100, |_| {});
    let (store, _) = Store::open(&dir);
    for (filter, what) in [("#", "all"), ("+/+/+/none", "nothing")] {
        let mut alone = Duration::ZERO;
        for sessions in [1, 10, 100] {
            let replays = (0..sessions).map(|n| request(filter, n)).collect();
            let (found, calls, took, longest) = read(&store, replays, 1024);
            if sessions == 1 {
                alone = took;
            }
            println!(
                "{sessions} sessions that want {what}: {took:.0?}, {:.1} times one, {found} \
                 messages, {calls} calls, longest {longest:.1?}",
                took.as_secs_f64() / alone.as_secs_f64()
            );
        }
    }
}

/// Opening and resuming with 10 GB of messages.
pub(crate) fn backlog(dir: &Path) {
    let dir = dir.join("backlog");
    fill_and_kill(&["fill-backlog".as_ref(), dir.as_os_str()]);
    for after in ["SIGKILL", "a close", "a close"] {
        let began = Instant::now();
        let (store, recovered) = Store::open(&dir);
        let took = began.elapsed();
        assert_eq!(recovered.end, Position(BACKLOG + 1));
        println!("10,000,000 messages of 1 KB, open after {after}: {} ms", took.as_millis());
        let (found, _, first, _) = read(&store, vec![request("fleet/r7/d0000007/#", 1)], 1);
        println!("  then a session with its own topic, {found} messages: {first:.1?}");
        let many = (0..1000).map(|n| request(&format!("fleet/r{}/d{n:07}/#", n % 10), n));
        let (found, calls, took, _) = read(&store, many.collect(), 1024);
        println!("  then 1,000 such sessions, {found} messages: {took:.1?}, {calls} calls");
        store.rocks.close().expect("it closes");
    }
    let _ = std::fs::remove_dir_all(dir);
}

const BACKLOG: u64 = 10 * MILLION;

/// What [`backlog`] starts and kills.
pub(crate) fn fill_backlog(dir: &Path) {
    fill(dir, BACKLOG, 1024, TOPICS, 100, |_| {
        println!("filled");
        let _ = std::io::stdin().lines().next();
    });
}
