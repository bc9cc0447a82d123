//! Honest clients on a broker that is cut, delayed and killed, against a model of what is owed.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::bench::dice::{Dice, seeds};
use crate::bench::{Bench, Wire};
use flotilla_core::limits::Limits;
use flotilla_mqtt::{
    Ack, Connect, Packet, PacketId, Publish, QoS, ReasonCode, Requested, Subscribe,
    SubscribeFilters, SubscriptionOptions, UserProperties, Version,
};

/// Publishes numbers to its own topics and remembers what was acknowledged.
struct Publisher {
    id: String,
    qos: QoS,
    wire: Option<Wire>,
    is_connected: bool,
    next_number: u64,
    next_id: PacketId,
    /// Sent, not acknowledged: identifier, number, topic, whether PUBREC came.
    window: VecDeque<(PacketId, u64, String, bool)>,
    /// Number to (topic, when first sent).
    sent: BTreeMap<u64, (String, u64)>,
    acknowledged: BTreeSet<u64>,
}

/// Takes messages, acknowledges them in its own time, keeps its session.
struct Subscriber {
    id: String,
    version: Version,
    filter: &'static str,
    qos: QoS,
    wire: Option<Wire>,
    is_connected: bool,
    had_session: bool,
    /// When SUBACK came.
    subscribed_at: Option<u64>,
    wants_subscription: bool,
    /// QoS 2 identifiers that were received and not released.
    open: BTreeSet<PacketId>,
    /// What the application got, in order: publisher, number, topic, QoS of the delivery.
    got: Vec<(String, u64, String, QoS)>,
}

struct World {
    bench: Bench,
    dice: Dice,
    publishers: Vec<Publisher>,
    subscribers: Vec<Subscriber>,
    clock: u64,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut dice = Dice(seed);
        let limits = Limits {
            inflight_max: 1 + dice.below(6) as u16,
            tail_messages_max: 1 + dice.below(4),
            page_messages_max: 1 + dice.below(5),
            cursor_lag_max: 1 + dice.below(8),
            cursor_idle_ms: 1 + dice.below(400) as u64,
            tail_bytes_max: 1 + dice.below(100),
            uncommitted_bytes_max: 200,
            ..Limits::default()
        };
        let mut bench = Bench::with_limits(1 + dice.below(3) as u16, limits);
        bench.commits_at_once = false;
        let publisher = |at: usize| Publisher {
            id: format!("p{at}"),
            qos: if at == 0 { QoS::AtLeastOnce } else { QoS::ExactlyOnce },
            wire: None,
            is_connected: false,
            next_number: 1,
            next_id: PacketId::MIN,
            window: VecDeque::new(),
            sent: BTreeMap::new(),
            acknowledged: BTreeSet::new(),
        };
        let kinds = [
            (Version::V5, "t/#", QoS::ExactlyOnce),
            (Version::V3_1_1, "t/+/1", QoS::ExactlyOnce),
            (Version::V5, "+/p1/#", QoS::AtLeastOnce),
        ];
        let subscriber =
            |(at, (version, filter, qos)): (usize, (Version, &'static str, QoS))| Subscriber {
                id: format!("s{at}"),
                version,
                filter,
                qos,
                wire: None,
                is_connected: false,
                had_session: false,
                subscribed_at: None,
                wants_subscription: true,
                open: BTreeSet::new(),
                got: Vec::new(),
            };
        Self {
            bench,
            dice,
            publishers: (0..2).map(publisher).collect(),
            subscribers: kinds.into_iter().enumerate().map(subscriber).collect(),
            clock: 0,
        }
    }

    fn step(&mut self) {
        self.clock += 1;
        if self.dice.one_in(3) {
            // Several things may happen in one turn.
            let holds = self.dice.one_in(2);
            self.bench.hold_turns(holds);
        }
        match self.dice.below(40) {
            0 if self.dice.one_in(3) => {
                let at = self.dice.below(self.publishers.len());
                if let Some(wire) = self.publishers[at].wire.take() {
                    self.publishers[at].is_connected = false;
                    self.bench.cut(wire);
                }
            }
            1 if self.dice.one_in(3) => {
                let at = self.dice.below(self.subscribers.len());
                if let Some(wire) = self.subscribers[at].wire.take() {
                    self.subscribers[at].is_connected = false;
                    self.bench.cut(wire);
                }
            }
            // A second connection of the same client, while the first one stands.
            2 if self.dice.one_in(3) => {
                let at = self.dice.below(self.subscribers.len());
                self.subscribers[at].wire = None;
                self.subscribers[at].is_connected = false;
            }
            3 if self.dice.one_in(10) => self.crash(),
            4 => {
                let ms = 1 + self.dice.below(1_500) as u64;
                self.bench.wait_ms(ms);
            }
            5..=8 => drop(self.bench.commit(1)),
            9..=12 => drop(self.bench.report_commit()),
            13..=17 => drop(self.bench.deliver_mail()),
            18..=19 => drop(self.bench.read_page()),
            20 => drop(self.bench.deliver_page()),
            21..=22 => drop(self.bench.answer()),
            23..=31 => {
                let at = self.dice.below(self.subscribers.len());
                self.subscriber_acts(at);
            }
            _ => {
                let at = self.dice.below(self.publishers.len());
                self.publisher_acts(at, true);
            }
        }
    }

    fn crash(&mut self) {
        self.bench.hold_turns(false);
        trace(|| format!("{} crash, log {:?}", self.clock, self.bench.engine.end()));
        self.bench.crash();
        for publisher in &mut self.publishers {
            (publisher.wire, publisher.is_connected) = (None, false);
        }
        for subscriber in &mut self.subscribers {
            (subscriber.wire, subscriber.is_connected) = (None, false);
        }
    }

    fn connect(&mut self, id: &str, version: Version) -> Wire {
        let shards = self.bench.shards.len();
        let shard = self.dice.below(shards) as u16;
        let mut connect = Connect::new(version, id);
        connect.clean_start = false;
        connect.session_expiry_interval_s = u32::MAX;
        connect.receive_maximum = 1 + self.dice.below(5) as u16;
        if version == Version::V3_1_1 {
            connect.receive_maximum = u16::MAX;
        }
        self.bench.connect(shard, connect)
    }

    fn publisher_acts(&mut self, at: usize, may_publish: bool) {
        let Some(wire) = self.publishers[at].wire.filter(|&wire| self.bench.is_open(wire)) else {
            let id = self.publishers[at].id.clone();
            self.publishers[at].is_connected = false;
            self.publishers[at].wire = Some(self.connect(&id, Version::V5));
            return;
        };
        let clock = self.clock;
        let publisher = &mut self.publishers[at];
        let answer = self.bench.receive(wire, |packet| {
            trace(|| format!("{clock} {} <- {}", publisher.id, crate::bench::describe(&packet)));
            publisher.received(&packet)
        });
        match answer {
            Some(answers) => {
                for bytes in answers {
                    self.bench.send_bytes(wire, &bytes);
                }
            }
            None if publisher.is_connected && publisher.window.len() < 4 && may_publish => {
                let number = publisher.next_number;
                publisher.next_number += 1;
                let topic = format!("t/{}/{}", publisher.id, number % 2);
                let packet_id = publisher.next_id;
                // Few identifiers, so that each is soon used for another message.
                let ids = (1..=8).filter_map(PacketId::new);
                let is_free = |id: &PacketId| publisher.window.iter().all(|entry| entry.0 != *id);
                let later = ids.clone().filter(|id| *id > packet_id).chain(ids);
                publisher.next_id = later.clone().find(is_free).expect("four of eight are free");
                publisher.window.push_back((packet_id, number, topic.clone(), false));
                publisher.sent.insert(number, (topic, clock));
                trace(|| format!("{clock} {} -> {number}", publisher.id));
                let bytes = publisher.publish(packet_id, number, false);
                self.bench.send_bytes(wire, &bytes);
            }
            None => {}
        }
    }

    fn subscriber_acts(&mut self, at: usize) {
        let Some(wire) = self.subscribers[at].wire.filter(|&wire| self.bench.is_open(wire)) else {
            let (id, version) = (self.subscribers[at].id.clone(), self.subscribers[at].version);
            self.subscribers[at].is_connected = false;
            self.subscribers[at].wire = Some(self.connect(&id, version));
            return;
        };
        let clock = self.clock;
        let subscriber = &mut self.subscribers[at];
        let answer = self.bench.receive(wire, |packet| {
            trace(|| format!("{clock} {} <- {}", subscriber.id, crate::bench::describe(&packet)));
            subscriber.received(&packet, clock)
        });
        if let Some(Some(bytes)) = answer {
            self.bench.send_bytes(wire, &bytes);
        } else if answer.is_none() && subscriber.is_connected && subscriber.wants_subscription {
            subscriber.wants_subscription = false;
            let bytes = subscriber.subscribe();
            self.bench.send_bytes(wire, &bytes);
        }
    }

    /// Everybody comes back and stays until nothing moves any more.
    fn calm_down(&mut self) {
        self.bench.hold_turns(false);
        for _ in 0..2_000 {
            self.clock += 1;
            for at in 0..self.publishers.len() {
                self.publisher_acts(at, false);
            }
            for at in 0..self.subscribers.len() {
                self.subscriber_acts(at);
            }
            self.bench.settle();
        }
        for publisher in &self.publishers {
            assert!(
                publisher.window.is_empty(),
                "{} waits for {:?}",
                publisher.id,
                publisher.window
            );
        }
    }

    fn check(&self) {
        for subscriber in &self.subscribers {
            let subscribed_at = subscriber.subscribed_at.expect("everybody calmed down");
            let mut got: BTreeMap<(&str, u64), usize> = BTreeMap::new();
            let mut last: BTreeMap<(&str, &str), u64> = BTreeMap::new();
            for (publisher, number, topic, _) in &subscriber.got {
                let times = got.entry((publisher, *number)).or_default();
                *times += 1;
                let last = last.entry((publisher, topic)).or_default();
                let sender = self.publishers.iter().find(|p| p.id == *publisher);
                let sent_at = sender.map_or(0, |sender| sender.sent[number].1);
                // What was published before may have gone into the log twice, around the
                // beginning of the subscription.
                if *times == 1 && sent_at > subscribed_at {
                    assert!(
                        *last < *number,
                        "{}: {publisher} {number} after {last}",
                        subscriber.id
                    );
                    *last = *number;
                }
            }
            for publisher in &self.publishers {
                for (number, (topic, sent_at)) in &publisher.sent {
                    let times = got.get(&(publisher.id.as_str(), *number)).copied().unwrap_or(0);
                    if !flotilla_mqtt::topic::matches(subscriber.filter, topic) {
                        assert_eq!(times, 0, "{} did not ask for {topic}", subscriber.id);
                        continue;
                    }
                    let context = format!("{} {}/{number}", subscriber.id, publisher.id);
                    if publisher.acknowledged.contains(number) && *sent_at > subscribed_at {
                        assert!(times >= 1, "{context} was acknowledged and is lost");
                    }
                    if subscriber.qos.min(publisher.qos) == QoS::ExactlyOnce {
                        assert!(times <= 1, "{context} came {times} times");
                    }
                }
            }
        }
    }
}

impl Publisher {
    fn publish(&self, packet_id: PacketId, number: u64, dup: bool) -> Vec<u8> {
        let topic = format!("t/{}/{}", self.id, number % 2);
        let payload = format!("{} {number}", self.id);
        let mut publish = Publish::new(&topic, payload.as_bytes());
        (publish.qos, publish.packet_id, publish.dup) = (self.qos, Some(packet_id), dup);
        encode(&Packet::Publish(publish), Version::V5)
    }

    fn received(&mut self, packet: &Packet<'_>) -> Vec<Vec<u8>> {
        match packet {
            Packet::Connack(connack) => {
                assert_eq!(connack.reason_code, ReasonCode::Success);
                self.is_connected = true;
                if !connack.session_present {
                    // Nobody knows what became of these.
                    self.window.clear();
                }
                let again =
                    self.window.iter().map(|&(id, number, _, is_received)| match is_received {
                        true => encode(&pubrel(id), Version::V5),
                        false => self.publish(id, number, true),
                    });
                again.collect()
            }
            Packet::Puback(ack) => {
                let (id, number, _, _) = self.window.pop_front().expect("an answer to something");
                assert_eq!(id, ack.packet_id, "acknowledgements come in order");
                self.acknowledged.insert(number);
                Vec::new()
            }
            Packet::Pubrec(ack) => {
                let entry = self.window.iter_mut().find(|entry| entry.0 == ack.packet_id);
                let Some(entry) = entry else { return Vec::new() };
                entry.3 = true;
                self.acknowledged.insert(entry.1);
                vec![encode(&pubrel(ack.packet_id), Version::V5)]
            }
            Packet::Pubcomp(ack) => {
                self.window.retain(|entry| entry.0 != ack.packet_id);
                Vec::new()
            }
            Packet::Disconnect(_) => Vec::new(),
            other => panic!("a publisher got {other:?}"),
        }
    }
}

impl Subscriber {
    fn subscribe(&self) -> Vec<u8> {
        let options = SubscriptionOptions::new(self.qos);
        let wishes = [Requested { filter: self.filter, options }];
        let packet = Packet::Subscribe(Subscribe {
            packet_id: PacketId::MIN,
            subscription_id: None,
            user_properties: UserProperties::EMPTY,
            filters: SubscribeFilters::from_slice(&wishes),
        });
        encode(&packet, self.version)
    }

    fn received(&mut self, packet: &Packet<'_>, clock: u64) -> Option<Vec<u8>> {
        let version = self.version;
        match packet {
            Packet::Connack(connack) => {
                assert_eq!(connack.reason_code, ReasonCode::Success);
                self.is_connected = true;
                if self.had_session {
                    assert!(connack.session_present, "{}: a session is gone", self.id);
                }
                if !connack.session_present {
                    self.open.clear();
                }
                self.had_session = true;
                self.wants_subscription = self.subscribed_at.is_none();
                None
            }
            Packet::Suback(_) => {
                trace(|| format!("{clock} {} is subscribed", self.id));
                self.subscribed_at.get_or_insert(clock);
                None
            }
            Packet::Publish(publish) => {
                let payload = std::str::from_utf8(publish.payload).expect("text");
                let (publisher, number) = payload.split_once(' ').expect("two words");
                let number = number.parse().expect("a number");
                let topic = publish.topic.to_owned();
                let is_new = match (publish.qos, publish.packet_id) {
                    (QoS::ExactlyOnce, Some(packet_id)) => self.open.insert(packet_id),
                    _ => true,
                };
                if is_new {
                    self.got.push((publisher.to_owned(), number, topic, publish.qos));
                }
                let packet_id = publish.packet_id?;
                let ack = Ack::new(packet_id, ReasonCode::Success);
                Some(match publish.qos {
                    QoS::ExactlyOnce => encode(&Packet::Pubrec(ack), version),
                    _ => encode(&Packet::Puback(ack), version),
                })
            }
            Packet::Pubrel(ack) => {
                self.open.remove(&ack.packet_id);
                let pubcomp = Packet::Pubcomp(Ack::new(ack.packet_id, ReasonCode::Success));
                Some(encode(&pubcomp, version))
            }
            Packet::Disconnect(_) => None,
            other => panic!("a subscriber got {other:?}"),
        }
    }
}

fn pubrel(packet_id: PacketId) -> Packet<'static> {
    Packet::Pubrel(Ack::new(packet_id, ReasonCode::Success))
}

fn encode(packet: &Packet<'_>, version: Version) -> Vec<u8> {
    let mut bytes = Vec::new();
    packet.encode(version, &mut bytes).expect("test packets are encodable");
    bytes
}

/// Tells the story of a seed when it is asked for: `FLOTILLA_TRACE=1 FLOTILLA_SEEDS=12..13`.
fn trace(line: impl FnOnce() -> String) {
    if std::env::var_os("FLOTILLA_TRACE").is_some() {
        println!("{}", line());
    }
}

fn run(seed: u64, steps: usize) -> World {
    let mut world = World::new(seed);
    for _ in 0..steps {
        world.step();
    }
    world.calm_down();
    world.check();
    world
}

#[test]
fn nothing_acknowledged_is_lost_and_qos_2_comes_once() {
    let mut delivered = 0;
    for seed in seeds(0..150) {
        println!("seed {seed}");
        let world = run(seed, 3_000);
        delivered += world.subscribers.iter().map(|subscriber| subscriber.got.len()).sum::<usize>();
    }
    println!("{delivered} deliveries");
    assert!(delivered > 1_000, "the simulation does something: {delivered}");
}

#[test]
fn one_seed_gives_one_history() {
    let history = |world: World| -> Vec<_> {
        world.subscribers.into_iter().map(|subscriber| subscriber.got).collect()
    };
    assert_eq!(history(run(42, 2_000)), history(run(42, 2_000)));
}
