//! A broker with many messages in its log opens its listeners at once.
//!
//! `scripts/start-time.sh` runs the same with ten gigabytes.

use std::{
    thread,
    time::{Duration, Instant},
};

use flotilla_tests::{Broker, Client, Connect, Publisher, Settings, Transport, Version};

const PUBLISHERS: u64 = 4;
/// Of a large backlog so many messages are read at the end.
const READ_MAX: u64 = 1_000_000;

fn number(variable: &str, otherwise: u64) -> u64 {
    let number = std::env::var(variable).ok();
    number.map_or(otherwise, |number| number.parse().expect("a number"))
}

#[test]
fn it_does_not_depend_on_the_log() {
    let each = number("FLOTILLA_START_TIME_MESSAGES", 20_000).div_ceil(PUBLISHERS);
    let payload_bytes = number("FLOTILLA_START_TIME_PAYLOAD", 0) as usize;
    let total = each * PUBLISHERS;
    let limits = format!("[session]\nqueue_messages_max = {}", total * 2);
    let mut broker = Broker::start(Settings::new().tables(&limits));
    let endpoint = broker.endpoint(Transport::Tcp);
    let mut sleeper = Client::open(&endpoint, Version::V5);
    sleeper.connect(&Connect::persistent("sleeper"));
    sleeper.subscribe("fleet/#", 1);
    sleeper.disconnect();

    let started = Instant::now();
    thread::scope(|scope| {
        for number in 0..PUBLISHERS {
            let endpoint = &endpoint;
            scope.spawn(move || {
                let topic = vec![format!("fleet/{number}")];
                let name = format!("publisher{number}");
                let publisher = Publisher::new(&name, Version::V311, topic, 1, 1_000);
                let mut publisher = publisher.padded(payload_bytes);
                publisher.connect(endpoint).expect("the broker is there");
                publisher.run(each, |_| {}).expect("the broker stays");
            });
        }
    });
    let filled = started.elapsed();

    broker.kill();
    broker.restart();
    let after_a_kill = broker.started_in();
    broker.terminate();
    broker.restart();
    let after_an_end = broker.started_in();
    eprintln!(
        "{total} messages of {payload_bytes} bytes stored in {filled:.1?}; ready {after_a_kill:.3?} after SIGKILL, \
         {after_an_end:.3?} after SIGTERM"
    );
    for time in [after_a_kill, after_an_end] {
        assert!(time < Duration::from_secs(2), "ready after {time:?}");
    }

    let mut sleeper = Client::open(&broker.endpoint(Transport::Tcp), Version::V5);
    assert!(sleeper.connect(&Connect::persistent("sleeper")).0, "the session is there");
    let mut next = [0; PUBLISHERS as usize];
    for _ in 0..total.min(READ_MAX) {
        let publish = sleeper.take();
        let publisher = publish.topic.strip_prefix("fleet/").and_then(|it| it.parse().ok());
        let next: &mut u64 = &mut next[publisher.unwrap_or(usize::MAX)];
        assert_eq!(publish.text().trim_end(), next.to_string(), "{}", publish.topic);
        *next += 1;
    }
}
