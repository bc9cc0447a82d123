//! What this shard has given out and nobody has taken yet.

use std::collections::{BTreeSet, VecDeque};

use crate::id::{ConnectionKey, ShardId, Ticket};
use crate::limits::Limits;
use crate::message::Message;

/// Batches that the engine has not committed, deliveries that other shards have not taken. When
/// there is too much of either, publishers are not read.
#[derive(Debug, Default)]
pub(crate) struct Backlog {
    batches: VecDeque<(Ticket, usize)>,
    uncommitted_bytes: usize,
    /// By shard.
    mailed_bytes: Vec<usize>,
    /// Taken from each shard, which does not know yet.
    taken_bytes: Vec<usize>,
    /// Connections that are not read because of it.
    pub(super) paused: BTreeSet<ConnectionKey>,
}

/// What a message for so many sessions of another shard counts, bytes.
pub(super) fn mail_bytes(message: &Message, targets: usize) -> usize {
    /// A delivery is work, however small the message.
    const DELIVERY_BYTES: usize = 64;
    targets * (message.as_bytes().len() + DELIVERY_BYTES)
}

impl Backlog {
    pub(super) fn submitted(&mut self, ticket: Ticket, bytes: usize) {
        self.batches.push_back((ticket, bytes));
        self.uncommitted_bytes += bytes;
    }

    pub(super) fn committed(&mut self, up_to: Ticket) {
        while let Some(&(ticket, bytes)) = self.batches.front()
            && ticket <= up_to
        {
            self.batches.pop_front();
            self.uncommitted_bytes -= bytes;
        }
    }

    pub(super) fn mailed(&mut self, shard: ShardId, bytes: usize) {
        *of(&mut self.mailed_bytes, shard) += bytes;
    }

    /// Deliveries from that shard were taken. What to tell it, if it is `enough`: a mail for each
    /// would wake it as often again.
    pub(super) fn take(&mut self, shard: ShardId, bytes: usize, enough: usize) -> Option<usize> {
        let taken = of(&mut self.taken_bytes, shard);
        *taken += bytes;
        (*taken > enough).then(|| std::mem::take(taken))
    }

    pub(super) fn taken(&mut self, shard: ShardId, bytes: usize) {
        *of(&mut self.mailed_bytes, shard) -= bytes;
    }

    pub(super) fn uncommitted_bytes(&self) -> usize {
        self.uncommitted_bytes
    }

    /// Whether publishers must wait.
    pub(super) fn is_full(&self, limits: &Limits) -> bool {
        self.uncommitted_bytes > limits.uncommitted_bytes_max
            || self.mailed_bytes.iter().any(|&bytes| bytes > limits.mailed_bytes_max)
    }

    /// Whether they may go on: half of it is taken, so that they do not stop and go.
    pub(super) fn has_room(&self, limits: &Limits) -> bool {
        self.uncommitted_bytes <= limits.uncommitted_bytes_max / 2
            && self.mailed_bytes.iter().all(|&bytes| bytes <= limits.mailed_bytes_max / 2)
    }
}

fn of(bytes: &mut Vec<usize>, shard: ShardId) -> &mut usize {
    let at = usize::from(shard.0);
    if bytes.len() <= at {
        bytes.resize(at + 1, 0);
    }
    &mut bytes[at]
}
