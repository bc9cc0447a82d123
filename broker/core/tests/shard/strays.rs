//! Events that come too late: for what the shard has forgotten, or in another phase.

use std::sync::Arc;

use flotilla_core::connection::Identification;
use flotilla_core::durability::Durability;
use flotilla_core::id::{ConnectionKey, Position, SessionKey, ShardId};
use flotilla_core::limits::Limits;
use flotilla_core::router::Router;
use flotilla_core::shard::Shard;
use flotilla_core::time::Now;
use flotilla_core::turn::{Page, Turn};
use flotilla_mqtt::{Auth, Connect, Packet, ReasonCode, Version, decode};

const NOW: Now = Now { monotonic_ms: 1_000, unix_ms: 1_000_000 };

fn accepted() -> Identification {
    Identification::Accepted { identity: None }
}

/// A shard alone, which nobody settles.
struct Alone {
    shard: Shard,
    router: Router,
    out: Turn,
}

impl Alone {
    fn new() -> Self {
        let (limits, durability) = (Arc::new(Limits::default()), Arc::new(Durability::default()));
        let shard = Shard::new(ShardId(0), 1, limits, durability, 7);
        let mut alone = Self { shard, router: Router::default(), out: Turn::default() };
        alone.end_turn();
        alone
    }

    fn open(&mut self) -> ConnectionKey {
        self.shard.opened(NOW, &mut self.out)
    }

    fn send(&mut self, key: ConnectionKey, packet: &Packet<'_>) {
        let mut bytes = Vec::new();
        packet.encode(Version::V5, &mut bytes).expect("it can be encoded");
        let consumed = self.shard.received(key, &bytes, NOW, &mut self.out);
        assert_eq!(consumed, bytes.len());
    }

    fn identified(&mut self, key: ConnectionKey, answer: Identification) {
        self.shard.identified(key, answer, NOW, &mut self.out);
    }

    /// What is sent to clients meanwhile.
    fn end_turn(&mut self) -> Vec<ReasonCode> {
        if self.shard.changes_router() {
            self.shard.end_turn_changing(&mut self.router, NOW, &mut self.out);
        } else {
            self.shard.end_turn(&self.router, NOW, &mut self.out);
        }
        let sends = std::mem::take(&mut self.out).sends;
        let codes = sends.iter().map(|send| {
            let decoded = decode(&send.bytes, Version::V5, u32::MAX).expect("a valid packet");
            match decoded.expect("a whole one").0 {
                Packet::Connack(connack) => connack.reason_code,
                Packet::Auth(auth) => auth.reason_code,
                Packet::Disconnect(disconnect) => disconnect.reason_code,
                other => panic!("{other:?}"),
            }
        });
        codes.collect()
    }

    #[track_caller]
    fn assert_nothing_follows(&mut self) {
        assert_eq!(self.end_turn(), []);
        assert!(self.out.is_empty(), "{:?}", self.out);
    }
}

#[test]
fn for_a_connection_that_has_gone() {
    let mut a = Alone::new();
    let key = a.open();
    a.shard.closed(key, NOW, &mut a.out);
    a.end_turn();
    let counters = a.shard.counters().clone();
    assert_eq!(a.shard.received(key, b"\xc0\0", NOW, &mut a.out), 2, "nobody keeps them");
    a.shard.written(key, 2, NOW, &mut a.out);
    a.identified(key, accepted());
    a.shard.closed(key, NOW, &mut a.out);
    a.assert_nothing_follows();
    assert_eq!((a.shard.counters().connections_open, a.shard.census().connections), (0, 0));
    assert_eq!(a.shard.counters().bytes_received, counters.bytes_received + 2);
}

#[test]
fn for_a_session_that_has_gone() {
    let mut a = Alone::new();
    let session = SessionKey::default();
    let (messages, next) = (Vec::new(), Position(1));
    let page = Page { session, number: 1, messages, next, reached_end: true };
    a.shard.replayed(page, NOW, &mut a.out);
    a.shard.replay_failed(session, NOW, &mut a.out);
    a.assert_nothing_follows();
}

#[test]
fn an_answer_that_nobody_waits_for() {
    let mut a = Alone::new();
    let key = a.open();
    a.end_turn();
    a.identified(key, accepted());
    a.assert_nothing_follows();
    a.send(key, &Packet::Connect(Connect::new(Version::V5, "c")));
    a.identified(key, accepted());
    assert_eq!(a.end_turn(), [ReasonCode::Success]);
    for answer in [accepted(), Identification::Refused(ReasonCode::NotAuthorized)] {
        a.identified(key, answer);
        a.assert_nothing_follows();
    }
    assert_eq!(a.shard.census().connections, 1, "it is connected still");
}

/// Who asks for an exchange by AUTH must not be let through by an answer to a password.
#[test]
fn an_answer_to_another_question() {
    let mut a = Alone::new();
    let key = a.open();
    let mut connect = Connect::new(Version::V5, "c");
    connect.authentication_method = Some("BENCH");
    a.send(key, &Packet::Connect(connect));
    let authenticated = Identification::Authenticated { identity: "me".into(), data: Vec::new() };
    a.identified(key, authenticated);
    assert_eq!(a.end_turn(), [ReasonCode::Success]);
    a.send(key, &Packet::Auth(Auth::new(ReasonCode::ReAuthenticate, "BENCH")));
    a.identified(key, accepted());
    assert_eq!(a.end_turn(), [ReasonCode::NotAuthorized], "[MQTT-4.12.1-2]");
    assert_eq!(a.shard.counters().reauthentications_refused, 1);
    assert_eq!(a.shard.census().connections, 0);
}
