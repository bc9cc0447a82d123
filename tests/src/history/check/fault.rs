//! What a broker can do wrong, as the checker names it.

use std::fmt;

use crate::history::Serial;

/// One thing that must not be.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Fault {
    /// Which rule.
    pub kind: Kind,
    /// Client Identifier, or the topic of a retained message.
    pub whose: String,
    /// The message, where it is about one.
    pub serial: Option<Serial>,
    /// Time at which it showed.
    pub at: u64,
    /// What the checker knows beside.
    pub detail: String,
}

/// The rules.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Acknowledged, matching, never delivered.
    Lost,
    /// As `Lost`, and something that was sent after its acknowledgement is there.
    Hole,
    /// A message of QoS 2 came as new for the second time. [MQTT-4.3.3-10]
    DeliveredTwice,
    /// A copy without DUP, though it had been sent before. [MQTT-3.3.1-1]
    DupMissing,
    /// A copy with DUP that cannot have been sent before. [MQTT-3.3.1-3]
    DupUnfounded,
    /// A copy on the same connection. [MQTT-4.4.0-1]
    AgainOnOneConnection,
    /// A Packet Identifier that stands for another message that is not complete. [MQTT-2.2.1-4]
    PacketIdInUse,
    /// Later messages of a publisher, topic and QoS came first. [MQTT-4.6.0-6]
    OutOfOrder,
    /// Nobody sent this.
    NeverPublished,
    /// With a higher QoS than it was published with. [MQTT-3.8.4-8]
    QosRaised,
    /// No subscription can have been the reason.
    NotSubscribed,
    /// Refused by Reason Code, delivered all the same.
    RefusedButDelivered,
    /// A session that was there, and did not end, is gone. [MQTT-3.1.2-5]
    SessionLost,
    /// Session Present for a session that cannot be there. [MQTT-3.2.2-2]
    SessionFromNowhere,
    /// The broker ended a connection for a fault that the client did not commit.
    Accused,
    /// Not the last acknowledged retained message, nor a later one.
    RetainedWrong,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, whose, serial, at, detail } = self;
        write!(f, "{kind:?} at {at}, {whose}")?;
        if let Some(serial) = serial {
            write!(f, ", message {serial}")?;
        }
        write!(f, ": {detail}")
    }
}
