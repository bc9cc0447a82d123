//! Clients that do anything at any time: nobody panics, hangs, or leaves something behind.

use crate::bench::dialogue::{CONNACK, RESUMED, id, persistent, publish, send, subscribe_with};
use crate::bench::dice::{Dice, seeds};
use crate::bench::{Bench, Wire};
use flotilla_core::counters::Counters;
use flotilla_core::durability::{Class, Durability};
use flotilla_core::limits::Limits;
use flotilla_mqtt::{
    Ack, Connect, Disconnect, Packet, QoS, ReasonCode, Requested, SubscriptionOptions, Unsubscribe,
    UnsubscribeFilters, UserProperties, Version, Will,
};

const QOS: [QoS; 3] = [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce];
const TOPICS: [&str; 4] = ["a", "b", "a/b", "c/d"];
const FILTERS: [&str; 7] = ["a", "#", "a/#", "+/b", "c/d", "$share/g/a", "+"];
const NAMES: [&str; 4] = ["x", "y", "z", "w"];

/// Sockets that clients use, and those they have forgotten.
#[derive(Default)]
struct Sockets {
    wires: Vec<Wire>,
    old: Vec<Wire>,
}

fn run(seed: u64) {
    let mut d = Dice(seed);
    let limits = Limits {
        inflight_max: 1 + d.below(6) as u16,
        tail_messages_max: 1 + d.below(4),
        page_messages_max: 1 + d.below(5),
        cursor_lag_max: 1 + d.below(8),
        cursor_idle_ms: 500,
        tail_bytes_max: 1 + d.below(200),
        uncommitted_bytes_max: 400,
        queue_messages_max: 5,
        subscriptions_max: 4,
        retained_messages_max: 3,
        receive_max: 5,
        owed_bytes_max: 1 + d.below(400),
        ..Limits::default()
    };
    let shards = 1 + d.below(3);
    let class = |d: &mut Dice| [Class::Memory, Class::Os, Class::Fsync][d.below(3)];
    let rules = vec![("a/#".into(), class(&mut d)), ("b".into(), class(&mut d))];
    let durability = Durability::new(rules, class(&mut d));
    let mut b = Bench::with_durability(shards as u16, limits, durability);
    b.commits_at_once = false;
    b.syncs_at_once = d.one_in(2);
    let mut sockets = Sockets::default();
    for _ in 0..3000 {
        act(&mut b, &mut d, shards, &mut sockets);
    }
    b.holds_turn = false;
    for at in 0..shards {
        b.end_turn(at);
    }
    b.store_changed(false);
    b.settle();
    b.wait_ms(4000);
    b.settle();
    if probe(&mut b, &mut d, shards, &mut sockets, seed) {
        leave_nothing(b, sockets, seed);
    }
}

/// Somebody does something, or something that was on its way arrives.
fn act(b: &mut Bench, d: &mut Dice, shards: usize, sockets: &mut Sockets) {
    let Sockets { wires, old } = sockets;
    if d.one_in(3) {
        b.holds_turn ^= true;
        if !b.holds_turn {
            for at in 0..shards {
                b.end_turn(at);
            }
        }
    }
    match d.below(30) {
        0 => {
            let mut c = persistent(NAMES[d.below(4)], [0, 2, 60][d.below(3)]);
            if d.one_in(4) {
                c.version = Version::V3_1_1;
                c.session_expiry_interval_s = if d.one_in(2) { 0 } else { u32::MAX };
                c.clean_start = c.session_expiry_interval_s == 0;
            } else {
                c.clean_start = d.one_in(3);
                c.receive_maximum = 1 + d.below(4) as u16;
                if d.one_in(4) {
                    c.maximum_packet_size = Some(30);
                }
            }
            if d.one_in(2) {
                let mut will = Will::new(TOPICS[d.below(4)], b"will", QOS[d.below(3)], d.one_in(3));
                if c.version == Version::V5 {
                    will.delay_interval_s = d.below(4) as u32;
                }
                c.will = Some(will);
            }
            if b.holds_turn {
                b.holds_turn = false;
                for at in 0..shards {
                    b.end_turn(at);
                }
            }
            let shard = d.below(shards) as u16;
            if d.one_in(10) {
                b.refuse_next = Some(ReasonCode::NotAuthorized);
            }
            wires.push(b.connect(shard, c));
            if wires.len() > 12 {
                let w = wires.remove(0);
                old.push(w);
            }
        }
        1 if d.one_in(4) => b.store_changed(d.one_in(2)),
        1 if !wires.is_empty() => {
            let w = wires[d.below(wires.len())];
            b.cut(w);
        }
        2 => {
            let ms = 1 + d.below(1500) as u64;
            b.wait_ms(ms);
        }
        3 if d.one_in(20) => {
            b.holds_turn = false;
            if d.one_in(2) {
                b.crash();
            } else {
                b.power_cut(d.below(4));
            }
            wires.clear();
            old.clear();
        }
        3..=5 => {
            b.commit(1 + d.below(3));
        }
        6 => {
            b.sync(1 + d.below(4));
        }
        7 | 8 => {
            b.report();
        }
        9..=12 => {
            b.deliver_mail();
        }
        13 => {
            b.read_page();
        }
        14 => {
            b.deliver_page();
        }
        15 => {
            b.answer();
        }
        _ if !wires.is_empty() => {
            let w = wires[d.below(wires.len())];
            if !b.is_open(w) {
                return;
            }
            let packet_id = id(1 + d.below(6) as u16);
            let ack = Ack::new(packet_id, ReasonCode::Success);
            match d.below(14) {
                0..=3 => {
                    let q = QOS[d.below(3)];
                    let mut p = publish(
                        TOPICS[d.below(4)],
                        ["1", "22", "", "a long payload of many bytes that is too long"]
                            [d.below(4)],
                        q,
                        if q == QoS::AtMostOnce { 0 } else { packet_id.get() },
                    );
                    p.retain = d.one_in(4);
                    b.send(w, &Packet::Publish(p));
                }
                4 | 5 => {
                    let mut o = SubscriptionOptions::new(QOS[d.below(3)]);
                    o.no_local = false;
                    subscribe_with(
                        b,
                        w,
                        None,
                        &[Requested { filter: FILTERS[d.below(7)], options: o }],
                    );
                }
                6 => {
                    let f = [FILTERS[d.below(5)]];
                    b.send(
                        w,
                        &Packet::Unsubscribe(Unsubscribe {
                            packet_id,
                            user_properties: UserProperties::EMPTY,
                            filters: UnsubscribeFilters::from_slice(&f),
                        }),
                    );
                }
                7 | 8 => b.send(w, &Packet::Puback(ack)),
                9 => b.send(
                    w,
                    &Packet::Pubrec(if d.one_in(5) {
                        Ack::new(packet_id, ReasonCode::UnspecifiedError)
                    } else {
                        ack
                    }),
                ),
                10 => b.send(w, &Packet::Pubrel(ack)),
                11 => b.send(w, &Packet::Pubcomp(ack)),
                12 => b.send(w, &Packet::Pingreq),
                _ if d.one_in(3) => {
                    b.send(w, &Packet::Disconnect(Disconnect::new(ReasonCode::Success)));
                }
                _ => {}
            }
            if d.one_in(2) {
                while b.receive(w, |_| ()).is_some() {}
            }
        }
        _ => {}
    }
}

/// Every session still works: one message each, sent while it is away. False: the one who asks was
/// cut off by a crash.
fn probe(b: &mut Bench, d: &mut Dice, shards: usize, sockets: &mut Sockets, seed: u64) -> bool {
    let wires = &mut sockets.wires;
    b.refuse_next = None;
    let pw = b.connect(0, Connect::new(Version::V5, "probe-publisher"));
    b.settle();
    assert_eq!(b.next(pw), CONNACK);
    for (n, name) in NAMES.iter().enumerate() {
        let probe = format!("probe{n}");
        let w = b.connect(d.below(shards) as u16, persistent(name, 60));
        b.settle();
        assert!(b.next(w).starts_with("CONNACK 0x00"), "seed {seed} {name} CONNACK");
        drain(b, w, "");
        let o = SubscriptionOptions::new(QoS::AtLeastOnce);
        for f in FILTERS {
            let f = [f];
            b.settle();
            b.send(
                w,
                &Packet::Unsubscribe(Unsubscribe {
                    packet_id: id(9),
                    user_properties: UserProperties::EMPTY,
                    filters: UnsubscribeFilters::from_slice(&f),
                }),
            );
        }
        drain(b, w, "");
        let f = ["#", "a", "a/#"][d.below(3)];
        subscribe_with(b, w, None, &[Requested { filter: f, options: o }]);
        drain(b, w, "");
        b.cut(w);
        b.settle();
        send(b, pw, "a", &probe, QoS::AtLeastOnce, 1);
        b.settle();
        assert_eq!(b.next(pw), "PUBACK #1 0x00", "seed {seed} {name}");
        if d.one_in(2) {
            b.crash();
        }
        let w = b.connect(d.below(shards) as u16, persistent(name, 60));
        b.settle();
        assert_eq!(b.next(w), RESUMED, "seed {seed} {name}");
        assert_eq!(drain(b, w, &probe), 1, "seed {seed} {name} {f}");
        wires.push(w);
        if !b.is_open(pw) {
            // Its connection went with the crash.
            return false;
        }
    }
    wires.push(pw);
    true
}

/// When everybody has gone and every interval is over, nothing is left.
fn leave_nothing(mut b: Bench, sockets: Sockets, seed: u64) {
    let Sockets { wires, old } = sockets;
    for w in wires.into_iter().chain(old) {
        b.cut(w);
    }
    b.settle();
    for _ in 0..20 {
        b.wait_ms(1000);
        b.settle();
    }
    b.wait_ms(8 * 24 * 3600 * 1000);
    b.settle();
    b.wait_ms(8 * 24 * 3600 * 1000);
    b.settle();
    let mut c = Counters::default();
    for s in &b.shards {
        c += s.counters();
    }
    assert_eq!((c.connections_open, c.sessions_connected), (0, 0), "seed {seed} connections");
    assert_eq!((c.sessions_disconnected, c.subscriptions), (0, 0), "seed {seed} sessions");
    for (at, s) in b.shards.iter().enumerate() {
        let text = format!("{s:?}");
        for want in [
            "by_client: {}",
            "entries: {}",
            "commit_waiters: []",
            "sync_waiters: []",
            "steps: []",
            "touched: []",
            "stale_records: []",
            "moved_cursors: []",
            "idle: []",
            "own_mail: []",
            "heap: []",
            "ending: {}",
            "held: {}",
        ] {
            assert!(text.contains(want), "seed {seed} shard {at}: not {want}: {}", {
                let k = want.split(':').next().expect("a colon");
                let i = text.find(&format!("{k}:")).unwrap_or(0);
                &text[i..text.len().min(i + 600)]
            });
        }
    }
    let text = format!("{:?}", b.router);
    assert!(text.contains("edges: {}"), "seed {seed} router {}", &text[..text.len().min(600)]);
    for n in NAMES {
        assert!(b.engine.session(n).is_none(), "seed {seed}: {n} on disk");
    }
}

/// Answers everything; how often the probe came.
fn drain(b: &mut Bench, w: Wire, probe: &str) -> usize {
    let mut times = 0;
    b.settle();
    loop {
        let answer = b.receive(w, |packet| match packet {
            Packet::Publish(p) => {
                times += usize::from(!probe.is_empty() && p.payload == probe.as_bytes());
                let ack = p.packet_id.map(|id| Ack::new(id, ReasonCode::Success));
                ack.map(|ack| {
                    if p.qos == QoS::ExactlyOnce {
                        Packet::Pubrec(ack)
                    } else {
                        Packet::Puback(ack)
                    }
                })
            }
            Packet::Pubrel(p) => Some(Packet::Pubcomp(Ack::new(p.packet_id, ReasonCode::Success))),
            _ => None,
        });
        match answer {
            None => return times,
            Some(Some(packet)) => {
                b.send(w, &packet);
                b.settle();
            }
            Some(None) => {}
        }
    }
}

#[test]
fn anything_at_any_time() {
    for seed in seeds(0..150) {
        println!("seed {seed}");
        run(seed);
    }
}
