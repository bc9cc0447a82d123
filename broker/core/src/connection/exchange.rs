//! PUBACK, PUBREC, PUBREL, PUBCOMP from a client.

use flotilla_mqtt::{Ack, Packet, PacketId, ReasonCode};

use crate::connection::connected::Connected;
use crate::connection::deliver;
use crate::connection::outbox::Outbox;
use crate::durability::Class;
use crate::id::Position;
use crate::record::OutboundRecord;
use crate::session::Session;
use crate::session::in_flight::Acknowledged;
use crate::shard::desk::{Desk, Waiter};
use crate::shard::steps::Step;
use crate::turn::{Turn, Write};

/// QoS 1: the client has the message ([MQTT-4.3.2-3]).
pub(crate) fn puback(
    ack: &Ack<'_>,
    connected: &mut Connected,
    session: &mut Session,
    outbox: &mut Outbox,
    desk: &mut Desk,
    out: &mut Turn,
) {
    let acknowledged = session.outbound.puback(ack.packet_id);
    if acknowledged == Acknowledged::Done && ack.reason_code.is_error() {
        desk.counters.messages_refused += 1;
    }
    deliver::pump(session, connected, outbox, desk, out);
}

/// QoS 2, first half: the client has the message, or does not want it ([MQTT-4.3.3-4]).
pub(crate) fn pubrec(
    ack: &Ack<'_>,
    connected: &mut Connected,
    session: &mut Session,
    outbox: &mut Outbox,
    desk: &mut Desk,
    out: &mut Turn,
) {
    let packet_id = ack.packet_id;
    let is_refused = ack.reason_code.is_error();
    let class = desk.durability.of_exchanges();
    let ticket = session.is_durable.then_some(desk.ticket);
    match session.outbound.pubrec(packet_id, is_refused, ticket) {
        Acknowledged::Release(Some(position)) if session.is_durable => {
            release_on_disk(packet_id, position, session, desk, out);
            session.wrote(desk.ticket, class);
            desk.wait(class, Waiter::Session(connected.session));
        }
        Acknowledged::Release(_) | Acknowledged::ReleaseAgain => {
            push_pubrel(packet_id, ReasonCode::Success, connected, outbox, desk);
        }
        Acknowledged::Refused(position) => {
            desk.counters.messages_refused += 1;
            if let (Some(position), true) = (position, session.is_durable) {
                release_on_disk(packet_id, position, session, desk, out);
            }
            deliver::pump(session, connected, outbox, desk, out);
        }
        Acknowledged::Unknown => {
            let reason_code = ReasonCode::PacketIdentifierNotFound;
            push_pubrel(packet_id, reason_code, connected, outbox, desk);
        }
        Acknowledged::Done => {}
    }
}

/// QoS 2, second half: it is done ([MQTT-4.3.3-5]).
pub(crate) fn pubcomp(
    ack: &Ack<'_>,
    connected: &mut Connected,
    session: &mut Session,
    outbox: &mut Outbox,
    desk: &mut Desk,
    out: &mut Turn,
) {
    session.outbound.pubcomp(ack.packet_id);
    deliver::pump(session, connected, outbox, desk, out);
}

/// QoS 2 from the client, second half. Like its PUBLISH it is dealt with at the end of the turn, so
/// that both come to the disk in order.
pub(crate) fn pubrel(ack: &Ack<'_>, connected: &Connected, desk: &mut Desk) {
    desk.step(Step::Release {
        session: connected.session,
        connection: connected.key,
        packet_id: ack.packet_id,
    });
}

/// PUBREL to the client.
pub(crate) fn push_pubrel(
    packet_id: PacketId,
    reason_code: ReasonCode,
    connected: &Connected,
    outbox: &mut Outbox,
    desk: &mut Desk,
) {
    let ack = Ack::new(packet_id, connected.negotiated.positive(reason_code));
    desk.buffer(outbox);
    outbox.push(&Packet::Pubrel(ack), connected.negotiated.version, &mut desk.counters);
    desk.touch(connected.key, outbox);
}

/// From now on a restart sends PUBREL, not PUBLISH ([MQTT-4.3.3-6]).
pub(crate) fn release_on_disk(
    packet_id: PacketId,
    position: Position,
    session: &mut Session,
    desk: &Desk,
    out: &mut Turn,
) {
    let record = OutboundRecord { position, packet_id, released: true };
    out.batch.writes.push(Write::PutOutbound(session.client_id.clone(), record));
    session.wrote(desk.ticket, Class::Os);
}
