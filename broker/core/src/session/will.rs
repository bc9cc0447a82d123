//! The Will Message of a session.

use crate::message::{Message, MessageParts};
use crate::record::WillRecord;
use crate::time::Now;

/// A Will that has not been published yet.
#[derive(Clone, Debug)]
pub(crate) struct Will {
    /// Boxed: most sessions have none.
    record: Box<WillRecord>,
}

impl Will {
    pub(crate) fn new(record: WillRecord) -> Self {
        Self { record: Box::new(record) }
    }

    pub(crate) fn record(&self) -> &WillRecord {
        &self.record
    }

    /// Will Delay Interval, milliseconds ([MQTT-3.1.3-9]).
    pub(crate) fn delay_ms(&self) -> u64 {
        u64::from(self.record.delay_interval_s) * 1000
    }

    /// The message as it is published now: its expiry starts here, and the delay stays behind.
    pub(crate) fn publish(&self, now: Now, scratch: &mut Vec<u8>) -> Message {
        let interval_ms = self.record.message_expiry_interval_s.map(|s| u64::from(s) * 1000);
        let parts = MessageParts {
            received_at_ms: now.unix_ms,
            expires_at_ms: interval_ms.map(|ms| now.unix_ms + ms),
            ..self.record.message.parts()
        };
        Message::new(&parts, scratch)
    }
}
