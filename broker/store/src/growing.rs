//! The segment that grows at the end of the log: its index, in memory.

use std::collections::HashMap;

use flotilla_core::id::Position;

use crate::block::{Block, MalformedBlock, text};
use crate::hash::{BySpread, addressee_hash, topic_hashes};
use crate::keys;
use crate::segment::{BlockRef, Listed, Segment, Share, encode_page, page_of};

/// Pages of the index have about so many bytes.
const PAGE_BYTES: usize = 16 * 1024;
/// What more than half of so many blocks have is listed as being everywhere.
const FEW_BLOCKS: u32 = 64;
/// Stands for no block.
const NONE: u32 = u32::MAX;

/// The segment that is not yet sealed.
#[derive(Debug)]
pub(crate) struct Growing {
    first: Position,
    end: Position,
    messages: u64,
    bytes: u64,
    blocks: u32,
    shares: Vec<Share>,
    /// Whether something in it could not be listed.
    is_wide: bool,
    /// By hash: one topic of that hash. What it needs to be listed is computed once a segment.
    topics: HashMap<u32, Topic, BySpread>,
    /// The topics' texts, one behind the other.
    texts: String,
    /// The topics' lists, those of one topic behind each other.
    lists_of_topics: Vec<u32>,
    /// By hash: where it stands in `lists`.
    by_hash: HashMap<u32, u32, BySpread>,
    lists: Vec<List>,
    links: Vec<Link>,
}

#[derive(Debug)]
struct Topic {
    text_start: u32,
    text_len: u16,
    lists: u8,
    lists_start: u32,
    /// The number of the last block it was in.
    last: u32,
}

/// The blocks of a hash.
#[derive(Debug)]
struct List {
    hash: u32,
    len: u32,
    /// The number of the last block in it.
    last: u32,
    /// Its last link.
    link: u32,
}

#[derive(Debug)]
struct Link {
    block: BlockRef,
    before: u32,
}

/// What is stored of a segment that is sealed.
pub(crate) struct Sealed {
    pub(crate) first: Position,
    pub(crate) segment: Segment,
    /// With their keys.
    pub(crate) pages: Vec<([u8; 10], Vec<u8>)>,
}

impl Growing {
    /// Nothing, from `first` on.
    pub(crate) fn new(first: Position) -> Self {
        Self {
            first,
            end: first,
            messages: 0,
            bytes: 0,
            blocks: 0,
            shares: Vec::new(),
            is_wide: false,
            topics: HashMap::default(),
            texts: String::new(),
            lists_of_topics: Vec::new(),
            by_hash: HashMap::default(),
            lists: Vec::new(),
            links: Vec::new(),
        }
    }

    /// Nothing, from where this one ends on, with room for as much.
    pub(crate) fn next(&self) -> Self {
        let room = |len: usize| len + len / 4;
        Self {
            topics: HashMap::with_capacity_and_hasher(room(self.topics.len()), BySpread::default()),
            texts: String::with_capacity(room(self.texts.len())),
            lists_of_topics: Vec::with_capacity(room(self.lists_of_topics.len())),
            by_hash: HashMap::with_capacity_and_hasher(
                room(self.by_hash.len()),
                BySpread::default(),
            ),
            lists: Vec::with_capacity(room(self.lists.len())),
            links: Vec::with_capacity(room(self.links.len())),
            ..Self::new(self.end)
        }
    }

    /// Where it begins.
    pub(crate) fn first(&self) -> Position {
        self.first
    }

    /// Everything below is in it.
    pub(crate) fn end(&self) -> Position {
        self.end
    }

    /// Everything below `end` is in it.
    pub(crate) fn extend_to(&mut self, end: Position) {
        self.end = self.end.max(end);
    }

    /// Messages in it.
    pub(crate) fn messages(&self) -> u64 {
        self.messages
    }

    /// Bytes of its blocks.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// What lies in which partition.
    pub(crate) fn shares(&self) -> &[Share] {
        &self.shares
    }

    /// A block of it cannot be read: from now on all its blocks must be.
    pub(crate) fn lose(&mut self) {
        self.is_wide = true;
        // None of it is of use any more.
        self.topics = HashMap::default();
        self.texts = String::new();
        self.lists_of_topics = Vec::new();
        self.by_hash = HashMap::default();
        self.lists = Vec::new();
        self.links = Vec::new();
    }

    /// Lists a block of the partition of this name. Blocks come in the order of their first
    /// positions.
    pub(crate) fn add(
        &mut self,
        name: Option<&str>,
        block: &Block<'_>,
    ) -> Result<(), MalformedBlock> {
        let share = self.share(name);
        let distance = block.first().0.saturating_sub(self.first.0);
        let number = self.blocks;
        self.blocks += 1;
        self.messages += block.count() as u64;
        self.bytes += block.len() as u64;
        let counted = &mut self.shares[share];
        counted.messages += block.count() as u64;
        counted.bytes += block.len() as u64;
        counted.newest_ms = counted.newest_ms.max(block.newest_ms());
        self.extend_to(block.last().plus(1));
        let Some(named) = BlockRef::new(share, distance) else {
            self.lose();
            return Ok(());
        };
        if self.is_wide {
            return Ok(());
        }
        for (_, entry) in block.entries(Position::ZERO) {
            let entry = entry?;
            if entry.is_addressed {
                let message = entry.message().map_err(|_| MalformedBlock::NO_MESSAGE)?;
                self.list(addressee_hash(message.addressee()), named, number);
            } else {
                self.add_topic(text(entry.topic)?, entry.topic_hash, named, number);
            }
        }
        Ok(())
    }

    fn share(&mut self, name: Option<&str>) -> usize {
        let known = self.shares.iter().position(|share| share.name.as_deref() == name);
        known.unwrap_or_else(|| {
            let name = name.map(Box::from);
            self.shares.push(Share { name, messages: 0, bytes: 0, newest_ms: 0 });
            self.shares.len() - 1
        })
    }

    fn add_topic(&mut self, topic: &str, hash: u32, block: BlockRef, number: u32) {
        if let Some(known) = self.topics.get_mut(&hash) {
            let start = known.text_start as usize;
            if self.texts.get(start..start + usize::from(known.text_len)) != Some(topic) {
                // Two topics of one hash: the second is listed without being remembered.
                for hash in topic_hashes(topic) {
                    self.list(hash, block, number);
                }
            } else if known.last != number {
                known.last = number;
                let start = known.lists_start as usize;
                for at in start..start + usize::from(known.lists) {
                    push(
                        &mut self.lists[self.lists_of_topics[at] as usize],
                        &mut self.links,
                        block,
                        number,
                    );
                }
            }
            return;
        }
        let (lists_start, text_start) = (self.lists_of_topics.len(), self.texts.len());
        for hash in topic_hashes(topic) {
            let list = self.list(hash, block, number);
            self.lists_of_topics.push(list);
        }
        self.texts.push_str(topic);
        let short = |len: usize| u32::try_from(len).expect("a segment is bounded");
        let topic = Topic {
            text_start: short(text_start),
            text_len: u16::try_from(topic.len()).expect("a topic has at most 65,535 bytes"),
            lists: u8::try_from(self.lists_of_topics.len() - lists_start).expect("at most nine"),
            lists_start: short(lists_start),
            last: number,
        };
        self.topics.insert(hash, topic);
    }

    /// Puts a block into the list of a hash, and says which that is.
    fn list(&mut self, hash: u32, block: BlockRef, number: u32) -> u32 {
        let new = u32::try_from(self.lists.len()).expect("a segment is bounded");
        let list = *self.by_hash.entry(hash).or_insert(new);
        if list == new {
            self.lists.push(List { hash, len: 0, last: NONE, link: NONE });
        }
        push(&mut self.lists[list as usize], &mut self.links, block, number);
        list
    }

    /// In which blocks a hash is.
    pub(crate) fn find(&self, hash: u32) -> Listed {
        if self.is_wide {
            return Listed::Everywhere;
        }
        match self.by_hash.get(&hash) {
            None => Listed::In(Vec::new()),
            Some(&list) => self.listed(&self.lists[list as usize]),
        }
    }

    fn listed(&self, list: &List) -> Listed {
        if self.is_everywhere(list) {
            return Listed::Everywhere;
        }
        let mut blocks = Vec::with_capacity(list.len as usize);
        self.put_blocks(list, &mut blocks);
        Listed::In(blocks)
    }

    fn is_everywhere(&self, list: &List) -> bool {
        self.blocks > FEW_BLOCKS && list.len > self.blocks / 2
    }

    fn put_blocks(&self, list: &List, blocks: &mut Vec<BlockRef>) {
        let start = blocks.len();
        let mut link = list.link;
        while let Some(Link { block, before }) = self.links.get(link as usize) {
            blocks.push(*block);
            link = *before;
        }
        blocks[start..].reverse();
    }

    /// What is to be stored of it.
    pub(crate) fn seal(&self) -> Sealed {
        let mut sorted: Vec<&List> = self.lists.iter().collect();
        sorted.sort_unstable_by_key(|list| list.hash);
        let is_countable = !self.is_wide && self.shares.len() <= usize::from(u8::MAX);
        let bytes = 8 * sorted.len() + 4 * self.links.len();
        let pages = if is_countable { bytes.div_ceil(PAGE_BYTES).next_power_of_two() } else { 0 };
        let pages = u16::try_from(pages).expect("a segment is bounded");
        let mut rest = &sorted[..];
        let mut lists = Vec::new();
        let mut blocks = Vec::new();
        let page = |page| {
            let len = rest.partition_point(|list| page_of(pages, list.hash) <= page);
            let (of_page, behind) = rest.split_at(len);
            rest = behind;
            lists.clear();
            blocks.clear();
            for list in of_page {
                if !self.is_everywhere(list) {
                    self.put_blocks(list, &mut blocks);
                }
                lists.push((list.hash, blocks.len()));
            }
            let key = keys::index_page(self.first, page);
            (key, encode_page(&key, &lists, &blocks))
        };
        let stored = (0..pages).map(page).collect();
        let mut shares = self.shares.clone();
        shares.truncate(usize::from(u8::MAX));
        let segment = Segment { end: self.end, blocks: self.blocks, pages, shares };
        Sealed { first: self.first, segment, pages: stored }
    }
}

fn push(list: &mut List, links: &mut Vec<Link>, block: BlockRef, number: u32) {
    if list.last != number {
        let link = u32::try_from(links.len()).expect("a segment is bounded");
        links.push(Link { block, before: list.link });
        (list.last, list.link, list.len) = (number, link, list.len + 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::block::Builder;
    use crate::hash::{filter_hash, topic_hash};
    use crate::segment::IndexPage;
    use flotilla_core::message::Message;

    fn message(topic: &str, addressee: &str) -> Message {
        crate::block::tests::message(topic, addressee, b"")
    }

    fn add(growing: &mut Growing, name: Option<&str>, first: u64, messages: &[Message]) {
        let mut builder = Builder::default();
        for (position, message) in (first..).zip(messages) {
            builder.push(Position(position), message);
        }
        let bytes = builder.finish(Position::ZERO).to_vec();
        growing.add(name, &Block::decode(&bytes).unwrap()).unwrap();
    }

    fn in_blocks(growing: &Growing, hash: u32) -> Vec<(usize, u64)> {
        match growing.find(hash) {
            Listed::In(blocks) => blocks.iter().map(|b| (b.share(), b.distance())).collect(),
            Listed::Everywhere => panic!("everywhere"),
        }
    }

    #[test]
    fn blocks_are_found_by_leading_levels_and_by_addressee() {
        let mut growing = Growing::new(Position(10));
        add(&mut growing, Some("a"), 10, &[message("a/b/c", ""), message("a/x", "")]);
        add(&mut growing, None, 12, &[message("z", "me"), message("z", "")]);
        add(&mut growing, Some("a"), 14, &[message("a/b", ""), message("a/b/c", "")]);
        let found = |filter: &str| in_blocks(&growing, filter_hash(filter).unwrap());
        assert_eq!(found("a/#"), [(0, 0), (0, 4)]);
        assert_eq!(found("a/b/+"), [(0, 0), (0, 4)]);
        assert_eq!(found("a/x"), [(0, 0)]);
        assert_eq!(found("z"), [(1, 2)]);
        assert_eq!(found("y"), []);
        assert_eq!(in_blocks(&growing, addressee_hash("me")), [(1, 2)]);
        assert_eq!((growing.end(), growing.messages(), growing.blocks), (Position(16), 6, 3));
    }

    #[test]
    fn what_is_sealed_says_the_same() {
        let mut growing = Growing::new(Position(1));
        let topics: Vec<String> = (0..5000).map(|n| format!("fleet/d{n}/t")).collect();
        for (first, topics) in (1..).step_by(50).zip(topics.chunks(50)) {
            let messages: Vec<Message> = topics.iter().map(|topic| message(topic, "")).collect();
            add(&mut growing, Some("fleet"), first, &messages);
        }
        assert_eq!(growing.find(topic_hash("fleet")), Listed::Everywhere);
        let sealed = growing.seal();
        assert!(sealed.pages.len() > 1);
        assert_eq!(sealed.pages.len(), usize::from(sealed.segment.pages));
        assert_eq!((sealed.first, sealed.segment.end), (Position(1), Position(5001)));
        for topic in topics.iter().map(String::as_str).chain(["fleet", "fleet/d7", "other"]) {
            let hash = topic_hash(topic);
            let (key, page) = &sealed.pages[usize::from(sealed.segment.page_of(hash))];
            let page = IndexPage::decode(key, page).unwrap();
            assert_eq!(page.find(hash), growing.find(hash), "{topic}");
        }
    }

    #[test]
    fn what_cannot_be_listed_is_everywhere() {
        let mut growing = Growing::new(Position(1));
        add(&mut growing, None, 1, &[message("a", "")]);
        add(&mut growing, None, 1 << 24 | 1, &[message("b", "")]);
        assert_eq!(growing.find(topic_hash("c")), Listed::Everywhere);
        let sealed = growing.seal();
        assert_eq!((sealed.segment.pages, sealed.pages.len(), sealed.segment.blocks), (0, 0, 2));
    }
}
