//! SUBSCRIBE and UNSUBSCRIBE from a client.

use flotilla_mqtt::{Subscribe, Unsubscribe};

use crate::connection::connected::Connected;
use crate::shard::desk::Desk;
use crate::shard::steps::{Step, SubscribeStep, UnsubscribeStep};

/// Subscriptions change the router, so they are made at the end of the turn, in order with the
/// messages around them.
pub(crate) fn subscribe(packet: &Subscribe<'_>, connected: &Connected, desk: &mut Desk) {
    desk.step(Step::Subscribe(SubscribeStep {
        session: connected.session,
        connection: connected.key,
        packet_id: packet.packet_id,
        id: packet.subscription_id,
        filters: packet.filters.iter().map(|wish| (wish.filter.into(), wish.options)).collect(),
    }));
}

/// As [`subscribe`].
pub(crate) fn unsubscribe(packet: &Unsubscribe<'_>, connected: &Connected, desk: &mut Desk) {
    desk.step(Step::Unsubscribe(UnsubscribeStep {
        session: connected.session,
        connection: connected.key,
        packet_id: packet.packet_id,
        filters: packet.filters.iter().map(Into::into).collect(),
    }));
}
