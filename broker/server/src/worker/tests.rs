//! A worker whose turns a test takes by hand.

use std::{
    io::{Read, Write},
    net::TcpStream,
    sync::{Arc, RwLock},
    time::{Duration, Instant},
};

use flotilla_core::{durability::Durability, id::ShardId, limits::Limits, router::Router};
use flotilla_store::Memory;

use super::*;
use crate::{
    commits::Commits,
    config::{Overrides, load},
    crew::Sharing,
    net::{listener::Listener, socket::READ_MAX, sockets::Sockets},
};

/// MQTT 3.1.1, clean session, no Keep Alive, no Client Identifier.
const CONNECT: &[u8] = b"\x10\x0c\0\x04MQTT\x04\x02\0\0\0\0";
const CONNACK: &[u8] = b"\x20\x02\0\0";
const PINGREQ: &[u8] = b"\xc0\0";
const PINGRESP: &[u8] = b"\xd0\0";

struct Bench {
    worker: Worker,
    listener: Arc<Listener>,
    door: std::net::TcpListener,
    events: Events,
}

impl Bench {
    fn new() -> Self {
        let listen = vec!["tcp://127.0.0.1:0".parse().unwrap()];
        let settings = load(None, &Overrides { listen, ..Overrides::default() }).unwrap();
        let (listener, door) =
            Listener::open(&settings.listeners[0], None, &Sockets::within(1024)).unwrap();
        door.set_nonblocking(false).unwrap();
        let mailboxes: Arc<[_]> = Arc::new([Arc::<Mailbox>::default()]);
        let alarm = Alarm::new().0;
        let commits = Commits { mailboxes: Arc::clone(&mailboxes), alarm };
        let shared = Shared {
            router: RwLock::new(Router::default()),
            mailboxes,
            engine: Arc::new(Memory::new(commits)),
            readers: Crew::start("reader", 0, 0, Sharing::ALONE, drop).unwrap(),
            checker: Checker::start(None, 0).unwrap(),
            handshake_time: Duration::from_secs(10),
            request_bytes_max: 8192,
            clock: Clock::start(),
        };
        let (limits, durability) = (Arc::<Limits>::default(), Arc::<Durability>::default());
        let shard = Shard::new(ShardId(0), 1, limits, durability, 7);
        let worker = Worker::new(0, shard, Arc::new(shared)).unwrap();
        Self { worker, listener, door, events: Events::with_capacity(EVENTS_MAX) }
    }

    fn connect(&mut self) -> TcpStream {
        let others = self.worker.shard.counters().sessions_connected;
        let mut peer = TcpStream::connect(self.door.local_addr().unwrap()).unwrap();
        peer.set_nodelay(true).unwrap();
        peer.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let (stream, address) = self.door.accept().unwrap();
        stream.set_nonblocking(true).unwrap();
        let stream = mio::net::TcpStream::from_std(stream);
        let accepted = self.listener.admit(stream, address).unwrap();
        self.worker.mailbox.push(Inbound::Accepted(accepted));
        peer.write_all(CONNECT).unwrap();
        self.take_turns_until(|worker| worker.shard.counters().sessions_connected > others);
        peer
    }

    /// Until nothing is to be done now.
    fn settle(&mut self) {
        loop {
            // It must not sleep.
            self.worker.is_turn_wanted = true;
            self.worker.look(&mut self.events).unwrap();
            self.worker.take_turn();
            let is_idle = !self.worker.is_turn_wanted && self.worker.ready.is_empty();
            if is_idle && self.worker.mailbox.may_sleep() {
                return;
            }
        }
    }

    fn take_turns_until(&mut self, is_reached: impl Fn(&Worker) -> bool) {
        let until = Instant::now() + Duration::from_secs(10);
        while !is_reached(&self.worker) {
            assert!(Instant::now() < until, "it does not come");
            self.settle();
        }
    }
}

fn expect(peer: &mut TcpStream, expected: &[u8]) {
    let mut got = vec![0; expected.len()];
    peer.read_exact(&mut got).unwrap();
    assert_eq!(got, expected);
}

#[test]
fn one_turn_for_all_sockets_that_are_ready() {
    const SOCKETS: usize = 300;
    let mut bench = Bench::new();
    let mut peers: Vec<_> = (0..SOCKETS).map(|_| bench.connect()).collect();
    for peer in &mut peers {
        expect(peer, CONNACK);
    }
    bench.settle();
    let turns = bench.worker.report.turns;
    for peer in &mut peers {
        peer.write_all(PINGREQ).unwrap();
    }
    bench.worker.look(&mut bench.events).unwrap();
    bench.worker.take_turn();
    for peer in &mut peers {
        expect(peer, PINGRESP);
    }
    assert_eq!(bench.worker.report.turns, turns + 1);
}

#[test]
fn a_socket_with_much_lets_the_others_go_first() {
    let mut bench = Bench::new();
    let (mut busy, mut other) = (bench.connect(), bench.connect());
    for peer in [&mut busy, &mut other] {
        expect(peer, CONNACK);
    }
    bench.settle();
    busy.write_all(&PINGREQ.repeat(READ_MAX)).unwrap();
    other.write_all(PINGREQ).unwrap();
    bench.worker.look(&mut bench.events).unwrap();
    bench.worker.take_turn();
    expect(&mut other, PINGRESP);
    assert_eq!(bench.worker.ready.len(), 1, "there is more of the busy one");
    bench.settle();
    expect(&mut busy, &PINGRESP.repeat(READ_MAX));
}

#[test]
fn the_end_of_a_stream_is_seen_behind_its_last_bytes() {
    let mut bench = Bench::new();
    let mut peer = bench.connect();
    expect(&mut peer, CONNACK);
    peer.write_all(PINGREQ).unwrap();
    peer.shutdown(std::net::Shutdown::Write).unwrap();
    bench.take_turns_until(|worker| worker.sockets.is_empty());
    expect(&mut peer, PINGRESP);
    assert_eq!(peer.read(&mut [0]).unwrap(), 0);
    assert!(bench.worker.by_connection.is_empty());
    assert_eq!(bench.listener.connections(), 0);
}
