//! From the answer to who a client is to the claim of its session.

use flotilla_mqtt::{Packet, ReasonCode, Version, decode};

use crate::connection::authenticate::{self, AwaitAuth};
use crate::connection::await_connect::ConnectRequest;
use crate::connection::await_session::AwaitSession;
use crate::connection::connected::Connected;
use crate::connection::refusal::Refusal;
use crate::connection::{Identification, Phase};
use crate::counters::ConnectOutcome;
use crate::id::ConnectionKey;
use crate::mail::Mail;
use crate::shard::Shard;
use crate::shard::ending::Ending;
use crate::shard::timers::Timer;
use crate::turn::{Question, Turn};

impl Shard {
    /// The answer to a question about a connection, in whatever phase it is by now.
    pub(super) fn answered(&mut self, key: ConnectionKey, answer: Identification, out: &mut Turn) {
        let Some(connection) = self.connections.get_mut(key) else { return };
        let phase = std::mem::replace(&mut connection.phase, Phase::AwaitConnect);
        let Phase::AwaitIdentity(request) = phase else {
            connection.phase = phase;
            return self.authenticated_again(key, answer, out);
        };
        match answer {
            Identification::Accepted { identity } => self.claim(key, *request, identity, None, out),
            Identification::Authenticated { identity, data } => {
                self.claim(key, *request, Some(identity), Some(data), out);
            }
            Identification::Challenged { data, kept } => {
                self.challenge(key, request, &data, kept, out);
            }
            Identification::Refused(reason_code) => {
                let reason = format!("authentication failed: {reason_code}");
                self.turn_away(key, request, &Refusal { reason_code, reason }, out);
            }
        }
    }

    fn claim(
        &mut self,
        key: ConnectionKey,
        request: ConnectRequest,
        identity: Option<String>,
        data: Option<Vec<u8>>,
        out: &mut Turn,
    ) {
        let Some(connection) = self.connections.get_mut(key) else { return };
        let client_id = request.client_id.clone();
        let waiting = AwaitSession { request, identity, data };
        connection.phase = Phase::AwaitSession(Box::new(waiting));
        let shard = self.desk.id;
        let home = client_id.home(self.desk.shards);
        self.desk.mail(home, Mail::Claim { client_id, shard, connection: key }, out);
    }

    /// Asks the client for more; until it answers, its socket is read again.
    fn challenge(
        &mut self,
        key: ConnectionKey,
        request: Box<ConnectRequest>,
        data: &[u8],
        kept: Vec<u8>,
        out: &mut Turn,
    ) {
        let Some(connection) = self.connections.get_mut(key) else { return };
        let outbox = &mut connection.outbox;
        let counters = &mut self.desk.counters;
        let method = request.method.as_deref().unwrap_or_default();
        let negotiated = &request.negotiated;
        if let Err(refusal) =
            authenticate::push_challenge(method, data, negotiated, outbox, counters)
        {
            return self.turn_away(key, request, &refusal, out);
        }
        self.desk.touch(key, outbox);
        connection.phase = Phase::AwaitAuth(AwaitAuth::new(request, kept));
        connection.is_paused = false;
        out.resumed.push(key);
        let due_ms = connection.opened_ms + self.desk.limits.connect_timeout_ms;
        self.desk.timers.set(self.desk.now, due_ms, Timer::Connect(key));
    }

    /// The client's answer to a challenge before CONNACK, when it is whole.
    pub(super) fn consume_auth(
        &mut self,
        key: ConnectionKey,
        bytes: &[u8],
        out: &mut Turn,
    ) -> usize {
        let Some(connection) = self.connections.get_mut(key) else { return bytes.len() };
        let decoded = match decode(bytes, Version::V5, self.desk.limits.packet_size_max) {
            Ok(None) => return 0,
            Ok(Some((packet, len))) => {
                self.desk.counters.packets_received[packet.packet_type() as usize] += 1;
                Ok((packet, len))
            }
            Err(error) => Err(Refusal::from(error)),
        };
        let phase = std::mem::replace(&mut connection.phase, Phase::AwaitConnect);
        let Phase::AwaitAuth(waiting) = phase else {
            connection.phase = phase;
            return 0;
        };
        let (packet, len) = match decoded {
            Ok((Packet::Disconnect(_), _)) => {
                self.end(key, Ending::refused(ConnectOutcome::Abandoned), out);
                return bytes.len();
            }
            Ok(decoded) => decoded,
            Err(refusal) => {
                self.turn_away(key, waiting.request, &refusal, out);
                return bytes.len();
            }
        };
        match waiting.received(&packet) {
            Ok((request, exchange)) => {
                let client_id = request.client_id.as_str().to_owned();
                connection.phase = Phase::AwaitIdentity(request);
                connection.is_paused = true;
                out.paused.push(key);
                out.questions.push(Question::of_exchange(key, client_id, exchange));
                len
            }
            Err((request, refusal)) => {
                self.turn_away(key, request, &refusal, out);
                bytes.len()
            }
        }
    }

    /// CONNACK with the refusal's Reason Code ([MQTT-4.12.0-4]).
    fn turn_away(
        &mut self,
        key: ConnectionKey,
        request: Box<ConnectRequest>,
        refusal: &Refusal,
        out: &mut Turn,
    ) {
        let client_id = Some(request.client_id.clone());
        if let Some(connection) = self.connections.get_mut(key) {
            connection.phase = Phase::AwaitIdentity(request);
        }
        self.refuse(key, client_id, refusal, ConnectOutcome::NotAuthorized, out);
    }

    /// A client that is connected has answered: it goes on, or ends ([MQTT-4.12.1-2]).
    fn authenticated_again(&mut self, key: ConnectionKey, answer: Identification, out: &mut Turn) {
        let Some(connection) = self.connections.get_mut(key) else { return };
        let Some((connected, outbox)) = connection.connected() else { return };
        let Connected { enhanced: Some(enhanced), negotiated, session, .. } = connected else {
            return;
        };
        let counters = &mut self.desk.counters;
        let accepted = match answer {
            Identification::Challenged { data, kept } => {
                enhanced.challenge(&data, kept, negotiated, outbox, counters)
            }
            Identification::Authenticated { identity, data } => {
                enhanced.accept(identity, &data, negotiated, outbox, counters)
            }
            Identification::Refused(reason_code) => {
                Err(Refusal::new(reason_code, "it did not authenticate again"))
            }
            // Nobody answers a step of an exchange like that.
            Identification::Accepted { .. } => {
                Err(Refusal::new(ReasonCode::NotAuthorized, "it did not authenticate again"))
            }
        };
        self.desk.touch(key, outbox);
        if let Err(refusal) = accepted {
            self.desk.counters.reauthentications_refused += 1;
            let session = self.sessions.get(*session);
            let client_id = session.map(|session| session.client_id.clone());
            self.note_refusal(key, client_id, &refusal, out);
            let ending = Ending::told(refusal.reason_code, "it did not authenticate again");
            self.end(key, ending.because(&refusal.reason), out);
        }
    }
}
