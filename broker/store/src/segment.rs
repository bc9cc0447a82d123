//! What is stored of a sealed segment: its account, and the pages of its index.
//!
//! ```text
//! account  version u8 = 1 | end u64 | blocks u32 | pages of the index u16 | partitions u8
//!          partitions times: name length u8 (255: no name) | name | messages u64 | bytes u64 | newest message's time u64
//! page     version u8 = 1 | count u32
//!          count times: hash u32, ascending
//!          count times: where its blocks end u32
//!          the blocks: partition u8, distance of their first position from the segment's u24
//! ```
//!
//! Both end with an xxh3 u64 of key and value. Numbers are big endian. A hash without a block is one
//! that so many blocks have that they are not listed. A page holds the hashes that begin with its
//! number; a segment without pages has no index.

use flotilla_core::id::Position;
use twox_hash::XxHash3_64;

const VERSION: u8 = 1;
const CHECKSUM: usize = 8;
const NAMELESS: u8 = u8::MAX;
/// Distances of blocks from the segment's first position fit in so many bits.
const DISTANCE_BITS: u32 = 24;

/// A sealed segment: a run of positions of the whole log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Segment {
    /// The position after its last message.
    pub(crate) end: Position,
    /// How many blocks it has.
    pub(crate) blocks: u32,
    /// How many pages its index has, a power of two. 0: it has none, its blocks must be read.
    pub(crate) pages: u16,
    /// What lies in which partition.
    pub(crate) shares: Vec<Share>,
}

/// What a segment has in one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Share {
    /// The partition's name.
    pub(crate) name: Option<Box<str>>,
    pub(crate) messages: u64,
    /// Of its blocks.
    pub(crate) bytes: u64,
    /// When the newest message came, Unix milliseconds.
    pub(crate) newest_ms: u64,
}

/// A block of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct BlockRef(u32);

impl BlockRef {
    /// The block at `distance` from the segment's first position, in the partition that is its
    /// `share`th. `None`: it lies too far.
    pub(crate) fn new(share: usize, distance: u64) -> Option<Self> {
        let share = u8::try_from(share).ok()?;
        let distance = u32::try_from(distance).ok().filter(|far| far >> DISTANCE_BITS == 0)?;
        Some(Self(u32::from(share) << DISTANCE_BITS | distance))
    }

    /// Which of the segment's partitions.
    pub(crate) fn share(self) -> usize {
        (self.0 >> DISTANCE_BITS) as usize
    }

    /// How far its first message is from the segment's.
    pub(crate) fn distance(self) -> u64 {
        u64::from(self.0 & ((1 << DISTANCE_BITS) - 1))
    }
}

/// Where the index says that something is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Listed {
    /// In these blocks, ascending within each partition.
    In(Vec<BlockRef>),
    /// Perhaps in any block.
    Everywhere,
}

/// What does not hold in bytes that should be stored of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct MalformedSegment(&'static str);

impl Segment {
    /// As it is stored under `key`.
    pub(crate) fn encode(&self, key: &[u8]) -> Vec<u8> {
        let mut out = vec![VERSION];
        out.extend_from_slice(&self.end.0.to_be_bytes());
        out.extend_from_slice(&self.blocks.to_be_bytes());
        out.extend_from_slice(&self.pages.to_be_bytes());
        out.push(u8::try_from(self.shares.len()).expect("a segment has at most 255 partitions"));
        for share in &self.shares {
            match &share.name {
                None => out.push(NAMELESS),
                Some(name) => {
                    out.push(u8::try_from(name.len()).expect("a name has at most 64 bytes"));
                    out.extend_from_slice(name.as_bytes());
                }
            }
            for number in [share.messages, share.bytes, share.newest_ms] {
                out.extend_from_slice(&number.to_be_bytes());
            }
        }
        seal(key, &mut out);
        out
    }

    /// Reads what is stored under `key`.
    pub(crate) fn decode(key: &[u8], sealed: &[u8]) -> Result<Self, MalformedSegment> {
        let mut fields = Fields(unseal(key, sealed)?);
        let end = Position(u64::from_be_bytes(fields.array()?));
        let blocks = u32::from_be_bytes(fields.array()?);
        let pages = u16::from_be_bytes(fields.array()?);
        let [count] = fields.array()?;
        let mut shares = Vec::new();
        for _ in 0..count {
            let name = match fields.array()? {
                [NAMELESS] => None,
                [len] => Some(
                    std::str::from_utf8(fields.take(usize::from(len))?)
                        .map_err(|_| MalformedSegment("the name of a partition is not UTF-8"))?,
                ),
            };
            shares.push(Share {
                name: name.map(Box::from),
                messages: u64::from_be_bytes(fields.array()?),
                bytes: u64::from_be_bytes(fields.array()?),
                newest_ms: u64::from_be_bytes(fields.array()?),
            });
        }
        if !fields.0.is_empty() || (pages != 0 && !pages.is_power_of_two()) {
            return Err(MalformedSegment("a segment has an impossible account"));
        }
        Ok(Self { end, blocks, pages, shares })
    }

    /// In which page of the index a hash stands.
    pub(crate) fn page_of(&self, hash: u32) -> u16 {
        page_of(self.pages, hash)
    }
}

/// In which of `pages` pages a hash stands.
pub(crate) fn page_of(pages: u16, hash: u32) -> u16 {
    u16::try_from((u64::from(hash) * u64::from(pages)) >> 32).expect("less than there are pages")
}

/// A page of an index, as it is stored under `key`. `lists`: hashes, ascending, each with where its
/// blocks end in `blocks`; a hash without blocks is everywhere.
pub(crate) fn encode_page(key: &[u8], lists: &[(u32, usize)], blocks: &[BlockRef]) -> Vec<u8> {
    let short = |number: usize| u32::try_from(number).expect("less than 2^32 of a segment");
    let mut out = Vec::with_capacity(5 + 8 * lists.len() + 4 * blocks.len() + CHECKSUM);
    out.push(VERSION);
    out.extend_from_slice(&short(lists.len()).to_be_bytes());
    for (hash, _) in lists {
        out.extend_from_slice(&hash.to_be_bytes());
    }
    for (_, end) in lists {
        out.extend_from_slice(&short(*end).to_be_bytes());
    }
    for block in blocks {
        out.extend_from_slice(&block.0.to_be_bytes());
    }
    seal(key, &mut out);
    out
}

/// A page of an index that was read, its checksum found right.
#[derive(Clone, Copy, Debug)]
pub(crate) struct IndexPage<'a> {
    hashes: &'a [[u8; 4]],
    ends: &'a [[u8; 4]],
    blocks: &'a [[u8; 4]],
}

impl<'a> IndexPage<'a> {
    /// Takes up what is stored under `key`.
    pub(crate) fn decode(key: &[u8], sealed: &'a [u8]) -> Result<Self, MalformedSegment> {
        let short = MalformedSegment("a page of an index is cut short");
        let (count, numbers) = unseal(key, sealed)?.split_first_chunk::<4>().ok_or(short)?;
        let count = u32::from_be_bytes(*count) as usize;
        let (numbers, rest) = numbers.as_chunks::<4>();
        let (hashes, numbers) = numbers.split_at_checked(count).ok_or(short)?;
        let (ends, blocks) = numbers.split_at_checked(count).ok_or(short)?;
        let is_whole = ends.last().map_or(0, |end| number(end) as usize) == blocks.len();
        if is_whole && rest.is_empty() { Ok(Self { hashes, ends, blocks }) } else { Err(short) }
    }

    /// In which blocks the index has a hash.
    pub(crate) fn find(&self, hash: u32) -> Listed {
        let Ok(at) = self.hashes.binary_search_by_key(&hash, number) else {
            return Listed::In(Vec::new());
        };
        let end_of = |at: usize| self.ends.get(at).map_or(0, |end| number(end) as usize);
        let begin = at.checked_sub(1).map_or(0, end_of);
        match self.blocks.get(begin..end_of(at)) {
            Some(blocks) if !blocks.is_empty() => {
                Listed::In(blocks.iter().map(|block| BlockRef(number(block))).collect())
            }
            _ => Listed::Everywhere,
        }
    }
}

fn number(bytes: &[u8; 4]) -> u32 {
    u32::from_be_bytes(*bytes)
}

/// Depends on the key, so that a value under another key is found damaged.
fn checksum(key: &[u8], value: &[u8]) -> u64 {
    XxHash3_64::oneshot_with_seed(XxHash3_64::oneshot(key), value)
}

fn seal(key: &[u8], out: &mut Vec<u8>) {
    let checksum = checksum(key, out);
    out.extend_from_slice(&checksum.to_be_bytes());
}

/// What lies between version and checksum.
fn unseal<'a>(key: &[u8], sealed: &'a [u8]) -> Result<&'a [u8], MalformedSegment> {
    let (value, sum) = sealed
        .split_last_chunk::<CHECKSUM>()
        .ok_or(MalformedSegment("what is stored of a segment is cut short"))?;
    if checksum(key, value) != u64::from_be_bytes(*sum) {
        return Err(MalformedSegment("the checksum of a segment does not fit its bytes"));
    }
    match value.split_first() {
        Some((&VERSION, rest)) => Ok(rest),
        _ => Err(MalformedSegment("a segment has an unknown version")),
    }
}

/// Bytes that are read from the front.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], MalformedSegment> {
        let (taken, rest) = self
            .0
            .split_at_checked(count)
            .ok_or(MalformedSegment("the account of a segment is cut short"))?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], MalformedSegment> {
        Ok(*self.take(N)?.first_chunk().expect("taken so many"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segment() -> Segment {
        let share = |name: Option<&str>| Share {
            name: name.map(Box::from),
            messages: 3,
            bytes: 400,
            newest_ms: 5,
        };
        let shares = vec![share(None), share(Some("")), share(Some("é"))];
        Segment { end: Position(9), blocks: 4, pages: 2, shares }
    }

    #[test]
    fn an_account_is_read_back_and_each_flipped_byte_found() {
        let mut sealed = segment().encode(b"key");
        assert_eq!(Segment::decode(b"key", &sealed), Ok(segment()));
        assert!(Segment::decode(b"kez", &sealed).is_err());
        for at in 0..sealed.len() {
            sealed[at] ^= 4;
            assert!(Segment::decode(b"key", &sealed).is_err(), "byte {at}");
            sealed[at] ^= 4;
        }
    }

    #[test]
    fn a_page_is_read_back_and_each_flipped_byte_found() {
        let block = |share, distance| BlockRef::new(share, distance).unwrap();
        let lists = [
            (1, Listed::In(vec![block(0, 0), block(0, 7)])),
            (5, Listed::Everywhere),
            (9, Listed::In(vec![block(255, (1 << 24) - 1)])),
        ];
        let blocks = [block(0, 0), block(0, 7), block(255, (1 << 24) - 1)];
        let mut sealed = encode_page(b"key", &[(1, 2), (5, 2), (9, 3)], &blocks);
        let page = IndexPage::decode(b"key", &sealed).unwrap();
        for (hash, listed) in &lists {
            assert_eq!(page.find(*hash), *listed);
        }
        for hash in [0, 2, 8, 10, u32::MAX] {
            assert_eq!(page.find(hash), Listed::In(vec![]));
        }
        for at in 0..sealed.len() {
            sealed[at] ^= 4;
            assert!(IndexPage::decode(b"key", &sealed).is_err(), "byte {at}");
            sealed[at] ^= 4;
        }
        for len in 0..sealed.len() {
            assert!(IndexPage::decode(b"key", &sealed[..len]).is_err());
        }
    }

    #[test]
    fn a_block_is_named_by_partition_and_distance() {
        let block = BlockRef::new(3, 70_000).unwrap();
        assert_eq!((block.share(), block.distance()), (3, 70_000));
        assert_eq!(BlockRef::new(256, 0), None);
        assert_eq!(BlockRef::new(0, 1 << 24), None);
    }

    #[test]
    fn hashes_are_spread_over_the_pages_in_order() {
        assert_eq!([0, u32::MAX].map(|hash| page_of(1, hash)), [0, 0]);
        assert_eq!(
            [0, u32::MAX / 2, u32::MAX / 2 + 1, u32::MAX].map(|h| page_of(2, h)),
            [0, 0, 1, 1]
        );
        assert_eq!(page_of(32_768, u32::MAX), 32_767);
    }
}
