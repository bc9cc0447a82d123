//! AUTH: an enhanced authentication, step by step (section 4.12).

use flotilla_mqtt::{Auth, Packet, ReasonCode};

use crate::connection::await_connect::ConnectRequest;
use crate::connection::negotiated::Negotiated;
use crate::connection::outbox::Outbox;
use crate::connection::refusal::Refusal;
use crate::counters::Counters;
use crate::turn::Exchange;

/// The client was asked for more before it may connect.
#[derive(Debug)]
pub(crate) struct AwaitAuth {
    pub(crate) request: Box<ConnectRequest>,
    /// What comes back with the next question.
    kept: Vec<u8>,
}

/// How a connection was authenticated, and may be again.
#[derive(Debug)]
pub(crate) struct Enhanced {
    method: Box<str>,
    /// Who it is; the same each time.
    identity: Option<String>,
    again: Again,
}

/// How far a re-authentication is.
#[derive(Debug)]
enum Again {
    /// None is under way.
    Idle,
    /// The client's last AUTH is being judged.
    Judged,
    /// The client was asked for more.
    Challenged(Vec<u8>),
}

impl AwaitAuth {
    pub(crate) fn new(request: Box<ConnectRequest>, kept: Vec<u8>) -> Self {
        Self { request, kept }
    }

    /// The client's next step.
    ///
    /// # Errors
    /// Anything but AUTH 0x18 with the method of CONNECT ([MQTT-3.1.2-30], [MQTT-4.12.0-3]). The
    /// request comes back for CONNACK.
    pub(crate) fn received(
        self,
        packet: &Packet<'_>,
    ) -> Result<(Box<ConnectRequest>, Exchange), (Box<ConnectRequest>, Refusal)> {
        let Self { request, kept } = self;
        let method = request.method.as_deref().unwrap_or_default();
        match packet {
            Packet::Auth(auth)
                if auth.reason_code == ReasonCode::ContinueAuthentication
                    && auth.authentication_method == Some(method) =>
            {
                let exchange = exchange(method, auth, Some(kept));
                Ok((request, exchange))
            }
            _ => {
                let reason = "not AUTH 0x18 with the method of CONNECT [MQTT-4.12.0-3]";
                Err((request, Refusal::new(ReasonCode::ProtocolError, reason)))
            }
        }
    }
}

impl Enhanced {
    pub(crate) fn new(method: Box<str>, identity: Option<String>) -> Self {
        Self { method, identity, again: Again::Idle }
    }

    /// AUTH came on a connection that stands: what is to be asked.
    ///
    /// # Errors
    /// Another method, or a step that is not due ([MQTT-4.12.1-1]).
    pub(crate) fn received(&mut self, auth: &Auth<'_>) -> Result<Exchange, Refusal> {
        let kept = match (auth.reason_code, std::mem::replace(&mut self.again, Again::Judged)) {
            _ if auth.authentication_method != Some(&*self.method) => {
                let reason = "AUTH names another method than CONNECT [MQTT-4.12.1-1]";
                return Err(Refusal::new(ReasonCode::ProtocolError, reason));
            }
            (ReasonCode::ReAuthenticate, Again::Idle) => None,
            (ReasonCode::ContinueAuthentication, Again::Challenged(kept)) => Some(kept),
            _ => {
                let reason = "AUTH came out of turn [MQTT-4.12.1-1]";
                return Err(Refusal::new(ReasonCode::ProtocolError, reason));
            }
        };
        Ok(exchange(&self.method, auth, kept))
    }

    /// The client is asked for more.
    ///
    /// # Errors
    /// When it takes only smaller packets.
    pub(crate) fn challenge(
        &mut self,
        data: &[u8],
        kept: Vec<u8>,
        negotiated: &Negotiated,
        outbox: &mut Outbox,
        counters: &mut Counters,
    ) -> Result<(), Refusal> {
        self.again = Again::Challenged(kept);
        push_challenge(&self.method, data, negotiated, outbox, counters)
    }

    /// The client has shown again who it is: AUTH 0x00.
    ///
    /// # Errors
    /// When that is somebody else, or the client takes only smaller packets.
    pub(crate) fn accept(
        &mut self,
        identity: String,
        data: &[u8],
        negotiated: &Negotiated,
        outbox: &mut Outbox,
        counters: &mut Counters,
    ) -> Result<(), Refusal> {
        self.again = Again::Idle;
        if self.identity != Some(identity) {
            let reason = "it authenticated again as somebody else";
            return Err(Refusal::new(ReasonCode::NotAuthorized, reason));
        }
        counters.reauthentications += 1;
        push(ReasonCode::Success, &self.method, data, negotiated, outbox, counters)
    }
}

/// AUTH 0x18 ([MQTT-4.12.0-2]).
///
/// # Errors
/// When the client takes only smaller packets ([MQTT-3.1.2-24]).
pub(crate) fn push_challenge(
    method: &str,
    data: &[u8],
    negotiated: &Negotiated,
    outbox: &mut Outbox,
    counters: &mut Counters,
) -> Result<(), Refusal> {
    push(ReasonCode::ContinueAuthentication, method, data, negotiated, outbox, counters)
}

fn push(
    reason_code: ReasonCode,
    method: &str,
    data: &[u8],
    negotiated: &Negotiated,
    outbox: &mut Outbox,
    counters: &mut Counters,
) -> Result<(), Refusal> {
    let auth = Auth { authentication_data: Some(data), ..Auth::new(reason_code, method) };
    let packet = Packet::Auth(auth);
    if packet.encoded_len(negotiated.version) > negotiated.packet_size_max as usize {
        let reason = "the client takes only smaller packets than AUTH";
        return Err(Refusal::new(ReasonCode::PacketTooLarge, reason));
    }
    outbox.push(&packet, negotiated.version, counters);
    Ok(())
}

fn exchange(method: &str, auth: &Auth<'_>, kept: Option<Vec<u8>>) -> Exchange {
    let data = auth.authentication_data.map(<[u8]>::to_vec);
    Exchange { method: method.to_owned(), data, kept }
}
