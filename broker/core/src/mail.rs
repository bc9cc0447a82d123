//! What one shard tells another.

use crate::id::{ClientId, ConnectionKey, Position, ShardId, Ticket};
use crate::message::Message;
use crate::session::Session;
use crate::turn::{Batch, Target};

/// A message between two shards. Mail from one shard to another arrives in the order it was sent.
#[derive(Debug)]
pub enum Mail {
    /// These sessions of yours get this message now; it is not in the log.
    Deliver {
        /// Who waits for [`Mail::Taken`].
        from: ShardId,
        /// In order.
        deliveries: Vec<(Message, Vec<Target>)>,
    },
    /// Your deliveries have been delivered: send more.
    Taken {
        /// By whom.
        shard: ShardId,
        /// How much it was.
        bytes: usize,
    },
    /// To a client identifier's home shard: the connection wants the session.
    Claim {
        /// Client Identifier.
        client_id: ClientId,
        /// Who claims.
        shard: ShardId,
        /// For which connection.
        connection: ConnectionKey,
    },
    /// To the home shard: the connection is gone before it had the session.
    Withdrawn {
        /// Client Identifier.
        client_id: ClientId,
        /// Who claimed.
        shard: ShardId,
        /// For which connection.
        connection: ConnectionKey,
    },
    /// From the home shard to the owner: give the session away.
    Surrender {
        /// Client Identifier.
        client_id: ClientId,
        /// To whom.
        shard: ShardId,
        /// For which connection of theirs.
        connection: ConnectionKey,
        /// Messages that cleaning took from the session, as the home shard knows.
        overtaken: u64,
    },
    /// To the claimant: the identifier is yours, with the session if there was one.
    Granted {
        /// Client Identifier.
        client_id: ClientId,
        /// The connection that claimed it.
        connection: ConnectionKey,
        /// On its way from the former owner.
        session: Option<Box<Session>>,
        /// Messages that cleaning took from the session since the broker started, with those of
        /// which it was not told before.
        overtaken: u64,
    },
    /// From the claimant to the home shard: it has arrived.
    Settled {
        /// Client Identifier.
        client_id: ClientId,
    },
    /// From the owner to the home shard: the session is no more.
    Ended {
        /// Client Identifier.
        client_id: ClientId,
        /// Whose session it was: a later owner's entry stays.
        shard: ShardId,
    },
    /// From the engine to home shards: cleaning took messages from these sessions. It is on the
    /// disk.
    Overtaken(Vec<Overtaken>),
}

/// What cleaning took from a session: messages that it had not had when they went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Overtaken {
    /// Client Identifier.
    pub client_id: ClientId,
    /// Messages that would have been sent.
    pub messages: u64,
    /// Messages whose Message Expiry Interval had passed already.
    pub expired: u64,
}

/// What a commit means for one shard.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Commit {
    /// Batches of this shard that are committed, with the position of their first append (or the
    /// one the next append would have got).
    pub tickets: Vec<(Ticket, Position)>,
    /// Messages for persistent sessions of this shard, in log order.
    pub deliveries: Vec<(Position, Message, Vec<Target>)>,
    /// The end of the log after this commit.
    pub end: Position,
}

impl Commit {
    /// Sorts a group of committed batches by the shards that must hear of it. `group` is in commit
    /// order, each with its first position; commits of later groups must be given to a shard after
    /// those of earlier groups.
    pub fn by_shard(group: Vec<(Batch, Position)>, end: Position) -> Vec<(ShardId, Self)> {
        let mut commits: Vec<(ShardId, Self)> = Vec::new();
        for (batch, first) in group {
            of(&mut commits, batch.shard).tickets.push((batch.ticket, first));
            for (offset, append) in (0..).zip(batch.appends) {
                for (shard, targets) in append.targets {
                    let delivery = (first.plus(offset), append.message.clone(), targets);
                    of(&mut commits, shard).deliveries.push(delivery);
                }
            }
        }
        for (_, commit) in &mut commits {
            commit.end = end;
        }
        commits
    }
}

fn of(commits: &mut Vec<(ShardId, Commit)>, shard: ShardId) -> &mut Commit {
    let at = commits.iter().position(|(known, _)| *known == shard).unwrap_or_else(|| {
        commits.push((shard, Commit::default()));
        commits.len() - 1
    });
    &mut commits[at].1
}
