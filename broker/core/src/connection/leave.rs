//! DISCONNECT, either way.

use flotilla_mqtt::{Disconnect, Packet, ReasonCode};

use crate::connection::connected::{Connected, Flow};
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
pub(crate) fn push_disconnect(
    reason_code: ReasonCode,
    connected: &Connected,
    outbox: &mut Outbox,
    desk: &mut Desk,
) {
    if connected.negotiated.can_be_told {
        let packet = Packet::Disconnect(Disconnect::new(reason_code));
        outbox.push(&packet, connected.negotiated.version, &mut desk.counters);
    }
}
