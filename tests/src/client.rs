//! A client that sends the bytes it is given.

use std::{
    collections::VecDeque,
    fmt::Debug,
    io::ErrorKind,
    time::{Duration, Instant},
};

use crate::{Connect, DEADLINE, Endpoint, Packet, Property, Socket, Version};

/// The connection ended before everything was done.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Lost;

/// One connection to the broker. Every wait has a deadline; what comes unasked is kept in order.
#[derive(Debug)]
pub struct Client {
    socket: Socket,
    version: Version,
    input: Vec<u8>,
    /// How much at the front of `input` is done with.
    taken: usize,
    kept: VecDeque<Packet>,
    next_id: u16,
    largest: usize,
}

impl Client {
    /// Opens a connection and says nothing.
    ///
    /// # Panics
    /// When nobody listens.
    #[track_caller]
    pub fn open(to: &Endpoint, version: Version) -> Self {
        Self::try_open(to, version).expect("the broker accepts connections")
    }

    /// As [`Client::open`]; `None` when nobody listens.
    pub fn try_open(to: &Endpoint, version: Version) -> Option<Self> {
        let socket = Socket::open(to).ok()?;
        Some(Self {
            socket,
            version,
            input: Vec::new(),
            taken: 0,
            kept: VecDeque::new(),
            next_id: 0,
            largest: 0,
        })
    }

    /// The version that it speaks.
    pub fn version(&self) -> Version {
        self.version
    }

    /// Whether it speaks MQTT 5.
    pub fn is_v5(&self) -> bool {
        self.version == Version::V5
    }

    /// Sends CONNECT, returns Session Present and the properties.
    ///
    /// # Panics
    /// When the broker refuses.
    #[track_caller]
    pub fn connect(&mut self, connect: &Connect) -> (bool, Vec<Property>) {
        self.try_connect(connect).expect("CONNECT is answered")
    }

    /// As [`Client::connect`].
    ///
    /// # Errors
    /// [`Lost`] when the connection ends instead.
    ///
    /// # Panics
    /// When the broker refuses, or says nothing until the deadline.
    #[track_caller]
    pub fn try_connect(&mut self, connect: &Connect) -> Result<(bool, Vec<Property>), Lost> {
        self.send_lossy(&connect.bytes(self.version));
        match self.try_read(Instant::now() + DEADLINE) {
            Ok(Some(Packet::Connack(session_present, 0, properties))) => {
                Ok((session_present, properties))
            }
            Ok(None) => Err(Lost),
            other => panic!("{connect:?} was answered with {other:?}"),
        }
    }

    /// Sends bytes.
    ///
    /// # Panics
    /// When the connection is closed.
    #[track_caller]
    pub fn send(&mut self, bytes: &[u8]) {
        if let Err(error) = self.socket.send(bytes) {
            panic!("the broker closed before it had read all: {error}; it said {:?}", self.heard());
        }
    }

    /// Sends bytes to a broker that may already have closed the connection; whether it went.
    pub fn send_lossy(&mut self, bytes: &[u8]) -> bool {
        self.socket.send(bytes).is_ok()
    }

    /// A Packet Identifier that this connection has not used yet.
    pub fn packet_id(&mut self) -> u16 {
        self.next_id += 1;
        self.next_id
    }

    /// The next packet.
    ///
    /// # Panics
    /// At the deadline, or when the connection ends.
    #[track_caller]
    pub fn next_packet(&mut self) -> Packet {
        self.kept.pop_front().unwrap_or_else(|| self.read())
    }

    /// The next packet, which must be this.
    ///
    /// # Panics
    /// When it is another.
    #[track_caller]
    pub fn expect(&mut self, packet: &Packet) {
        assert_eq!(&self.next_packet(), packet);
    }

    /// The next packet for which `select` returns something; those before it are kept.
    ///
    /// # Panics
    /// At the deadline, or when the connection ends.
    #[track_caller]
    pub fn await_packet<T>(&mut self, select: impl Fn(&Packet) -> Option<T>) -> T {
        if let Some(at) = self.kept.iter().position(|packet| select(packet).is_some()) {
            let packet = self.kept.remove(at).expect("it was found there");
            return select(&packet).expect("it was selected");
        }
        loop {
            let packet = self.read();
            if let Some(selected) = select(&packet) {
                return selected;
            }
            self.kept.push_back(packet);
        }
    }

    /// The packets that have come until now without having been asked for.
    fn heard(&mut self) -> Vec<Packet> {
        let until = Instant::now() + Duration::from_millis(100);
        let mut heard: Vec<Packet> = self.kept.drain(..).collect();
        while let Ok(Some(packet)) = self.try_read(until) {
            heard.push(packet);
        }
        heard
    }

    #[track_caller]
    fn read(&mut self) -> Packet {
        match self.try_read(Instant::now() + DEADLINE) {
            Ok(Some(packet)) => packet,
            Ok(None) => panic!("the broker closed the connection; kept were {:?}", self.kept),
            Err(kind) => panic!("no packet came ({kind}); kept were {:?}", self.kept),
        }
    }

    /// The next packet, or `None` when the connection has ended.
    ///
    /// # Errors
    /// `TimedOut`.
    pub fn try_read(&mut self, until: Instant) -> Result<Option<Packet>, ErrorKind> {
        loop {
            if let Some(packet) = self.take_packet() {
                return Ok(Some(packet));
            }
            if !self.fill(until)? {
                return Ok(None);
            }
        }
    }

    /// Reads once; whether the connection goes on.
    fn fill(&mut self, until: Instant) -> Result<bool, ErrorKind> {
        self.input.drain(..std::mem::take(&mut self.taken));
        let mut buffer = [0; 16 * 1024];
        match self.socket.receive(&mut buffer, until) {
            Ok(0) => Ok(false),
            Ok(read) => {
                self.input.extend(&buffer[..read]);
                Ok(true)
            }
            Err(error) if error.kind() == ErrorKind::TimedOut => Err(ErrorKind::TimedOut),
            Err(_) => Ok(false),
        }
    }

    /// Takes a whole packet off the input, if there is one.
    pub fn take_packet(&mut self) -> Option<Packet> {
        let input = &self.input[self.taken..];
        let mut length = 0;
        for (at, byte) in input.iter().enumerate().skip(1) {
            length |= usize::from(byte & 0x7F) << (7 * (at - 1));
            if byte & 0x80 == 0 {
                let end = at + 1 + length;
                let packet = Packet::decode(self.version, input[0], input.get(at + 1..end)?);
                self.taken += end;
                self.largest = self.largest.max(end);
                return Some(packet);
            }
            assert!(at < 4, "[MQTT-1.5.5-1] a length of more than four bytes");
        }
        None
    }

    /// Size of the largest packet that has come, in bytes.
    pub fn largest_packet(&self) -> usize {
        self.largest
    }

    /// Waits for the end of the connection, returns the packets before it.
    ///
    /// # Panics
    /// When it is still open at the deadline.
    #[track_caller]
    pub fn until_closed(&mut self) -> Vec<Packet> {
        let until = Instant::now() + DEADLINE;
        let mut packets: Vec<Packet> = self.kept.drain(..).collect();
        loop {
            match self.try_read(until) {
                Ok(Some(packet)) => packets.push(packet),
                Ok(None) => return packets,
                Err(_) => panic!("the connection stays open; {packets:?} came"),
            }
        }
    }

    /// Waits for a packet or the end of the connection; whether it was a packet.
    ///
    /// # Panics
    /// When nothing happens until the deadline.
    #[track_caller]
    pub fn is_answered(&mut self) -> bool {
        match self.try_read(Instant::now() + DEADLINE) {
            Ok(packet) => packet.is_some(),
            Err(_) => panic!("neither an answer nor an end"),
        }
    }

    /// The end of the connection without another packet.
    ///
    /// # Panics
    /// When a packet comes, or none of both until the deadline.
    #[track_caller]
    pub fn expect_closed(&mut self) {
        assert_eq!(self.until_closed(), []);
    }

    /// The end of the connection for a fault of the client: MQTT 5 names one of `codes` in a
    /// DISCONNECT before, MQTT 3.1.1 has no words for it.
    ///
    /// # Panics
    /// When anything else comes.
    #[track_caller]
    pub fn expect_refused(&mut self, codes: &[u8]) {
        let packets = self.until_closed();
        match packets.as_slice() {
            [] if !self.is_v5() => {}
            [Packet::Disconnect(code, properties)] if self.is_v5() && codes.contains(code) => {
                let expiry = |property: &Property| matches!(property, Property::SessionExpiry(_));
                assert!(!properties.iter().any(expiry), "[MQTT-3.14.2-2] {properties:?}");
            }
            other => panic!("expected an end with one of {codes:#04X?}, came {other:?}"),
        }
    }

    /// Ends the connection with FIN, without DISCONNECT.
    pub fn cut(self) {
        drop(self);
    }

    /// Ends the connection with RST.
    pub fn reset(self) {
        self.socket.reset();
    }
}
