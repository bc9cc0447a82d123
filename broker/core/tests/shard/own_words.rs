//! What the broker says of its own.

use std::sync::Arc;

use crate::bench::Bench;
use crate::bench::dialogue::{CONNACK, clean, subscribe};
use flotilla_core::durability::Durability;
use flotilla_core::id::ShardId;
use flotilla_core::limits::Limits;
use flotilla_core::shard::Shard;
use flotilla_core::turn::Turn;
use flotilla_core::words::Words;
use flotilla_mqtt::{Connect, Packet, QoS, Version};

fn announce(b: &mut Bench, facts: &[(&str, &str)]) {
    let own = |&(topic, payload): &(&str, &str)| (topic.to_owned(), payload.to_owned());
    let facts: Vec<_> = facts.iter().map(own).collect();
    b.shards[0].announced(&facts, b.now, &mut Turn::default());
    b.end_turn(0);
    b.settle();
}

#[test]
fn facts_reach_who_asks_for_them() {
    let mut b = Bench::new(2);
    let early: Vec<_> = (0..2)
        .map(|shard| {
            let wire = b.connect(shard, Connect::new(Version::V5, &format!("early{shard}")));
            assert_eq!(b.next(wire), CONNACK);
            subscribe(&mut b, wire, "$SYS/#", QoS::AtLeastOnce);
            wire
        })
        .collect();
    let all = clean(&mut b, "all");
    subscribe(&mut b, all, "#", QoS::AtMostOnce);
    announce(&mut b, &[("$SYS/broker/uptime", "1"), ("$SYS/broker/version", "x")]);
    announce(&mut b, &[("$SYS/broker/uptime", "2")]);
    for wire in early {
        for fact in ["uptime=1", "version=x", "uptime=2"] {
            assert_eq!(b.next(wire), format!("PUBLISH q0 $SYS/broker/{fact}"));
        }
    }
    assert_eq!(b.next(all), "", "[MQTT-4.7.2-1]");
    let late = clean(&mut b, "late");
    subscribe(&mut b, late, "$SYS/+/uptime", QoS::AtMostOnce);
    assert_eq!(b.next(late), "PUBLISH q0 retain $SYS/broker/uptime=2", "the last one");
    assert_eq!(b.next(late), "");
    assert!(b.engine.log().is_empty() && b.router.retained_messages() == 0, "it is not stored");
}

#[test]
#[should_panic(expected = "a turn that changes the router ended with end_turn")]
fn a_turn_that_changes_the_router_needs_it_alone() {
    let mut b = Bench::new(1);
    let fact = ("$SYS/broker/uptime".to_owned(), "1".to_owned());
    let mut out = Turn::default();
    b.shards[0].announced(&[fact], b.now, &mut out);
    assert!(b.shards[0].changes_router());
    b.shards[0].end_turn(&b.router, b.now, &mut out);
}

fn bench_with(words: Words) -> Bench {
    let mut b = Bench::new(1);
    let (limits, durability) = (Arc::new(Limits::default()), Arc::new(Durability::default()));
    b.shards[0] = Shard::new(ShardId(0), 1, limits, durability, 7).with_words(Arc::new(words));
    b
}

fn response_information(b: &mut Bench, connect: Connect<'_>) -> Option<String> {
    let wire = b.connect(0, connect);
    let told = b.receive(wire, |packet| match packet {
        Packet::Connack(connack) => connack.properties.response_information.map(str::to_owned),
        other => panic!("{other:?}"),
    });
    told.expect("CONNACK")
}

#[test]
fn response_information_is_for_who_asks_for_it() {
    let words = |pattern: Option<&str>| Words {
        response_information: pattern.map(Into::into),
        ..Words::default()
    };
    let mut asks = Connect::new(Version::V5, "c");
    asks.request_response_information = true;
    let mut b = bench_with(words(Some("answers/%c/of/%c")));
    assert_eq!(response_information(&mut b, asks).as_deref(), Some("answers/c/of/c"));
    let silent = Connect::new(Version::V5, "c");
    assert_eq!(response_information(&mut b, silent), None, "[MQTT-3.1.2-28]");
    let mut b = bench_with(words(None));
    assert_eq!(response_information(&mut b, asks), None, "there is none");
}

#[test]
fn clients_of_a_broker_that_ends_are_sent_to_another() {
    let words = Words { server_reference: Some("other:1883".into()), ..Words::default() };
    let mut b = bench_with(words);
    let new = clean(&mut b, "new");
    let old = b.connect(0, Connect::new(Version::V3_1_1, "old"));
    assert_eq!(b.next(old), CONNACK);
    b.shut_down();
    let told = b.receive(new, |packet| match packet {
        Packet::Disconnect(it) => (it.reason_code.code(), it.server_reference.map(str::to_owned)),
        other => panic!("{other:?}"),
    });
    assert_eq!(told, Some((0x9c, Some("other:1883".to_owned()))), "section 4.11");
    assert_eq!(b.next(old), "", "MQTT 3.1.1 has no word for it");
    assert!(!b.is_open(new) && !b.is_open(old));
}

#[test]
fn a_client_that_would_be_silent_for_too_long_is_told_how_long_it_may_be() {
    let limits = Limits { keep_alive_max_s: 60, ..Limits::default() };
    let mut b = Bench::with_limits(1, limits);
    for (keep_alive_s, set) in [(0, Some(60)), (30, None), (60, None), (61, Some(60))] {
        let mut connect = Connect::new(Version::V5, "c");
        connect.keep_alive_s = keep_alive_s;
        let wire = b.connect(0, connect);
        let told = b.receive(wire, |packet| match packet {
            Packet::Connack(connack) => connack.properties.server_keep_alive_s,
            other => panic!("{other:?}"),
        });
        assert_eq!(told, Some(set), "Keep Alive {keep_alive_s} [MQTT-3.2.2-22]");
        b.wait_ms(29_000);
        assert!(b.is_open(wire));
        b.wait_ms(62_000);
        assert!(!b.is_open(wire), "Keep Alive {keep_alive_s}");
    }
}
