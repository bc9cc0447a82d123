//! Buffers that were written to sockets, for what is sent next.

/// Bytes of all of them.
const BYTES_MAX: usize = 4 * 1024 * 1024;
/// A larger one is not kept, nor is one that is smaller than a new one.
const BUFFER_BYTES_MAX: usize = 256 * 1024;
/// Of a new one: some acknowledgements, or a message.
const NEW_BUFFER_BYTES: usize = 256;

/// A connection has a buffer only from its first packet of a turn until that is written, so there
/// are as many as connections are busy.
#[derive(Debug, Default)]
pub(crate) struct Spare {
    buffers: Vec<Vec<u8>>,
    bytes: usize,
}

impl Spare {
    pub(crate) fn put(&mut self, mut buffer: Vec<u8>) {
        let bytes = buffer.capacity();
        let is_fit = (NEW_BUFFER_BYTES..=BUFFER_BYTES_MAX).contains(&bytes);
        if is_fit && self.bytes + bytes <= BYTES_MAX {
            buffer.clear();
            self.bytes += bytes;
            self.buffers.push(buffer);
        }
    }

    /// The one that was put last, which is most likely in the cache; or a new one.
    pub(crate) fn take(&mut self) -> Vec<u8> {
        let buffer = self.buffers.pop();
        self.bytes -= buffer.as_ref().map_or(0, Vec::capacity);
        buffer.unwrap_or_else(|| Vec::with_capacity(NEW_BUFFER_BYTES))
    }

    /// Takes all of another's.
    pub(crate) fn take_over(&mut self, other: &mut Self) {
        other.bytes = 0;
        for buffer in other.buffers.drain(..) {
            self.put(buffer);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_no_more_than_it_may() {
        let (mut spare, mut other) = (Spare::default(), Spare::default());
        other.put(Vec::with_capacity(BUFFER_BYTES_MAX + 1));
        other.put(Vec::with_capacity(NEW_BUFFER_BYTES - 1));
        assert!(other.buffers.is_empty());
        other.put(vec![1; 1000]);
        spare.take_over(&mut other);
        assert!(other.buffers.is_empty() && other.bytes == 0);
        assert_eq!((spare.bytes, spare.buffers.len()), (1000, 1));
        let buffer = spare.take();
        assert!(buffer.is_empty() && buffer.capacity() == 1000);
        assert_eq!((spare.bytes, spare.take().capacity()), (0, NEW_BUFFER_BYTES));
        for _ in 0..2 * BYTES_MAX / BUFFER_BYTES_MAX {
            spare.put(Vec::with_capacity(BUFFER_BYTES_MAX));
        }
        assert_eq!(spare.bytes, BYTES_MAX);
    }
}
