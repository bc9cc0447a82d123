//! Drives shards by hand: sockets are byte queues, the engine is a list, time is a number.

mod describe;
pub(crate) mod dialogue;
pub(crate) mod dice;
pub(crate) mod engine;

use std::collections::VecDeque;
use std::sync::Arc;

pub(crate) use describe::describe;

use engine::TestEngine;
use flotilla_core::connection::{Identification, Peer};
use flotilla_core::durability::Durability;
use flotilla_core::id::{ClientId, ConnectionKey, Position, ShardId, Ticket};
use flotilla_core::limits::Limits;
use flotilla_core::mail::{Commit, Mail, Overtaken};
use flotilla_core::message::Message;
use flotilla_core::record::StoredSession;
use flotilla_core::router::Router;
use flotilla_core::shard::Shard;
use flotilla_core::time::Now;
use flotilla_core::turn::{Exchange, Page, Question, Replay, Turn};
use flotilla_mqtt::{Connect, Packet, ReasonCode, Version, decode};

/// A broker on the bench.
pub(crate) struct Bench {
    pub(crate) shards: Vec<Shard>,
    turns: Vec<Turn>,
    pub(crate) router: Router,
    pub(crate) engine: TestEngine,
    pub(crate) limits: Arc<Limits>,
    durability: Arc<Durability>,
    pub(crate) now: Now,
    sockets: Vec<Socket>,
    mail: VecDeque<(ShardId, Mail)>,
    reports: VecDeque<(ShardId, Report)>,
    replays: VecDeque<(ShardId, Replay)>,
    pages: VecDeque<(ShardId, Page)>,
    questions: VecDeque<(ShardId, Question)>,
    /// Answers the next question with no.
    pub(crate) refuse_next: Option<ReasonCode>,
    /// Whether a turn's batch is committed at once.
    pub(crate) commits_at_once: bool,
    /// Whether what is committed is synced at once.
    pub(crate) syncs_at_once: bool,
    /// Events gather in one turn.
    pub(crate) holds_turn: bool,
    /// No socket takes anything.
    pub(crate) is_stuffed: bool,
}

/// The far end of a socket.
#[derive(Debug)]
struct Socket {
    shard: ShardId,
    key: ConnectionKey,
    version: Version,
    /// Bytes to the client.
    inbox: Vec<u8>,
    /// Bytes from the client that the shard has not consumed.
    pending: Vec<u8>,
    is_paused: bool,
    is_open: bool,
}

/// What the engine tells a shard.
enum Report {
    Committed(Commit),
    Synced(Ticket),
}

/// A socket of the bench, by number.
pub(crate) type Wire = usize;

impl Bench {
    pub(crate) fn new(shards: u16) -> Self {
        Self::with_limits(shards, Limits::default())
    }

    pub(crate) fn with_limits(shards: u16, limits: Limits) -> Self {
        Self::with_durability(shards, limits, Durability::default())
    }

    pub(crate) fn with_durability(shards: u16, limits: Limits, durability: Durability) -> Self {
        let (limits, durability) = (Arc::new(limits), Arc::new(durability));
        let shard = |id| {
            let seed = 7 + u64::from(id);
            Shard::new(ShardId(id), shards, limits.clone(), durability.clone(), seed)
        };
        Self {
            shards: (0..shards).map(shard).collect(),
            turns: (0..shards).map(|_| Turn::default()).collect(),
            router: Router::default(),
            engine: TestEngine::default(),
            limits: limits.clone(),
            durability: durability.clone(),
            now: Now { monotonic_ms: 1_000, unix_ms: 1_000_000 },
            sockets: Vec::new(),
            mail: VecDeque::new(),
            reports: VecDeque::new(),
            replays: VecDeque::new(),
            pages: VecDeque::new(),
            questions: VecDeque::new(),
            refuse_next: None,
            commits_at_once: true,
            syncs_at_once: true,
            holds_turn: false,
            is_stuffed: false,
        }
    }

    /// Opens a socket without a word.
    pub(crate) fn open(&mut self, shard: u16, version: Version) -> Wire {
        let at = usize::from(shard);
        let key = self.shards[at].opened(Peer::default(), self.now, &mut self.turns[at]);
        self.end_turn(at);
        self.sockets.push(Socket {
            shard: ShardId(shard),
            key,
            version,
            inbox: Vec::new(),
            pending: Vec::new(),
            is_paused: false,
            is_open: true,
        });
        self.sockets.len() - 1
    }

    /// Opens a socket and sends CONNECT.
    pub(crate) fn connect(&mut self, shard: u16, connect: Connect<'_>) -> Wire {
        let wire = self.open(shard, connect.version);
        self.send(wire, &Packet::Connect(connect));
        wire
    }

    pub(crate) fn send(&mut self, wire: Wire, packet: &Packet<'_>) {
        let mut bytes = Vec::new();
        packet.encode(self.sockets[wire].version, &mut bytes).expect("test packets are encodable");
        self.send_bytes(wire, &bytes);
    }

    pub(crate) fn send_bytes(&mut self, wire: Wire, bytes: &[u8]) {
        self.sockets[wire].pending.extend_from_slice(bytes);
        self.offer(wire);
        if self.commits_at_once {
            self.settle();
        }
    }

    /// The client's socket breaks; what was on its way is lost.
    pub(crate) fn cut(&mut self, wire: Wire) {
        let socket = &mut self.sockets[wire];
        socket.pending.clear();
        socket.inbox.clear();
        if std::mem::replace(&mut socket.is_open, false) {
            let (at, key) = (usize::from(socket.shard.0), socket.key);
            self.shards[at].closed(key, self.now, &mut self.turns[at]);
            self.end_turn(at);
        }
        if self.commits_at_once {
            self.settle();
        }
    }

    pub(crate) fn is_open(&self, wire: Wire) -> bool {
        self.sockets[wire].is_open
    }

    /// Calls `take` with the next packet to the client, if there is one.
    pub(crate) fn receive<T>(
        &mut self,
        wire: Wire,
        take: impl FnOnce(Packet<'_>) -> T,
    ) -> Option<T> {
        let socket = &mut self.sockets[wire];
        let decoded = decode(&socket.inbox, socket.version, u32::MAX);
        let (packet, len) = decoded.expect("the broker sends valid packets")?;
        let taken = take(packet);
        socket.inbox.drain(..len);
        Some(taken)
    }

    /// The next packet as text, `""`: none.
    pub(crate) fn next(&mut self, wire: Wire) -> String {
        self.receive(wire, |packet| describe(&packet)).unwrap_or_default()
    }

    pub(crate) fn wait_ms(&mut self, ms: u64) {
        self.now = self.now.plus_ms(ms);
        for at in 0..self.shards.len() {
            self.shards[at].ticked(self.now, &mut self.turns[at]);
            self.end_turn(at);
        }
        if self.commits_at_once {
            self.settle();
        }
    }

    /// Everything that is on its way arrives.
    pub(crate) fn settle(&mut self) {
        while self.answer()
            | self.deliver_mail()
            | self.commit(usize::MAX)
            | self.sync(usize::MAX)
            | self.report()
            | self.read_page()
            | self.deliver_page()
        {}
    }

    pub(crate) fn answer(&mut self) -> bool {
        let Some((shard, question)) = self.questions.pop_front() else { return false };
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

    /// Cleans the log; the homes of the sessions that lose messages hear of it.
    pub(crate) fn clean(&mut self, begin: Position, owed: &[(&str, u64)]) {
        let overtaken = |&(client_id, messages): &(&str, u64)| Overtaken {
            client_id: ClientId::from(client_id),
            messages,
            expired: 0,
        };
        let owed: Vec<_> = owed.iter().map(overtaken).collect();
        self.engine.clean(begin, &owed);
        let shards = u16::try_from(self.shards.len()).expect("few");
        for overtaken in owed {
            let home = overtaken.client_id.home(shards);
            self.mail.push_back((home, Mail::Overtaken(vec![overtaken])));
        }
        if self.commits_at_once {
            self.settle();
        }
    }

    pub(crate) fn waiting_mail(&self) -> usize {
        self.mail.len()
    }

    pub(crate) fn deliver_mail(&mut self) -> bool {
        let Some((shard, mail)) = self.mail.pop_front() else { return false };
        let at = usize::from(shard.0);
        self.shards[at].mailed(mail, self.now, &mut self.turns[at]);
        self.end_turn(at);
        true
    }

    /// The engine commits, and syncs if it does so at once; the shards do not know yet.
    pub(crate) fn commit(&mut self, batches: usize) -> bool {
        if self.engine.submissions() == 0 {
            return false;
        }
        let group = self.engine.commit(batches);
        let commits = Commit::by_shard(group, self.engine.end());
        self.reports
            .extend(commits.into_iter().map(|(id, commit)| (id, Report::Committed(commit))));
        if self.syncs_at_once {
            self.sync(usize::MAX);
        }
        true
    }

    /// The engine syncs so many batches if somebody wants that; the shards do not know yet.
    pub(crate) fn sync(&mut self, batches: usize) -> bool {
        if !self.engine.needs_sync() {
            return false;
        }
        let told = self.engine.sync(batches);
        self.reports.extend(told.into_iter().map(|(id, ticket)| (id, Report::Synced(ticket))));
        true
    }

    /// A shard hears of a commit or a sync.
    pub(crate) fn report(&mut self) -> bool {
        let Some((shard, report)) = self.reports.pop_front() else { return false };
        let at = usize::from(shard.0);
        let (shard, turn) = (&mut self.shards[at], &mut self.turns[at]);
        match report {
            Report::Committed(commit) => shard.committed(commit, self.now, turn),
            Report::Synced(up_to) => shard.synced(up_to, self.now, turn),
        }
        self.end_turn(at);
        true
    }

    /// The disk is full, or has room again.
    pub(crate) fn store_changed(&mut self, is_full: bool) {
        for at in 0..self.shards.len() {
            self.shards[at].store_changed(is_full, self.now, &mut self.turns[at]);
            self.end_turn(at);
        }
        if self.commits_at_once {
            self.settle();
        }
    }

    /// The engine reads a page; it has not arrived yet.
    pub(crate) fn read_page(&mut self) -> bool {
        let Some((shard, replay)) = self.replays.pop_front() else { return false };
        self.pages.push_back((shard, self.engine.replay(&replay)));
        true
    }

    pub(crate) fn deliver_page(&mut self) -> bool {
        let Some((shard, page)) = self.pages.pop_front() else { return false };
        let at = usize::from(shard.0);
        self.shards[at].replayed(page, self.now, &mut self.turns[at]);
        self.end_turn(at);
        true
    }

    /// SIGKILL and a new start on the same disk: with it go all sockets and all that was not
    /// written.
    pub(crate) fn crash(&mut self) {
        let stored = self.engine.crash();
        self.restart(stored);
    }

    /// The power fails; of what was not synced the first `kept` batches happen to be on the disk.
    pub(crate) fn power_cut(&mut self, kept: usize) {
        let stored = self.engine.power_cut(kept);
        self.restart(stored);
    }

    fn restart(&mut self, (sessions, retained): (Vec<StoredSession>, Vec<Message>)) {
        for socket in &mut self.sockets {
            socket.is_open = false;
            socket.inbox.clear();
            socket.pending.clear();
        }
        let shards = u16::try_from(self.shards.len()).expect("few");
        let (limits, durability) = ((*self.limits).clone(), (*self.durability).clone());
        let fresh = Self::with_durability(shards, limits, durability);
        self.shards = fresh.shards;
        self.turns = fresh.turns;
        self.router = fresh.router;
        self.mail.clear();
        self.reports.clear();
        self.replays.clear();
        self.pages.clear();
        self.questions.clear();
        for message in retained {
            self.router.recover_retained(message);
        }
        for stored in sessions {
            let at = usize::from(stored.record.client_id.home(shards).0);
            self.shards[at].recover(stored, self.engine.end(), &mut self.router, self.now);
        }
    }

    pub(crate) fn shut_down(&mut self) {
        for at in 0..self.shards.len() {
            self.shards[at].shut_down(self.now, &mut self.turns[at]);
            self.end_turn(at);
        }
        self.settle();
    }

    /// Whether events gather from now on; if not, the turns that gathered end.
    pub(crate) fn hold_turns(&mut self, holds: bool) {
        self.holds_turn = holds;
        for at in 0..self.shards.len() {
            self.end_turn(at);
        }
    }

    pub(crate) fn shut_down_unsettled(&mut self) {
        for at in 0..self.shards.len() {
            self.shards[at].shut_down(self.now, &mut self.turns[at]);
            self.end_turn(at);
        }
    }

    fn offer(&mut self, wire: Wire) {
        let socket = &mut self.sockets[wire];
        if !socket.is_open || socket.is_paused {
            return;
        }
        let at = usize::from(socket.shard.0);
        let turn = &mut self.turns[at];
        let consumed = self.shards[at].received(socket.key, &socket.pending, self.now, turn);
        socket.pending.drain(..consumed);
        self.end_turn(at);
    }

    pub(crate) fn is_paused(&self, wire: Wire) -> bool {
        self.sockets[wire].is_paused
    }

    pub(crate) fn end_turn(&mut self, at: usize) {
        if self.holds_turn {
            return;
        }
        let (shard, turn) = (&mut self.shards[at], &mut self.turns[at]);
        if shard.changes_router() {
            shard.end_turn_changing(&mut self.router, self.now, turn);
        } else {
            shard.end_turn(&self.router, self.now, turn);
        }
        let id = ShardId(u16::try_from(at).expect("few"));
        if !turn.batch.is_empty() {
            self.engine.submit(std::mem::take(&mut turn.batch));
        }
        self.mail.extend(turn.mail.drain(..));
        self.replays.extend(turn.replays.drain(..).map(|replay| (id, replay)));
        self.questions.extend(turn.questions.drain(..).map(|question| (id, question)));
        turn.notices.clear();
        let mut resumed = Vec::new();
        let wire_of = |sockets: &[Socket], key| {
            sockets.iter().position(|s| s.shard == id && s.key == key && s.is_open)
        };
        let mut has_written = false;
        for send in std::mem::take(&mut turn.sends) {
            if let Some(wire) = wire_of(&self.sockets, send.connection) {
                self.sockets[wire].inbox.extend_from_slice(&send.bytes);
                let len = send.bytes.len();
                if !self.is_stuffed {
                    has_written = true;
                    self.shards[at].written(send.connection, len, self.now, &mut self.turns[at]);
                }
            }
            self.turns[at].recycle(send.bytes);
        }
        let turn = &mut self.turns[at];
        for key in turn.paused.drain(..) {
            if let Some(wire) = wire_of(&self.sockets, key) {
                self.sockets[wire].is_paused = true;
            }
        }
        for key in turn.resumed.drain(..) {
            if let Some(wire) = wire_of(&self.sockets, key) {
                self.sockets[wire].is_paused = false;
                resumed.push(wire);
            }
        }
        for key in turn.closes.drain(..) {
            if let Some(wire) = wire_of(&self.sockets, key) {
                self.sockets[wire].is_open = false;
            }
        }
        for wire in resumed {
            self.offer(wire);
        }
        if has_written || !self.turns[at].is_empty() {
            self.end_turn(at);
        }
    }
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
