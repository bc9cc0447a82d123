//! What messages cost to store.

use std::path::Path;
use std::time::{Duration, Instant};

use flotilla_core::message::{Message, MessageParts};
use flotilla_store::Engine;

use super::{MILLION, Store, WINDOW, batch, message};

/// What the kernel has counted for this process.
struct Spent {
    cpu: Duration,
    written: u64,
}

impl Spent {
    fn so_far() -> Self {
        let io = std::fs::read_to_string("/proc/self/io").expect("Linux");
        let written = io
            .lines()
            .find_map(|line| line.strip_prefix("write_bytes: "))
            .and_then(|bytes| bytes.parse().ok())
            .expect("bytes written");
        let stat = std::fs::read_to_string("/proc/self/stat").expect("Linux");
        let (_, fields) = stat.rsplit_once(')').expect("the name in brackets");
        let ticks: u64 =
            fields.split(' ').skip(12).take(2).map(|ticks| ticks.parse::<u64>().unwrap_or(0)).sum();
        Self { cpu: Duration::from_millis(ticks * 10), written }
    }
}

/// What is on the disk in a directory.
fn bytes_in(dir: &Path) -> u64 {
    let files = std::fs::read_dir(dir).expect("a directory");
    files.filter_map(|file| file.ok()?.metadata().ok()).map(|file| file.len()).sum()
}

/// What messages cost to store: processor, bytes written, bytes on disk.
pub(crate) fn costs(dir: &Path) {
    const MESSAGES: u64 = 4 * MILLION;
    // More than what a table compresses together.
    const POOL: u64 = 200_000;
    println!("4,000,000 messages with 100-byte payloads, 100 a batch, sync never, then closed");
    println!("first levels  topics   messages/s  us CPU/message  written/byte  on disk/message");
    for (partitions, topics) in [(1, 1000), (1, 100_000), (20, 1000), (20, 100_000)] {
        let dir = dir.join(format!("{partitions}-{topics}"));
        let (mut store, _) = Store::open(&dir);
        let mut scratch = Vec::new();
        let messages: Vec<Message> =
            (0..POOL).map(|n| of_fleet(n, partitions, topics, 100, &mut scratch)).collect();
        let mut next = messages.iter().cycle().cloned();
        let (began, before) = (Instant::now(), Spent::so_far());
        for _ in 0..MESSAGES / 100 {
            store.submit(batch(next.by_ref().take(100)), WINDOW);
        }
        store.settle();
        let (took, cpu) = (began.elapsed(), Spent::so_far().cpu - before.cpu);
        store.rocks.close().expect("it closes");
        let bytes = store.rocks.counters().message_bytes;
        drop(store);
        // What is left in memory is written as a table by the next start, sooner or later.
        let written = Spent::so_far().written - before.written;
        println!(
            "{partitions:12} {topics:7} {:12.0} {:15.2} {:13.2} {:16.0}",
            MESSAGES as f64 / took.as_secs_f64(),
            cpu.as_secs_f64() * 1e6 / MESSAGES as f64,
            written as f64 / bytes as f64,
            bytes_in(&dir) as f64 / MESSAGES as f64,
        );
        let _ = std::fs::remove_dir_all(dir);
    }
}

/// A message of one of `topics` devices, under one of `fleets` first levels.
fn of_fleet(n: u64, fleets: u64, topics: u64, payload: usize, scratch: &mut Vec<u8>) -> Message {
    let device = n % topics;
    let topic = format!("fleet{}/r{}/d{device:07}/temperature", device % fleets, device % 10);
    let noise = message(n, topics, payload, &mut Vec::new());
    Message::new(&MessageParts { topic: &topic, ..noise.parts() }, scratch)
}
