//! Sessions from which cleaning took messages.

use crate::counters::DropReason;
use crate::mail::Overtaken;
use crate::notice::Notice;
use crate::shard::Shard;
use crate::turn::Turn;

impl Shard {
    /// To the home shard: it hands the number to whoever claims the session. A session that has
    /// ended meanwhile has taken its record with it.
    pub(super) fn overtake(&mut self, overtaken: Vec<Overtaken>, out: &mut Turn) {
        let counters = &mut self.desk.counters;
        for Overtaken { client_id, messages, expired } in overtaken {
            counters.drop_deliveries(DropReason::Expired, expired);
            counters.drop_deliveries(DropReason::Cleaned, messages);
            if messages > 0 {
                counters.sessions_overtaken += 1;
                self.directory.overtake(&client_id, messages);
                out.notices.push(Notice::Overtaken { client_id, messages });
            }
        }
    }
}
