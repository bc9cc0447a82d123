//! A PUBLISH from a client.

use flotilla_mqtt::{Publish, QoS, ReasonCode};

use crate::connection::connected::Connected;
use crate::connection::owed::Acknowledgement;
use crate::connection::refusal::Refusal;
use crate::counters::DropReason;
use crate::message::{Message, MessageParts};
use crate::session::Session;
use crate::shard::desk::Desk;
use crate::shard::steps::{PublishStep, Step};

/// Takes the message over, or says why not. It is routed at the end of the turn and acknowledged
/// when it is stored where it must be.
///
/// # Errors
/// What the protocol forbids ends the connection; so does, for a client that cannot be told
/// otherwise, what the broker does not allow.
pub(crate) fn received(
    publish: &Publish<'_>,
    connected: &mut Connected,
    session: &mut Session,
    desk: &mut Desk,
) -> Result<(), Refusal> {
    if !publish.subscription_ids.is_empty() {
        let reason = "a client's PUBLISH carries a Subscription Identifier [MQTT-3.3.4-6]";
        return Err(Refusal::new(ReasonCode::ProtocolError, reason));
    }
    let topic = match publish.topic_alias {
        None => publish.topic,
        Some(alias) => {
            connected.aliases.resolve(publish.topic, alias, desk.limits.topic_aliases_max)?
        }
    };
    let exactly_once = publish.packet_id.filter(|_| publish.qos == QoS::ExactlyOnce);
    if let Some(packet_id) = exactly_once.filter(|&packet_id| session.inbound.has(packet_id)) {
        // Behind the first one, which may still wait for the disk.
        let pubrec = Acknowledgement::Pubrec(packet_id, ReasonCode::Success);
        desk.step(Step::Acknowledge(connected.key, pubrec));
        return Ok(());
    }
    if publish.qos > QoS::AtMostOnce {
        if connected.unacknowledged >= desk.limits.receive_max {
            let reason = "more unacknowledged messages than Receive Maximum [MQTT-3.3.4-7]";
            return Err(Refusal::new(ReasonCode::ReceiveMaximumExceeded, reason));
        }
        connected.unacknowledged += 1;
    }
    if let Some(reason_code) = desk.limits.refuse_topic(topic) {
        desk.counters.drop_deliveries(DropReason::NotAuthorized, 1);
        let may_stay = publish.qos == QoS::AtMostOnce || connected.negotiated.can_be_told;
        if !may_stay {
            let reason = "a PUBLISH to a topic of the broker, or with too many levels";
            return Err(Refusal::new(reason_code, reason));
        }
        refuse(publish, reason_code, connected, desk);
        return Ok(());
    }
    desk.counters.messages_received[publish.qos as usize] += 1;
    let interval_ms = publish.message_expiry_interval_s.map(|s| u64::from(s) * 1000);
    let parts = MessageParts {
        qos: publish.qos,
        retain: publish.retain,
        topic,
        publisher: session.client_id.as_str(),
        addressee: "",
        received_at_ms: desk.now.unix_ms,
        expires_at_ms: interval_ms.map(|ms| desk.now.unix_ms + ms),
        forwarded: publish.forwarded,
        payload: publish.payload,
    };
    let message = Message::new(&parts, &mut desk.scratch);
    // Not before: what was refused comes again as a new message, perhaps on a later connection.
    if let Some(packet_id) = exactly_once {
        session.inbound.take(packet_id);
    }
    desk.step(Step::Publish(PublishStep {
        message,
        session: Some(connected.session),
        acknowledge: publish.packet_id.map(|packet_id| (connected.key, packet_id)),
    }));
    Ok(())
}

/// Answers with a Reason Code; the Packet Identifier stays free ([MQTT-4.3.3-9]).
fn refuse(publish: &Publish<'_>, reason_code: ReasonCode, connected: &Connected, desk: &mut Desk) {
    let Some(packet_id) = publish.packet_id else { return };
    let acknowledgement = if publish.qos == QoS::ExactlyOnce {
        Acknowledgement::Pubrec(packet_id, reason_code)
    } else {
        Acknowledgement::Puback(packet_id, reason_code)
    };
    // Behind the PUBLISH packets of this turn, whose acknowledgements are owed at its end.
    desk.step(Step::Acknowledge(connected.key, acknowledgement));
}
