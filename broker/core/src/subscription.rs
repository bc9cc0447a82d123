//! One subscription: what a session asked for.

use flotilla_mqtt::{QoS, SubscriptionOptions};
use smallvec::SmallVec;

use crate::id::Position;

/// A subscription as its session keeps it; the Topic Filter is its key there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subscription {
    /// QoS granted, No Local, Retain As Published, Retain Handling.
    pub options: SubscriptionOptions,
    /// Subscription Identifier, 1 to 268,435,455.
    pub id: Option<u32>,
    /// Where in the log it starts.
    pub start: SubscribedFrom,
}

/// Where in the log a subscription of a durable session starts: only the engine can tell, when the
/// session's record is committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SubscribedFrom {
    /// Not in a record yet; so many messages of the present batch come before it.
    Unwritten(u64),
    /// In the record that is on its way to the engine, so many messages after the batch's first.
    Written(u64),
    /// Here.
    At(Position),
}

/// How a session gets one message: the union of all its subscriptions that match. One copy is
/// sent, at the highest QoS granted ([MQTT-3.3.4-2]), with every identifier ([MQTT-3.3.4-4]).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terms {
    /// The lower of published and granted QoS ([MQTT-3.8.4-8]).
    pub qos: QoS,
    /// The RETAIN flag to send ([MQTT-3.3.1-12], [MQTT-3.3.1-13]).
    pub retain: bool,
    /// Subscription Identifiers of the matching subscriptions.
    pub ids: SmallVec<[u32; 2]>,
}

impl Terms {
    /// What one matching subscription says about a message published with `qos` and `retain`.
    pub fn new(qos: QoS, retain: bool, options: SubscriptionOptions, id: Option<u32>) -> Self {
        Self {
            qos: qos.min(options.qos),
            retain: retain && options.retain_as_published,
            ids: id.into_iter().collect(),
        }
    }

    /// Takes a further matching subscription in.
    pub fn merge(&mut self, other: &Self) {
        self.qos = self.qos.max(other.qos);
        self.retain |= other.retain;
        self.ids.extend_from_slice(&other.ids);
    }
}
