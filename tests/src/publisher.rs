//! A client with many messages under way at once, which goes on after the broker was away.

use std::{collections::VecDeque, time::Instant};

use crate::{
    Client, Connect, DEADLINE, Endpoint, Lost, Packet, Property, Publish, Series, Version,
    packet::pubrel,
};

/// Publishes the numbers 0, 1, 2, … as text, on its topics in turn, and knows what the broker
/// has acknowledged. Its session stays, so it sends again what was open when a connection ended.
#[derive(Debug)]
pub struct Publisher {
    version: Version,
    connect: Connect,
    topics: Vec<String>,
    qos: u8,
    window: usize,
    payload_bytes: usize,
    client: Option<Client>,
    next: u64,
    under_way: VecDeque<UnderWay>,
    completed: u64,
}

#[derive(Clone, Copy, Debug)]
struct UnderWay {
    number: u64,
    /// QoS 2: PUBREC has come, PUBREL is what is to be sent again.
    is_released: bool,
}

impl Publisher {
    /// A client that is not connected yet. `window` is how many messages are under way at once;
    /// it must not be above the broker's Receive Maximum.
    pub fn new(
        client_id: &str,
        version: Version,
        topics: Vec<String>,
        qos: u8,
        window: usize,
    ) -> Self {
        let connect = Connect::persistent(client_id).with(Property::ReceiveMaximum(10));
        Self {
            version,
            connect,
            topics,
            qos,
            window,
            payload_bytes: 0,
            client: None,
            next: 0,
            under_way: VecDeque::new(),
            completed: 0,
        }
    }

    /// With spaces behind the number, so that a payload has so many bytes.
    #[must_use]
    pub fn padded(self, payload_bytes: usize) -> Self {
        Self { payload_bytes, ..self }
    }

    /// How many messages the broker has acknowledged to the end.
    pub fn completed(&self) -> u64 {
        self.completed
    }

    /// What `total` messages look like to a subscriber.
    pub fn series(&self, total: u64) -> Vec<Series> {
        let step = self.topics.len() as u64;
        let series = |(topic, first): (&String, u64)| Series {
            topic: topic.clone(),
            first,
            step,
            end: total,
        };
        self.topics.iter().zip(0..).map(series).collect()
    }

    /// Connects, sends again what is open; returns Session Present.
    ///
    /// # Errors
    /// [`Lost`] when there is no broker, or it ends meanwhile.
    ///
    /// # Panics
    /// When the broker refuses.
    pub fn connect(&mut self, to: &Endpoint) -> Result<bool, Lost> {
        let mut client = Client::try_open(to, self.version).ok_or(Lost)?;
        let (session_present, _) = client.try_connect(&self.connect)?;
        let mut again = Vec::new();
        for open in &self.under_way {
            if open.is_released {
                again.extend(pubrel(packet_id(open.number)));
            } else {
                again.extend(self.publish(open.number).dup().bytes(self.version));
            }
        }
        if !client.send_lossy(&again) {
            return Err(Lost);
        }
        self.client = Some(client);
        Ok(session_present)
    }

    /// Publishes until `total` messages are acknowledged to the end; tells `progress` how many
    /// are now.
    ///
    /// # Errors
    /// [`Lost`] when the connection ends; [`Publisher::connect`] goes on from there.
    ///
    /// # Panics
    /// When the broker refuses a message, or says nothing until the deadline.
    pub fn run(&mut self, total: u64, progress: impl Fn(u64)) -> Result<(), Lost> {
        let mut client = self.client.take().ok_or(Lost)?;
        while self.completed < total {
            let mut bytes = Vec::new();
            while self.under_way.len() < self.window && self.next < total {
                bytes.extend(self.publish(self.next).bytes(self.version));
                self.under_way.push_back(UnderWay { number: self.next, is_released: false });
                self.next += 1;
            }
            if !client.send_lossy(&bytes) {
                return Err(Lost);
            }
            let read = client.try_read(Instant::now() + DEADLINE);
            let mut packet = read.unwrap_or_else(|kind| panic!("no acknowledgement: {kind}"));
            if packet.is_none() {
                return Err(Lost);
            }
            let mut releases = Vec::new();
            while let Some(answer) = packet {
                self.take_in(&answer, &mut releases);
                packet = client.take_packet();
            }
            if !client.send_lossy(&releases) {
                return Err(Lost);
            }
            progress(self.completed);
        }
        self.client = Some(client);
        Ok(())
    }

    fn take_in(&mut self, answer: &Packet, releases: &mut Vec<u8>) {
        match answer {
            Packet::Puback(ack) | Packet::Pubcomp(ack) => {
                // 0x92 answers a PUBREL that was sent again for what is already complete.
                assert!(ack.code < 0x80 || ack.code == 0x92, "refused: {answer:?}");
                let at = self.find(ack.id).expect("what is acknowledged was under way");
                self.under_way.remove(at);
                self.completed += 1;
            }
            Packet::Pubrec(ack) => {
                assert!(ack.code < 0x80, "refused: {answer:?}");
                let at = self.find(ack.id).expect("what is acknowledged was under way");
                self.under_way[at].is_released = true;
                releases.extend(pubrel(ack.id));
            }
            Packet::Disconnect(..) => {}
            other => panic!("a publisher got {other:?}"),
        }
    }

    fn find(&self, id: u16) -> Option<usize> {
        self.under_way.iter().position(|open| packet_id(open.number) == id)
    }

    fn publish(&self, number: u64) -> Publish {
        let at = number as usize % self.topics.len();
        let mut payload = number.to_string().into_bytes();
        payload.resize(payload.len().max(self.payload_bytes), b' ');
        Publish::new(&self.topics[at], payload).qos(self.qos, packet_id(number))
    }
}

/// Many more identifiers than are ever under way at once.
fn packet_id(number: u64) -> u16 {
    (number % 60_000) as u16 + 1
}
