//! Puts messages into the blocks of their partitions.

use std::collections::HashMap;
use std::sync::Arc;

use flotilla_core::id::Position;
use flotilla_core::message::Message;
use rocksdb::WriteBatch;

use super::Store;
use super::options::Options;
use super::partitions::Partition;
use crate::block::Builder;
use crate::error::Error;
use crate::keys;
use crate::partition;
use crate::recover::family;

/// The blocks that the commit thread fills.
pub(super) struct Blocks {
    levels: usize,
    partitions_max: usize,
    /// By number of the partition.
    open: Vec<Open>,
    by_name: HashMap<Box<str>, usize>,
    /// The partition of the last message: the next is often of the same.
    last: usize,
    /// Partitions of which something is in the group.
    touched: Vec<usize>,
    /// Bytes of the blocks in the group.
    bytes: u64,
}

/// The end of a partition.
struct Open {
    partition: Arc<Partition>,
    /// Messages of the group that are in no block yet.
    builder: Builder,
    /// The last block that is committed or in the group.
    previous: Position,
    is_touched: bool,
}

impl Open {
    fn new(partition: Arc<Partition>) -> Self {
        let previous = partition.newest();
        Self { partition, builder: Builder::default(), previous, is_touched: false }
    }
}

impl Blocks {
    pub(super) fn new(store: &Store, options: &Options) -> Self {
        let open: Vec<Open> = store.partitions.all().iter().cloned().map(Open::new).collect();
        let named = |(number, open): (usize, &Open)| Some((open.partition.name.clone()?, number));
        Self {
            levels: options.partition_levels,
            partitions_max: options.partitions_max,
            by_name: open.iter().enumerate().filter_map(named).collect(),
            open,
            last: 0,
            touched: Vec::new(),
            bytes: 0,
        }
    }

    /// Puts a message into the block of its partition; a block that is full goes to `changes`.
    pub(super) fn append(
        &mut self,
        position: Position,
        message: &Message,
        store: &Store,
        changes: &mut WriteBatch,
    ) -> Result<(), Error> {
        let number = self.partition_of(message.topic(), store)?;
        let open = &mut self.open[number];
        if !open.builder.has_room(message) {
            self.bytes += open.finish_block(store, changes);
        }
        open.builder.push(position, message);
        if !std::mem::replace(&mut open.is_touched, true) {
            self.touched.push(number);
        }
        Ok(())
    }

    fn partition_of(&mut self, topic: &str, store: &Store) -> Result<usize, Error> {
        let name = partition::name_of(topic, self.levels);
        if name == self.open[self.last].partition.name.as_deref() {
            return Ok(self.last);
        }
        let number = match name {
            None => 0,
            Some(name) => match self.by_name.get(name) {
                Some(number) => *number,
                None if self.by_name.len() < self.partitions_max => self.make(name, store)?,
                None => 0,
            },
        };
        self.last = number;
        Ok(number)
    }

    fn make(&mut self, name: &str, store: &Store) -> Result<usize, Error> {
        let partition = store.partitions.make(&store.own_db(), name)?;
        self.open.push(Open::new(partition));
        self.by_name.insert(Box::from(name), self.open.len() - 1);
        Ok(self.open.len() - 1)
    }

    /// Puts all that is not yet in a block into blocks.
    pub(super) fn finish(&mut self, store: &Store, changes: &mut WriteBatch) {
        for number in &self.touched {
            self.bytes += self.open[*number].finish_block(store, changes);
        }
    }

    /// What was put into blocks will not be committed.
    pub(super) fn forget(&mut self) {
        self.bytes = 0;
        for number in self.touched.drain(..) {
            let open = &mut self.open[number];
            *open = Open::new(Arc::clone(&open.partition));
        }
    }

    /// What was put into blocks is committed: so many bytes.
    pub(super) fn committed(&mut self) -> u64 {
        for number in self.touched.drain(..) {
            let open = &mut self.open[number];
            open.partition.committed(open.previous);
            open.is_touched = false;
        }
        std::mem::take(&mut self.bytes)
    }
}

impl Open {
    /// Puts what has come into a block, of so many bytes.
    fn finish_block(&mut self, store: &Store, changes: &mut WriteBatch) -> u64 {
        if self.builder.is_empty() {
            return 0;
        }
        let first = self.builder.first();
        let db = store.own_db();
        let family = family(&db, &self.partition.family);
        let block = self.builder.finish(self.previous);
        changes.put_cf(&family, keys::first(first), block);
        let bytes = block.len() as u64;
        self.previous = first;
        bytes
    }
}
