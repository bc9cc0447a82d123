//! DISCONNECT, either way.

use std::sync::Arc;

use flotilla_mqtt::{Disconnect, Packet, ReasonCode};

use crate::connection::connected::{Connected, Flow};
use crate::connection::negotiated::Negotiated;
use crate::connection::outbox::Outbox;
use crate::connection::refusal::Refusal;
use crate::session::Session;
use crate::shard::desk::Desk;

/// The client leaves. Only Reason Code 0x00 takes the Will away ([MQTT-3.14.4-3]).
///
/// # Errors
/// A session that was to end with its connection cannot be prolonged (section 3.14.2.2.2).
pub(crate) fn disconnect(
    packet: &Disconnect<'_>,
    session: &mut Session,
    desk: &Desk,
) -> Result<Flow, Refusal> {
    if let Some(expiry_interval_s) = packet.session_expiry_interval_s {
        if session.expiry_interval_s == 0 && expiry_interval_s > 0 {
            let reason = "DISCONNECT sets a Session Expiry Interval, and CONNECT had none";
            return Err(Refusal::new(ReasonCode::ProtocolError, reason));
        }
        session.expiry_interval_s = expiry_interval_s.min(desk.limits.expiry_max_s);
    }
    Ok(Flow::Leave { publish_will: packet.reason_code != ReasonCode::Success })
}

/// DISCONNECT to the client, where its version has one.
/// With `reason` for a client that wants to read it, and with another server when it is sent
/// there, as far as it takes so many bytes ([MQTT-3.14.2-3]).
pub(crate) fn push_disconnect(
    reason_code: ReasonCode,
    reason: Option<&str>,
    connected: &Connected,
    outbox: &mut Outbox,
    desk: &mut Desk,
) {
    let Negotiated { version, packet_size_max, can_be_told, wants_reasons, .. } =
        connected.negotiated;
    if !can_be_told {
        return;
    }
    let words = Arc::clone(&desk.words);
    let server_reference = words.server_reference.as_deref();
    let whole = Disconnect {
        server_reference: server_reference.filter(|_| reason_code == ReasonCode::UseAnotherServer),
        reason_string: reason.filter(|_| wants_reasons),
        ..Disconnect::new(reason_code)
    };
    let without_reason = Disconnect { reason_string: None, ..whole };
    let forms = [whole, without_reason, Disconnect::new(reason_code)].map(Packet::Disconnect);
    let fits = |packet: &&Packet<'_>| packet.encoded_len(version) <= packet_size_max as usize;
    if let Some(packet) = forms.iter().find(fits) {
        outbox.push(packet, version, &mut desk.counters);
    }
}
