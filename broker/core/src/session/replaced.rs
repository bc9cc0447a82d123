//! Subscriptions of a durable session that others have replaced while the log held something for
//! them.
//!
//! A message that came before another SUBSCRIBE to the same filter is sent as it would have been:
//! it must not be lost because the new subscription gets nothing out of the log, or not what the
//! client itself has published ([MQTT-3.8.4-4]).

use crate::id::Position;
use crate::subscription::{SubscribedFrom, Subscription};

/// One of them: it counts from its start up to where the new one starts.
#[derive(Debug)]
pub(crate) struct Replaced {
    pub(crate) filter: Box<str>,
    pub(crate) subscription: Subscription,
    /// Where in the log it ended.
    pub(crate) until: SubscribedFrom,
}

impl Replaced {
    /// Whether it counts for what stands at this position. `is_addressed`: to the session, so
    /// wherever the subscription began.
    pub(crate) fn counts_at(&self, position: Position, is_addressed: bool) -> bool {
        !self.has_ended_at(position) && (is_addressed || self.subscription.has_begun_at(position))
    }

    /// Whether what stands at this position of the log came after it. It is owed nothing any more
    /// when everything below that position is done.
    pub(crate) fn has_ended_at(&self, position: Position) -> bool {
        matches!(self.until, SubscribedFrom::At(until) if until <= position)
    }
}

/// Whether what the log holds for `known` must not be judged by `next`, which replaces it.
pub(crate) fn is_owed_beside(known: &Subscription, next: &Subscription) -> bool {
    known.is_logged() && (!next.is_logged() || known.options.no_local != next.options.no_local)
}
