//! A person's path: a fleet publishes, subscribers are away, the broker is killed, nobody loses
//! anything.

use std::{
    collections::{HashMap, HashSet},
    fmt,
    sync::atomic::{AtomicU64, Ordering},
    thread,
    time::{Duration, Instant},
};

use crate::{
    Broker, Certificates, Client, Connect, DEADLINE, Endpoint, Packet, Publisher, Settings,
    Transport, Version,
    packet::{puback, pubcomp, pubrec},
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

    let watcher = certificates.device("watcher");
    let over_tls = |broker: &Broker| broker.mutual_tls(&certificates.ca(), Some(watcher.clone()));
    let over_tcp = |broker: &Broker| broker.endpoint(Transport::Tcp);
    let mut subscribers = [
        Subscriber::new("watcher-5", Version::V5, each * 2),
        Subscriber::new("watcher-311", Version::V311, each * 2),
    ];
    for (subscriber, endpoint) in subscribers.iter().zip([over_tls(&broker), over_tcp(&broker)]) {
        subscriber.subscribe(&endpoint);
    }

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
            assert_eq!(device.connect(&endpoint), expected, "Session Present");
        }
    };

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
        subscriber.collect(&endpoint, qos);
    }
    Walk {
        messages: each * DEVICES * 2,
        first_half,
        restarted_in,
        duplicates: [subscribers[0].duplicates, subscribers[1].duplicates],
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
        let survived = ended.filter(Result::is_ok).count();
        assert!(survived < devices_len(), "the broker was killed too late to matter");
    });
}

fn devices_len() -> usize {
    DEVICES as usize
}

/// Receives everything that the fleet publishes, and judges it.
#[derive(Debug)]
struct Subscriber {
    client_id: String,
    version: Version,
    /// How many messages each device publishes.
    each: u64,
    /// By topic: the next number, if all is well, and how many came.
    progress: HashMap<String, u64>,
    received: u64,
    duplicates: u64,
    /// QoS 2: Packet Identifiers between PUBREC and PUBREL.
    held: HashSet<u16>,
}

impl Subscriber {
    fn new(client_id: &str, version: Version, each: u64) -> Self {
        Self {
            client_id: client_id.to_owned(),
            version,
            each,
            progress: HashMap::new(),
            received: 0,
            duplicates: 0,
            held: HashSet::new(),
        }
    }

    fn connect(&self, to: &Endpoint) -> (Client, bool) {
        let mut client = Client::open(to, self.version);
        let (session_present, _) = client.connect(&Connect::persistent(&self.client_id));
        (client, session_present)
    }

    fn subscribe(&self, to: &Endpoint) {
        let (mut client, session_present) = self.connect(to);
        assert!(!session_present, "nobody was here before");
        client.subscribe("fleet/+/+", 2);
        client.disconnect();
    }

    /// Receives the first half, gets cut off, comes back for the rest.
    fn collect(&mut self, to: &Endpoint, qos: u8) {
        let total = self.each * DEVICES;
        for until in [total / 2, total] {
            let (mut client, session_present) = self.connect(to);
            assert!(session_present, "[MQTT-3.2.2-3] the session of {} is gone", self.client_id);
            self.receive(&mut client, qos, until);
            if until == total {
                self.expect_nothing_more(&mut client);
            }
            client.reset();
        }
        for (topic, next) in &self.progress {
            assert_eq!(*next, self.expected_end(topic), "{topic} stopped early");
        }
        assert_eq!(self.progress.len(), TOPICS.len() * DEVICES as usize);
        assert!(qos < 2 || self.duplicates == 0, "QoS 2 delivered {} twice", self.duplicates);
    }

    fn receive(&mut self, client: &mut Client, qos: u8, until: u64) {
        while self.received < until {
            let read = client.try_read(Instant::now() + DEADLINE);
            let Ok(Some(mut packet)) = read else {
                panic!("{}: {} of {until} messages, {read:?}", self.client_id, self.received)
            };
            let mut answers = Vec::new();
            loop {
                self.take_in(&packet, qos, &mut answers);
                let Some(next) = client.take_packet() else { break };
                packet = next;
            }
            client.send(&answers);
        }
    }

    fn take_in(&mut self, packet: &Packet, qos: u8, answers: &mut Vec<u8>) {
        match packet {
            Packet::Publish(publish) => {
                assert_eq!(publish.qos, qos);
                let is_new = if qos == 2 {
                    answers.extend(pubrec(publish.id));
                    self.held.insert(publish.id)
                } else {
                    answers.extend(puback(publish.id));
                    true
                };
                if is_new {
                    let number = publish.text().parse().expect("a number");
                    self.judge(&publish.topic, number);
                }
            }
            Packet::Pubrel(ack) => {
                self.held.remove(&ack.id);
                answers.extend(pubcomp(ack.id));
            }
            other => panic!("{} got {other:?}", self.client_id),
        }
    }

    /// Each device counts up in steps of the number of its topics.
    fn judge(&mut self, topic: &str, number: u64) {
        let next = self.progress.entry(topic.to_owned()).or_insert_with(|| first_number(topic));
        if number < *next {
            self.duplicates += 1;
        } else {
            assert_eq!(number, *next, "{} lost a message on {topic}", self.client_id);
            *next += TOPICS.len() as u64;
            self.received += 1;
        }
    }

    fn expected_end(&self, topic: &str) -> u64 {
        let step = TOPICS.len() as u64;
        let first = first_number(topic);
        first + (self.each - first).div_ceil(step) * step
    }

    /// What is still on its way may only be copies at QoS 1, or the end of QoS 2.
    fn expect_nothing_more(&mut self, client: &mut Client) {
        client.send(crate::packet::PINGREQ);
        loop {
            match client.next_packet() {
                Packet::Pingresp => return,
                packet => {
                    let mut answers = Vec::new();
                    let qos = if let Packet::Publish(publish) = &packet { publish.qos } else { 0 };
                    self.take_in(&packet, qos, &mut answers);
                    client.send(&answers);
                }
            }
        }
    }
}

fn first_number(topic: &str) -> u64 {
    let name = topic.rsplit('/').next();
    TOPICS.iter().position(|topic| Some(*topic) == name).expect("one of the topics") as u64
}
