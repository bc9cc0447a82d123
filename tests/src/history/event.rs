//! What clients saw and did, as plain events.

use std::{
    collections::HashMap,
    fmt,
    str::FromStr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

/// Which message it is: the writer's own number, and which of its messages. It stands in front of
/// the payload, so that a message is known wherever it turns up.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Serial {
    /// Whose message.
    pub writer: u32,
    /// The how manieth, over all topics of the writer.
    pub number: u32,
}

impl fmt::Display for Serial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.writer, self.number)
    }
}

impl FromStr for Serial {
    type Err = String;

    /// Reads `WRITER.NUMBER`, and ignores what follows after a space.
    fn from_str(text: &str) -> Result<Self, String> {
        let first = text.split(' ').next().unwrap_or_default();
        let parts = first.split_once('.');
        let parts = parts.map(|(writer, number)| (writer.parse(), number.parse()));
        match parts {
            Some((Ok(writer), Ok(number))) => Ok(Self { writer, number }),
            _ => Err(format!("'{text}' does not begin with WRITER.NUMBER")),
        }
    }
}

/// One point in the history of a client. What goes out is noted before it is written to the
/// socket, what comes in after it was read: so of two points the one with the lower time happened
/// before the other, at the broker as well, if one is an answer and the other a later request.
#[derive(Clone, PartialEq, Debug)]
pub enum What {
    /// CONNECT goes out.
    Connecting {
        /// Clean Start, Clean Session.
        clean: bool,
        /// The session outlives the connection.
        stays: bool,
    },
    /// CONNACK came.
    Connected {
        /// Session Present.
        session_present: bool,
    },
    /// The connection is over; the Reason Code, when the broker said one.
    Ended {
        /// Of DISCONNECT.
        code: Option<u8>,
    },
    /// DISCONNECT goes out.
    Leaving {
        /// It ends the session (Session Expiry Interval 0).
        ends_session: bool,
    },
    /// PUBLISH goes out, perhaps not for the first time.
    Publishing {
        /// Which message.
        serial: Serial,
        /// Topic Name.
        topic: Arc<str>,
        /// 1 or 2.
        qos: u8,
        /// RETAIN.
        retain: bool,
        /// The payload is empty: a retained message is deleted.
        is_empty: bool,
    },
    /// PUBACK or PUBREC came.
    Acknowledged {
        /// Which message.
        serial: Serial,
        /// Reason Code.
        code: u8,
    },
    /// SUBSCRIBE goes out.
    Subscribing {
        /// Topic Filter.
        filter: Arc<str>,
    },
    /// SUBACK came.
    Subscribed {
        /// Topic Filter.
        filter: Arc<str>,
        /// Reason Code.
        code: u8,
    },
    /// UNSUBSCRIBE goes out.
    Unsubscribing {
        /// Topic Filter.
        filter: Arc<str>,
    },
    /// UNSUBACK came.
    Unsubscribed {
        /// Topic Filter.
        filter: Arc<str>,
    },
    /// PUBLISH came.
    Received {
        /// Which message.
        serial: Serial,
        /// Topic Name.
        topic: Arc<str>,
        /// 0, 1, 2.
        qos: u8,
        /// DUP.
        dup: bool,
        /// RETAIN.
        retain: bool,
        /// 0 at QoS 0.
        packet_id: u16,
    },
    /// PUBREL came.
    Released {
        /// Packet Identifier.
        packet_id: u16,
    },
}

/// All that one Client Identifier saw and did, in its order, over all of its connections.
#[derive(Clone, Default, Debug)]
pub struct History {
    /// Client Identifier.
    pub client_id: String,
    /// Time, event.
    pub events: Vec<(u64, What)>,
}

/// What a new subscriber found retained.
#[derive(Clone, Debug)]
pub struct Look {
    /// When it asked.
    pub from: u64,
    /// When it had everything.
    pub until: u64,
    /// Topics that it asked for.
    pub filter: Arc<str>,
    /// What it found.
    pub found: HashMap<Arc<str>, Serial>,
}

/// What is not there any more when the broker is there again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Loses {
    /// Nothing that a client has seen: the process ended.
    Nothing,
    /// What was not acknowledged, even if somebody got it already: the power failed, and everything
    /// is synced before it is acknowledged.
    Unacknowledged,
    /// Whatever was not synced, acknowledged or not; what is left is a prefix.
    Unsynced,
}

/// A time in which the broker was not there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Cut {
    /// It was there until now at least.
    pub from: u64,
    /// It is there again.
    pub until: u64,
    /// What went with it.
    pub loses: Loses,
}

impl Cut {
    /// It may have taken what was acknowledged.
    pub fn takes_acknowledged(&self) -> bool {
        self.loses == Loses::Unsynced
    }
}

/// Everything the checker knows.
#[derive(Clone, Default, Debug)]
pub struct Record {
    /// One a Client Identifier.
    pub clients: Vec<History>,
    /// Looks at the retained messages.
    pub looks: Vec<Look>,
    /// In their order.
    pub cuts: Vec<Cut>,
}

/// Gives each event its place in time; shared by all clients of a test.
#[derive(Debug, Default)]
pub struct Clock(AtomicU64);

impl Clock {
    /// The next time, later than all before.
    pub fn tick(&self) -> u64 {
        self.0.fetch_add(1, Ordering::SeqCst)
    }
}
