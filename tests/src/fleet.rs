//! A person's path: a fleet publishes, subscribers are away, the broker is killed, nobody loses
//! anything.

use std::{
    fmt,
    sync::atomic::{AtomicU64, Ordering},
    thread,
    time::{Duration, Instant},
};

use crate::{
    Broker, Certificates, DEADLINE, Endpoint, Publisher, Series, Settings, Subscriber, Transport,
    Version,
};

const DEVICES: u64 = 3;
const TOPICS: [&str; 2] = ["temperature", "pressure"];

/// What [`walk`] found out, beside that nothing was lost.
#[derive(Debug)]
pub struct Walk {
    /// Messages, all in all.
    pub messages: u64,
    /// Time of the first half, in which the broker lived.
    pub first_half: Duration,
    /// From the start of the killed broker's successor until it was ready.
    pub restarted_in: Duration,
    /// Messages that a subscriber got twice, by subscriber. 0 at QoS 2.
    pub duplicates: [u64; 2],
    /// Time in which both subscribers, one after the other, got everything.
    pub delivery: Duration,
}

impl fmt::Display for Walk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { messages, first_half, restarted_in, duplicates, delivery } = self;
        write!(
            f,
            "{messages} messages, none lost; first half published in {first_half:.1?}; restarted \
             in {restarted_in:.1?}; delivered to each of two subscribers in {delivery:.1?}; \
             delivered twice: {duplicates:?}"
        )
    }
}

/// Walks the whole path: three devices with certificates over mutual TLS, of which each publishes
/// with `qos`, all together `messages` times, with the subscribers away; again as many, with the
/// broker killed in the middle. Then both subscribers come back, and get cut off once more.
///
/// # Panics
/// When a session or an acknowledged message is lost, the order of a publisher's messages on a
/// topic is not kept, or a message of QoS 2 is delivered twice.
pub fn walk(qos: u8, messages: u64) -> Walk {
    let certificates = Certificates::make();
    let settings = Settings::new()
        .tls(&certificates.listener())
        .tables(&format!("[session]\nqueue_messages_max = {}", messages * 4));
    let mut broker = Broker::start(settings);
    let each = messages.div_ceil(DEVICES);

    let names: Vec<String> = (1..=DEVICES).map(|number| format!("device-{number}")).collect();
    let identities: Vec<_> = names.iter().map(|name| certificates.device(name)).collect();
    let mut devices: Vec<Publisher> = names
        .iter()
        .map(|name| {
            let topics = TOPICS.iter().map(|topic| format!("fleet/{name}/{topic}")).collect();
            Publisher::new(name, Version::V5, topics, qos, 500)
        })
        .collect();
    let connect = |broker: &Broker, devices: &mut [Publisher], expected: bool| {
        for (device, identity) in devices.iter_mut().zip(&identities) {
            let endpoint = broker.mutual_tls(&certificates.ca(), Some(identity.clone()));
            assert_eq!(device.connect(&endpoint), Ok(expected), "Session Present");
        }
    };

    let watcher = certificates.device("watcher");
    let over_tls = |broker: &Broker| broker.mutual_tls(&certificates.ca(), Some(watcher.clone()));
    let over_tcp = |broker: &Broker| broker.endpoint(Transport::Tcp);
    let expected: Vec<Series> = devices.iter().flat_map(|device| device.series(each * 2)).collect();
    let mut subscribers = [
        Subscriber::new("watcher-5", Version::V5, qos, &expected),
        Subscriber::new("watcher-311", Version::V311, qos, &expected),
    ];
    for (subscriber, endpoint) in subscribers.iter_mut().zip([over_tls(&broker), over_tcp(&broker)])
    {
        assert_eq!(subscriber.connect(&endpoint), Ok(false), "nobody was here before");
        subscriber.subscribe("fleet/+/+");
        subscriber.leave();
    }

    connect(&broker, &mut devices, false);
    let started = Instant::now();
    publish(&mut devices, each, |_| {});
    let first_half = started.elapsed();

    publish_until_killed(&mut devices, each, &mut broker);
    broker.restart();
    let restarted_in = broker.started_in();
    connect(&broker, &mut devices, true);
    publish(&mut devices, each * 2, |_| {});

    let started = Instant::now();
    for (subscriber, endpoint) in subscribers.iter_mut().zip([over_tls(&broker), over_tcp(&broker)])
    {
        collect(subscriber, &endpoint);
    }
    Walk {
        messages: each * DEVICES * 2,
        first_half,
        restarted_in,
        duplicates: [subscribers[0].duplicates(), subscribers[1].duplicates()],
        delivery: started.elapsed(),
    }
}

/// Every device publishes until `total` of its messages are acknowledged.
fn publish(devices: &mut [Publisher], total: u64, progress: impl Fn(u64) + Sync) {
    thread::scope(|scope| {
        for device in devices {
            let progress = &progress;
            scope.spawn(move || device.run(total, progress).expect("the broker stays"));
        }
    });
}

/// Every device publishes its second half; the broker is killed when half of that is acknowledged.
fn publish_until_killed(devices: &mut [Publisher], each: u64, broker: &mut Broker) {
    let acknowledged: Vec<AtomicU64> = devices.iter().map(|_| AtomicU64::new(each)).collect();
    let middle = DEVICES * (each + each / 2);
    thread::scope(|scope| {
        let running: Vec<_> = devices
            .iter_mut()
            .zip(&acknowledged)
            .map(|(device, count)| {
                scope.spawn(|| device.run(each * 2, |now| count.store(now, Ordering::Relaxed)))
            })
            .collect();
        let until = Instant::now() + DEADLINE.max(Duration::from_micros(each * 500));
        let sum = || acknowledged.iter().map(|count| count.load(Ordering::Relaxed)).sum::<u64>();
        while sum() < middle {
            assert!(Instant::now() < until, "{} of {middle} messages acknowledged", sum());
            thread::sleep(Duration::from_micros(200));
        }
        broker.kill();
        let ended = running.into_iter().map(|run| run.join().expect("a device does not fail"));
        let lost = ended.filter(Result::is_err).count();
        assert!(lost > 0, "the broker was killed too late to matter");
    });
}

/// Receives the first half, gets cut off, comes back for the rest.
fn collect(subscriber: &mut Subscriber, to: &Endpoint) {
    for until in [subscriber.total() / 2, subscriber.total()] {
        assert_eq!(subscriber.connect(to), Ok(true), "[MQTT-3.2.2-3] the session is there");
        subscriber.run(until).expect("the broker stays");
        if until < subscriber.total() {
            subscriber.reset();
        }
    }
    subscriber.assert_complete();
}
