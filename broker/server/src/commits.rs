//! What becomes of what was handed to the store.

use std::sync::Arc;

use flotilla_core::{
    id::{Position, ShardId, Ticket},
    mail::Commit,
    turn::Batch,
};
use flotilla_store::{CommitSink, Error};

use crate::{
    net::mailbox::{Inbound, Mailbox},
    ops::shutdown::Alarm,
};

/// Tells the workers of commits, and the main thread when there will be none any more.
pub(crate) struct Commits {
    /// By shard.
    pub(crate) mailboxes: Arc<[Arc<Mailbox>]>,
    /// Ends the broker.
    pub(crate) alarm: Alarm,
}

impl CommitSink for Commits {
    fn committed(&mut self, group: Vec<(Batch, Position)>, end: Position) {
        for (shard, commit) in Commit::by_shard(group, end) {
            if let Some(mailbox) = self.mailboxes.get(usize::from(shard.0)) {
                mailbox.push(Inbound::Committed(commit));
            }
        }
    }

    fn synced(&mut self, up_to: &[(ShardId, Ticket)]) {
        for (shard, ticket) in up_to {
            if let Some(mailbox) = self.mailboxes.get(usize::from(shard.0)) {
                mailbox.push(Inbound::Synced(*ticket));
            }
        }
    }

    fn refused(&mut self, batch: Batch) {
        self.alarm.raise(format!(
            "the store refused batch {} of shard {}, whose session has another owner; this is a \
             fault of the broker, and nothing of the batch was acknowledged",
            batch.ticket.0, batch.shard.0
        ));
    }

    fn poisoned(&mut self, error: Error) {
        self.alarm.raise(error.to_string());
    }
}
