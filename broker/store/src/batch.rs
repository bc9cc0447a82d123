//! What an engine asks about a batch before it takes it.

use std::collections::HashMap;
use std::mem::size_of;

use flotilla_core::id::ClientId;
use flotilla_core::record::{SessionRecord, SubscriptionRecord};
use flotilla_core::turn::{Append, Batch, Write};

/// About what the batch holds in memory until it is committed, bytes. Never 0.
pub(crate) fn cost(batch: &Batch) -> usize {
    let writes: usize = batch.writes.iter().map(write_cost).sum();
    size_of::<Batch>() + batch.bytes() + batch.appends.len() * size_of::<Append>() + writes
}

fn write_cost(write: &Write) -> usize {
    let held = match write {
        Write::PutSession(record) => record_cost(record),
        Write::PutRetained(message) => message.as_bytes().len(),
        Write::DeleteRetained(topic) => topic.len(),
        // The identifier is shared with the session.
        Write::EndSession(_)
        | Write::PutCursor(..)
        | Write::PutInbound(..)
        | Write::DeleteInbound(..)
        | Write::PutOutbound(..)
        | Write::DeleteOutbound(..) => 0,
    };
    size_of::<Write>() + held
}

fn record_cost(record: &SessionRecord) -> usize {
    let filters: usize = record
        .subscriptions
        .iter()
        .map(|subscription| size_of::<SubscriptionRecord>() + subscription.filter.len())
        .sum();
    let will = record.will.as_ref().map_or(0, |will| will.message.as_bytes().len());
    size_of::<SessionRecord>() + filters + will + record.unacknowledged.len() * 16
}

/// The revisions of sessions that batches taken but not yet committed have changed.
#[derive(Debug, Default)]
pub(crate) struct Revisions {
    /// `None`: the session was ended.
    changed: HashMap<ClientId, Option<u64>>,
}

impl Revisions {
    /// Whether each session write of the batch is one above the revision before it; if so, they
    /// count from now on. `stored` reads what is committed.
    pub(crate) fn take<E>(
        &mut self,
        batch: &Batch,
        mut stored: impl FnMut(&ClientId) -> Result<Option<u64>, E>,
    ) -> Result<bool, E> {
        let mut of_batch: HashMap<&ClientId, Option<u64>> = HashMap::new();
        for write in &batch.writes {
            match write {
                Write::PutSession(record) => {
                    let id = &record.client_id;
                    let before = match of_batch.get(id).or_else(|| self.changed.get(id)) {
                        Some(revision) => *revision,
                        None => stored(id)?,
                    };
                    if before.unwrap_or(0).checked_add(1) != Some(record.revision) {
                        return Ok(false);
                    }
                    of_batch.insert(id, Some(record.revision));
                }
                Write::EndSession(id) => {
                    of_batch.insert(id, None);
                }
                _ => {}
            }
        }
        self.changed.extend(of_batch.into_iter().map(|(id, revision)| (id.clone(), revision)));
        Ok(true)
    }
}
