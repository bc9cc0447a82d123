//! A client that subscribes and receives whatever happens, with habits of its own.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use super::{
    History, Serial, What,
    filter::matches,
    stage::{Phase, Stage},
    witness::{Leave, Witness, pause},
};
use crate::{
    Dice, Packet, Property, Publish, Transport, Version,
    packet::{PINGREQ, puback, pubcomp, pubrec, subscribe, unsubscribe},
};

/// What a [`Reader`] is like.
#[derive(Clone, Debug)]
pub struct Reading {
    /// Version of the protocol.
    pub version: Version,
    /// What carries it.
    pub transport: Transport,
    /// Topic Filters with their QoS.
    pub filters: Vec<(&'static str, u8)>,
    /// It subscribes to and unsubscribes from each of them again and again.
    pub changes: bool,
    /// Longest time it thinks before it reads on.
    pub thinks: Duration,
    /// It stays away for whole rounds.
    pub stays_away: bool,
    /// Now and then it ends its session.
    pub ends_sessions: bool,
    /// Receive Maximum, MQTT 5 only.
    pub receive_max: u16,
    /// It leaves and comes back once in so many reads.
    pub leaves_once_in: u64,
}

/// Acknowledges everything that comes; in the phase [`Phase::Draining`] it stays until the last
/// message of each topic has come.
#[derive(Debug)]
pub struct Reader {
    reading: Reading,
    dice: Dice,
    witness: Witness,
    subscriptions: Vec<Subscription>,
    /// SUBSCRIBE and UNSUBSCRIBE under way: which subscription, whether it subscribes.
    under_way: HashMap<u16, (usize, bool)>,
    /// In which era the subscriptions were made.
    era: u64,
    /// It stays away until this round.
    away_until: u64,
    has_settled: bool,
    /// QoS 2: Packet Identifiers between PUBLISH and PUBREL.
    open: HashSet<u16>,
    /// By topic: the highest number that came.
    highest: HashMap<Arc<str>, u32>,
    heard_pong: bool,
}

#[derive(Debug)]
struct Subscription {
    filter: Arc<str>,
    qos: u8,
    /// `None`: an acknowledgement did not come, so it may be there or not.
    is_there: Option<bool>,
}

impl Reader {
    /// The reader of this number; it throws dice of its own.
    pub fn new(number: u32, reading: Reading, dice: &Dice) -> Self {
        let subscription = |(filter, qos): &(&str, u8)| Subscription {
            filter: Arc::from(*filter),
            qos: *qos,
            is_there: Some(false),
        };
        let witness = Witness::new(&format!("reader-{number}"), reading.version, reading.transport);
        Self {
            dice: dice.part(2_000 + u64::from(number)),
            witness: witness.with(Property::ReceiveMaximum(reading.receive_max)),
            subscriptions: reading.filters.iter().map(subscription).collect(),
            reading,
            under_way: HashMap::new(),
            era: 0,
            away_until: 0,
            has_settled: false,
            open: HashSet::new(),
            highest: HashMap::new(),
            heard_pong: false,
        }
    }

    /// Goes through all phases.
    ///
    /// # Panics
    /// When the broker sends what it may not send.
    pub fn run(mut self, stage: &Stage) -> History {
        let _alarm = stage.alarm();
        while stage.phase() < Phase::Draining {
            let is_away = stage.phase() == Phase::Rounds && stage.round() < self.away_until;
            if is_away || (self.has_settled && self.reading.stays_away) {
                thread::sleep(Duration::from_millis(10));
            } else if self.is_connected(stage) {
                self.turn(stage);
            }
        }
        self.drain(stage);
        self.witness.history
    }

    /// Connects if need be.
    fn is_connected(&mut self, stage: &Stage) -> bool {
        if self.witness.client.is_some() {
            return true;
        }
        let clean =
            self.reading.ends_sessions && stage.phase() == Phase::Rounds && self.dice.once_in(3);
        match self.witness.call(stage, clean) {
            Some(next) => match self.witness.answered(stage, next) {
                Some(session_present) => self.connected(stage, session_present),
                // Clean Start may have been obeyed or not.
                None if clean => self.subscriptions.iter_mut().for_each(|it| it.is_there = None),
                None => {}
            },
            None => pause(),
        }
        self.witness.client.is_some()
    }

    fn connected(&mut self, stage: &Stage, session_present: bool) {
        for (at, _) in std::mem::take(&mut self.under_way).into_values() {
            self.subscriptions[at].is_there = None;
        }
        let may_have_lost = self.era != stage.era();
        self.era = stage.era();
        for subscription in &mut self.subscriptions {
            if !session_present {
                subscription.is_there = Some(false);
            } else if may_have_lost {
                subscription.is_there = None;
            }
        }
        if !session_present || may_have_lost {
            self.open.clear();
        }
    }

    fn turn(&mut self, stage: &Stage) {
        let is_free = stage.phase() == Phase::Rounds;
        self.change(stage, is_free && self.reading.changes);
        self.listen(stage, Duration::from_millis(10));
        if is_free {
            thread::sleep(self.dice.time(Duration::ZERO..self.reading.thinks));
            if self.dice.once_in(self.reading.leaves_once_in) {
                self.leave(stage);
            }
        } else if !self.has_settled && self.witness.client.is_some() && self.has_all() {
            self.has_settled = true;
            stage.settle();
            if self.reading.stays_away {
                self.depart(stage, Leave::Cut);
            }
        }
    }

    fn has_all(&self) -> bool {
        self.under_way.is_empty() && self.subscriptions.iter().all(|it| it.is_there == Some(true))
    }

    /// Subscribes to what is not there; where `at_will`, to anything or the contrary.
    fn change(&mut self, stage: &Stage, at_will: bool) {
        for at in 0..self.subscriptions.len() {
            if self.under_way.values().any(|(under_way, _)| *under_way == at) {
                continue;
            }
            let is_there = self.subscriptions[at].is_there;
            let subscribes = if at_will {
                if !self.dice.once_in(20) {
                    continue;
                }
                is_there.map_or_else(|| self.dice.once_in(2), |is_there| !is_there)
            } else if is_there != Some(true) {
                true
            } else {
                continue;
            };
            self.ask(stage, at, subscribes);
        }
    }

    fn ask(&mut self, stage: &Stage, at: usize, subscribes: bool) {
        let Some(client) = &mut self.witness.client else { return };
        let packet_id = client.packet_id();
        let Subscription { filter, qos, .. } = &self.subscriptions[at];
        let (filter, qos, version) = (Arc::clone(filter), *qos, self.witness.version);
        let bytes = if subscribes {
            subscribe(version, packet_id, &[(&filter, qos)], &[])
        } else {
            unsubscribe(version, packet_id, &[&filter])
        };
        let what =
            if subscribes { What::Subscribing { filter } } else { What::Unsubscribing { filter } };
        self.witness.note(stage, what);
        self.under_way.insert(packet_id, (at, subscribes));
        self.witness.send(stage, &bytes);
    }

    fn leave(&mut self, stage: &Stage) {
        match self.dice.within(0..5) {
            0 => self.depart(stage, Leave::Cut),
            1 => self.depart(stage, Leave::Reset),
            2 => self.depart(stage, Leave::Disconnect),
            3 if self.reading.ends_sessions => self.depart(stage, Leave::EndSession),
            _ => self.take_over(stage),
        }
        if self.reading.stays_away && self.dice.once_in(3) {
            self.away_until = stage.round() + self.dice.within(1..4);
            if self.witness.client.is_some() {
                self.depart(stage, Leave::Disconnect);
            }
        }
    }

    fn depart(&mut self, stage: &Stage, how: Leave) {
        for packet in self.witness.leave(stage, how) {
            self.take_in(stage, &packet);
        }
        if matches!(how, Leave::Disconnect | Leave::EndSession) {
            self.witness.note(stage, What::Ended { code: None });
        }
    }

    /// Connects while the connection before is still there.
    fn take_over(&mut self, stage: &Stage) {
        let Some(next) = self.witness.call(stage, false) else { return };
        // What the older connection still has is taken in without an answer, or left alone.
        if self.dice.once_in(2) {
            for packet in self.witness.until_closed(stage) {
                self.take_in(stage, &packet);
            }
        }
        if let Some(session_present) = self.witness.answered(stage, next) {
            self.connected(stage, session_present);
        }
    }

    /// Takes in what comes, waiting for the first packet so long. Whether there was any.
    fn listen(&mut self, stage: &Stage, time: Duration) -> bool {
        let Some(packets) = self.witness.read(stage, Instant::now() + time) else { return false };
        let mut answers = Vec::new();
        for packet in &packets {
            answers.extend(self.take_in(stage, packet));
        }
        self.witness.send(stage, &answers);
        !packets.is_empty()
    }

    /// Returns what is to be answered.
    fn take_in(&mut self, stage: &Stage, packet: &Packet) -> Vec<u8> {
        match packet {
            Packet::Publish(publish) => return self.received(stage, publish),
            Packet::Pubrel(ack) => {
                self.witness.note(stage, What::Released { packet_id: ack.id });
                self.open.remove(&ack.id);
                return pubcomp(ack.id);
            }
            Packet::Suback(id, codes, _) => {
                let (at, _) = self.under_way.remove(id).expect("a SUBACK for a SUBSCRIBE");
                let subscription = &mut self.subscriptions[at];
                let (filter, code) = (Arc::clone(&subscription.filter), codes[0]);
                subscription.is_there = (code < 0x80).then_some(true);
                self.witness.note(stage, What::Subscribed { filter, code });
            }
            Packet::Unsuback(id, ..) => {
                let (at, _) = self.under_way.remove(id).expect("an UNSUBACK for an UNSUBSCRIBE");
                self.subscriptions[at].is_there = Some(false);
                let filter = Arc::clone(&self.subscriptions[at].filter);
                self.witness.note(stage, What::Unsubscribed { filter });
            }
            Packet::Disconnect(code, _) => self.witness.dismissed(stage, *code),
            Packet::Pingresp => self.heard_pong = true,
            other => panic!("{} got {other:?}", self.witness.history.client_id),
        }
        Vec::new()
    }

    fn received(&mut self, stage: &Stage, publish: &Publish) -> Vec<u8> {
        let serial = serial_of(publish);
        let (topic, highest) = match self.highest.get_key_value(&*publish.topic) {
            Some((topic, highest)) => (Arc::clone(topic), *highest),
            None => (Arc::from(&*publish.topic), 0),
        };
        self.highest.insert(Arc::clone(&topic), highest.max(serial.number));
        let Publish { qos, dup, retain, id: packet_id, .. } = *publish;
        let received = What::Received { serial, topic, qos, dup, retain, packet_id };
        self.witness.note(stage, received);
        match qos {
            0 => Vec::new(),
            1 => puback(packet_id),
            _ => {
                self.open.insert(packet_id);
                pubrec(packet_id)
            }
        }
    }

    /// Receives until the last message of each topic has come, and nothing is open; gives up when
    /// nothing comes any more.
    fn drain(&mut self, stage: &Stage) {
        let finals = stage.finals();
        let mut progress = Instant::now();
        while stage.phase() < Phase::Over && progress.elapsed() < stage.patience {
            if !self.is_connected(stage) {
                continue;
            }
            if self.listen(stage, Duration::from_millis(100)) {
                progress = Instant::now();
            }
            let has_come = |(topic, last): &(Arc<str>, Serial)| {
                let is_wanted = self.subscriptions.iter().any(|it| matches(&it.filter, topic));
                !is_wanted || self.highest.get(topic).is_some_and(|it| *it >= last.number)
            };
            if self.open.is_empty() && finals.iter().all(has_come) {
                // Whatever comes before the answer would be too much.
                self.witness.send(stage, PINGREQ);
                while !self.heard_pong && self.witness.client.is_some() {
                    self.listen(stage, stage.patience);
                }
                self.depart(stage, Leave::Disconnect);
                return;
            }
        }
    }
}

/// Which message it is: the payload says it, or a User Property, where there is no payload.
pub(super) fn serial_of(publish: &Publish) -> Serial {
    let property = publish.properties.iter().find_map(|property| match property {
        Property::UserProperty((name, value)) if name == "serial" => Some(value.as_str()),
        _ => None,
    });
    let text = if publish.payload.is_empty() { property } else { Some(publish.text()) };
    let serial = text.and_then(|text| text.parse().ok());
    serial.unwrap_or_else(|| panic!("there is no serial in {publish:?}"))
}
