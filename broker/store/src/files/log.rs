//! A file of records as RocksDB's write-ahead log and manifest are: each byte looked at.
//!
//! ```text
//! block, 32 KiB:   records, then zeros where less than a header is left
//! record:          masked crc32c u32 of all that follows but the length | length u16 | kind u8 | bytes
//! kind:            whole 1, first part 2, middle part 3, last part 4; above 127: may be ignored
//! ```
//!
//! Numbers are little endian. A writer that is killed leaves a record that is cut off, and nothing
//! behind it. Where a valid record follows one that is not, somebody else has changed the file.

use std::io::{self, Read};

pub(super) const BLOCK: usize = 32 * 1024;
pub(super) const HEADER: usize = 7;
pub(super) const WHOLE: u8 = 1;
pub(super) const FIRST: u8 = 2;
pub(super) const MIDDLE: u8 = 3;
pub(super) const LAST: u8 = 4;
/// A reader may pass over kinds that it does not know, from here on.
const IGNORED: u8 = 128;
/// The disk writes no less than this at once.
const SECTOR: usize = 512;

/// What was found in a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct LogFile {
    /// Bytes of the file.
    pub(crate) bytes: u64,
    /// Records before the first that does not hold.
    pub(crate) records: u64,
    /// Where it stops to make sense, if it does.
    pub(crate) broken: Option<Broken>,
}

/// Something that does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Broken {
    /// Where in the file.
    pub(crate) offset: u64,
    /// What does not hold there.
    pub(crate) reason: &'static str,
    /// Where the next valid record begins; `None`: nothing valid follows.
    pub(crate) valid_behind: Option<u64>,
    /// Whether zeros stand where something should be: bytes that never reached the disk, because
    /// the machine lost its power before they were synced.
    pub(crate) has_hole: bool,
}

/// Reads a file from its beginning; `first_part` gets the bytes of each whole record, or of its first
/// part.
pub(crate) fn read(mut file: impl Read, mut first_part: impl FnMut(&[u8])) -> io::Result<LogFile> {
    let mut found = LogFile::default();
    let mut block = vec![0; BLOCK];
    let mut open = None;
    loop {
        let filled = fill(&mut file, &mut block)?;
        let block = &block[..filled];
        if found.broken.is_none() {
            read_block(block, &mut open, &mut found, &mut first_part);
        } else {
            search(block, 0, &mut found);
        }
        found.bytes += filled as u64;
        if filled < BLOCK {
            break;
        }
    }
    if open.is_some() && found.broken.is_none() {
        found.broken = Some(broken(found.bytes, "a record has no end", false));
    }
    Ok(found)
}

pub(super) fn fill(file: &mut impl Read, block: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < block.len() {
        match file.read(&mut block[filled..]) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

fn broken(offset: u64, reason: &'static str, has_hole: bool) -> Broken {
    Broken { offset, reason, valid_behind: None, has_hole }
}

/// `open`: the first part of a record that has not ended yet.
fn read_block(
    block: &[u8],
    open: &mut Option<Vec<u8>>,
    found: &mut LogFile,
    first_part: &mut impl FnMut(&[u8]),
) {
    let mut at = 0;
    while block.len() - at >= HEADER {
        let reason = match record(&block[at..]) {
            // What was cut off when the writer was killed is followed by nothing.
            Ok((WHOLE | FIRST, _)) if open.is_some() => "a record has no end",
            Ok((MIDDLE | LAST, _)) if open.is_none() => "a record has no beginning",
            Ok((kind, bytes)) => {
                match kind {
                    WHOLE => first_part(bytes),
                    FIRST => *open = Some(bytes.to_vec()),
                    LAST => first_part(&open.take().unwrap_or_default()),
                    _ => {}
                }
                found.records += u64::from(kind == WHOLE || kind == LAST);
                at += HEADER + bytes.len();
                continue;
            }
            Err(reason) => reason,
        };
        found.broken = Some(broken(found.bytes + at as u64, reason, has_hole(&block[at..])));
        search(block, at, found);
        return;
    }
    let rest = &block[at..];
    if rest.iter().any(|&byte| byte != 0) {
        let reason = if block.len() == BLOCK {
            "the end of a block is not empty"
        } else {
            "a record is cut off"
        };
        found.broken = Some(broken(found.bytes + at as u64, reason, false));
    }
}

/// Kind and bytes of the record at the beginning of `rest`, which ends with its block or the file.
pub(super) fn record(rest: &[u8]) -> Result<(u8, &[u8]), &'static str> {
    let Some((&[a, b, c, d, low, high, kind], behind)) = rest.split_first_chunk::<HEADER>() else {
        return Err("a record is cut off");
    };
    let len = usize::from(u16::from_le_bytes([low, high]));
    if kind == 0 && len == 0 {
        return Err("there is nothing where a record should be");
    }
    let bytes = behind.get(..len).ok_or("a record is cut off")?;
    if masked(kind, bytes) != u32::from_le_bytes([a, b, c, d]) {
        return Err("the checksum of a record does not fit its bytes");
    }
    match kind {
        WHOLE..=LAST | 9 | 10 | IGNORED.. => Ok((kind, bytes)),
        _ => Err("a record is of an unknown kind"),
    }
}

/// The checksum of a record as it stands in the file.
pub(super) fn masked(kind: u8, bytes: &[u8]) -> u32 {
    let checksum = crc32c::crc32c_append(crc32c::crc32c(&[kind]), bytes);
    checksum.rotate_right(15).wrapping_add(0xa282_ead8)
}

/// Looks for a valid record behind something that is not, which is at `at` if it is in this block.
fn search(block: &[u8], at: usize, found: &mut LogFile) {
    let Some(broken) = &mut found.broken else { return };
    if broken.valid_behind.is_some() {
        return;
    }
    let is_elsewhere = broken.offset < found.bytes;
    let next = match is_elsewhere {
        // A block begins with a record.
        true => record(block).is_ok().then_some(0),
        false => behind(&block[at..]).map(|behind| at + behind),
    };
    broken.valid_behind = next.map(|next| found.bytes + next as u64);
}

/// Where a valid record begins behind the one at the beginning of `rest`, which does not hold; `None`:
/// only the next block may tell. Looks where the length says, or where it would say if one of its
/// bits had flipped, and nowhere in between: what looks like a record there is what a client wrote.
pub(super) fn behind(rest: &[u8]) -> Option<usize> {
    let (&[a, b, c, d, low, high, kind], bytes) = rest.split_first_chunk::<HEADER>()?;
    let len = u16::from_le_bytes([low, high]);
    let fits = |len: &u16| {
        let bytes = bytes.get(..usize::from(*len));
        bytes.is_some_and(|bytes| masked(kind, bytes).to_le_bytes() == [a, b, c, d])
    };
    // The checksum does not cover the length, so it tells which one was written.
    let flipped = (0..u16::BITS).map(|bit| len ^ 1 << bit).filter(fits);
    let starts = flipped.chain([len]).map(|len| HEADER + usize::from(len));
    starts.into_iter().find(|&start| rest.get(start..).is_some_and(|rest| record(rest).is_ok()))
}

fn has_hole(rest: &[u8]) -> bool {
    rest.rchunks_exact(SECTOR).any(|sector| sector.iter().all(|&byte| byte == 0))
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Writes as RocksDB does.
    pub(crate) fn written(records: &[Vec<u8>]) -> Vec<u8> {
        let mut out = Vec::new();
        for record in records {
            let mut rest = &record[..];
            let mut is_first = true;
            loop {
                let room = BLOCK - out.len() % BLOCK;
                if room < HEADER {
                    out.resize(out.len() + room, 0);
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
                out.extend(masked(kind, part).to_le_bytes());
                out.extend(u16::try_from(part.len()).unwrap().to_le_bytes());
                out.push(kind);
                out.extend(part);
                is_first = false;
                if rest.is_empty() {
                    break;
                }
            }
        }
        out
    }

    fn found(bytes: &[u8]) -> LogFile {
        read(bytes, |_| {}).unwrap()
    }

    pub(crate) fn records() -> impl Strategy<Value = Vec<Vec<u8>>> {
        let record = prop_oneof![
            prop::collection::vec(1_u8.., 1..300),
            (1_usize..100_000, 1_u8..).prop_map(|(len, byte)| vec![byte; len]),
        ];
        prop::collection::vec(record, 1..12)
    }

    #[test]
    fn an_empty_file_is_whole() {
        assert_eq!(found(&[]), LogFile::default());
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

        #[test]
        fn what_is_written_is_read(records in records()) {
            let bytes = written(&records);
            let mut firsts = Vec::new();
            let file = read(&bytes[..], |part| firsts.push(part[0])).unwrap();
            let expected =
                LogFile { bytes: bytes.len() as u64, records: records.len() as u64, broken: None };
            prop_assert_eq!(file, expected);
            prop_assert!(firsts.into_iter().eq(records.iter().map(|record| record[0])));
        }

        /// Cut off anywhere: what is before is read, and it is no damage.
        #[test]
        fn a_torn_tail_is_told_from_damage(records in records(), cut in any::<usize>()) {
            let whole = written(&records);
            let bytes = &whole[..cut % whole.len()];
            let file = found(bytes);
            if let Some(broken) = &file.broken {
                prop_assert_eq!(broken.valid_behind, None);
                prop_assert!(broken.offset as usize <= bytes.len());
            }
            prop_assert!(file.records < records.len() as u64);
            // Also when the file system has made it longer.
            let mut longer = bytes.to_vec();
            longer.resize(bytes.len() + 3 * BLOCK, 0);
            let file = found(&longer);
            prop_assert_eq!(file.broken.and_then(|broken| broken.valid_behind), None);
        }

        /// Any bit: it is found, and unless it is in the last record, the next valid one is, too.
        #[test]
        fn a_flipped_bit_is_found(records in records(), at in any::<usize>()) {
            let mut bytes = written(&records);
            let before = written(&records[..records.len() - 1]).len();
            let bit = at % (bytes.len() * 8);
            bytes[bit / 8] ^= 1 << (bit % 8);
            let file = found(&bytes);
            let broken = file.broken.expect("it is found");
            prop_assert!(broken.offset as usize <= bit / 8);
            if bit / 8 < before {
                prop_assert!(broken.valid_behind.is_some(), "{:?} {} {}", broken, bit / 8, before);
            }
        }

        /// A client's payload may look like a record, and the record that it is in may be cut off.
        #[test]
        fn what_a_client_wrote_is_no_record(before in 0_usize..200, cut in 0_usize..40) {
            let forged = written(&[vec![7; 50]]);
            let mut payload = vec![b'x'; before];
            payload.extend(&forged);
            payload.extend([b'y'; 40]);
            let mut bytes = written(&[vec![1; 9], payload]);
            bytes.truncate(bytes.len() - 1 - cut);
            bytes.resize(2 * BLOCK, 0);
            let broken = found(&bytes).broken.expect("the last record is cut off");
            prop_assert_eq!(broken.valid_behind, None);
        }

        #[test]
        fn nothing_panics(noise in prop::collection::vec(any::<u8>(), 0..40_000)) {
            let file = found(&noise);
            prop_assert_eq!(file.bytes, noise.len() as u64);
        }
    }
}
