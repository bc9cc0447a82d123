//! One subscription: what a session asked for.

use crate::id::Position;
use crate::record::Start;
use flotilla_mqtt::{QoS, SubscriptionOptions};

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

impl Subscription {
    /// Whether a durable session gets out of the log what matches.
    pub(crate) fn is_logged(&self) -> bool {
        self.options.qos > QoS::AtMostOnce
    }

    /// Whether what stands at this position of the log came when it was there.
    pub(crate) fn has_begun_at(&self, position: Position) -> bool {
        matches!(self.start, SubscribedFrom::At(start) if start <= position)
    }
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

impl SubscribedFrom {
    /// As the record has it that is written now.
    pub(crate) fn write(&mut self) -> Start {
        match *self {
            Self::At(position) => Start::At(position),
            Self::Unwritten(messages) | Self::Written(messages) => {
                *self = Self::Written(messages);
                Start::InBatch(messages)
            }
        }
    }

    /// The record is written in another batch, before all of that.
    pub(crate) fn postpone(&mut self) {
        if let Self::Unwritten(messages) = self {
            *messages = 0;
        }
    }

    /// The record is committed; `first`: the first position of its batch. Says whether that was
    /// waited for.
    pub(crate) fn settle(&mut self, first: Position) -> bool {
        let Self::Written(messages) = *self else { return false };
        *self = Self::At(first.plus(messages));
        true
    }
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
    pub ids: Ids,
}

/// Subscription Identifiers of the subscriptions that match one message: seldom any, seldom more
/// than one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Ids {
    /// No subscription has one.
    #[default]
    None,
    /// One has.
    One(u32),
    /// In the order in which the subscriptions were found. Boxed, since what waits is many times
    /// one or none.
    Many(Box<Vec<u32>>),
}

impl Ids {
    /// All of them.
    pub fn as_slice(&self) -> &[u32] {
        match self {
            Self::None => &[],
            Self::One(id) => std::slice::from_ref(id),
            Self::Many(ids) => ids,
        }
    }

    fn append(&mut self, other: &Self) {
        match (&mut *self, other) {
            (_, Self::None) => {}
            (Self::None, _) => *self = other.clone(),
            (Self::One(id), _) => {
                let ids = [*id].iter().chain(other.as_slice()).copied().collect();
                *self = Self::Many(Box::new(ids));
            }
            (Self::Many(ids), _) => ids.extend_from_slice(other.as_slice()),
        }
    }
}

impl From<Option<u32>> for Ids {
    fn from(id: Option<u32>) -> Self {
        id.map_or(Self::None, Self::One)
    }
}

impl Terms {
    /// What one matching subscription says about a message published with `qos` and `retain`.
    pub fn new(qos: QoS, retain: bool, options: SubscriptionOptions, id: Option<u32>) -> Self {
        Self {
            qos: qos.min(options.qos),
            retain: retain && options.retain_as_published,
            ids: id.into(),
        }
    }

    /// Takes a further matching subscription in.
    pub fn merge(&mut self, other: &Self) {
        self.qos = self.qos.max(other.qos);
        self.retain |= other.retain;
        self.ids.append(&other.ids);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn merging_keeps_all_identifiers_in_order() {
        let options = SubscriptionOptions::new(QoS::AtLeastOnce);
        let terms = |id| Terms::new(QoS::ExactlyOnce, false, options, id);
        let mut all = terms(None);
        for id in [None, Some(7), None, Some(1), Some(7)] {
            all.merge(&terms(id));
        }
        assert_eq!(all.ids.as_slice(), [7, 1, 7]);
        assert_eq!((all.qos, size_of::<Terms>()), (QoS::AtLeastOnce, 24));
    }
}
