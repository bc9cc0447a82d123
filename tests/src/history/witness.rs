//! A Client Identifier that connects again and again, and writes down what happens.

use std::{io::ErrorKind, thread, time::Instant};

use super::{History, What, stage::Stage};
use crate::{
    Client, Connect, Packet, Property, Transport, Version,
    packet::{DISCONNECT, disconnect_with},
};

/// How a client leaves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Leave {
    /// FIN.
    Cut,
    /// RST.
    Reset,
    /// DISCONNECT; the session stays.
    Disconnect,
    /// DISCONNECT, and the session ends with it (MQTT 5 only).
    EndSession,
}

/// One Client Identifier over all of its connections.
#[derive(Debug)]
pub(super) struct Witness {
    pub(super) version: Version,
    transport: Transport,
    connect: Connect,
    pub(super) history: History,
    pub(super) client: Option<Client>,
}

impl Witness {
    pub(super) fn new(client_id: &str, version: Version, transport: Transport) -> Self {
        let connect = Connect::persistent(client_id);
        let history = History { client_id: client_id.to_owned(), events: Vec::new() };
        Self { version, transport, connect, history, client: None }
    }

    /// With a property more in CONNECT.
    pub(super) fn with(self, property: Property) -> Self {
        Self { connect: self.connect.with(property), ..self }
    }

    pub(super) fn note(&mut self, stage: &Stage, what: What) {
        self.history.events.push((stage.clock.tick(), what));
    }

    /// Opens a connection and sends CONNECT, beside the one there may be. `None`: nobody listens.
    pub(super) fn call(&mut self, stage: &Stage, clean: bool) -> Option<Client> {
        let endpoint = stage.endpoint(self.transport)?;
        let mut client = Client::try_open(&endpoint, self.version)?;
        let stays = !clean || self.version == Version::V5;
        self.note(stage, What::Connecting { clean, stays });
        client.send_lossy(&self.connect.clone().clean(clean).bytes(self.version));
        Some(client)
    }

    /// Waits for CONNACK and goes on with this connection. `None`: there is none.
    ///
    /// # Panics
    /// When the broker says nothing, or something else.
    pub(super) fn answered(&mut self, stage: &Stage, mut client: Client) -> Option<bool> {
        let answer = client.try_read(Instant::now() + stage.patience);
        match answer {
            Ok(Some(Packet::Connack(session_present, 0, _))) => {
                self.note(stage, What::Connected { session_present });
                self.client = Some(client);
                return Some(session_present);
            }
            Ok(Some(Packet::Connack(_, code, _) | Packet::Disconnect(code, _))) => {
                self.note(stage, What::Ended { code: Some(code) });
            }
            Ok(None) => self.note(stage, What::Ended { code: None }),
            other => panic!("{}: CONNECT was answered with {other:?}", self.history.client_id),
        }
        self.client = None;
        None
    }

    /// The packets that the broker sent on the connection before another took its place.
    ///
    /// # Panics
    /// When it does not end.
    pub(super) fn until_closed(&mut self, stage: &Stage) -> Vec<Packet> {
        let mut packets = Vec::new();
        let Some(client) = &mut self.client else { return packets };
        let until = Instant::now() + stage.patience;
        loop {
            match client.try_read(until) {
                Ok(Some(packet)) => packets.push(packet),
                Ok(None) => return packets,
                Err(_) => panic!("{}: the connection stays open", self.history.client_id),
            }
        }
    }

    /// The packets that have come, waiting for the first one until then; `None`: the connection
    /// has ended.
    pub(super) fn read(&mut self, stage: &Stage, until: Instant) -> Option<Vec<Packet>> {
        let client = self.client.as_mut()?;
        let mut packets = Vec::new();
        match client.try_read(until) {
            Ok(Some(packet)) => packets.push(packet),
            Err(ErrorKind::TimedOut) => return Some(packets),
            Ok(None) | Err(_) => {
                self.lost(stage);
                return None;
            }
        }
        while let Some(packet) = client.take_packet() {
            packets.push(packet);
        }
        Some(packets)
    }

    /// Sends; where that fails the connection is over.
    pub(super) fn send(&mut self, stage: &Stage, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        if self.client.as_mut().is_some_and(|client| !client.send_lossy(bytes)) {
            self.lost(stage);
        }
    }

    /// DISCONNECT came.
    pub(super) fn dismissed(&mut self, stage: &Stage, code: u8) {
        self.note(stage, What::Ended { code: Some(code) });
    }

    fn lost(&mut self, stage: &Stage) {
        self.note(stage, What::Ended { code: None });
        self.client = None;
    }

    /// Ends the connection; returns what still came before DISCONNECT was obeyed.
    pub(super) fn leave(&mut self, stage: &Stage, how: Leave) -> Vec<Packet> {
        let ends_session = how == Leave::EndSession;
        let mut late = Vec::new();
        match how {
            Leave::Cut => self.client.take().into_iter().for_each(Client::cut),
            Leave::Reset => self.client.take().into_iter().for_each(Client::reset),
            Leave::Disconnect | Leave::EndSession => {
                self.note(stage, What::Leaving { ends_session });
                let bytes = disconnect_with(0, &[Property::SessionExpiry(0)]);
                self.send(stage, if ends_session { &bytes } else { DISCONNECT });
                late = self.until_closed(stage);
                self.client = None;
            }
        }
        late
    }
}

/// Waits a little, for a broker.
pub(super) fn pause() {
    thread::sleep(std::time::Duration::from_millis(2));
}
