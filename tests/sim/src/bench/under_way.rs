//! What is under way within the broker, as it arrives.

use std::collections::VecDeque;

use flotilla_core::connection::Identification;
use flotilla_core::mail::Commit;
use flotilla_core::turn::Exchange;
use flotilla_mqtt::ReasonCode;

use super::{Bench, Report};

impl Bench {
    /// The oldest question is answered.
    pub fn answer(&mut self) -> bool {
        self.answer_question(0)
    }

    /// One of the questions is answered: in no particular order.
    pub fn answer_question(&mut self, nth: usize) -> bool {
        let Some((shard, question)) = take(&mut self.questions, nth) else { return false };
        let answer = match self.refuse_next.take() {
            Some(reason_code) => Identification::Refused(reason_code),
            None => match question.exchange {
                Some(exchange) => judged(&exchange),
                None => Identification::Accepted { identity: question.username },
            },
        };
        let at = usize::from(shard.0);
        self.shards[at].identified(question.connection, answer, self.now, &mut self.turns[at]);
        self.end_turn(at);
        true
    }

    /// The oldest mail arrives.
    pub fn deliver_mail(&mut self) -> bool {
        self.deliver_mail_between(0)
    }

    /// A mail arrives. Only between two shards do they keep their order: it is the oldest of the
    /// `nth` pair that has one.
    pub fn deliver_mail_between(&mut self, nth: usize) -> bool {
        let nth = oldest(&self.mail, |(from, to, _)| (*from, *to), nth);
        let Some((_, shard, mail)) = take(&mut self.mail, nth) else { return false };
        let at = usize::from(shard.0);
        self.shards[at].mailed(mail, self.now, &mut self.turns[at]);
        self.end_turn(at);
        true
    }

    /// The engine commits, and syncs if it does so at once; the shards do not know yet.
    pub fn commit(&mut self, batches: usize) -> bool {
        if self.engine.submissions() == 0 {
            return false;
        }
        let group = self.engine.commit(batches);
        let commits = Commit::by_shard(group, self.engine.end());
        let reports = commits.into_iter().map(|(id, commit)| (id, Report::Committed(commit)));
        match self.is_failing {
            true => self.unreported.extend(reports),
            false => self.reports.extend(reports),
        }
        if self.syncs_at_once {
            self.sync(usize::MAX);
        }
        true
    }

    /// The engine syncs so many batches if somebody wants that; the shards do not know yet.
    pub fn sync(&mut self, batches: usize) -> bool {
        if self.is_failing || !self.engine.needs_sync() {
            return false;
        }
        self.sync_first(batches);
        true
    }

    /// The engine syncs all that is written, whoever wants that; the shards do not know yet.
    pub(super) fn sync_all(&mut self) {
        self.sync_first(usize::MAX);
    }

    fn sync_first(&mut self, batches: usize) {
        let told = self.engine.sync(batches);
        self.reports.extend(told.into_iter().map(|(id, ticket)| (id, Report::Synced(ticket))));
    }

    /// The oldest commit or sync is reported.
    pub fn report(&mut self) -> bool {
        self.report_to(0)
    }

    /// A shard hears of a commit or a sync: the `nth` of those that are to hear of one.
    pub fn report_to(&mut self, nth: usize) -> bool {
        let nth = oldest(&self.reports, |(shard, _)| *shard, nth);
        let Some((shard, report)) = take(&mut self.reports, nth) else { return false };
        let at = usize::from(shard.0);
        let (shard, turn) = (&mut self.shards[at], &mut self.turns[at]);
        match report {
            Report::Committed(commit) => shard.committed(commit, self.now, turn),
            Report::Synced(up_to) => shard.synced(up_to, self.now, turn),
        }
        self.end_turn(at);
        true
    }

    /// The oldest page is read; it has not arrived yet.
    pub fn read_page(&mut self) -> bool {
        self.read_page_of(0)
    }

    /// One of the pages is read: in no particular order.
    pub fn read_page_of(&mut self, nth: usize) -> bool {
        let Some((shard, replay)) = take(&mut self.replays, nth) else { return false };
        self.pages.push_back((shard, self.engine.replay(&replay)));
        true
    }

    /// The oldest page that was asked for cannot be read.
    pub fn fail_page(&mut self) -> bool {
        let Some((shard, replay)) = self.replays.pop_front() else { return false };
        let at = usize::from(shard.0);
        self.shards[at].replay_failed(replay.session, self.now, &mut self.turns[at]);
        self.end_turn(at);
        true
    }

    /// The oldest page arrives.
    pub fn deliver_page(&mut self) -> bool {
        self.deliver_page_of(0)
    }

    /// One of the pages that were read arrives.
    pub fn deliver_page_of(&mut self, nth: usize) -> bool {
        let Some((shard, page)) = take(&mut self.pages, nth) else { return false };
        let at = usize::from(shard.0);
        self.shards[at].replayed(page, self.now, &mut self.turns[at]);
        self.end_turn(at);
        true
    }
}

/// Takes one of them out, if there are any.
fn take<T>(queue: &mut VecDeque<T>, nth: usize) -> Option<T> {
    let len = queue.len();
    (len > 0).then(|| queue.remove(nth % len)).flatten()
}

/// Where the oldest of the `nth` kind stands.
fn oldest<T, K: PartialEq>(queue: &VecDeque<T>, kind: impl Fn(&T) -> K, nth: usize) -> usize {
    let is_oldest = |at: &usize| queue.iter().take(*at).all(|it| kind(it) != kind(&queue[*at]));
    let oldest: Vec<_> = (0..queue.len()).filter(is_oldest).collect();
    if oldest.is_empty() { 0 } else { oldest[nth % oldest.len()] }
}

/// A method of two steps: `me` and `you` are known.
fn judged(exchange: &Exchange) -> Identification {
    let data = exchange.data.as_deref().unwrap_or_default();
    match exchange.kept.as_deref() {
        None => Identification::Challenged { data: b"who?".to_vec(), kept: b"asked".to_vec() },
        Some(kept) => {
            assert_eq!(kept, b"asked");
            match std::str::from_utf8(data) {
                Ok(name @ ("me" | "you")) => {
                    Identification::Authenticated { identity: name.into(), data: b"fine".to_vec() }
                }
                _ => Identification::Refused(ReasonCode::NotAuthorized),
            }
        }
    }
}
