//! What cleaning has to know of a session's record.

use flotilla_core::id::Position;
use flotilla_mqtt::QoS;

use super::subscription::Subscription;
use super::{MalformedRecord, unseal};

/// The first fields of a session's record.
const REVISION_AND_EXPIRY: usize = 8 + 4;

/// What a session wants of the log. Nothing else of its record is taken up.
#[derive(Debug)]
pub(crate) struct Interest<'a> {
    /// Unix milliseconds; `None`: connected, or it was when the broker stopped.
    pub(crate) disconnected_at_ms: Option<u64>,
    pub(crate) wishes: Vec<Wish<'a>>,
    /// QoS 1 messages that were sent and not acknowledged, ascending.
    pub(crate) unacknowledged: Vec<Position>,
    /// Everything below is done unless it is in flight.
    pub(crate) sent_up_to: Position,
}

/// A subscription that gets messages out of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Wish<'a> {
    pub(crate) filter: &'a str,
    pub(crate) start: Position,
    /// Where it ended, if another subscription has replaced it.
    pub(crate) until: Option<Position>,
    pub(crate) no_local: bool,
}

/// Reads what cleaning has to know of a session's record.
pub(crate) fn interest<'a>(key: &[u8], sealed: &'a [u8]) -> Result<Interest<'a>, MalformedRecord> {
    let mut fields = unseal(key, sealed)?;
    fields.take(REVISION_AND_EXPIRY)?;
    let disconnected_at_ms = fields.option()?.map(u64::from_be_bytes);
    let mut wishes = Vec::new();
    for _ in 0..fields.count()? {
        let Subscription { filter, options, start, until, .. } = Subscription::read(&mut fields)?;
        // What is granted at QoS 0 never comes out of the log.
        if options.qos > QoS::AtMostOnce {
            wishes.push(Wish { filter, start, until, no_local: options.no_local });
        }
    }
    if fields.byte()? != 0 {
        fields.take(4)?;
        fields.option::<4>()?;
        let len = fields.count()?;
        fields.take(len)?;
    }
    let mut unacknowledged = Vec::new();
    for _ in 0..fields.count()? {
        fields.packet_id()?;
        unacknowledged.push(Position(u64::from_be_bytes(fields.array()?)));
    }
    unacknowledged.sort_unstable();
    let sent_up_to = Position(u64::from_be_bytes(fields.array()?));
    Ok(Interest { disconnected_at_ms, wishes, unacknowledged, sent_up_to })
}
