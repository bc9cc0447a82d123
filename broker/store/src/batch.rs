//! What an engine asks about a batch before it takes it.

use std::collections::HashMap;

use flotilla_core::id::ClientId;
use flotilla_core::turn::{Batch, Write};

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
