//! A table file of RocksDB: every block's checksum, and the keys of those that are damaged.
//!
//! ```text
//! blocks:   bytes | compression u8 | checksum u32
//! footer:   checksum kind u8 | magic u32 | checksum u32 | base u32 | bytes of the block of blocks u32
//!           | zeros | format u32 | magic u64
//! ```
//!
//! The last block lists the others: properties, filter, range deletions, index; the index lists the
//! blocks of records, each under a key that is not below its last. Together they cover the file, so
//! nothing in it goes unchecked. Numbers are little endian.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use twox_hash::XxHash3_64;

const FOOTER: usize = 53;
const TRAILER: u64 = 5;
const MAGIC: u64 = 0x88e2_41b7_85f4_cff7;
const EXTENDED_MAGIC: [u8; 4] = [0x3e, 0, 0x7a, 0];
const XXH3: u8 = 4;
const LZ4: u8 = 4;
/// A block is not larger than this, or its size is not what was written.
const BLOCK_BYTES_MAX: u64 = 1 << 30;

/// What was found in a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Table {
    /// Bytes of the file.
    pub(crate) bytes: u64,
    /// Blocks that are as they were written.
    pub(crate) blocks: u64,
    /// The column family; empty if that cannot be read.
    pub(crate) family: String,
    /// What does not hold.
    pub(crate) damaged: Vec<DamagedBlock>,
}

/// A part of a table that is not what was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DamagedBlock {
    /// Where in the file.
    pub(crate) offset: u64,
    /// Which part.
    pub(crate) part: Part,
    /// What does not hold.
    pub(crate) reason: &'static str,
}

/// Part of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// Records whose keys are above the first and not above the second; `None`: from the first key.
    Records(Option<Vec<u8>>, Vec<u8>),
    /// Where the records are; without it none can be found.
    Index,
    /// Which keys are certainly not there. RocksDB goes without it, and says nothing.
    Filter,
    /// What the file says of itself.
    Frame,
}

/// Offset and size of a block, without its trailer.
type Handle = (u64, u64);

/// Reads a whole file.
pub(crate) fn read(path: &Path) -> io::Result<Table> {
    let mut file = File::open(path)?;
    let bytes = file.metadata()?.len();
    let mut table = Table { bytes, ..Table::default() };
    let mut reader = Reader { file: &mut file, bytes, base: 0 };
    if let Err(Stop(offset, part, reason)) = blocks(&mut reader, &mut table)? {
        table.damaged.push(DamagedBlock { offset, part, reason });
    }
    Ok(table)
}

/// Something without which the rest cannot be found.
struct Stop(u64, Part, &'static str);

struct Reader<'a> {
    file: &'a mut File,
    bytes: u64,
    /// Mixed into each checksum.
    base: u32,
}

fn blocks(reader: &mut Reader<'_>, table: &mut Table) -> io::Result<Result<(), Stop>> {
    let (footer, metaindex) = match footer(reader)? {
        Ok(found) => found,
        Err(stop) => return Ok(Err(stop)),
    };
    let frame = |at: u64, reason| Ok(Err(Stop(at, Part::Frame, reason)));
    let Some(listed) = reader.entries(metaindex, false)? else {
        return frame(metaindex.0, "the list of blocks is damaged");
    };
    // By offset; what the file consists of.
    let mut parts: BTreeMap<u64, (u64, Part)> = BTreeMap::new();
    parts.insert(metaindex.0, (metaindex.1, Part::Frame));
    let mut index = None;
    for (name, value) in listed {
        let Some(handle) = handle(&mut &value[..]) else {
            return frame(metaindex.0, "the list of blocks is malformed");
        };
        let part = match &name[..] {
            b"rocksdb.index" => {
                index = Some(handle);
                Part::Index
            }
            name if name.starts_with(b"fullfilter.") => Part::Filter,
            _ => Part::Frame,
        };
        if name == b"rocksdb.properties" {
            table.family = reader.family(handle)?.unwrap_or_default();
        }
        parts.insert(handle.0, (handle.1, part));
    }
    let Some(index) = index else { return frame(metaindex.0, "there is no index") };
    match reader.entries(index, true)? {
        None => table.damaged.push(DamagedBlock {
            offset: index.0,
            part: Part::Index,
            reason: "the index is damaged",
        }),
        Some(entries) => {
            let mut before = None;
            for (key, value) in entries {
                let Some(handle) = handle(&mut &value[..]) else {
                    return Ok(Err(Stop(index.0, Part::Index, "the index is malformed")));
                };
                let part = Part::Records(before.replace(key.clone()), key);
                parts.insert(handle.0, (handle.1, part));
            }
            // Without the index it is not known what lies between the other blocks.
            if let Err(at) = covers(&parts, footer) {
                return frame(at, "there are bytes that belong to no block");
            }
        }
    }
    for (offset, (size, part)) in parts {
        if reader.block((offset, size))?.is_some() {
            table.blocks += 1;
        } else if part != Part::Index || !table.damaged.iter().any(|it| it.part == Part::Index) {
            let reason = "the checksum of a block does not fit its bytes";
            table.damaged.push(DamagedBlock { offset, part, reason });
        }
    }
    Ok(Ok(()))
}

/// Whether one block begins where the one before it ends, up to the footer.
fn covers(parts: &BTreeMap<u64, (u64, Part)>, footer: u64) -> Result<(), u64> {
    let mut end = 0;
    for (&offset, (size, _)) in parts {
        if offset != end {
            return Err(end);
        }
        end = offset.saturating_add(*size).saturating_add(TRAILER);
    }
    if end == footer { Ok(()) } else { Err(end) }
}

/// Where the footer begins, and the block that lists the others.
fn footer(reader: &mut Reader<'_>) -> io::Result<Result<(u64, Handle), Stop>> {
    let at = reader.bytes.saturating_sub(FOOTER as u64);
    let stop = |reason| Ok(Err(Stop(at, Part::Frame, reason)));
    let mut bytes = [0; FOOTER];
    if reader.bytes < FOOTER as u64 {
        return stop("the file is cut off");
    }
    reader.file.seek(SeekFrom::Start(at))?;
    reader.file.read_exact(&mut bytes)?;
    let number = |from: usize| u32_at(&bytes, from);
    if (u64::from(number(49)) << 32 | u64::from(number(45))) != MAGIC {
        return stop("the end of the file is not that of a table");
    }
    if bytes[0] != XXH3 || bytes[1..5] != EXTENDED_MAGIC || !(6..=7).contains(&number(41)) {
        return stop("the table has a format that is not known here");
    }
    reader.base = number(9);
    let mut unsealed = bytes;
    unsealed[5..9].fill(0);
    let (&last, rest) = unsealed.split_last().expect("a footer has bytes");
    if reader.checksum(rest, last, at) != number(5) {
        return stop("the checksum of the end does not fit");
    }
    let size = u64::from(number(13));
    match at.checked_sub(size + TRAILER) {
        Some(offset) => Ok(Ok((at, (offset, size)))),
        None => stop("the end of the file is malformed"),
    }
}

impl Reader<'_> {
    /// The bytes of a block; `None` if they are not what was written.
    fn block(&mut self, (offset, size): Handle) -> io::Result<Option<(Vec<u8>, u8)>> {
        let is_inside = offset.checked_add(size).is_some_and(|end| end + TRAILER <= self.bytes);
        if !is_inside || size > BLOCK_BYTES_MAX {
            return Ok(None);
        }
        let mut bytes = vec![0; (size + TRAILER) as usize];
        self.file.seek(SeekFrom::Start(offset))?;
        self.file.read_exact(&mut bytes)?;
        let found = u32_at(&bytes, size as usize + 1);
        bytes.truncate(size as usize + 1);
        let Some(compression) = bytes.pop() else { return Ok(None) };
        let is_right = self.checksum(&bytes, compression, offset) == found;
        Ok(is_right.then_some((bytes, compression)))
    }

    /// As RocksDB does it: the last byte and the place are mixed in.
    fn checksum(&self, bytes: &[u8], last: u8, offset: u64) -> u32 {
        let hash = XxHash3_64::oneshot(bytes) as u32 ^ u32::from(last).wrapping_mul(0x6b90_83d9);
        if self.base == 0 {
            return hash;
        }
        hash.wrapping_add(self.base ^ (offset as u32).wrapping_add((offset >> 32) as u32))
    }

    /// Keys and values of a block; `None` if it is not what was written.
    fn entries(&mut self, at: Handle, is_index: bool) -> io::Result<Option<Entries>> {
        let Some((bytes, compression)) = self.block(at)? else { return Ok(None) };
        let bytes = match compression {
            0 => bytes,
            LZ4 => {
                let mut rest = &bytes[..];
                let size = varint(&mut rest).filter(|&size| size <= BLOCK_BYTES_MAX);
                match size.map(|size| lz4_flex::block::decompress(rest, size as usize)) {
                    Some(Ok(bytes)) => bytes,
                    _ => return Ok(None),
                }
            }
            _ => return Ok(None),
        };
        Ok(parse(&bytes, is_index))
    }

    /// The column family that the properties name.
    fn family(&mut self, properties: Handle) -> io::Result<Option<String>> {
        let entries = self.entries(properties, false)?.unwrap_or_default();
        let named = entries.into_iter().find(|(key, _)| key == b"rocksdb.column.family.name");
        Ok(named.and_then(|(_, name)| String::from_utf8(name).ok()))
    }
}

/// Keys with their values.
type Entries = Vec<(Vec<u8>, Vec<u8>)>;

/// `shared u | unshared u | length of the value u | key | value`, and at the end where keys are whole
/// with their number. In an index the value has no length, it is a handle: whole where the key
/// is, otherwise the size of the next block as a difference.
fn parse(block: &[u8], is_index: bool) -> Option<Entries> {
    let (rest, count) = block.split_last_chunk::<4>()?;
    // The highest bits are flags.
    let restarts = (u32::from_le_bytes(*count) & 0x0fff_ffff) as usize;
    let mut rest = rest.get(..rest.len().checked_sub(restarts.checked_mul(4)?)?)?;
    let mut entries: Entries = Vec::new();
    let mut key: Vec<u8> = Vec::new();
    let mut before: Handle = (0, 0);
    while !rest.is_empty() {
        let shared = varint(&mut rest)? as usize;
        let unshared = varint(&mut rest)? as usize;
        let len = if is_index { 0 } else { varint(&mut rest)? as usize };
        if shared > key.len() {
            return None;
        }
        key.truncate(shared);
        key.extend_from_slice(take(&mut rest, unshared)?);
        let value = if !is_index {
            take(&mut rest, len)?.to_vec()
        } else {
            before = if shared == 0 {
                handle(&mut rest)?
            } else {
                let zigzag = varint(&mut rest)?;
                let difference = (zigzag >> 1) as i64 ^ -((zigzag & 1) as i64);
                (before.0 + before.1 + TRAILER, before.1.checked_add_signed(difference)?)
            };
            let mut value = Vec::new();
            put_varint(before.0, &mut value);
            put_varint(before.1, &mut value);
            value
        };
        entries.push((key.clone(), value));
    }
    Some(entries)
}

fn handle(rest: &mut &[u8]) -> Option<Handle> {
    Some((varint(rest)?, varint(rest)?))
}

fn varint(rest: &mut &[u8]) -> Option<u64> {
    let mut number = 0_u64;
    for shift in (0..64).step_by(7) {
        let (&byte, behind) = rest.split_first()?;
        *rest = behind;
        number |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(number);
        }
    }
    None
}

fn put_varint(mut number: u64, out: &mut Vec<u8>) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

fn take<'a>(rest: &mut &'a [u8], len: usize) -> Option<&'a [u8]> {
    let (taken, behind) = rest.split_at_checked(len)?;
    *rest = behind;
    Some(taken)
}

fn u32_at(bytes: &[u8], from: usize) -> u32 {
    bytes[from..].first_chunk::<4>().map_or(0, |four| u32::from_le_bytes(*four))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::PathBuf;

    use rocksdb::DB;
    use tempfile::TempDir;

    use super::*;
    use crate::rocks::Options;

    /// A store's own options, so that this reads what the broker writes; `keys` sorted.
    fn tables(family: &str, keys: u32) -> (TempDir, Vec<PathBuf>) {
        let dir = TempDir::new().unwrap();
        let options = Options::default();
        let db = DB::open_cf_descriptors(
            &options.database(),
            dir.path(),
            options.families().of_every_store(),
        );
        let db = db.unwrap();
        let handle = db.cf_handle(family).unwrap();
        for n in 0..keys {
            db.put_cf(&handle, format!("key-{n:05}"), n.to_string().repeat(20)).unwrap();
        }
        db.flush_cf(&handle).unwrap();
        drop(handle);
        drop(db);
        let files = fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().path());
        let files = files.filter(|path| path.extension().is_some_and(|end| end == "sst")).collect();
        (dir, files)
    }

    #[test]
    fn a_table_of_rocksdb_is_whole() {
        for (family, keys) in [("sessions", 1), ("sessions", 20_000), ("log", 20_000)] {
            let (_dir, files) = tables(family, keys);
            assert_eq!(files.len(), 1);
            let table = read(&files[0]).unwrap();
            assert_eq!((&table.damaged[..], &table.family[..]), (&[][..], family));
            assert!(table.blocks > 4 && table.bytes > 500, "{table:?}");
        }
    }

    /// Every byte of a small table, many of a large one.
    #[test]
    fn each_flipped_bit_is_found() {
        for (keys, step) in [(3, 1), (5000, 1499)] {
            let (_dir, files) = tables("sessions", keys);
            let whole = fs::read(&files[0]).unwrap();
            for at in (0..whole.len()).step_by(step) {
                let mut bytes = whole.clone();
                bytes[at] ^= 1 << (at % 8);
                fs::write(&files[0], &bytes).unwrap();
                assert_ne!(read(&files[0]).unwrap().damaged, [], "byte {at} of {}", whole.len());
            }
            for cut in (0..whole.len()).step_by(step) {
                fs::write(&files[0], &whole[..cut]).unwrap();
                assert_ne!(read(&files[0]).unwrap().damaged, [], "cut to {cut}");
            }
        }
    }

    #[test]
    fn the_keys_of_a_damaged_block_are_known() {
        let (_dir, files) = tables("sessions", 20_000);
        let mut bytes = fs::read(&files[0]).unwrap();
        let middle = bytes.len() / 3;
        bytes[middle] ^= 1;
        fs::write(&files[0], &bytes).unwrap();
        let table = read(&files[0]).unwrap();
        let [DamagedBlock { part: Part::Records(Some(above), up_to), .. }] = &table.damaged[..]
        else {
            panic!("{:?}", table.damaged);
        };
        assert!(above < up_to && above.starts_with(b"key-"), "{:?}", table.damaged);
        let text = |key: &[u8]| String::from_utf8_lossy(key)[4..].parse::<u32>().unwrap_or(0);
        assert!(text(up_to) - text(above) < 1000, "{:?}", table.damaged);
    }
}
