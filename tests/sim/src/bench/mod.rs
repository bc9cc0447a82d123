//! Drives shards by hand: sockets are byte queues, the engine is a list, time is a number.

pub mod cleaning;
mod describe;
pub mod dialogue;
pub mod dice;
pub mod engine;
mod under_way;

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

pub use describe::describe;

use engine::TestEngine;
use flotilla_core::durability::Durability;
use flotilla_core::id::{ClientId, ConnectionKey, Position, ShardId, Ticket};
use flotilla_core::limits::Limits;
use flotilla_core::mail::{Commit, Mail, Overtaken};
use flotilla_core::message::Message;
use flotilla_core::record::StoredSession;
use flotilla_core::router::Router;
use flotilla_core::shard::Shard;
use flotilla_core::time::Now;
use flotilla_core::turn::{Page, Question, Replay, Turn};
use flotilla_mqtt::{Connect, Packet, ReasonCode, Version, decode};

/// A broker on the bench.
pub struct Bench {
    /// The shards, by number.
    pub shards: Vec<Shard>,
    turns: Vec<Turn>,
    /// Shared by them.
    pub router: Router,
    /// Where they store.
    pub engine: TestEngine,
    /// In force.
    pub limits: Arc<Limits>,
    durability: Arc<Durability>,
    /// What the clocks say.
    pub now: Now,
    sockets: Vec<Socket>,
    /// What was given to sockets, in order, if somebody listens.
    pub spoken: Option<Vec<(Wire, Vec<u8>)>>,
    /// Sockets that are open.
    wires: HashMap<(ShardId, ConnectionKey), Wire>,
    /// From, to.
    mail: VecDeque<(ShardId, ShardId, Mail)>,
    reports: VecDeque<(ShardId, Report)>,
    replays: VecDeque<(ShardId, Replay)>,
    pages: VecDeque<(ShardId, Page)>,
    questions: VecDeque<(ShardId, Question)>,
    /// Answers the next question with no.
    pub refuse_next: Option<ReasonCode>,
    /// Whether a turn's batch is committed at once.
    pub commits_at_once: bool,
    /// Whether what is committed is synced at once.
    pub syncs_at_once: bool,
    /// Events gather in one turn.
    pub holds_turn: bool,
    /// No socket takes anything.
    pub is_stuffed: bool,
    /// Writes and syncs fail: what is written all the same is reported when that has passed.
    is_failing: bool,
    unreported: VecDeque<(ShardId, Report)>,
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
    /// Takes nothing more.
    is_stuffed: bool,
    /// Bytes in `inbox` of which the shard does not know that they were taken.
    untaken: usize,
}

/// Who sends the mail that no shard sends.
const ENGINE: ShardId = ShardId(u16::MAX);

/// What the engine tells a shard.
enum Report {
    Committed(Commit),
    Synced(Ticket),
}

/// A socket of the bench, by number.
pub type Wire = usize;

impl Bench {
    /// So many shards with the usual limits.
    pub fn new(shards: u16) -> Self {
        Self::with_limits(shards, Limits::default())
    }

    /// The usual durability.
    pub fn with_limits(shards: u16, limits: Limits) -> Self {
        Self::with_durability(shards, limits, Durability::default())
    }

    /// A broker that has just started on an empty disk.
    pub fn with_durability(shards: u16, limits: Limits, durability: Durability) -> Self {
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
            spoken: None,
            wires: HashMap::new(),
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
            is_failing: false,
            unreported: VecDeque::new(),
        }
    }

    /// Opens a socket without a word.
    pub fn open(&mut self, shard: u16, version: Version) -> Wire {
        let at = usize::from(shard);
        let key = self.shards[at].opened(self.now, &mut self.turns[at]);
        self.sockets.push(Socket {
            shard: ShardId(shard),
            key,
            version,
            inbox: Vec::new(),
            pending: Vec::new(),
            is_paused: false,
            is_open: true,
            is_stuffed: false,
            untaken: 0,
        });
        let wire = self.sockets.len() - 1;
        self.wires.insert((ShardId(shard), key), wire);
        self.end_turn(at);
        wire
    }

    /// Opens a socket and sends CONNECT.
    pub fn connect(&mut self, shard: u16, connect: Connect<'_>) -> Wire {
        let wire = self.open(shard, connect.version);
        self.send(wire, &Packet::Connect(connect));
        wire
    }

    /// The client sends a packet, and the broker gets it.
    pub fn send(&mut self, wire: Wire, packet: &Packet<'_>) {
        let mut bytes = Vec::new();
        packet.encode(self.sockets[wire].version, &mut bytes).expect("test packets are encodable");
        self.send_bytes(wire, &bytes);
    }

    /// The client sends bytes, and the broker gets them.
    pub fn send_bytes(&mut self, wire: Wire, bytes: &[u8]) {
        self.sockets[wire].pending.extend_from_slice(bytes);
        self.offer(wire);
        if self.commits_at_once {
            self.settle();
        }
    }

    /// The client's socket breaks; what was on its way is lost.
    pub fn cut(&mut self, wire: Wire) {
        let socket = &mut self.sockets[wire];
        socket.pending.clear();
        socket.inbox.clear();
        if std::mem::replace(&mut socket.is_open, false) {
            let (at, key) = (usize::from(socket.shard.0), socket.key);
            self.wires.remove(&(socket.shard, key));
            self.shards[at].closed(key, self.now, &mut self.turns[at]);
            self.end_turn(at);
        }
        if self.commits_at_once {
            self.settle();
        }
    }

    /// Whether the broker has the connection still.
    pub fn is_open(&self, wire: Wire) -> bool {
        self.sockets[wire].is_open
    }

    /// Calls `take` with the next packet to the client, if there is one.
    pub fn receive<T>(&mut self, wire: Wire, take: impl FnOnce(Packet<'_>) -> T) -> Option<T> {
        let socket = &mut self.sockets[wire];
        let decoded = decode(&socket.inbox, socket.version, u32::MAX);
        let (packet, len) = decoded.expect("the broker sends valid packets")?;
        let taken = take(packet);
        socket.inbox.drain(..len);
        Some(taken)
    }

    /// The next packet as text, `""`: none.
    pub fn next(&mut self, wire: Wire) -> String {
        self.receive(wire, |packet| describe(&packet)).unwrap_or_default()
    }

    /// Both clocks go on.
    pub fn wait_ms(&mut self, ms: u64) {
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
    pub fn settle(&mut self) {
        while self.answer()
            | self.deliver_mail()
            | self.commit(usize::MAX)
            | self.sync(usize::MAX)
            | self.report()
            | self.read_page()
            | self.deliver_page()
        {}
    }

    /// Cleans the log; the homes of the sessions that lose messages hear of it.
    pub fn clean(&mut self, begin: Position, owed: &[(&str, u64)]) {
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
            self.mail.push_back((ENGINE, home, Mail::Overtaken(vec![overtaken])));
        }
        if self.commits_at_once {
            self.settle();
        }
    }

    /// Client Identifiers of sessions that travel between shards.
    pub fn travelling(&self) -> impl Iterator<Item = &ClientId> {
        self.mail.iter().filter_map(|(_, _, mail)| match mail {
            Mail::Granted { client_id, session: Some(_), .. } => Some(client_id),
            _ => None,
        })
    }

    /// Mails on their way.
    pub fn waiting_mail(&self) -> usize {
        self.mail.len()
    }

    /// Writes and syncs fail from now on, or work again.
    pub fn disk_fails(&mut self, is_failing: bool) {
        self.is_failing = is_failing;
        if !is_failing {
            self.reports.extend(self.unreported.drain(..));
        }
    }

    /// Whether they fail.
    pub fn is_failing(&self) -> bool {
        self.is_failing
    }

    /// The disk is full, or has room again.
    pub fn store_changed(&mut self, is_full: bool) {
        for at in 0..self.shards.len() {
            self.shards[at].store_changed(is_full, self.now, &mut self.turns[at]);
            self.end_turn(at);
        }
        if self.commits_at_once {
            self.settle();
        }
    }

    /// SIGKILL and a new start on the same disk: with it go all sockets and all that was not
    /// written.
    pub fn crash(&mut self) {
        let stored = self.engine.crash();
        self.restart(stored);
    }

    /// The power fails; of what was not synced the first `kept` batches happen to be on the disk.
    pub fn power_cut(&mut self, kept: usize) {
        let stored = self.engine.power_cut(kept);
        self.restart(stored);
    }

    fn restart(&mut self, (sessions, retained): (Vec<StoredSession>, Vec<Message>)) {
        for socket in &mut self.sockets {
            socket.is_open = false;
            socket.inbox.clear();
            socket.pending.clear();
        }
        self.wires.clear();
        self.unreported.clear();
        self.is_failing = false;
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

    /// The broker stops in order.
    pub fn shut_down(&mut self) {
        for at in 0..self.shards.len() {
            self.shards[at].shut_down(self.now, &mut self.turns[at]);
            self.end_turn(at);
        }
        self.settle();
    }

    /// Whether events gather from now on; if not, the turns that gathered end.
    pub fn hold_turns(&mut self, holds: bool) {
        self.holds_turn = holds;
        for at in 0..self.shards.len() {
            self.end_turn(at);
        }
    }

    /// The broker stops in order; nothing has been committed yet.
    pub fn shut_down_unsettled(&mut self) {
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

    /// The client's side of the socket takes nothing more, or takes what waits.
    pub fn stuff(&mut self, wire: Wire, is_stuffed: bool) {
        let socket = &mut self.sockets[wire];
        socket.is_stuffed = is_stuffed;
        if !is_stuffed && socket.is_open {
            let (at, key) = (usize::from(socket.shard.0), socket.key);
            let bytes = std::mem::take(&mut socket.untaken);
            self.shards[at].written(key, bytes, self.now, &mut self.turns[at]);
            self.end_turn(at);
        }
    }

    /// Sockets that the broker has.
    pub fn open_wires(&self) -> usize {
        self.wires.len()
    }

    /// Bytes on their way to the client.
    pub fn inbox(&self, wire: Wire) -> &[u8] {
        &self.sockets[wire].inbox
    }

    /// The client reads so many of them at most.
    pub fn take_bytes(&mut self, wire: Wire, bytes: usize) -> Vec<u8> {
        let inbox = &mut self.sockets[wire].inbox;
        let count = bytes.min(inbox.len());
        inbox.drain(..count).collect()
    }

    /// Bytes from the client that the broker has not consumed.
    pub fn unconsumed(&self, wire: Wire) -> usize {
        self.sockets[wire].pending.len()
    }

    /// Whether the broker does not read the socket.
    pub fn is_paused(&self, wire: Wire) -> bool {
        self.sockets[wire].is_paused
    }

    /// Ends the turn of a shard, unless events gather in it, and does what it says.
    pub fn end_turn(&mut self, at: usize) {
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
        self.mail.extend(turn.mail.drain(..).map(|(to, mail)| (id, to, mail)));
        self.replays.extend(turn.replays.drain(..).map(|replay| (id, replay)));
        self.questions.extend(turn.questions.drain(..).map(|question| (id, question)));
        turn.notices.clear();
        let mut resumed = Vec::new();
        let mut has_written = false;
        for send in std::mem::take(&mut turn.sends) {
            if let Some(&wire) = self.wires.get(&(id, send.connection)) {
                let socket = &mut self.sockets[wire];
                socket.inbox.extend_from_slice(&send.bytes);
                if let Some(spoken) = &mut self.spoken {
                    spoken.push((wire, send.bytes.clone()));
                }
                let len = send.bytes.len();
                if self.is_stuffed || socket.is_stuffed {
                    socket.untaken += len;
                } else {
                    has_written = true;
                    self.shards[at].written(send.connection, len, self.now, &mut self.turns[at]);
                }
            }
            self.turns[at].recycle(send.bytes);
        }
        let turn = &mut self.turns[at];
        for key in turn.paused.drain(..) {
            if let Some(&wire) = self.wires.get(&(id, key)) {
                self.sockets[wire].is_paused = true;
            }
        }
        for key in turn.resumed.drain(..) {
            if let Some(&wire) = self.wires.get(&(id, key)) {
                self.sockets[wire].is_paused = false;
                resumed.push(wire);
            }
        }
        for key in turn.closes.drain(..) {
            if let Some(wire) = self.wires.remove(&(id, key)) {
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
