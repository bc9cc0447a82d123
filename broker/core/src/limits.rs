//! Everything that grows, with its bound.

use flotilla_mqtt::ReasonCode;

/// The limits in force, the same for all shards. Field names are the configuration's keys where
/// there is one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Largest packet accepted, bytes, its fixed header included ([MQTT-3.2.2-15]).
    pub packet_size_max: u32,
    /// Levels of a Topic Name or Topic Filter.
    pub topic_levels_max: u16,
    /// Topic Aliases accepted from a client; 0: none ([MQTT-3.2.2-17]).
    pub topic_aliases_max: u16,
    /// QoS 1 and 2 messages accepted unacknowledged from a client ([MQTT-3.3.4-7]).
    pub receive_max: u16,
    /// From the opened socket to a whole CONNECT, and to the last AUTH that it leads to,
    /// milliseconds.
    pub connect_timeout_ms: u64,
    /// And then to CONNACK, milliseconds: a client that waits longer for a store that
    /// fails has gone, and its socket is not read, so nobody would see that.
    pub connack_timeout_ms: u64,
    /// Longest Keep Alive of an MQTT 5 client, seconds; longer wishes, and none, are cut to it; 0: as
    /// the client says ([MQTT-3.2.2-22]).
    pub keep_alive_max_s: u16,
    /// Subscriptions of one session.
    pub subscriptions_max: usize,
    /// Longest Session Expiry Interval, seconds; longer wishes are cut to it.
    pub expiry_max_s: u32,
    /// QoS 1 and 2 messages that wait in memory for a session that is not persistent.
    pub queue_messages_max: usize,
    /// Bytes of these messages, for each session; one that waits for several counts for each. Both
    /// limits give way to the retained messages that one filter finds: these are in memory anyway,
    /// and each takes 56 bytes more while it waits.
    pub queue_bytes_max: usize,
    /// Cap on what is sent unacknowledged, whatever the client's Receive Maximum.
    pub inflight_max: u16,
    /// Bytes waiting for a socket from which on QoS 0 messages are dropped and others wait.
    pub unsent_bytes_max: usize,
    /// Bytes a shard has submitted for commit from which on its publishers are not read.
    pub uncommitted_bytes_max: usize,
    /// Bytes of acknowledgements that wait for the disk from which on their client is not read:
    /// not every packet adds to what is submitted.
    pub owed_bytes_max: usize,
    /// Bytes of deliveries on their way to another shard from which on publishers are not read.
    pub mailed_bytes_max: usize,
    /// Messages that wait in memory for a persistent session; more are read from the log later.
    pub tail_messages_max: usize,
    /// Bytes of these messages. With L for the largest message, what a persistent session that is
    /// connected and takes nothing holds in memory is at most
    /// * `tail_bytes_max` + L, or `page_bytes_max` * 5/4 + L, of messages that wait, and
    /// * `unsent_bytes_max` + L for its socket:
    ///
    /// 2.25 MiB + 2 L, and 64 bytes for each of `inflight_max` messages that it has not
    /// acknowledged.
    pub tail_bytes_max: usize,
    /// Acknowledged messages after which a session's cursor is written at the latest; it is written
    /// each second, too. Above the cursor QoS 1 messages are sent again after a crash.
    pub cursor_lag_max: usize,
    /// How often the cursor of a connected session that gets nothing follows the end of the log,
    /// milliseconds: what lies above a stored cursor is not cleaned.
    pub cursor_idle_ms: u64,
    /// QoS 2 messages that are done behind one that is not: from there on a session gets no more
    /// until that one is acknowledged, but for what was in flight before.
    pub finished_max: usize,
    /// Messages in one page read from the log.
    pub page_messages_max: usize,
    /// Bytes in one page read from the log.
    pub page_bytes_max: usize,
    /// Retained messages.
    pub retained_messages_max: usize,
    /// Payload of a retained message, bytes.
    pub retained_payload_max: usize,
    /// Bytes of all retained messages, in memory.
    pub retained_bytes_max: usize,
}

/// What may wait in memory for a session that is not persistent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Room {
    pub(crate) messages: usize,
    pub(crate) bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            packet_size_max: 1024 * 1024,
            topic_levels_max: 32,
            topic_aliases_max: 64,
            receive_max: 1024,
            connect_timeout_ms: 10_000,
            connack_timeout_ms: 60_000,
            keep_alive_max_s: 0,
            subscriptions_max: 1000,
            expiry_max_s: 7 * 24 * 3600,
            queue_messages_max: 100_000,
            queue_bytes_max: 64 * 1024 * 1024,
            inflight_max: 1024,
            unsent_bytes_max: 1024 * 1024,
            uncommitted_bytes_max: 64 * 1024 * 1024,
            owed_bytes_max: 256 * 1024,
            mailed_bytes_max: 4 * 1024 * 1024,
            tail_messages_max: 1024,
            tail_bytes_max: 256 * 1024,
            cursor_lag_max: 256,
            cursor_idle_ms: 60_000,
            finished_max: 65_536,
            page_messages_max: 512,
            page_bytes_max: 1024 * 1024,
            retained_messages_max: 1_000_000,
            retained_payload_max: 256 * 1024,
            retained_bytes_max: 256 * 1024 * 1024,
        }
    }
}

impl Limits {
    /// Largest value of [`Limits::packet_size_max`], bytes: a message of that size still fits in a
    /// packet when its Topic Alias has become a Topic Name and identifiers have been added.
    pub const PACKET_SIZE_MAX: u32 = 255 * 1024 * 1024;
    /// Why a client must not publish to this topic; `None`: it may. Topics with a `$` in front are
    /// the broker's (`$SYS`, `$dead`, `$share`: section 4.7.2).
    pub(crate) fn refuse_topic(&self, topic: &str) -> Option<ReasonCode> {
        if topic.starts_with('$') {
            return Some(ReasonCode::NotAuthorized);
        }
        self.has_too_many_levels(topic).then_some(ReasonCode::TopicNameInvalid)
    }

    /// [`Limits::queue_messages_max`] and [`Limits::queue_bytes_max`].
    pub(crate) fn queue(&self) -> Room {
        Room { messages: self.queue_messages_max, bytes: self.queue_bytes_max }
    }

    /// Whether a Topic Name or Topic Filter has more levels than [`Limits::topic_levels_max`].
    pub(crate) fn has_too_many_levels(&self, topic: &str) -> bool {
        let separators = topic.bytes().filter(|&byte| byte == b'/').count();
        separators >= usize::from(self.topic_levels_max)
    }
}
