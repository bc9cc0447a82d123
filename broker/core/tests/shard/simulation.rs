//! Honest clients on a broker that is cut, delayed and killed, against a model of what is owed.

mod clients;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::bench::dice::{Dice, seeds};
use crate::bench::{Bench, Wire};
use clients::{Publisher, Subscriber, trace};
use flotilla_core::durability::{Class, Durability};
use flotilla_core::limits::Limits;
use flotilla_mqtt::{Connect, PacketId, QoS, Version};

struct World {
    bench: Bench,
    dice: Dice,
    durability: Durability,
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
        // One class for each of three topics, so that they mix in every session and batch.
        let mut class = || [Class::Memory, Class::Os, Class::Fsync][dice.below(3)];
        let rules = vec![("t/+/0".into(), class()), ("t/+/1".into(), class())];
        let durability = Durability::new(rules, class());
        let shards = 1 + dice.below(3) as u16;
        let mut bench = Bench::with_durability(shards, limits, durability.clone());
        bench.commits_at_once = false;
        bench.syncs_at_once = false;
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
            excused: BTreeSet::new(),
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
                is_adrift: false,
                open: BTreeSet::new(),
                got: Vec::new(),
            };
        Self {
            bench,
            dice,
            durability,
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
            3 if self.dice.one_in(10) => self.fail(),
            4 => {
                let ms = 1 + self.dice.below(1_500) as u64;
                self.bench.wait_ms(ms);
            }
            5..=8 => drop(self.bench.commit(1)),
            9 => {
                let batches = 1 + self.dice.below(4);
                self.bench.sync(batches);
            }
            10..=12 => drop(self.bench.report()),
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

    /// The process ends, or the power fails.
    fn fail(&mut self) {
        self.bench.hold_turns(false);
        // Where nothing is synced, a power cut takes even the Packet Identifiers in use.
        let is_power_cut = self.dice.one_in(2) && self.has_class(Class::Fsync);
        trace(|| {
            let end = self.bench.engine.end();
            format!("{} power cut {is_power_cut}, log {end:?}", self.clock)
        });
        let survives = if is_power_cut {
            self.bench.power_cut(self.dice.below(4));
            Class::Fsync
        } else {
            self.bench.crash();
            Class::Os
        };
        let records = self.durability.default_class().max(Class::Os);
        for publisher in &mut self.publishers {
            (publisher.wire, publisher.is_connected) = (None, false);
            for (number, (topic, _)) in &publisher.sent {
                // Without its session, a subscriber may miss what is sent again.
                let is_routed = records >= survives || publisher.acknowledged.contains(number);
                if self.durability.class_of(topic) < survives || !is_routed {
                    publisher.excused.insert(*number);
                }
            }
        }
        for subscriber in &mut self.subscribers {
            (subscriber.wire, subscriber.is_connected) = (None, false);
            if records < survives {
                subscriber.had_session = false;
                subscriber.is_adrift = subscriber.subscribed_at.is_some();
            }
        }
    }

    fn has_class(&self, class: Class) -> bool {
        let mut rules = self.durability.rules().iter();
        self.durability.default_class() == class || rules.any(|(_, of_rule)| *of_rule == class)
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
                let topic = format!("t/{}/{}", publisher.id, number % 3);
                if self.subscribers.iter().any(|subscriber| subscriber.is_adrift) {
                    publisher.excused.insert(number);
                }
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
                let is_excused = sender.is_some_and(|sender| sender.excused.contains(number));
                if *times == 1 && sent_at > subscribed_at && !is_excused {
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
                    if publisher.excused.contains(number) {
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
