//! What each payload begins with: whose message it is, which, sent when.

/// Bytes that a stamp takes: the smallest payload that a message can have.
pub(crate) const STAMP_LEN: usize = 24;

/// The front of a payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    /// Tells the messages of this run from what others left in the broker.
    pub(crate) run: u32,
    /// The publisher's number.
    pub(crate) publisher: u32,
    /// The number of the message among those of its publisher, from 0.
    pub(crate) sequence: u64,
    /// When it was sent, or was to be sent, by the clock of the run.
    pub(crate) time_ns: u64,
}

impl Stamp {
    /// Writes it to the front of `payload`, which has room for it.
    pub(crate) fn write(self, payload: &mut [u8]) {
        payload[..4].copy_from_slice(&self.run.to_be_bytes());
        payload[4..8].copy_from_slice(&self.publisher.to_be_bytes());
        payload[8..16].copy_from_slice(&self.sequence.to_be_bytes());
        payload[16..STAMP_LEN].copy_from_slice(&self.time_ns.to_be_bytes());
    }

    /// The stamp at the front; `None`: too short to be one of ours.
    pub(crate) fn read(payload: &[u8]) -> Option<Self> {
        let (run, rest) = payload.split_first_chunk()?;
        let (publisher, rest) = rest.split_first_chunk()?;
        let (sequence, rest) = rest.split_first_chunk()?;
        let (time_ns, _) = rest.split_first_chunk()?;
        Some(Self {
            run: u32::from_be_bytes(*run),
            publisher: u32::from_be_bytes(*publisher),
            sequence: u64::from_be_bytes(*sequence),
            time_ns: u64::from_be_bytes(*time_ns),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_survives_the_way() {
        let stamp = Stamp { run: 7, publisher: 3, sequence: 1 << 40, time_ns: 123_456_789 };
        let mut payload = [0xFF; 64];
        stamp.write(&mut payload);
        assert_eq!(Stamp::read(&payload), Some(stamp));
        assert_eq!(payload[STAMP_LEN], 0xFF, "no byte behind the stamp is touched");
    }

    #[test]
    fn a_short_payload_has_none() {
        assert_eq!(Stamp::read(&[0; STAMP_LEN - 1]), None);
    }
}
