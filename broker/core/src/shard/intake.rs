//! What a shard makes of bytes that came.

use flotilla_mqtt::{
    Connect, DecodeError, Packet, ReasonCode, Version, connect_version, decode, decode_connect,
};

use crate::connection::Phase;
use crate::connection::await_connect::ConnectRequest;
use crate::connection::await_session;
use crate::connection::connected::Flow;
use crate::connection::negotiated::Negotiated;
use crate::connection::refusal::Refusal;
use crate::counters::ConnectOutcome;
use crate::id::{ClientId, ConnectionKey};
use crate::notice::Notice;
use crate::shard::Shard;
use crate::shard::ending::Ending;
use crate::turn::{Exchange, Question, Turn};

impl Shard {
    pub(super) fn consume(&mut self, key: ConnectionKey, bytes: &[u8], out: &mut Turn) -> usize {
        let mut consumed = 0;
        loop {
            let rest = &bytes[consumed..];
            let Some(connection) = self.connections.get_mut(key) else { return bytes.len() };
            if connection.is_paused || rest.is_empty() {
                return consumed;
            }
            let taken = match &connection.phase {
                Phase::AwaitConnect => self.consume_connect(key, rest, out),
                Phase::Connected(_) => self.consume_packets(key, rest, out),
                Phase::AwaitAuth(_) => self.consume_auth(key, rest, out),
                Phase::AwaitIdentity(_) | Phase::AwaitSession(_) => 0,
            };
            if taken == 0 && self.connections.contains_key(key) {
                return consumed;
            }
            consumed += taken;
        }
    }

    /// As many whole packets as there are. 0: not one.
    fn consume_packets(&mut self, key: ConnectionKey, bytes: &[u8], out: &mut Turn) -> usize {
        let Some(connection) = self.connections.get_mut(key) else { return bytes.len() };
        let is_backed_up = self.desk.backlog.is_full(&self.desk.limits);
        let Some((connected, outbox)) = connection.connected() else { return 0 };
        let Some(session) = self.sessions.get_mut(connected.session) else { return 0 };
        if connected.owed.bytes() > self.desk.limits.owed_bytes_max {
            connected.is_owed_much = true;
            connection.pause(false);
            out.paused.push(key);
            return 0;
        }
        let size_max = self.desk.limits.packet_size_max;
        let mut consumed = 0;
        let end = loop {
            let rest = &bytes[consumed..];
            let (packet, len) = match decode(rest, connected.negotiated.version, size_max) {
                Ok(Some(decoded)) => decoded,
                Ok(None) => break None,
                Err(error) => break Some(Err(Refusal::from(error))),
            };
            if self.desk.is_store_full && connected.must_not_publish(&packet) {
                connection.pause(false);
                self.desk.held.insert(key);
                out.paused.push(key);
                break None;
            }
            self.desk.counters.packets_received[packet.packet_type() as usize] += 1;
            consumed += len;
            // [MQTT-3.1.2-22]: a whole packet, not a byte.
            connected.last_received_ms = self.desk.now.monotonic_ms;
            match connected.received(&packet, session, outbox, &mut self.desk, out) {
                Ok(Flow::Stay) => {
                    let is_stuffed = outbox.backlog_bytes() > self.desk.limits.unsent_bytes_max;
                    let must_wait = is_backed_up && is_work(&packet);
                    if is_stuffed || must_wait {
                        connection.pause(is_stuffed);
                        if must_wait {
                            self.desk.backlog.paused.insert(key);
                        }
                        out.paused.push(key);
                        break None;
                    }
                }
                Ok(Flow::Leave { publish_will }) => break Some(Ok(publish_will)),
                Err(refusal) => break Some(Err(refusal)),
            }
        };
        match end {
            None => return consumed,
            Some(Ok(publish_will)) => self.end(key, Ending::left(publish_will), out),
            Some(Err(refusal)) => {
                let client_id = Some(session.client_id.clone());
                self.break_off(key, client_id, &refusal, out);
            }
        }
        bytes.len()
    }

    fn consume_connect(&mut self, key: ConnectionKey, bytes: &[u8], out: &mut Turn) -> usize {
        match decode_connect(bytes, self.desk.limits.packet_size_max) {
            Ok(None) => 0,
            Ok(Some((connect, len))) => {
                self.connect(key, &connect, out);
                len
            }
            Err(error) => {
                self.refuse_first_packet(key, bytes, error, out);
                bytes.len()
            }
        }
    }

    fn connect(&mut self, key: ConnectionKey, connect: &Connect<'_>, out: &mut Turn) {
        self.desk.counters.packets_received[1] += 1;
        let limits = self.desk.limits.clone();
        let assigned = self.desk.assign_client_id();
        let scratch = &mut self.desk.scratch;
        let request = ConnectRequest::new(connect, &limits, || assigned, scratch);
        let Some(connection) = self.connections.get_mut(key) else { return };
        // Nothing more is read until the session stands and CONNACK has left.
        connection.is_paused = true;
        out.paused.push(key);
        match request {
            Ok(request) => {
                out.questions.push(Question {
                    connection: key,
                    client_id: connect.client_id.to_owned(),
                    username: connect.username.map(ToOwned::to_owned),
                    password: connect.password.map(ToOwned::to_owned),
                    exchange: connect.authentication_method.map(|method| {
                        let data = connect.authentication_data.map(<[u8]>::to_vec);
                        Box::new(Exchange { method: method.to_owned(), data, kept: None })
                    }),
                });
                connection.phase = Phase::AwaitIdentity(Box::new(request));
            }
            Err(refusal) => {
                await_session::push_refusal(
                    refusal.reason_code,
                    Some(&refusal.reason),
                    &Negotiated::new(connect, &limits),
                    &mut connection.outbox,
                    &mut self.desk.counters,
                );
                let client_id = Some(ClientId::from(connect.client_id));
                self.refuse(key, client_id, &refusal, ConnectOutcome::Refused, out);
            }
        }
    }

    /// The first bytes were no CONNECT. Only one who speaks MQTT gets an answer ([MQTT-3.1.2-1]);
    /// in MQTT 3.1.1 only the two that it has a return code for.
    fn refuse_first_packet(
        &mut self,
        key: ConnectionKey,
        bytes: &[u8],
        error: DecodeError,
        out: &mut Turn,
    ) {
        let refusal = Refusal::from(error);
        let has_return_code = matches!(
            refusal.reason_code,
            ReasonCode::UnsupportedProtocolVersion | ReasonCode::ClientIdentifierNotValid
        );
        let version = connect_version(bytes).filter(|&v| v == Version::V5 || has_return_code);
        if let (Some(version), Some(connection)) = (version, self.connections.get_mut(key)) {
            let outbox = &mut connection.outbox;
            let counters = &mut self.desk.counters;
            await_session::push_bare_refusal(refusal.reason_code, version, outbox, counters);
        }
        self.refuse(key, None, &refusal, ConnectOutcome::Malformed, out);
    }

    /// Ends a connection that never got its session. What it is told is in its outbox, or follows
    /// from its phase.
    pub(super) fn refuse(
        &mut self,
        key: ConnectionKey,
        client_id: Option<ClientId>,
        refusal: &Refusal,
        outcome: ConnectOutcome,
        out: &mut Turn,
    ) {
        if let Some(connection) = self.connections.get_mut(key)
            && let Phase::AwaitIdentity(request) = &connection.phase
        {
            let (reason_code, reason) = (refusal.reason_code, Some(&*refusal.reason));
            let outbox = &mut connection.outbox;
            let counters = &mut self.desk.counters;
            let negotiated = &request.negotiated;
            await_session::push_refusal(reason_code, reason, negotiated, outbox, counters);
        }
        self.note_refusal(key, client_id, refusal, out);
        self.end(key, Ending::refused(outcome), out);
    }

    /// Ends a connection whose client broke the protocol (section 4.13).
    pub(super) fn break_off(
        &mut self,
        key: ConnectionKey,
        client_id: Option<ClientId>,
        refusal: &Refusal,
        out: &mut Turn,
    ) {
        self.desk.counters.protocol_errors += 1;
        self.note_refusal(key, client_id, refusal, out);
        let ending = Ending::told(refusal.reason_code, "it broke the protocol");
        self.end(key, ending.because(&refusal.reason), out);
    }

    pub(super) fn note_refusal(
        &self,
        key: ConnectionKey,
        client_id: Option<ClientId>,
        refusal: &Refusal,
        out: &mut Turn,
    ) {
        let reason = format!("{} ({})", refusal.reason, refusal.reason_code);
        out.notices.push(Notice::Refused { client_id, connection: key, reason });
    }
}

/// Whether the packet asks for something that must be stored or sent to others. What acknowledges
/// or keeps a connection alive is bounded by what was sent before, and read however much waits.
fn is_work(packet: &Packet<'_>) -> bool {
    matches!(
        packet,
        Packet::Publish(_) | Packet::Pubrel(_) | Packet::Subscribe(_) | Packet::Unsubscribe(_)
    )
}
