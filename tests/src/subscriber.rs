//! A client that receives what publishers count up, and judges it.

use std::{
    collections::{HashMap, HashSet},
    time::Instant,
};

use crate::{
    Client, Connect, DEADLINE, Endpoint, Lost, Packet, Version,
    packet::{PINGREQ, puback, pubcomp, pubrec},
};

/// The numbers that come on one topic: `first`, then in steps, below `end`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Series {
    /// Topic Name.
    pub topic: String,
    /// The first number.
    pub first: u64,
    /// From one number to the next.
    pub step: u64,
    /// No number is as large.
    pub end: u64,
}

impl Series {
    fn len(&self) -> u64 {
        (self.end - self.first).div_ceil(self.step)
    }
}

/// Receives every [`Series`] completely, each number once, in order, or says what is wrong. Its
/// session stays. It answers many packets at once, as a fast client does.
#[derive(Debug)]
pub struct Subscriber {
    client_id: String,
    version: Version,
    qos: u8,
    client: Option<Client>,
    /// What is still to come, by topic.
    open: HashMap<String, Series>,
    total: u64,
    received: u64,
    duplicates: u64,
    /// QoS 2: Packet Identifiers between PUBREC and PUBREL.
    held: HashSet<u16>,
}

impl Subscriber {
    /// A client that is not connected yet. Messages will come with `qos`.
    pub fn new(client_id: &str, version: Version, qos: u8, expected: &[Series]) -> Self {
        let by_topic = |series: &Series| (series.topic.clone(), series.clone());
        Self {
            client_id: client_id.to_owned(),
            version,
            qos,
            client: None,
            open: expected.iter().map(by_topic).collect(),
            total: expected.iter().map(Series::len).sum(),
            received: 0,
            duplicates: 0,
            held: HashSet::new(),
        }
    }

    /// How many different messages are to come, all in all.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// How many messages came more than once. At QoS 2 none may.
    pub fn duplicates(&self) -> u64 {
        self.duplicates
    }

    /// Connects; returns Session Present.
    ///
    /// # Errors
    /// [`Lost`] when there is no broker, or it ends meanwhile.
    ///
    /// # Panics
    /// When the broker refuses.
    pub fn connect(&mut self, to: &Endpoint) -> Result<bool, Lost> {
        let mut client = Client::try_open(to, self.version).ok_or(Lost)?;
        let connack = client.try_connect(&Connect::persistent(&self.client_id))?;
        self.client = Some(client);
        Ok(connack.0)
    }

    /// Subscribes at QoS 2.
    ///
    /// # Panics
    /// When the broker does not grant it.
    pub fn subscribe(&mut self, filter: &str) {
        self.client.as_mut().expect("it is connected").subscribe(filter, 2);
    }

    /// Leaves with DISCONNECT.
    pub fn leave(&mut self) {
        self.client.take().into_iter().for_each(Client::disconnect);
    }

    /// Ends the connection with RST.
    pub fn reset(&mut self) {
        self.client.take().into_iter().for_each(Client::reset);
    }

    /// Receives until so many different messages have come.
    ///
    /// # Errors
    /// [`Lost`] when the connection ends; [`Subscriber::connect`] goes on from there.
    ///
    /// # Panics
    /// When a message is missing, comes twice at QoS 2, or does not come until the deadline.
    pub fn run(&mut self, until: u64) -> Result<(), Lost> {
        let mut client = self.client.take().ok_or(Lost)?;
        while self.received < until {
            let mut packet = match client.try_read(Instant::now() + DEADLINE) {
                Ok(packet) => packet,
                Err(kind) => {
                    let Self { client_id, received, open, .. } = self;
                    panic!("{client_id}: {received} of {until} messages, then {kind}; {open:?}")
                }
            };
            if packet.is_none() {
                return Err(Lost);
            }
            let mut answers = Vec::new();
            while let Some(received) = packet {
                self.take_in(&received, &mut answers);
                packet = client.take_packet();
            }
            if !client.send_lossy(&answers) {
                return Err(Lost);
            }
        }
        self.client = Some(client);
        Ok(())
    }

    /// Everything has come, and nothing else does.
    ///
    /// # Panics
    /// When something is missing, or more comes than copies at QoS 1.
    pub fn assert_complete(&mut self) {
        assert_eq!(self.received, self.total, "{:?}", self.open);
        let mut client = self.client.take().expect("it is connected");
        client.send(PINGREQ);
        loop {
            match client.next_packet() {
                Packet::Pingresp => return,
                packet => {
                    let mut answers = Vec::new();
                    self.take_in(&packet, &mut answers);
                    client.send(&answers);
                }
            }
        }
    }

    fn take_in(&mut self, packet: &Packet, answers: &mut Vec<u8>) {
        match packet {
            Packet::Publish(publish) => {
                assert_eq!(publish.qos, self.qos);
                let is_new = if publish.qos == 2 {
                    answers.extend(pubrec(publish.id));
                    self.held.insert(publish.id)
                } else {
                    answers.extend(puback(publish.id));
                    true
                };
                assert!(is_new || publish.dup, "[MQTT-3.3.1-1] {publish:?}");
                if is_new {
                    let number = publish.text().trim_end().parse().expect("a number");
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

    fn judge(&mut self, topic: &str, number: u64) {
        let client_id = &self.client_id;
        let Some(series) = self.open.get_mut(topic) else { panic!("{client_id} got '{topic}'") };
        if number < series.first {
            self.duplicates += 1;
            assert!(self.qos < 2, "{client_id} got {number} on {topic} twice");
        } else {
            assert_eq!(number, series.first, "{client_id} lost a message on {topic}");
            assert!(number < series.end, "{client_id} got {number} on {topic}");
            series.first += series.step;
            self.received += 1;
        }
    }
}
