//! A client that publishes whatever happens, and repeats what was not acknowledged.

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    History, Serial, What,
    stage::{Phase, Stage},
    witness::{Leave, Witness, pause},
};
use crate::{Dice, Packet, Property, Publish, Transport, Version, packet::pubrel};

/// What a [`Writer`] is like.
#[derive(Clone, Debug)]
pub struct Writing {
    /// Version of the protocol.
    pub version: Version,
    /// What carries it.
    pub transport: Transport,
    /// 1 or 2.
    pub qos: u8,
    /// How many topics: `PREFIX/WRITER/0` and so on.
    pub topics: u32,
    /// First level of its topics.
    pub prefix: &'static str,
    /// RETAIN, and now and then (MQTT 5) an empty payload.
    pub retain: bool,
    /// Messages under way at once.
    pub window: usize,
    /// Longest time between two bursts of messages.
    pub pause: Duration,
    /// Smallest payload, in bytes.
    pub payload_min: usize,
    /// It leaves and comes back once in so many bursts.
    pub leaves_once_in: u64,
}

/// Publishes on its topics in turn until the phase [`Phase::Closing`], then a last message on each.
#[derive(Debug)]
pub struct Writer {
    number: u32,
    writing: Writing,
    topics: Vec<Arc<str>>,
    dice: Dice,
    witness: Witness,
    next: u32,
    last_packet_id: u16,
    in_flight: VecDeque<InFlight>,
    /// When something was acknowledged, or there was nothing to acknowledge.
    progress: Instant,
}

#[derive(Clone, Debug)]
struct InFlight {
    serial: Serial,
    topic: Arc<str>,
    packet_id: u16,
    /// Bytes.
    size: usize,
    is_empty: bool,
    /// QoS 2: PUBREC has come, PUBREL is what is sent again.
    is_released: bool,
}

impl Writer {
    /// The writer of this number; it throws dice of its own.
    pub fn new(number: u32, writing: Writing, dice: &Dice) -> Self {
        let topic = |topic| Arc::from(format!("{}/{number}/{topic}", writing.prefix));
        let client_id = format!("writer-{number}");
        Self {
            number,
            topics: (0..writing.topics).map(topic).collect(),
            dice: dice.part(1_000 + u64::from(number)),
            witness: Witness::new(&client_id, writing.version, writing.transport),
            writing,
            next: 0,
            last_packet_id: 0,
            in_flight: VecDeque::new(),
            progress: Instant::now(),
        }
    }

    /// Goes through all phases.
    ///
    /// # Panics
    /// When the broker is there and does not acknowledge anything.
    pub fn run(mut self, stage: &Stage) -> History {
        let _alarm = stage.alarm();
        while stage.phase() < Phase::Closing {
            if self.is_connected(stage) {
                self.burst(stage);
            }
        }
        let mut last = self.topics.clone();
        while !(last.is_empty() && self.in_flight.is_empty()) && stage.phase() < Phase::Over {
            if !self.is_connected(stage) {
                continue;
            }
            if let Some(topic) = last.pop_if(|_| self.in_flight.len() < self.writing.window) {
                let (serial, bytes) = self.new_message(stage, &topic);
                self.witness.send(stage, &bytes);
                stage.finish(&topic, serial);
            }
            self.listen(stage, Instant::now() + Duration::from_millis(10));
        }
        self.witness.history
    }

    /// Connects if need be, and sends again what is open.
    fn is_connected(&mut self, stage: &Stage) -> bool {
        if self.witness.client.is_some() {
            return true;
        }
        let session =
            self.witness.call(stage, false).and_then(|next| self.witness.answered(stage, next));
        match session {
            Some(session_present) => self.repeat(stage, session_present),
            None => pause(),
        }
        self.progress = Instant::now();
        self.witness.client.is_some()
    }

    fn repeat(&mut self, stage: &Stage, session_present: bool) {
        if !session_present {
            // What is under way is forgotten on both sides; nobody knows what became of it.
            self.in_flight.clear();
        }
        let mut bytes = Vec::new();
        for open in self.in_flight.clone() {
            if open.is_released {
                bytes.extend(pubrel(open.packet_id));
            } else {
                bytes.extend(self.publish(stage, &open, true));
            }
        }
        self.witness.send(stage, &bytes);
    }

    /// Some messages at once, then time for their acknowledgements.
    fn burst(&mut self, stage: &Stage) {
        let mut bytes = Vec::new();
        for _ in 0..self.dice.within(1..12) {
            if self.in_flight.len() < self.writing.window {
                let topic = Arc::clone(self.dice.one_of(&self.topics));
                bytes.extend(self.new_message(stage, &topic).1);
            }
        }
        self.witness.send(stage, &bytes);
        let pause = self.dice.time(Duration::ZERO..self.writing.pause);
        let until = Instant::now() + pause;
        loop {
            self.listen(stage, until);
            let is_full = self.in_flight.len() >= self.writing.window;
            if self.witness.client.is_none() || (Instant::now() >= until && !is_full) {
                break;
            }
            if is_full && stage.phase() == Phase::Over {
                return;
            }
        }
        if self.dice.once_in(self.writing.leaves_once_in) {
            self.leave(stage);
        }
    }

    fn leave(&mut self, stage: &Stage) {
        let late = match self.dice.within(0..4) {
            0 => self.witness.leave(stage, Leave::Cut),
            1 => self.witness.leave(stage, Leave::Reset),
            2 => self.witness.leave(stage, Leave::Disconnect),
            _ => return self.take_over(stage),
        };
        for packet in late {
            self.take_in(stage, &packet);
        }
    }

    /// Connects while the connection before is still there.
    fn take_over(&mut self, stage: &Stage) {
        let Some(next) = self.witness.call(stage, false) else { return };
        for packet in self.witness.until_closed(stage) {
            self.take_in(stage, &packet);
        }
        if let Some(session_present) = self.witness.answered(stage, next) {
            self.repeat(stage, session_present);
        }
    }

    /// Takes in acknowledgements, waiting for the first until then at most.
    fn listen(&mut self, stage: &Stage, until: Instant) {
        let until = until.max(Instant::now() + Duration::from_millis(1));
        let until = until.min(Instant::now() + Duration::from_millis(20));
        let Some(packets) = self.witness.read(stage, until) else { return };
        let mut releases = Vec::new();
        for packet in packets {
            releases.extend(self.take_in(stage, &packet));
        }
        self.witness.send(stage, &releases);
        let Self { in_flight, number, progress, .. } = self;
        assert!(
            in_flight.is_empty() || progress.elapsed() < stage.patience,
            "writer {number}: no acknowledgement within {:?}, under way {in_flight:?}",
            stage.patience
        );
        if in_flight.is_empty() {
            *progress = Instant::now();
        }
    }

    /// Returns what is to be answered.
    fn take_in(&mut self, stage: &Stage, answer: &Packet) -> Vec<u8> {
        self.progress = Instant::now();
        match answer {
            Packet::Puback(ack) => {
                let open = self.remove(ack.id);
                self.acknowledged(stage, open.serial, ack.code);
            }
            Packet::Pubrec(ack) if ack.code >= 0x80 => {
                let open = self.remove(ack.id);
                self.acknowledged(stage, open.serial, ack.code);
            }
            Packet::Pubrec(ack) => {
                let at = self.find(ack.id);
                let was_released = std::mem::replace(&mut self.in_flight[at].is_released, true);
                assert!(!was_released, "writer {}: PUBREC twice: {ack:?}", self.number);
                self.acknowledged(stage, self.in_flight[at].serial, ack.code);
                return pubrel(ack.id);
            }
            // 0x92 answers a PUBREL that was sent again for what is already complete.
            Packet::Pubcomp(ack) if ack.code == 0 || ack.code == 0x92 => {
                assert!(self.remove(ack.id).is_released, "{ack:?}");
            }
            Packet::Disconnect(code, _) => self.witness.dismissed(stage, *code),
            other => panic!("writer {} got {other:?}", self.number),
        }
        Vec::new()
    }

    fn acknowledged(&mut self, stage: &Stage, serial: Serial, code: u8) {
        self.witness.note(stage, What::Acknowledged { serial, code });
    }

    fn find(&self, packet_id: u16) -> usize {
        let at = self.in_flight.iter().position(|open| open.packet_id == packet_id);
        at.unwrap_or_else(|| panic!("writer {}: Packet Identifier {packet_id}", self.number))
    }

    fn remove(&mut self, packet_id: u16) -> InFlight {
        let at = self.find(packet_id);
        self.in_flight.remove(at).expect("it was found there")
    }

    fn new_message(&mut self, stage: &Stage, topic: &Arc<str>) -> (Serial, Vec<u8>) {
        let serial = Serial { writer: self.number, number: self.next };
        self.next += 1;
        let size = match self.dice.within(0..200) {
            0 => 40_000,
            1..20 => self.dice.within(200..4_000),
            _ => self.dice.within(20..200),
        };
        let can_be_empty = self.writing.retain && self.writing.version == Version::V5;
        let open = InFlight {
            serial,
            topic: Arc::clone(topic),
            packet_id: self.free_packet_id(),
            size: self.writing.payload_min.max(size as usize),
            is_empty: can_be_empty && self.dice.once_in(4),
            is_released: false,
        };
        let bytes = self.publish(stage, &open, false);
        self.in_flight.push_back(open);
        (serial, bytes)
    }

    fn free_packet_id(&mut self) -> u16 {
        loop {
            self.last_packet_id = self.last_packet_id.wrapping_add(1);
            let packet_id = self.last_packet_id;
            if packet_id != 0 && self.in_flight.iter().all(|open| open.packet_id != packet_id) {
                return packet_id;
            }
        }
    }

    fn publish(&mut self, stage: &Stage, open: &InFlight, dup: bool) -> Vec<u8> {
        let InFlight { serial, topic, packet_id, size, is_empty, .. } = open;
        let Writing { qos, retain, version, .. } = self.writing;
        let (serial, is_empty) = (*serial, *is_empty);
        let topic = Arc::clone(topic);
        self.witness.note(
            stage,
            What::Publishing { serial, topic: Arc::clone(&topic), qos, retain, is_empty },
        );
        let mut payload = format!("{serial} ").into_bytes();
        payload.resize(payload.len().max(*size), b'.');
        if is_empty {
            payload.clear();
        }
        let mut publish = Publish::new(&*topic, payload).qos(qos, *packet_id);
        publish.dup = dup;
        publish.retain = retain;
        // Without a payload this is all that tells which message it is.
        publish.with(Property::user("serial", &serial.to_string())).bytes(version)
    }
}
