//! What becomes of what was handed to the store.

use std::sync::Arc;

use flotilla_core::{
    id::{Position, ShardId, Ticket},
    mail::{Commit, Mail, Overtaken},
    turn::Batch,
};
use flotilla_store::{Cleaned, CommitSink, Error, Reason, State};
use tracing::{debug, error, info, warn};

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

/// So many sessions that were overtaken are named in one line of the log.
const NAMED_MAX: usize = 10;
/// So many are told of in one mail.
const MAILED_MAX: usize = 1024;

impl Commits {
    /// Who has lost messages is told through its home shard; the operator, in one line.
    fn tell_overtaken(&self, cleaned: Cleaned) {
        let taken = Reason::ALL.iter().zip(cleaned.taken);
        let taken = taken.filter(|(_, taken)| taken.messages > 0);
        let taken: Vec<_> = taken
            .map(|(reason, taken)| format!("{} ({})", taken.messages, reason.name()))
            .collect();
        let (taken, took) = (taken.join(" and "), cleaned.took);
        let losers: Vec<_> = cleaned.overtaken.iter().filter(|one| one.messages > 0).collect();
        if losers.is_empty() && cleaned.unread_blocks == 0 {
            debug!("cleaning took {taken} messages that nobody wanted any more, in {took:?}");
        } else {
            let named = losers.iter().take(NAMED_MAX);
            let names: Vec<_> =
                named.map(|one| format!("{} ({})", one.client_id, one.messages)).collect();
            let more = match losers.len().saturating_sub(NAMED_MAX) {
                0 => String::new(),
                more => format!(", and {more} more"),
            };
            let unread = match cleaned.unread_blocks {
                0 => String::new(),
                blocks => format!("; {blocks} blocks of it could not be read"),
            };
            warn!(
                "cleaning took {taken} messages that {} sessions had not had: {}{more}{unread}; \
                 `flotilla backlog --plan` shows what goes next",
                losers.len(),
                names.join(", "),
            );
        }
        let shards = u16::try_from(self.mailboxes.len()).expect("one a worker");
        let mut mail: Vec<Vec<Overtaken>> = vec![Vec::new(); self.mailboxes.len()];
        for one in cleaned.overtaken {
            let home = usize::from(one.client_id.home(shards).0);
            mail[home].push(one);
            if mail[home].len() == MAILED_MAX {
                self.send(home, std::mem::take(&mut mail[home]));
            }
        }
        for (home, overtaken) in mail.into_iter().enumerate() {
            if !overtaken.is_empty() {
                self.send(home, overtaken);
            }
        }
    }

    fn send(&self, shard: usize, overtaken: Vec<Overtaken>) {
        self.mailboxes[shard].push(Inbound::Mail(Mail::Overtaken(overtaken)));
    }
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

    fn cleaned(&mut self, outcome: Result<Cleaned, Error>) {
        match outcome {
            Ok(cleaned) => self.tell_overtaken(cleaned),
            Err(error) => error!("{error}"),
        }
    }

    fn state_changed(&mut self, state: &State) {
        match state {
            State::Healthy => info!("{state}"),
            State::Full { .. } => warn!("{state}"),
            State::Failing { .. } => error!("{state}"),
        }
        for mailbox in self.mailboxes.iter() {
            mailbox.push(Inbound::StoreChanged { is_full: state.is_full() });
        }
    }
}
