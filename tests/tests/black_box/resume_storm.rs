//! Many devices come back at once, each for a few messages out of a large log.
//!
//! `scripts/resume-storm.sh` runs the same with 1,000 devices and 1,000,000 messages.

use std::{
    thread,
    time::{Duration, Instant},
};

use flotilla_tests::{
    Broker, Client, Connect, Publisher, Settings, Transport, Version, from_environment,
};

const PUBLISHERS: u64 = 4;
const MESSAGES_A_TOPIC: u64 = 10;
/// Threads that play devices, one device after the other.
const THREADS: u64 = 16;
/// From the first CONNECT to the last message of the last device.
const TIME_MAX: Duration = Duration::from_secs(2);

fn topic(number: u64) -> String {
    format!("fleet/r{}/d{number}/cmd", number % 10)
}

/// Each device has one topic of many; the log holds all of them, because one session wants all.
#[test]
fn each_device_gets_its_own_at_once() {
    let topics = from_environment("FLOTILLA_RESUME_TOPICS").unwrap_or(2_000);
    let devices = from_environment("FLOTILLA_RESUME_DEVICES").unwrap_or(100);
    let broker = Broker::start(Settings::new());
    let endpoint = broker.endpoint(Transport::Tcp);
    let mut archive = Client::open(&endpoint, Version::V5);
    archive.connect(&Connect::persistent("archive"));
    archive.subscribe("#", 1);
    archive.disconnect();
    let step = topics / devices;
    for device in 0..devices {
        let mut client = Client::open(&endpoint, Version::V5);
        client.connect(&Connect::persistent(format!("device{device}")));
        client.subscribe(&topic(device * step), 1);
        client.disconnect();
    }
    thread::scope(|scope| {
        for number in 0..PUBLISHERS {
            let endpoint = &endpoint;
            scope.spawn(move || {
                let own: Vec<_> =
                    (number..topics).step_by(PUBLISHERS as usize).map(topic).collect();
                let total = own.len() as u64 * MESSAGES_A_TOPIC;
                let name = format!("publisher{number}");
                let mut publisher = Publisher::new(&name, Version::V311, own, 1, 1_000).padded(100);
                publisher.connect(endpoint).expect("the broker is there");
                publisher.run(total, |_| {}).expect("the broker stays");
            });
        }
    });

    let began = Instant::now();
    thread::scope(|scope| {
        for first in 0..THREADS {
            let endpoint = &endpoint;
            scope.spawn(move || {
                for device in (first..devices).step_by(THREADS as usize) {
                    let mut client = Client::open(endpoint, Version::V5);
                    let session = Connect::persistent(format!("device{device}"));
                    assert!(client.connect(&session).0, "the session is there");
                    let mut last = None;
                    for _ in 0..MESSAGES_A_TOPIC {
                        let publish = client.take();
                        assert_eq!(publish.topic, topic(device * step));
                        let number = publish.text().trim_end().parse::<u64>().ok();
                        assert!(number > last, "{number:?} after {last:?}");
                        last = number;
                    }
                }
            });
        }
    });
    let took = began.elapsed();
    eprintln!(
        "{devices} devices had their {} messages out of {} after {took:.2?}",
        devices * MESSAGES_A_TOPIC,
        topics * MESSAGES_A_TOPIC
    );
    assert!(took < TIME_MAX, "{took:?}");
}
