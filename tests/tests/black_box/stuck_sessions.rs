//! Consumers that never acknowledge cost the broker a bounded amount of memory, and nobody else
//! anything.
//!
//! `scripts/stuck-sessions.sh` runs the same with large numbers.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use flotilla_tests::{
    Broker, Client, Connect, Property, Publisher, Series, Settings, Subscriber, Transport, Version,
    from_environment,
};

const PUBLISHERS: u64 = 2;
const PAYLOAD_BYTES: usize = 100;
/// What the log's own buffers may take while messages pass, whoever is stuck.
const LOG_BYTES_MAX: u64 = 64 << 20;

/// How many messages pass, how many consumers are stuck.
fn numbers() -> (u64, u64) {
    let messages = from_environment("FLOTILLA_STUCK_MESSAGES").unwrap_or(20_000);
    (messages, from_environment("FLOTILLA_STUCK_SESSIONS").unwrap_or(50))
}

/// Publishers, and one subscriber that takes everything.
struct Healthy {
    publishers: Vec<Publisher>,
    subscriber: Subscriber,
}

impl Healthy {
    /// Connects them. All messages together, over all calls of [`Healthy::pass`], are `total`.
    fn connect(broker: &Broker, total: u64) -> Self {
        let endpoint = broker.endpoint(Transport::Tcp);
        let mut publishers: Vec<Publisher> = (0..PUBLISHERS)
            .map(|number| {
                let topics = vec![format!("load/{number}/a"), format!("load/{number}/b")];
                let name = format!("publisher{number}");
                Publisher::new(&name, Version::V5, topics, 1, 1_000).padded(PAYLOAD_BYTES)
            })
            .collect();
        let each = total / PUBLISHERS;
        let series: Vec<Series> = publishers.iter().flat_map(|it| it.series(each)).collect();
        let mut subscriber = Subscriber::new("healthy", Version::V5, 1, &series);
        assert_eq!(subscriber.connect(&endpoint), Ok(false));
        subscriber.subscribe("load/#");
        for publisher in &mut publishers {
            assert_eq!(publisher.connect(&endpoint), Ok(false));
        }
        Self { publishers, subscriber }
    }

    /// Lets messages pass until there were `total`; returns the most memory that the broker used
    /// meanwhile, in bytes.
    fn pass(&mut self, broker: &Broker, total: u64) -> u64 {
        let is_over = AtomicBool::new(false);
        let Self { publishers, subscriber } = self;
        thread::scope(|scope| {
            let watching = scope.spawn(|| {
                let mut most = broker.resident_bytes();
                while !is_over.load(Ordering::Relaxed) {
                    most = most.max(broker.resident_bytes());
                    thread::sleep(Duration::from_millis(20));
                }
                most
            });
            let publishing: Vec<_> = publishers
                .iter_mut()
                .map(|publisher| scope.spawn(|| publisher.run(total / PUBLISHERS, |_| {})))
                .collect();
            let received = subscriber.run(total);
            for publishing in publishing {
                let run = publishing.join().expect("a publisher does not fail");
                run.expect("the broker stays");
            }
            is_over.store(true, Ordering::Relaxed);
            received.expect("the healthy subscriber is not disturbed");
            watching.join().expect("the broker stays")
        })
    }
}

/// Half of them speak MQTT 5 with the largest Receive Maximum, half MQTT 3.1.1, which has none.
fn stuck(broker: &Broker, number: u64, connect: impl Fn(String) -> Connect) -> Vec<Client> {
    let endpoint = broker.endpoint(Transport::Tcp);
    let one = |number| {
        let version = if number % 2 == 0 { Version::V5 } else { Version::V311 };
        let mut client = Client::open(&endpoint, version);
        let connect = connect(format!("stuck{number}"));
        client.connect(&connect.with(Property::ReceiveMaximum(65_535)));
        client.subscribe("load/#", 1);
        client
    };
    (0..number).map(one).collect()
}

/// Lets half of the messages pass without the stuck consumers, half with them; returns these. Each
/// may take `bytes_max` of memory, beside what the log takes in the meantime.
fn bounded(
    broker: &Broker,
    healthy: &mut Healthy,
    connect: impl Fn(String) -> Connect,
    bytes_max: u64,
) -> Vec<Client> {
    let (messages, sessions) = numbers();
    let before = healthy.pass(broker, messages);
    let clients = stuck(broker, sessions, connect);
    let started = Instant::now();
    let with = healthy.pass(broker, messages * 2);
    let more = with.saturating_sub(before);
    eprintln!(
        "{sessions} stuck consumers, {messages} messages of {PAYLOAD_BYTES} B in {:.1?}: resident {} \
         MiB without them, {} MiB with them, {} bytes for each",
        started.elapsed(),
        before >> 20,
        with >> 20,
        more / sessions
    );
    let most = LOG_BYTES_MAX + sessions * bytes_max;
    assert!(more < most, "{more} bytes more, {most} were allowed");
    clients
}

/// In flight up to `inflight_max`, everything else in the log only.
#[test]
fn with_sessions_that_stay() {
    let (messages, sessions) = numbers();
    let broker = Broker::start(Settings::new());
    let mut healthy = Healthy::connect(&broker, messages * 2);
    let clients = bounded(&broker, &mut healthy, Connect::persistent, 256 * 1024);
    assert_eq!(broker.metric("flotilla_messages_dropped_total", &[]), 0.0);
    drop(clients);
    let connected = ["state=\"connected\""];
    broker.await_metric("flotilla_sessions", &connected, |number| number == 3.0);
    // All of it is there when one comes back.
    let second_half = |series: Series| Series { first: series.first + messages / 2, ..series };
    let series: Vec<Series> =
        healthy.publishers.iter().flat_map(|it| it.series(messages)).map(second_half).collect();
    let name = format!("stuck{}", sessions - 1);
    let mut late = Subscriber::new(&name, Version::V311, 1, &series);
    assert_eq!(late.connect(&broker.endpoint(Transport::Tcp)), Ok(true));
    late.run(messages).expect("the broker stays");
    late.assert_complete();
}

/// In flight up to `inflight_max`, in the queue up to its limits, everything else is dropped.
#[test]
fn with_sessions_that_end_with_their_connection() {
    const QUEUE_BYTES: u64 = 256 * 1024;
    const IN_FLIGHT: u64 = 1024;
    let (messages, sessions) = numbers();
    let limits = format!("[session]\nqueue_bytes_max = \"{QUEUE_BYTES}B\"");
    let broker = Broker::start(Settings::new().tables(&limits));
    let mut healthy = Healthy::connect(&broker, messages * 2);
    let clients = bounded(&broker, &mut healthy, Connect::new, QUEUE_BYTES + 256 * 1024);
    let dropped = broker.metric("flotilla_messages_dropped_total", &["queue_full"]);
    let queued_most = QUEUE_BYTES / PAYLOAD_BYTES as u64;
    let least = sessions * (messages - queued_most - IN_FLIGHT);
    let most = sessions * (messages - IN_FLIGHT);
    assert!((least as f64..=most as f64).contains(&dropped), "{dropped}, not {least}..={most}");
    assert_eq!(broker.metric("flotilla_messages_dropped_total", &[]), dropped, "no other reason");
    drop(clients);
}
