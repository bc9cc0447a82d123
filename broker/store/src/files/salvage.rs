//! A file of records, written anew without those that are damaged.
//!
//! RocksDB goes on behind damage, too. But it drops the rest of a block, and where the damage is within a
//! record of several parts, it takes the next such record for damaged as well and then refuses to
//! open at all.

use std::io::{self, Read, Write};

use super::log::{BLOCK, FIRST, HEADER, LAST, MIDDLE, WHOLE, behind, fill, masked, record};

/// Copies every record that is whole.
pub(crate) fn salvage(mut file: impl Read, out: impl Write) -> io::Result<()> {
    let mut out = Writer { out, used: 0 };
    let mut block = vec![0; BLOCK];
    let mut open: Option<Vec<u8>> = None;
    loop {
        let filled = fill(&mut file, &mut block)?;
        let mut rest = &block[..filled];
        while rest.len() >= HEADER {
            let Ok((kind, bytes)) = record(rest) else {
                open = None;
                rest = behind(rest).map_or(&[], |at| &rest[at..]);
                continue;
            };
            match (kind, open.take()) {
                (WHOLE, _) => out.put(bytes)?,
                (FIRST, _) => open = Some(bytes.to_vec()),
                (MIDDLE, Some(mut parts)) => {
                    parts.extend_from_slice(bytes);
                    open = Some(parts);
                }
                (LAST, Some(mut parts)) => {
                    parts.extend_from_slice(bytes);
                    out.put(&parts)?;
                }
                // Parts whose beginning is lost; kinds that may be passed over.
                _ => {}
            }
            rest = &rest[HEADER + bytes.len()..];
        }
        if filled < BLOCK {
            return out.out.flush();
        }
    }
}

/// Writes records as RocksDB does.
struct Writer<W> {
    out: W,
    /// Bytes of the block that have been written.
    used: usize,
}

impl<W: Write> Writer<W> {
    fn put(&mut self, record: &[u8]) -> io::Result<()> {
        let mut rest = record;
        let mut is_first = true;
        loop {
            let room = BLOCK - self.used;
            if room < HEADER {
                self.out.write_all(&[0; HEADER][..room])?;
                self.used = 0;
                continue;
            }
            let (part, behind) = rest.split_at(rest.len().min(room - HEADER));
            rest = behind;
            let kind = match (is_first, rest.is_empty()) {
                (true, true) => WHOLE,
                (true, false) => FIRST,
                (false, false) => MIDDLE,
                (false, true) => LAST,
            };
            let len = u16::try_from(part.len()).expect("a part is shorter than a block");
            self.out.write_all(&masked(kind, part).to_le_bytes())?;
            self.out.write_all(&len.to_le_bytes())?;
            self.out.write_all(&[kind])?;
            self.out.write_all(part)?;
            self.used = (self.used + HEADER + part.len()) % BLOCK;
            is_first = false;
            if rest.is_empty() {
                return Ok(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::files::log::tests::{records, written};

    fn salvaged(bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        salvage(bytes, &mut out).unwrap();
        out
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

        #[test]
        fn what_is_whole_stays_as_it_is(records in records()) {
            let bytes = written(&records);
            prop_assert_eq!(salvaged(&bytes), bytes);
        }

        /// Any bit: at most the record is missing that it is in.
        #[test]
        fn only_what_is_damaged_is_left_out(records in records(), at in any::<usize>()) {
            let mut bytes = written(&records);
            let bit = at % (bytes.len() * 8);
            bytes[bit / 8] ^= 1 << (bit % 8);
            let found = salvaged(&bytes);
            let without = |out: usize| {
                let left = records.iter().enumerate().filter(|(at, _)| *at != out);
                written(&left.map(|(_, record)| record.clone()).collect::<Vec<_>>())
            };
            let is_expected = (0..=records.len()).any(|out| without(out) == found);
            prop_assert!(is_expected, "bit {} of {}", bit, bytes.len());
        }

        #[test]
        fn nothing_panics(noise in prop::collection::vec(any::<u8>(), 0..40_000)) {
            salvaged(&noise);
        }
    }
}
