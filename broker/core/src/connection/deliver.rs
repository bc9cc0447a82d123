//! PUBLISH to a client.

use flotilla_mqtt::{PacketId, PacketType, QoS, RelayedPublish, Version};

use crate::connection::connected::Connected;
use crate::connection::exchange;
use crate::connection::negotiated::Negotiated;
use crate::connection::outbox::Outbox;
use crate::connection::shorthand::{Form, Shorthand};
use crate::counters::DropReason;
use crate::durability::Class;
use crate::limits::Limits;
use crate::message::{Content, Message};
use crate::record::OutboundRecord;
use crate::session::Session;
use crate::session::in_flight::Resend;
use crate::session::outbound::{Source, Waiting};
use crate::shard::desk::{Desk, Waiter};
use crate::subscription::{Ids, Terms};
use crate::turn::{Replay, Turn, Write};

/// Sends what the quota and the socket allow unless a SUBACK must come first, and asks the log for
/// more when little is left.
pub(crate) fn pump(
    session: &mut Session,
    connected: &mut Connected,
    outbox: &mut Outbox,
    desk: &mut Desk,
    out: &mut Turn,
) {
    let Limits { cursor_lag_max, finished_max, .. } = *desk.limits;
    if session.is_durable && session.outbound.is_cursor_behind(cursor_lag_max, finished_max) {
        write_cursor(session, desk, out);
    }
    while !connected.owed.has_suback()
        && outbox.backlog_bytes() + session.outbound.storing_bytes() <= desk.limits.unsent_bytes_max
    {
        let quota = usize::from(connected.negotiated.send_quota);
        let Some(waiting) = session.outbound.next(quota, finished_max) else { break };
        match session.outbound.send_again(waiting.source.position()) {
            Some(Resend::NoMore) => {}
            Some(Resend::Under(packet_id, was_sent)) => {
                let Waiting { message, terms, .. } = &waiting;
                if let Some(reason) = obstacle(message, terms, was_sent, connected, desk) {
                    desk.counters.drop_deliveries(reason, 1);
                    if let Some(position) = session.outbound.give_up(packet_id) {
                        exchange::release_on_disk(packet_id, position, session, desk, out);
                    }
                    continue;
                }
                let header = Header { packet_id: Some(packet_id), is_dup: was_sent };
                push_publish(message, terms, header, connected, outbox, desk);
            }
            None => send_new(waiting, session, connected, outbox, desk, out),
        }
    }
    ask_log(session, connected, desk, out);
    desk.touch(connected.key, outbox);
}

/// Sends a QoS 0 message at once, or drops it: it waits for nobody. `frames`: where it is encoded once
/// for several receivers.
pub(crate) fn push_qos0(
    message: &Message,
    terms: &Terms,
    connected: &mut Connected,
    outbox: &mut Outbox,
    frames: Option<&mut Frames>,
    desk: &mut Desk,
) {
    if outbox.backlog_bytes() > desk.limits.unsent_bytes_max {
        desk.counters.drop_deliveries(DropReason::SlowConsumer, 1);
        return;
    }
    if message.is_expired(desk.now.unix_ms) {
        desk.counters.drop_deliveries(DropReason::Expired, 1);
        return;
    }
    let is_alike = terms.ids == Ids::None
        && connected.negotiated.packet_size_max == u32::MAX
        && connected.shorthand.is_none();
    let Some(frames) = frames.filter(|_| is_alike) else {
        if is_too_large(message, terms, connected, desk) {
            desk.counters.drop_deliveries(DropReason::TooLarge, 1);
            return;
        }
        push_publish(message, terms, Header::QOS_0, connected, outbox, desk);
        return;
    };
    let version = connected.negotiated.version;
    let frame = frames.frame(message, terms.retain, version, desk.now.unix_ms);
    desk.buffer(outbox).extend_from_slice(frame);
    outbox.count(PacketType::Publish, &mut desk.counters);
    desk.counters.messages_delivered[0] += 1;
    desk.touch(connected.key, outbox);
}

/// Writes the cursor as far as it has moved, with the QoS 2 records that it has passed.
pub(crate) fn write_cursor(session: &mut Session, desk: &Desk, out: &mut Turn) {
    let Some((cursor, passed)) = session.outbound.take_cursor(desk.log_end) else { return };
    let client_id = &session.client_id;
    let deletions = passed.into_iter().map(|p| Write::DeleteOutbound(client_id.clone(), p));
    out.batch.writes.push(Write::PutCursor(client_id.clone(), cursor));
    out.batch.writes.extend(deletions);
    session.wrote(desk.ticket, Class::Os);
}

/// A QoS 0 message as it is sent to many: encoded once for each version and RETAIN flag.
#[derive(Debug, Default)]
pub(crate) struct Frames {
    frames: [Vec<u8>; 4],
    is_filled: [bool; 4],
}

impl Frames {
    /// For the next message.
    pub(crate) fn clear(&mut self) {
        self.is_filled = [false; 4];
    }

    fn frame(&mut self, message: &Message, retain: bool, version: Version, unix_ms: u64) -> &[u8] {
        let at = usize::from(retain) + if version == Version::V5 { 2 } else { 0 };
        if !self.is_filled[at] {
            let terms = Terms { qos: QoS::AtMostOnce, retain, ids: Ids::None };
            self.frames[at].clear();
            publish(message, &terms, Header::QOS_0, unix_ms)
                .encode(version, &mut self.frames[at])
                .expect("it came in a packet of this size");
            self.is_filled[at] = true;
        }
        &self.frames[at]
    }
}

/// What a PUBLISH says beside message and terms.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Header {
    pub(crate) packet_id: Option<PacketId>,
    pub(crate) is_dup: bool,
}

impl Header {
    const QOS_0: Self = Self { packet_id: None, is_dup: false };
}

/// A message that was not in flight before.
fn send_new(
    waiting: Waiting,
    session: &mut Session,
    connected: &mut Connected,
    outbox: &mut Outbox,
    desk: &mut Desk,
    out: &mut Turn,
) {
    let Waiting { source, message, terms } = waiting;
    if let Some(reason) = obstacle(&message, &terms, false, connected, desk) {
        // [MQTT-3.1.2-25]: as if it had been sent; the queue goes on.
        session.outbound.skip();
        desk.counters.drop_deliveries(reason, 1);
        return;
    }
    match (terms.qos, source) {
        (QoS::AtMostOnce, _) => {
            session.outbound.skip();
            push_publish(&message, &terms, Header::QOS_0, connected, outbox, desk);
        }
        (QoS::ExactlyOnce, Source::Log(position)) => {
            // Which identifier stands for which message is durable before the client can know; and
            // then the message is, too: it was written before.
            let class = desk.durability.of_exchanges();
            let packet_id = session.outbound.store(position, desk.ticket, message, terms);
            let record = OutboundRecord { position, packet_id, released: false };
            out.batch.writes.push(Write::PutOutbound(session.client_id.clone(), record));
            session.wrote(desk.ticket, class);
            desk.wait(class, Waiter::Session(connected.session));
        }
        (qos, source) => {
            let (packet_id, is_dup) = session.outbound.send(source, qos);
            let header = Header { packet_id: Some(packet_id), is_dup };
            push_publish(&message, &terms, header, connected, outbox, desk);
            if let (QoS::AtLeastOnce, Source::Group(_)) = (qos, source) {
                session.outbound.keep(message);
            }
        }
    }
}

/// Encodes a PUBLISH for this client alone.
pub(crate) fn push_publish(
    message: &Message,
    terms: &Terms,
    header: Header,
    connected: &mut Connected,
    outbox: &mut Outbox,
    desk: &mut Desk,
) {
    let mut publish = publish(message, terms, header, desk.now.unix_ms);
    if let Some(shorthand) = &mut connected.shorthand {
        abbreviate(&mut publish, shorthand, &connected.negotiated, desk);
    }
    publish
        .encode(connected.negotiated.version, desk.buffer(outbox))
        .expect("it came in a packet of this size");
    outbox.count(PacketType::Publish, &mut desk.counters);
    if header.is_dup {
        desk.counters.messages_resent += 1;
    } else {
        desk.counters.messages_delivered[terms.qos as usize] += 1;
    }
    desk.touch(connected.key, outbox);
}

/// Sends a Topic Alias along with the topic, or instead of it, where that saves bytes.
fn abbreviate(
    publish: &mut RelayedPublish<'_>,
    shorthand: &mut Shorthand,
    negotiated: &Negotiated,
    desk: &mut Desk,
) {
    match shorthand.form(publish.topic) {
        Form::Whole => {}
        Form::Alias(alias) => {
            (publish.topic, publish.topic_alias) = (&[], Some(alias));
            desk.counters.messages_aliased += 1;
        }
        Form::Setting(alias) => {
            publish.topic_alias = Some(alias);
            // [MQTT-3.1.2-24]: with the alias it is larger, once.
            if publish.encoded_len(negotiated.version) > negotiated.packet_size_max as usize {
                publish.topic_alias = None;
            } else {
                shorthand.set(alias, publish.topic);
            }
        }
    }
}

fn publish<'a>(
    message: &'a Message,
    terms: &'a Terms,
    header: Header,
    unix_ms: u64,
) -> RelayedPublish<'a> {
    let Content { topic, forwarded, payload } = message.content();
    RelayedPublish {
        dup: header.is_dup,
        qos: terms.qos,
        retain: terms.retain,
        topic,
        topic_alias: None,
        packet_id: header.packet_id,
        message_expiry_interval_s: message.expiry_interval_left_s(unix_ms),
        subscription_ids: terms.ids.as_slice(),
        forwarded,
        payload,
    }
}

/// Why the message must not be sent. What has been sent before is sent again however old it is
/// ([MQTT-3.3.2-5]), unless the client takes less than on its last connection ([MQTT-3.1.2-25]).
fn obstacle(
    message: &Message,
    terms: &Terms,
    was_sent: bool,
    connected: &Connected,
    desk: &Desk,
) -> Option<DropReason> {
    if !was_sent && message.is_expired(desk.now.unix_ms) {
        return Some(DropReason::Expired);
    }
    is_too_large(message, terms, connected, desk).then_some(DropReason::TooLarge)
}

/// Whether the packet would be larger than the client takes ([MQTT-3.1.2-24]).
fn is_too_large(message: &Message, terms: &Terms, connected: &Connected, desk: &Desk) -> bool {
    let size_max = connected.negotiated.packet_size_max;
    if size_max == u32::MAX {
        return false;
    }
    let packet_id = (terms.qos > QoS::AtMostOnce).then_some(PacketId::MIN);
    let header = Header { packet_id, is_dup: false };
    let publish = publish(message, terms, header, desk.now.unix_ms);
    publish.encoded_len(connected.negotiated.version) > size_max as usize
}

fn ask_log(session: &mut Session, connected: &Connected, desk: &Desk, out: &mut Turn) {
    if session.has_unknown_start() {
        return;
    }
    let Some((number, from, positions)) = session.outbound.ask(&desk.limits) else { return };
    out.replays.push(Replay {
        session: connected.session,
        number,
        client_id: session.client_id.clone(),
        from,
        filters: session.replay_filters(),
        positions,
        messages_max: desk.limits.page_messages_max,
        bytes_max: desk.limits.page_bytes_max,
    });
}
