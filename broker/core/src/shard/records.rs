//! Records of sessions on their way to the engine.

use crate::id::SessionKey;
use crate::shard::Shard;
use crate::shard::desk::Waiter;
use crate::turn::{Turn, Write};

impl Shard {
    /// The session's record is written at the end of this turn, or as soon as the one before it is
    /// committed.
    pub(crate) fn mark_stale(&mut self, key: SessionKey) {
        if let Some(session) = self.sessions.get_mut(key) {
            session.record.is_stale = true;
            if self.desk.stale_records.last() != Some(&key) {
                self.desk.stale_records.push(key);
            }
        }
    }

    /// Writes the records of sessions that changed in this turn, one write each.
    pub(crate) fn write_records(&mut self, out: &mut Turn) {
        let mut stale = std::mem::take(&mut self.desk.stale_records);
        for key in stale.drain(..) {
            let Some(session) = self.sessions.get_mut(key) else { continue };
            if !session.record.is_stale {
                continue;
            }
            if session.record.ticket > self.desk.committed {
                // Its commit comes back here.
                session.postpone_record();
                continue;
            }
            let record = session.next_record(self.desk.ticket);
            out.batch.writes.push(Write::PutSession(Box::new(record)));
            let told = std::mem::take(&mut session.clear_overtaken);
            if told > 0 {
                out.batch.writes.push(Write::ClearOvertaken(session.client_id.clone(), told));
            }
            self.desk.wait(Waiter::Session(key));
            let Some(connection) = session.connection() else { continue };
            let connection = self.connections.get_mut(connection);
            if let Some((connected, _)) = connection.and_then(|c| c.connected()) {
                connected.owed.recorded_in(self.desk.ticket);
                self.desk.wait(Waiter::Connection(connected.key));
            }
        }
        self.desk.stale_records = stale;
    }
}
