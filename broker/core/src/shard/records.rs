//! Records of sessions on their way to the engine.

use crate::durability::Class;
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
        let class = self.desk.durability.of_records();
        let mut stale = std::mem::take(&mut self.desk.stale_records);
        for key in stale.drain(..) {
            let Some(session) = self.sessions.get_mut(key) else { continue };
            if !session.record.is_stale {
                continue;
            }
            if session.record.ticket > self.desk.reached.committed {
                // Its commit comes back here.
                session.postpone_record();
                continue;
            }
            let record = session.next_record(self.desk.ticket, class);
            out.batch.writes.push(Write::PutSession(Box::new(record)));
            let told = session.take_told();
            if told > 0 {
                out.batch.writes.push(Write::ClearOvertaken(session.client_id.clone(), told));
            }
            let connection = session.connection().and_then(|key| self.connections.get_mut(key));
            if let Some((connected, _)) = connection.and_then(|c| c.connected()) {
                connected.owed.recorded_in(self.desk.ticket, class);
                self.desk.wait(class, Waiter::Connection(connected.key));
            }
            // Where its subscriptions start is known at the commit.
            self.desk.wait(Class::Os, Waiter::Session(key));
            if class > Class::Os {
                self.desk.wait(class, Waiter::Session(key));
            }
        }
        self.desk.stale_records = stale;
    }
}
