//! A broker with many messages in its log opens its listeners at once.
//!
//! `scripts/start-time.sh` runs the same with a million messages.

use std::{
    thread,
    time::{Duration, Instant},
};

use flotilla_tests::{Broker, Client, Connect, Publisher, Settings, Transport, Version};

const PUBLISHERS: u64 = 4;

fn messages() -> u64 {
    let number = std::env::var("FLOTILLA_START_TIME_MESSAGES").ok();
    number.map_or(20_000, |number| number.parse().expect("a number of messages"))
}

#[test]
fn it_does_not_depend_on_the_log() {
    let each = messages().div_ceil(PUBLISHERS);
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
                let mut publisher = Publisher::new(&name, Version::V311, topic, 1, 1_000);
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
        "{total} messages stored in {filled:.1?}; ready {after_a_kill:.3?} after SIGKILL, \
         {after_an_end:.3?} after SIGTERM"
    );
    for time in [after_a_kill, after_an_end] {
        assert!(time < Duration::from_secs(2), "ready after {time:?}");
    }

    let mut sleeper = Client::open(&broker.endpoint(Transport::Tcp), Version::V5);
    assert!(sleeper.connect(&Connect::persistent("sleeper")).0, "the session is there");
    let mut next = [0; PUBLISHERS as usize];
    for _ in 0..total {
        let publish = sleeper.take();
        let publisher = publish.topic.strip_prefix("fleet/").and_then(|it| it.parse().ok());
        let next: &mut u64 = &mut next[publisher.unwrap_or(usize::MAX)];
        assert_eq!(publish.text(), next.to_string(), "{}", publish.topic);
        *next += 1;
    }
}
