//! The way of messages through one shard, from bytes to bytes, without sockets: for profilers.
//!
//! ```sh
//! cargo run --release -p flotilla-core --example path -- fan-in 1000000
//! valgrind --tool=callgrind --toggle-collect='*Shard*received*' … target/release/examples/path fan-in 100000
//! ```

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use flotilla_core::connection::Identification;
use flotilla_core::durability::Durability;
use flotilla_core::id::{ConnectionKey, Position, ShardId};
use flotilla_core::limits::Limits;
use flotilla_core::mail::Commit;
use flotilla_core::router::Router;
use flotilla_core::shard::Shard;
use flotilla_core::time::Now;
use flotilla_core::turn::Turn;
use flotilla_mqtt::{
    Ack, Connect, Packet, PacketId, Publish, QoS, ReasonCode, Requested, Subscribe,
    SubscribeFilters, SubscriptionOptions, UserProperties, Version, decode,
};

/// As the broker has it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const NOW: Now = Now { monotonic_ms: 1_000, unix_ms: 1_000_000 };

/// Who publishes to whom.
struct Scenario {
    publishers: usize,
    subscribers: usize,
    /// The filters of a subscriber.
    filters: fn(usize) -> Vec<String>,
    /// The topic of a publisher's message of that number.
    topic: fn(usize, usize) -> String,
    /// Of these many topics each publisher uses one after the other.
    topics: usize,
    qos: QoS,
    retain: bool,
    payload_len: usize,
    /// Messages that a publisher sends in one turn.
    burst: usize,
    /// Messages of a publisher that are on their way at most.
    window: usize,
}

impl Scenario {
    fn named(name: &str) -> Option<Self> {
        let one = |number| vec![format!("load/p2p/{number}")];
        let p2p = Self {
            publishers: 50,
            subscribers: 50,
            filters: one,
            topic: |publisher, _| format!("load/p2p/{publisher}"),
            topics: 1,
            qos: QoS::AtMostOnce,
            retain: false,
            payload_len: 64,
            burst: 25,
            window: 100,
        };
        let fan_in = |_: usize| vec!["load/fan-in/#".to_owned()];
        let wildcards = |subscriber| {
            let device = |at| format!("load/wildcards/{}/+/state", subscriber * 500 + at);
            (0..500).map(device).collect()
        };
        Some(match name {
            "p2p" => p2p,
            "p2p-1k" => Self { payload_len: 1024, burst: 8, ..p2p },
            "p2p-qos1" => Self { qos: QoS::AtLeastOnce, ..p2p },
            "p2p-qos2" => Self { qos: QoS::ExactlyOnce, ..p2p },
            "fan-out" => Self { publishers: 1, subscribers: 500, filters: |_| one_of(0), ..p2p },
            "fan-in" => Self {
                publishers: 500,
                subscribers: 1,
                filters: fan_in,
                topic: |publisher, _| format!("load/fan-in/{publisher}"),
                qos: QoS::AtLeastOnce,
                burst: 10,
                ..p2p
            },
            "wildcards" => Self {
                publishers: 50,
                subscribers: 200,
                filters: wildcards,
                topic: |publisher, at| {
                    format!("load/wildcards/{}/a/state", (publisher + at * 50) % 100_000)
                },
                topics: 2_000,
                ..p2p
            },
            "retained" => Self {
                subscribers: 0,
                topic: |publisher, at| format!("load/retained/{}", publisher * 4_000 + at),
                topics: 4_000,
                retain: true,
                ..p2p
            },
            _ => return None,
        })
    }

    /// A message with the place of its Packet Identifier.
    fn packet(&self, publisher: usize, at: usize) -> (Vec<u8>, usize) {
        let (topic, payload) = ((self.topic)(publisher, at), vec![b'x'; self.payload_len]);
        let packet_id = (self.qos > QoS::AtMostOnce).then_some(PacketId::MIN);
        let publish = Publish {
            qos: self.qos,
            retain: self.retain,
            packet_id,
            ..Publish::new(&topic, &payload)
        };
        let bytes = encoded(&Packet::Publish(publish));
        // Behind it are the length of no properties and the payload.
        let at = bytes.len() - payload.len() - 3;
        (bytes, at)
    }
}

fn one_of(publisher: usize) -> Vec<String> {
    vec![format!("load/p2p/{publisher}")]
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let name = arguments.next().expect("first the name of a scenario");
    let messages = arguments.next().map_or(1_000_000, |number| number.parse().expect("a number"));
    let scenario = Scenario::named(&name).expect("a scenario of that name");
    let mut bench = Bench::new(&scenario);
    bench.run(&scenario, messages);
    let counters = bench.shard.counters();
    let delivered: u64 = counters.messages_delivered.iter().sum();
    let ns = bench.elapsed.as_nanos() as f64 / delivered.max(messages as u64) as f64;
    println!("{name}: {messages} messages, {delivered} delivered, {ns:.0} ns each in the core");
}

struct Bench {
    shard: Shard,
    router: Router,
    turn: Turn,
    publishers: Vec<Publisher>,
    by_connection: HashMap<ConnectionKey, usize>,
    /// What clients answer to what they got in the last turn.
    answers: Vec<(ConnectionKey, Vec<u8>)>,
    /// Spent in the shard.
    elapsed: Duration,
}

struct Publisher {
    connection: ConnectionKey,
    /// A message for each of its topics, with the place of its Packet Identifier.
    packets: Vec<(Vec<u8>, usize)>,
    sent: usize,
    unacknowledged: usize,
}

impl Bench {
    fn new(scenario: &Scenario) -> Self {
        let limits = Limits {
            queue_messages_max: usize::MAX,
            queue_bytes_max: usize::MAX,
            ..Limits::default()
        };
        let (limits, durability) = (Arc::new(limits), Arc::new(Durability::default()));
        let mut bench = Self {
            shard: Shard::new(ShardId(0), 1, limits, durability, 7),
            router: Router::default(),
            turn: Turn::default(),
            publishers: Vec::new(),
            by_connection: HashMap::new(),
            answers: Vec::new(),
            elapsed: Duration::ZERO,
        };
        for subscriber in 0..scenario.subscribers {
            bench.subscribe(&format!("load-sub-{subscriber}"), scenario, subscriber);
        }
        for number in 0..scenario.publishers {
            let connection = bench.connect(&format!("load-pub-{number}"));
            let packets = (0..scenario.topics).map(|at| scenario.packet(number, at)).collect();
            let publisher = Publisher { connection, packets, sent: 0, unacknowledged: 0 };
            bench.by_connection.insert(connection, number);
            bench.publishers.push(publisher);
        }
        bench.answers.clear();
        bench.elapsed = Duration::ZERO;
        bench
    }

    fn connect(&mut self, client_id: &str) -> ConnectionKey {
        let key = self.shard.opened(NOW, &mut self.turn);
        let connect = Connect { keep_alive_s: 60, ..Connect::new(Version::V5, client_id) };
        self.received(key, &encoded(&Packet::Connect(connect)));
        for question in std::mem::take(&mut self.turn.questions) {
            let accepted = Identification::Accepted { identity: None };
            self.shard.identified(question.connection, accepted, NOW, &mut self.turn);
        }
        self.end_turn();
        key
    }

    fn subscribe(&mut self, client_id: &str, scenario: &Scenario, number: usize) {
        let key = self.connect(client_id);
        let filters = (scenario.filters)(number);
        let options = SubscriptionOptions::new(scenario.qos);
        let filters: Vec<_> = filters.iter().map(|filter| Requested { filter, options }).collect();
        let subscribe = Subscribe {
            packet_id: PacketId::MAX,
            subscription_id: None,
            user_properties: UserProperties::default(),
            filters: SubscribeFilters::from_slice(&filters),
        };
        self.received(key, &encoded(&Packet::Subscribe(subscribe)));
        self.end_turn();
    }

    /// Publishes so many messages; done when nobody has anything more to say.
    fn run(&mut self, scenario: &Scenario, messages: usize) {
        let mut left = messages;
        while left > 0 || !self.answers.is_empty() {
            for (connection, answer) in std::mem::take(&mut self.answers) {
                self.received(connection, &answer);
            }
            let mut publishers = std::mem::take(&mut self.publishers);
            for publisher in &mut publishers {
                let room = scenario.window - publisher.unacknowledged;
                let burst = scenario.burst.min(room).min(left);
                left -= burst;
                let bytes = publisher.burst(burst, scenario.qos);
                self.received(publisher.connection, &bytes);
            }
            self.publishers = publishers;
            self.end_turn();
        }
    }

    fn received(&mut self, connection: ConnectionKey, bytes: &[u8]) {
        let began = Instant::now();
        let consumed = self.shard.received(connection, bytes, NOW, &mut self.turn);
        self.elapsed += began.elapsed();
        assert_eq!(consumed, bytes.len(), "nothing holds a client back");
    }

    /// As a worker does whose sockets take all there is, until nothing more comes of it.
    fn end_turn(&mut self) {
        loop {
            let began = Instant::now();
            if self.shard.changes_router() {
                self.shard.end_turn_changing(&mut self.router, NOW, &mut self.turn);
            } else {
                self.shard.end_turn(&self.router, NOW, &mut self.turn);
            }
            self.elapsed += began.elapsed();
            self.turn.paused.clear();
            self.turn.resumed.clear();
            self.commit();
            let sends = std::mem::take(&mut self.turn.sends);
            if sends.is_empty() {
                return;
            }
            for send in sends {
                self.answer(send.connection, &send.bytes);
                let began = Instant::now();
                let bytes = send.bytes.len();
                self.shard.written(send.connection, bytes, NOW, &mut self.turn);
                self.elapsed += began.elapsed();
                self.turn.recycle(send.bytes);
            }
        }
    }

    /// Forgets what is to be stored and says that it is stored.
    fn commit(&mut self) {
        let batch = std::mem::take(&mut self.turn.batch);
        if batch.is_empty() {
            return;
        }
        for (_, commit) in Commit::by_shard(vec![(batch, Position(1))], Position(1)) {
            self.shard.committed(commit, NOW, &mut self.turn);
        }
    }

    /// What the client has to say to these packets.
    fn answer(&mut self, connection: ConnectionKey, mut bytes: &[u8]) {
        let mut answer = Vec::new();
        while let Ok(Some((packet, len))) = decode(bytes, Version::V5, u32::MAX) {
            bytes = &bytes[len..];
            let ack = |packet_id| Ack::new(packet_id, ReasonCode::Success);
            let reply = match packet {
                Packet::Publish(Publish { qos, packet_id: Some(packet_id), .. }) => match qos {
                    QoS::ExactlyOnce => Packet::Pubrec(ack(packet_id)),
                    _ => Packet::Puback(ack(packet_id)),
                },
                Packet::Pubrec(pubrec) => Packet::Pubrel(ack(pubrec.packet_id)),
                Packet::Pubrel(pubrel) => Packet::Pubcomp(ack(pubrel.packet_id)),
                Packet::Puback(_) | Packet::Pubcomp(_) => {
                    self.publishers[self.by_connection[&connection]].unacknowledged -= 1;
                    continue;
                }
                _ => continue,
            };
            reply.encode(Version::V5, &mut answer).expect("an acknowledgement is short");
        }
        if !answer.is_empty() {
            self.answers.push((connection, answer));
        }
    }
}

impl Publisher {
    /// So many messages, encoded.
    fn burst(&mut self, messages: usize, qos: QoS) -> Vec<u8> {
        let mut bytes = Vec::new();
        for _ in 0..messages {
            let (packet, at) = &self.packets[self.sent % self.packets.len()];
            let start = bytes.len() + at;
            bytes.extend_from_slice(packet);
            if qos > QoS::AtMostOnce {
                let packet_id = 1 + (self.sent % 60_000) as u16;
                bytes[start..start + 2].copy_from_slice(&packet_id.to_be_bytes());
                self.unacknowledged += 1;
            }
            self.sent += 1;
        }
        bytes
    }
}

fn encoded(packet: &Packet<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    packet.encode(Version::V5, &mut bytes).expect("these packets are valid");
    bytes
}
