//! Subscriptions in the record of a session.

use flotilla_core::id::Position;
use flotilla_core::record::{Start, SubscriptionRecord};
use flotilla_mqtt::{QoS, RetainHandling, SubscriptionOptions, topic};

use super::{Fields, MalformedRecord, put_option};

const NO_LOCAL: u8 = 0b0000_0100;
const RETAIN_AS_PUBLISHED: u8 = 0b0000_1000;
const RETAIN_HANDLING_SHIFT: u32 = 4;
/// Another subscription has replaced it: where it ended comes behind where it started.
const ENDED: u8 = 0b1000_0000;

/// One that was read.
pub(super) struct Subscription<'a> {
    pub(super) filter: &'a str,
    pub(super) options: SubscriptionOptions,
    id: Option<u32>,
    pub(super) start: Position,
    pub(super) until: Option<Position>,
}

/// Adds one to `out`. `first`: the first position of the record's batch.
pub(super) fn put_subscription(
    subscription: &SubscriptionRecord,
    first: Position,
    out: &mut Vec<u8>,
) {
    let SubscriptionRecord { filter, options, id, start, until } = subscription;
    let len = u16::try_from(filter.len()).expect("a filter has at most 65,535 bytes");
    out.extend_from_slice(&len.to_be_bytes());
    out.extend_from_slice(filter.as_bytes());
    let ended = if until.is_some() { ENDED } else { 0 };
    out.push(options_byte(*options) | ended);
    put_option(id.map(u32::to_be_bytes), out);
    out.extend_from_slice(&start.resolve(first).0.to_be_bytes());
    if let Some(until) = until {
        out.extend_from_slice(&until.resolve(first).0.to_be_bytes());
    }
}

impl<'a> Subscription<'a> {
    pub(super) fn read(fields: &mut Fields<'a>) -> Result<Self, MalformedRecord> {
        let len = usize::from(u16::from_be_bytes(fields.array()?));
        let filter = std::str::from_utf8(fields.take(len)?).ok();
        // Matching relies on valid filters.
        let filter = filter
            .filter(|filter| topic::parse_filter(filter).is_ok())
            .ok_or(MalformedRecord("a topic filter is not valid"))?;
        let byte = fields.byte()?;
        let options = options(byte & !ENDED)
            .ok_or(MalformedRecord("the options of a subscription are not known"))?;
        let id = fields.option()?.map(u32::from_be_bytes);
        let start = Position(u64::from_be_bytes(fields.array()?));
        let until = match byte & ENDED {
            0 => None,
            _ => Some(Position(u64::from_be_bytes(fields.array()?))),
        };
        Ok(Self { filter, options, id, start, until })
    }

    pub(super) fn record(self) -> SubscriptionRecord {
        let Self { filter, options, id, start, until } = self;
        let (filter, start, until) = (Box::from(filter), Start::At(start), until.map(Start::At));
        SubscriptionRecord { filter, options, id, start, until }
    }
}

fn options_byte(options: SubscriptionOptions) -> u8 {
    let flag = |is_set, bit| if is_set { bit } else { 0 };
    options.qos.bits()
        | flag(options.no_local, NO_LOCAL)
        | flag(options.retain_as_published, RETAIN_AS_PUBLISHED)
        | (options.retain_handling as u8) << RETAIN_HANDLING_SHIFT
}

fn options(byte: u8) -> Option<SubscriptionOptions> {
    Some(SubscriptionOptions {
        qos: QoS::from_bits(byte & 0b11)?,
        no_local: byte & NO_LOCAL != 0,
        retain_as_published: byte & RETAIN_AS_PUBLISHED != 0,
        retain_handling: match byte >> RETAIN_HANDLING_SHIFT {
            0 => RetainHandling::SendAlways,
            1 => RetainHandling::SendIfNew,
            2 => RetainHandling::DoNotSend,
            _ => return None,
        },
    })
}
