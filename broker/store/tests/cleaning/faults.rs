//! Cleaning while others work, and while the process is killed.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use flotilla_core::id::Position;
use flotilla_core::turn::Replay;
use flotilla_store::{Engine, Options, Rocks, verify_closed};
use tempfile::TempDir;

use crate::bench::{Bench, DEADLINE, cursor, everything, message, options, put, session};

/// Names the directory to a test that runs as a process of its own.
const CHILD_DIR: &str = "FLOTILLA_CLEANING_DIR";
/// How many messages come in one commit.
const COMMIT: usize = 7;

/// Reads everything for these filters, again and again: in order, without an error.
fn read_on(rocks: &Rocks, filters: &[&str], is_over: &AtomicBool) {
    let filters = filters.iter().map(|filter| (Box::from(*filter), Position::ZERO));
    let filters: Vec<_> = filters.collect();
    while !is_over.load(Ordering::Acquire) {
        let mut replay = Replay { filters: filters.clone().into(), ..everything("me", 1) };
        let mut last = 0;
        loop {
            let page = rocks.replay(std::slice::from_ref(&replay)).remove(0);
            let page = page.expect("the log is in order");
            for (position, _) in &page.messages {
                assert!(position.0 > last);
                last = position.0;
            }
            if page.reached_end {
                break;
            }
            replay.from = page.next;
        }
    }
}

#[test]
fn replays_see_all_that_is_wanted_while_the_rest_goes() {
    let mut b = Bench::new(options(20));
    b.write(put(session("reader", &["t/#"])));
    b.write(put(session("narrow", &["t/3", "u"])));
    b.commit();
    let is_over = Arc::new(AtomicBool::new(false));
    let mut readers = Vec::new();
    for filters in [vec!["#"], vec!["t/3"], vec!["u", "t/1"], vec!["+/5", "none"]] {
        let (rocks, is_over) = (Arc::clone(b.rocks()), Arc::clone(&is_over));
        readers.push(thread::spawn(move || read_on(&rocks, &filters, &is_over)));
    }
    let mut done = 1;
    for round in 0..150_u64 {
        for n in 0..COMMIT {
            let topic = if n == 6 { "u".to_owned() } else { format!("t/{n}") };
            b.publish(message(&topic, |_| {}));
        }
        b.commit();
        // The reader has all of it, exactly once, whatever goes below.
        let filters = [(Box::from("t/#"), Position::ZERO)].into();
        let replay = Replay { filters, ..everything("reader", done) };
        let page = b.rocks().replay(&[replay]).remove(0).expect("the log is in order");
        assert!(page.reached_end);
        assert_eq!(page.messages.len(), COMMIT - 1, "round {round}");
        done = page.next.0;
        b.write(cursor("reader", done));
        b.write(cursor("narrow", done));
    }
    b.commit();
    b.clean_all();
    is_over.store(true, Ordering::Release);
    for reader in readers {
        reader.join().expect("it read in order");
    }
    let cleaned = b.rocks().counters().cleaned.iter().map(|of| of.messages).sum::<u64>();
    assert_eq!(cleaned + b.positions(1).len() as u64, 150 * COMMIT as u64);
    assert!(cleaned > 900, "{cleaned}");
}

/// What is too old goes at once; a session that is away wants everything.
fn aging() -> Options {
    Options { age_max: Some(Duration::from_secs(3600)), ..options(20) }
}

fn publish_old(b: &mut Bench) {
    for n in 0..COMMIT {
        let topic = ["t/a", "u"][n % 2];
        b.publish(message(topic, |parts| parts.received_at_ms = 1_000));
    }
    b.commit();
}

/// Each message is there or was counted, whenever it stopped.
fn check(b: &Bench) {
    let away = &b.recovered.sessions[0];
    let (left, end) = (b.positions(1), b.recovered.end.0);
    assert_eq!(left.len() as u64 + away.overtaken, end - 1, "left {left:?}");
    if let Some(first) = left.first() {
        assert_eq!(left, (*first..end).collect::<Vec<_>>(), "no hole");
    }
}

#[test]
fn a_copy_taken_at_any_moment_has_each_message_or_its_loss() {
    let mut b = Bench::new(aging());
    b.write(put(session("away", &["#"])));
    b.commit();
    let copies = TempDir::new().expect("a temporary directory");
    let is_over = Arc::new(AtomicBool::new(false));
    let copier = {
        let (rocks, is_over) = (Arc::clone(b.rocks()), Arc::clone(&is_over));
        let dir = copies.path().to_path_buf();
        thread::spawn(move || {
            let (mut count, mut cleanings) = (0, 0);
            let mut cleaned = rocks.counters().cleaned;
            // As fast as it can; when cleaning takes its time, again each time it has cleaned.
            while !is_over.load(Ordering::Acquire) && (count < 20 || cleanings < 6) {
                let now = rocks.counters().cleaned;
                let has_cleaned = now != cleaned;
                if has_cleaned || count < 20 {
                    rocks.copy(&dir.join(count.to_string())).expect("it can be copied");
                    count += 1;
                } else {
                    thread::yield_now();
                }
                cleanings += u32::from(has_cleaned);
                cleaned = now;
            }
            count
        })
    };
    let until = Instant::now() + DEADLINE;
    while Instant::now() < until && !copier.is_finished() {
        publish_old(&mut b);
    }
    is_over.store(true, Ordering::Release);
    let count = copier.join().expect("it has copied");
    let patient = Options { cleans_every: None, ..aging() };
    let mut states = Vec::new();
    for number in 0..count {
        let copy = Bench::at(&copies.path().join(number.to_string()), patient.clone());
        if !copy.recovered.sessions.is_empty() {
            check(&copy);
            states.push(copy.recovered.sessions[0].overtaken);
        }
    }
    states.dedup();
    assert!(states.len() > 3, "cleaning went on meanwhile: {states:?}");
}

/// Runs as a process of its own until it is killed.
#[test]
fn child_that_cleans() {
    let Ok(dir) = std::env::var(CHILD_DIR) else { return };
    let mut b = Bench::at(Path::new(&dir), aging());
    if b.recovered.sessions.is_empty() {
        b.write(put(session("away", &["#"])));
        b.commit();
    }
    loop {
        publish_old(&mut b);
        println!("END {}", b.end);
    }
}

#[test]
fn each_message_or_its_loss_survives_a_kill() {
    let dir = TempDir::new().expect("a temporary directory");
    let mut cleaned = 0;
    for round in 0..6_u64 {
        let program = std::env::current_exe().expect("this program");
        let mut child = Command::new(program)
            .args(["--exact", "faults::child_that_cleans", "--nocapture"])
            .env(CHILD_DIR, dir.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("it starts");
        let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
        let (mut end, began) = (0, Instant::now());
        let enough = Duration::from_millis(150 + 130 * round);
        while began.elapsed() < enough || end == 0 {
            assert!(began.elapsed() < DEADLINE, "it commits");
            let line = lines.next().expect("it runs").expect("it can be read");
            if let Some(number) = line.strip_prefix("END ") {
                end = number.parse().expect("a number");
            }
        }
        child.kill().expect("it can be killed");
        child.wait().expect("it has ended");
        let b = Bench::at(dir.path(), Options { cleans_every: None, ..aging() });
        assert!(b.recovered.end.0 >= end);
        check(&b);
        let overtaken = b.recovered.sessions[0].overtaken;
        assert!(overtaken >= cleaned);
        cleaned = overtaken;
        b.rocks().close().expect("it closes");
        drop(b);
        let report = verify_closed(dir.path(), &|_| true).expect("it can be checked");
        assert_eq!(report.damaged, [], "what was cleaned is not missing");
    }
    assert!(cleaned > 100, "it was cleaned meanwhile: {cleaned}");
}
