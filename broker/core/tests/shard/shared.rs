//! Shared subscriptions: who of a group gets what.

use crate::bench::dialogue::{
    CONNACK, RESUMED, clean, dropped, id, payloads, persistent, puback, send, subscribe,
    subscribe_with,
};
use crate::bench::{Bench, Wire};
use flotilla_core::counters::DropReason;
use flotilla_core::limits::Limits;
use flotilla_mqtt::{
    Connect, Disconnect, Packet, Publish, QoS, ReasonCode, Requested, SubscriptionOptions,
    Unsubscribe, UnsubscribeFilters, UserProperties, Version,
};

const SHARED: &str = "$share/g/a/#";

/// Clean members of the group, one a shard in turn.
fn members(b: &mut Bench, shards: &[u16], qos: QoS) -> Vec<Wire> {
    let join = |(number, &shard): (usize, &u16)| {
        let name = format!("member{number}");
        let wire = b.connect(shard, Connect::new(Version::V5, &name));
        assert_eq!(b.next(wire), CONNACK);
        subscribe(b, wire, SHARED, qos);
        wire
    };
    shards.iter().enumerate().map(join).collect()
}

#[test]
fn one_member_gets_a_message_each_in_turn() {
    for qos in [QoS::AtMostOnce, QoS::AtLeastOnce] {
        let mut b = Bench::new(3);
        let members = members(&mut b, &[0, 1, 2, 0], qos);
        let p = clean(&mut b, "p");
        for number in 0..8_u16 {
            send(&mut b, p, "a/b", &number.to_string(), qos, (qos.bits() as u16) * (number + 1));
        }
        for (number, &member) in members.iter().enumerate() {
            let expected = [number.to_string(), (number + 4).to_string()];
            assert_eq!(payloads(&mut b, member), expected);
        }
    }
}

#[test]
fn groups_and_single_subscribers_get_a_copy_each() {
    let mut b = Bench::new(1);
    let (s, p) = (clean(&mut b, "s"), clean(&mut b, "p"));
    let at = |qos| SubscriptionOptions::new(qos);
    let wish = |filter, qos| Requested { filter, options: at(qos) };
    subscribe_with(&mut b, s, Some(1), &[wish("a/#", QoS::AtLeastOnce)]);
    subscribe_with(&mut b, s, Some(2), &[wish(SHARED, QoS::AtMostOnce)]);
    subscribe_with(&mut b, s, Some(3), &[wish("$share/h/a/+", QoS::AtLeastOnce)]);
    for code in [1, 0, 1] {
        assert_eq!(b.next(s), format!("SUBACK #1 [{code}]"));
    }
    send(&mut b, p, "a/b", "x", QoS::AtLeastOnce, 1);
    assert_eq!(b.next(p), "PUBACK #1 0x00");
    let mut got: Vec<_> = (0..3).map(|_| b.next(s)).collect();
    got.sort();
    let all = ["q0 a/b=x [2]", "q1 #1 a/b=x [3]", "q1 #2 a/b=x [1]"];
    assert_eq!(got, all.map(|publish| format!("PUBLISH {publish}")));
    assert_eq!(b.next(s), "");
    b.send(
        s,
        &Packet::Unsubscribe(Unsubscribe {
            packet_id: id(2),
            user_properties: UserProperties::EMPTY,
            filters: UnsubscribeFilters::from_slice(&[SHARED, "$share/h/a/+", "a/#", SHARED]),
        }),
    );
    assert_eq!(b.next(s), "UNSUBACK #2 [0, 0, 0, 17]");
    send(&mut b, p, "a/b", "y", QoS::AtLeastOnce, 2);
    assert_eq!(b.next(p), "PUBACK #2 0x10", "[MQTT-4.8.2-3]: nobody is left");
    assert_eq!(b.next(s), "");
}

#[test]
fn retained_messages_are_not_for_groups() {
    let mut b = Bench::new(1);
    let p = clean(&mut b, "p");
    let mut publish = Publish::new("a/b", b"kept");
    publish.retain = true;
    b.send(p, &Packet::Publish(publish));
    let s = clean(&mut b, "s");
    subscribe(&mut b, s, SHARED, QoS::AtLeastOnce);
    assert_eq!(b.next(s), "", "section 4.8");
    subscribe(&mut b, s, "a/#", QoS::AtLeastOnce);
    assert_eq!(b.next(s), "PUBLISH q0 retain a/b=kept");
}

#[test]
fn what_a_member_did_not_acknowledge_goes_to_another() {
    for shards in [[0, 0], [0, 1]] {
        let mut b = Bench::new(2);
        let members = members(&mut b, &shards, QoS::ExactlyOnce);
        let p = clean(&mut b, "p");
        for (number, qos) in [(1, QoS::AtLeastOnce), (3, QoS::AtLeastOnce), (5, QoS::ExactlyOnce)] {
            send(&mut b, p, "a", &number.to_string(), qos, number);
            send(&mut b, p, "a", &(number + 1).to_string(), qos, number + 1);
        }
        assert_eq!(b.next(members[0]), "PUBLISH q1 #1 a=1");
        assert_eq!(b.next(members[0]), "PUBLISH q1 #2 a=3");
        assert_eq!(b.next(members[0]), "PUBLISH q2 #3 a=5");
        puback(&mut b, members[0], 1);
        for publish in ["q1 #1 a=2", "q1 #2 a=4", "q2 #3 a=6"] {
            assert_eq!(b.next(members[1]), format!("PUBLISH {publish}"));
        }
        b.cut(members[0]);
        b.settle();
        assert_eq!(b.next(members[1]), "PUBLISH q1 #4 a=3", "acknowledged and QoS 2: no more");
        assert_eq!(b.next(members[1]), "");
        b.cut(members[1]);
        b.settle();
        assert_eq!(dropped(&b, DropReason::SessionEnded), 3, "nobody is left for 2, 4 and 3");
    }
}

#[test]
fn what_waits_for_a_member_goes_to_another() {
    let mut b = Bench::new(2);
    let mut connect = Connect::new(Version::V5, "slow");
    connect.receive_maximum = 1;
    let slow = b.connect(0, connect);
    assert_eq!(b.next(slow), CONNACK);
    subscribe(&mut b, slow, SHARED, QoS::ExactlyOnce);
    let p = clean(&mut b, "p");
    for number in 1..=3 {
        send(&mut b, p, "a", &number.to_string(), QoS::ExactlyOnce, number);
    }
    assert_eq!(b.next(slow), "PUBLISH q2 #1 a=1");
    let other = members(&mut b, &[1], QoS::AtLeastOnce)[0];
    b.cut(slow);
    b.settle();
    assert_eq!(payloads(&mut b, other), ["2", "3"], "[MQTT-4.8.2-5]: 1 has left");
}

#[test]
fn a_member_that_is_full_is_passed_over() {
    for shard in [0, 1] {
        let limits = Limits { queue_messages_max: 2, ..Limits::default() };
        let mut b = Bench::with_limits(2, limits);
        let mut connect = Connect::new(Version::V5, "slow");
        connect.receive_maximum = 1;
        let slow = b.connect(shard, connect);
        assert_eq!(b.next(slow), CONNACK);
        subscribe(&mut b, slow, SHARED, QoS::AtLeastOnce);
        let quick = members(&mut b, &[shard], QoS::AtLeastOnce)[0];
        let p = clean(&mut b, "p");
        let mut got = Vec::new();
        for number in 1..=20 {
            send(&mut b, p, "a", &number.to_string(), QoS::AtLeastOnce, number);
            got.append(&mut payloads(&mut b, quick));
        }
        assert_eq!(got.len(), 17, "one is under way, two wait: {got:?}");
        b.cut(quick);
        for number in 21..=22 {
            send(&mut b, p, "a", &number.to_string(), QoS::AtLeastOnce, number);
        }
        assert_eq!(dropped(&b, DropReason::QueueFull), 2);
        assert_eq!(payloads(&mut b, slow).len(), 3);
    }
}

#[test]
fn a_member_that_is_away_finds_its_messages() {
    for crash in [false, true] {
        let mut b = Bench::new(2);
        let names = ["one", "two"];
        for (shard, name) in (0..).zip(names) {
            let wire = b.connect(shard, persistent(name, 600));
            assert_eq!(b.next(wire), CONNACK);
            subscribe(&mut b, wire, SHARED, QoS::ExactlyOnce);
            b.cut(wire);
        }
        b.settle();
        let p = clean(&mut b, "p");
        let mut publish = Publish::new("a/b", b"1");
        (publish.qos, publish.packet_id) = (QoS::AtLeastOnce, Some(id(1)));
        publish.retain = true;
        b.send(p, &Packet::Publish(publish));
        for number in 2..=4 {
            send(&mut b, p, "a/b", &number.to_string(), QoS::AtLeastOnce, number);
        }
        send(&mut b, p, "a/b", "nobody can keep it", QoS::AtMostOnce, 0);
        assert_eq!(b.engine.log().len(), 4, "once each");
        if crash {
            b.crash();
        }
        let mut all = Vec::new();
        for name in names {
            let mut wire = b.connect(1, persistent(name, 600));
            assert_eq!(b.next(wire), RESUMED);
            let first = b.next(wire);
            assert!(first.starts_with("PUBLISH q1 #1 a/b="), "as it was published: {first}");
            b.cut(wire);
            wire = b.connect(0, persistent(name, 600));
            assert_eq!(b.next(wire), RESUMED);
            let got = payloads(&mut b, wire);
            assert_eq!(got.len(), 2, "in turn");
            all.extend(got);
            assert_eq!(b.next(wire), "");
        }
        all.sort();
        assert_eq!(all, ["1", "2", "3", "4"]);
    }
}

#[test]
fn a_connected_member_comes_before_one_that_is_away() {
    let mut b = Bench::new(2);
    let away = b.connect(1, persistent("away", 600));
    assert_eq!(b.next(away), CONNACK);
    subscribe(&mut b, away, SHARED, QoS::AtLeastOnce);
    b.cut(away);
    let here = members(&mut b, &[0], QoS::AtLeastOnce)[0];
    let p = clean(&mut b, "p");
    for number in 1..=4 {
        send(&mut b, p, "a", &number.to_string(), QoS::AtLeastOnce, number);
    }
    assert_eq!(payloads(&mut b, here), ["1", "2", "3", "4"]);
    send(&mut b, p, "a", "5", QoS::AtLeastOnce, 5);
    assert_eq!(b.next(here), "PUBLISH q1 #5 a=5");
    b.send(here, &Packet::Disconnect(Disconnect::new(ReasonCode::Success)));
    b.settle();
    let away = b.connect(1, persistent("away", 600));
    assert_eq!(b.next(away), RESUMED);
    assert_eq!(payloads(&mut b, away), ["5"], "passed on into the log");
}

#[test]
fn a_filter_that_leaves_no_room_for_an_address_is_refused() {
    let mut b = Bench::new(1);
    let s = clean(&mut b, "s");
    let long = format!("$share/g/{}", "x".repeat(65_535 - 9));
    let options = SubscriptionOptions::new(QoS::AtLeastOnce);
    let fits = &long[..long.len() - 2];
    let wishes = [&long, fits].map(|filter| Requested { filter, options });
    subscribe_with(&mut b, s, None, &wishes);
    assert_eq!(b.next(s), "SUBACK #1 [143, 1]");
    send(&mut b, s, &fits[9..], "x", QoS::AtLeastOnce, 1);
    assert_eq!(b.next(s), format!("PUBLISH q1 #1 {}=x", &fits[9..]));
}

/// What a member leaves goes to another that is away only when it can wait for it.
#[test]
fn one_that_is_away_at_qos_0_gets_nothing() {
    let mut b = Bench::new(1);
    let here = clean(&mut b, "here");
    subscribe(&mut b, here, "$share/g/a", QoS::AtLeastOnce);
    let p = clean(&mut b, "p");
    send(&mut b, p, "a", "1", QoS::AtLeastOnce, 1);
    assert_eq!(b.next(here), "PUBLISH q1 #1 a=1");
    let away = b.connect(0, persistent("away", 600));
    assert_eq!(b.next(away), CONNACK);
    subscribe(&mut b, away, "$share/g/a", QoS::AtMostOnce);
    b.cut(away);
    b.cut(here);
    assert_eq!(dropped(&b, DropReason::SessionEnded), 1);
    let away = b.connect(0, persistent("away", 600));
    assert_eq!((b.next(away).as_str(), b.next(away).as_str()), (RESUMED, ""));
    assert!(b.engine.log().is_empty());
}
