//! What a shard has counted since it was made.

use std::ops::AddAssign;

use flotilla_mqtt::PacketType;

/// Why a delivery was dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DropReason {
    /// The Message Expiry Interval passed before it was sent ([MQTT-3.3.2-5]).
    Expired,
    /// Larger than the client's Maximum Packet Size ([MQTT-3.1.2-25]).
    TooLarge,
    /// The session's queue in memory was full.
    QueueFull,
    /// QoS 0 while too many bytes wait for the socket.
    SlowConsumer,
    /// QoS 0, or not in the log, while the client was not connected.
    Offline,
    /// The session ended first.
    SessionEnded,
    /// The log was cleaned of it before it was sent, or sent again: counted by the cleaner, when
    /// it goes.
    Cleaned,

    /// A retained message beyond a limit; it was delivered, not retained.
    NotRetained,
    /// A PUBLISH to a topic that belongs to the broker.
    NotAuthorized,
    /// A PUBLISH that would have to be stored while the disk is full; its client was told.
    StoreFull,
}

impl DropReason {
    /// All reasons, in the order of [`Counters::dropped`].
    pub const ALL: [Self; 10] = [
        Self::Expired,
        Self::TooLarge,
        Self::QueueFull,
        Self::SlowConsumer,
        Self::Offline,
        Self::SessionEnded,
        Self::Cleaned,
        Self::NotRetained,
        Self::NotAuthorized,
        Self::StoreFull,
    ];

    /// As the label of a metric.
    pub fn name(self) -> &'static str {
        match self {
            Self::Expired => "expired",
            Self::TooLarge => "too_large",
            Self::QueueFull => "queue_full",
            Self::SlowConsumer => "slow_consumer",
            Self::Offline => "offline",
            Self::SessionEnded => "session_ended",
            Self::Cleaned => "cleaned",
            Self::NotRetained => "not_retained",
            Self::NotAuthorized => "not_authorized",
            Self::StoreFull => "store_full",
        }
    }
}

/// How a connection attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectOutcome {
    /// CONNACK 0x00.
    Accepted,
    /// The first bytes were no valid CONNECT.
    Malformed,
    /// Authentication failed.
    NotAuthorized,
    /// Any other CONNACK with a Reason Code of 0x80 or more.
    Refused,
    /// No whole CONNECT in time, or no CONNACK.
    TimedOut,
    /// The peer went away first.
    Abandoned,
}

impl ConnectOutcome {
    /// All outcomes, in the order of [`Counters::connects`].
    pub const ALL: [Self; 6] = [
        Self::Accepted,
        Self::Malformed,
        Self::NotAuthorized,
        Self::Refused,
        Self::TimedOut,
        Self::Abandoned,
    ];

    /// As the label of a metric.
    pub fn name(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Malformed => "malformed",
            Self::NotAuthorized => "not_authorized",
            Self::Refused => "refused",
            Self::TimedOut => "timed_out",
            Self::Abandoned => "abandoned",
        }
    }
}

/// The packet types as labels of a metric, with their places in [`Counters::packets_received`] and
/// [`Counters::packets_sent`].
pub fn packet_labels() -> impl Iterator<Item = (usize, &'static str)> {
    PacketType::ALL.into_iter().map(|packet_type| (packet_type as usize, packet_type.name()))
}

/// Plain numbers: counting one event is one addition. Those of all shards are summed when they are
/// asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Packets received, by packet type 1 to 15.
    pub packets_received: [u64; 16],
    /// Packets sent, by packet type 1 to 15.
    pub packets_sent: [u64; 16],
    /// Bytes of MQTT received.
    pub bytes_received: u64,
    /// Bytes of MQTT given to sockets.
    pub bytes_sent: u64,
    /// Messages accepted, by QoS.
    pub messages_received: [u64; 3],
    /// Messages sent for the first time, by the QoS of the delivery.
    pub messages_delivered: [u64; 3],
    /// Messages sent again with DUP 1.
    pub messages_resent: u64,
    /// Messages sent with a Topic Alias in place of their topic.
    pub messages_aliased: u64,
    /// Messages that a client got and refused: PUBACK or PUBREC with a Reason Code of 0x80 or more.
    pub messages_refused: u64,
    /// Messages that went into the log.
    pub messages_stored: u64,
    /// Messages that no subscription matched.
    pub messages_unmatched: u64,
    /// Deliveries dropped, by [`DropReason`].
    pub dropped: [u64; DropReason::ALL.len()],
    /// Connection attempts, by [`ConnectOutcome`].
    pub connects: [u64; ConnectOutcome::ALL.len()],
    /// Connections ended because their peer broke the protocol.
    pub protocol_errors: u64,
    /// Clients that showed again who they are, while connected.
    pub reauthentications: u64,
    /// Connections ended because that failed.
    pub reauthentications_refused: u64,
    /// Connections ended because the Keep Alive passed in silence.
    pub keep_alive_timeouts: u64,
    /// Connections ended because another one took their session.
    pub takeovers: u64,
    /// Connections that are open, CONNECT or not.
    pub connections_open: u64,
    /// Sessions with a connection.
    pub sessions_connected: u64,
    /// Sessions without one.
    pub sessions_disconnected: u64,
    /// Sessions that ended by expiry.
    pub sessions_expired: u64,
    /// Subscriptions held.
    pub subscriptions: u64,
    /// How often cleaning took messages from a session.
    pub sessions_overtaken: u64,
    /// Retained messages that expired.
    pub retained_expired: u64,
}

impl Counters {
    /// Counts deliveries that were dropped.
    pub fn drop_deliveries(&mut self, reason: DropReason, deliveries: u64) {
        self.dropped[reason as usize] += deliveries;
    }

    /// Counts a connection attempt.
    pub fn connect_ended(&mut self, outcome: ConnectOutcome) {
        self.connects[outcome as usize] += 1;
    }
}

impl AddAssign<&Self> for Counters {
    fn add_assign(&mut self, other: &Self) {
        fn add(sums: &mut [u64], others: &[u64]) {
            for (sum, other) in sums.iter_mut().zip(others) {
                *sum += other;
            }
        }
        add(&mut self.packets_received, &other.packets_received);
        add(&mut self.packets_sent, &other.packets_sent);
        add(&mut self.messages_received, &other.messages_received);
        add(&mut self.messages_delivered, &other.messages_delivered);
        add(&mut self.dropped, &other.dropped);
        add(&mut self.connects, &other.connects);
        self.bytes_received += other.bytes_received;
        self.bytes_sent += other.bytes_sent;
        self.messages_resent += other.messages_resent;
        self.messages_aliased += other.messages_aliased;
        self.messages_refused += other.messages_refused;
        self.messages_stored += other.messages_stored;
        self.messages_unmatched += other.messages_unmatched;
        self.protocol_errors += other.protocol_errors;
        self.reauthentications += other.reauthentications;
        self.reauthentications_refused += other.reauthentications_refused;
        self.keep_alive_timeouts += other.keep_alive_timeouts;
        self.takeovers += other.takeovers;
        self.connections_open += other.connections_open;
        self.sessions_connected += other.sessions_connected;
        self.sessions_disconnected += other.sessions_disconnected;
        self.sessions_expired += other.sessions_expired;
        self.subscriptions += other.subscriptions;
        self.sessions_overtaken += other.sessions_overtaken;
        self.retained_expired += other.retained_expired;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// Metrics stand in tables by these places, under these names.
    #[test]
    fn each_has_its_place_with_a_label_of_its_own() {
        let reasons = DropReason::ALL.map(|reason| (reason as usize, reason.name()));
        let outcomes = ConnectOutcome::ALL.map(|outcome| (outcome as usize, outcome.name()));
        for named in [&reasons[..], &outcomes[..]] {
            assert!(named.iter().map(|&(place, _)| place).eq(0..named.len()), "{named:?}");
            let labels: BTreeSet<_> = named.iter().map(|&(_, label)| label).collect();
            assert_eq!(labels.len(), named.len());
            let is_plain =
                |label: &&str| label.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
            assert!(labels.iter().all(is_plain), "{labels:?}");
        }
        let places = Counters::default().packets_received.len();
        let packets: BTreeSet<_> = packet_labels().map(|(place, _)| place).collect();
        assert!(packets.len() == 15 && packets.iter().all(|&place| place < places), "{packets:?}");
    }
}
