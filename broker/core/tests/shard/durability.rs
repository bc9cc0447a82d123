//! What each durability class promises, and when it is said.

use crate::bench::dialogue::{
    CONNACK, RESUMED, id, persistent, puback, publish, send, subscribe, subscribe_with,
};
use crate::bench::{Bench, Wire};
use flotilla_core::durability::{Class, Durability};
use flotilla_core::limits::Limits;
use flotilla_mqtt::{
    Ack, Connect, Packet, QoS, ReasonCode, Requested, SubscriptionOptions, Unsubscribe,
    UnsubscribeFilters, UserProperties, Version,
};

/// One shard with a class for the topics `memory`, `os` and `fsync`.
fn bench(default: Class) -> Bench {
    let rule = |class: Class| (Box::from(class.name()), class);
    let rules = [Class::Memory, Class::Os, Class::Fsync].map(rule).to_vec();
    Bench::with_durability(1, Limits::default(), Durability::new(rules, default))
}

/// With a session that wants everything and is away, and a publisher; from here on the test commits
/// and syncs.
fn with_publisher(default: Class) -> (Bench, Wire) {
    let mut b = bench(default);
    let s = b.connect(0, persistent("s", 600));
    assert_eq!(b.next(s), CONNACK);
    subscribe(&mut b, s, "#", QoS::ExactlyOnce);
    b.cut(s);
    let p = b.connect(0, persistent("p", 600));
    assert_eq!(b.next(p), CONNACK);
    (b.commits_at_once, b.syncs_at_once) = (false, false);
    (b, p)
}

fn commit(b: &mut Bench) {
    b.commit(usize::MAX);
    while b.report() {}
}

fn sync(b: &mut Bench) {
    assert!(b.sync(usize::MAX), "somebody waits for it");
    while b.report() {}
}

fn pubrel(b: &mut Bench, wire: Wire, number: u16) {
    b.send(wire, &Packet::Pubrel(Ack::new(id(number), ReasonCode::Success)));
}

#[test]
fn an_acknowledgement_waits_for_the_class_of_its_topic() {
    let (mut b, p) = with_publisher(Class::Fsync);
    send(&mut b, p, "memory", "1", QoS::AtLeastOnce, 1);
    assert_eq!(b.next(p), "PUBACK #1 0x00", "as soon as it is routed");
    send(&mut b, p, "os", "2", QoS::AtLeastOnce, 2);
    assert_eq!(b.next(p), "");
    commit(&mut b);
    assert_eq!(b.next(p), "PUBACK #2 0x00", "as soon as it is written");
    assert!(!b.engine.needs_sync(), "nobody asked for a sync");
    for (number, topic) in [(3, "fsync"), (4, "other")] {
        send(&mut b, p, topic, "x", QoS::AtLeastOnce, number);
        commit(&mut b);
        assert_eq!(b.next(p), "", "{topic} is not synced");
        sync(&mut b);
        assert_eq!(b.next(p), format!("PUBACK #{number} 0x00"));
    }
}

#[test]
fn acknowledgements_keep_their_order_across_classes() {
    let (mut b, p) = with_publisher(Class::Fsync);
    send(&mut b, p, "fsync", "1", QoS::AtLeastOnce, 1);
    send(&mut b, p, "memory", "2", QoS::AtLeastOnce, 2);
    send(&mut b, p, "os", "3", QoS::AtLeastOnce, 3);
    commit(&mut b);
    assert_eq!(b.next(p), "", "[MQTT-4.6.0-2]");
    sync(&mut b);
    for number in 1..=3 {
        assert_eq!(b.next(p), format!("PUBACK #{number} 0x00"));
    }
}

#[test]
fn a_message_is_delivered_when_it_is_written() {
    let (mut b, p) = with_publisher(Class::Fsync);
    b.commits_at_once = true;
    let s = b.connect(0, persistent("s1", 600));
    b.settle();
    assert_eq!(b.next(s), CONNACK);
    subscribe(&mut b, s, "fsync", QoS::AtLeastOnce);
    b.commits_at_once = false;
    send(&mut b, p, "fsync", "1", QoS::AtLeastOnce, 1);
    commit(&mut b);
    assert_eq!((b.next(s).as_str(), b.next(p).as_str()), ("PUBLISH q1 #1 fsync=1", ""));
}

#[test]
fn a_retained_message_has_the_class_of_its_topic() {
    let (mut b, p) = with_publisher(Class::Memory);
    for (number, topic) in [(1, "memory"), (2, "os"), (3, "fsync")] {
        let mut keep = publish(topic, "x", QoS::AtLeastOnce, number);
        keep.retain = true;
        b.send(p, &Packet::Publish(keep));
    }
    assert_eq!(b.next(p), "PUBACK #1 0x00");
    assert_eq!(b.next(p), "");
    commit(&mut b);
    assert_eq!(b.next(p), "PUBACK #2 0x00");
    assert_eq!(b.next(p), "");
    sync(&mut b);
    assert_eq!(b.next(p), "PUBACK #3 0x00");
}

#[test]
fn a_qos_2_message_is_received_at_its_class_and_forgotten_at_the_strongest() {
    let (mut b, p) = with_publisher(Class::Os);
    send(&mut b, p, "os", "1", QoS::ExactlyOnce, 1);
    commit(&mut b);
    assert_eq!(b.next(p), "PUBREC #1 0x00");
    pubrel(&mut b, p, 1);
    commit(&mut b);
    assert_eq!(b.next(p), "", "the next message under #1 can be of class fsync");
    sync(&mut b);
    assert_eq!(b.next(p), "PUBCOMP #1 0x00");
    send(&mut b, p, "fsync", "2", QoS::ExactlyOnce, 1);
    commit(&mut b);
    assert_eq!(b.next(p), "");
    sync(&mut b);
    assert_eq!(b.next(p), "PUBREC #1 0x00");
}

#[test]
fn a_client_must_not_remember_an_identifier_that_the_broker_forgets() {
    let mut b = bench(Class::Os);
    let s = b.connect(0, persistent("s", 600));
    assert_eq!(b.next(s), CONNACK);
    subscribe(&mut b, s, "#", QoS::ExactlyOnce);
    let p = b.connect(0, persistent("p", 600));
    assert_eq!(b.next(p), CONNACK);
    // So that the sessions are on the disk.
    send(&mut b, p, "fsync", "0", QoS::AtLeastOnce, 9);
    assert_eq!(b.next(p), "PUBACK #9 0x00");
    assert_eq!(b.next(s), "PUBLISH q1 #1 fsync=0");
    puback(&mut b, s, 1);
    (b.commits_at_once, b.syncs_at_once) = (false, false);
    send(&mut b, p, "os", "1", QoS::ExactlyOnce, 1);
    commit(&mut b);
    commit(&mut b);
    assert_eq!(b.next(p), "PUBREC #1 0x00");
    assert_eq!(b.next(s), "", "nobody could tell after a power cut that #2 was used");
    sync(&mut b);
    assert_eq!(b.next(s), "PUBLISH q2 #2 os=1");
    b.send(s, &Packet::Pubrec(Ack::new(id(2), ReasonCode::Success)));
    commit(&mut b);
    assert_eq!(b.next(s), "");
    sync(&mut b);
    assert_eq!(b.next(s), "PUBREL #2 0x00");
    b.power_cut(0);
    (b.commits_at_once, b.syncs_at_once) = (true, true);
    let s = b.connect(0, persistent("s", 600));
    assert_eq!(b.next(s), RESUMED);
    assert_eq!(b.next(s), "PUBREL #2 0x00");
    let p = b.connect(0, persistent("p", 600));
    assert_eq!(b.next(p), RESUMED);
    send(&mut b, p, "fsync", "2", QoS::ExactlyOnce, 2);
    assert_eq!(b.next(p), "PUBREC #2 0x00");
    // The cursor was not written, so the first message comes again, under #3.
    assert_eq!(b.next(s), "PUBLISH q1 dup #3 fsync=0");
    assert_eq!(b.next(s), "PUBLISH q2 #4 fsync=2", "under a free identifier");
}

#[test]
fn records_of_sessions_have_the_default_class() {
    for (default, waits_for_sync) in
        [(Class::Memory, false), (Class::Os, false), (Class::Fsync, true)]
    {
        let durability = Durability::new(Vec::new(), default);
        let mut b = Bench::with_durability(1, Limits::default(), durability);
        (b.commits_at_once, b.syncs_at_once) = (false, false);
        let s = b.connect(0, persistent("s", 600));
        b.answer();
        let options = SubscriptionOptions::new(QoS::AtLeastOnce);
        let filters = ["a"];
        for step in [CONNACK, "SUBACK #1 [1]", "UNSUBACK #2 [0]"] {
            match step {
                CONNACK => {}
                "SUBACK #1 [1]" => {
                    subscribe_with(&mut b, s, None, &[Requested { filter: "a", options }]);
                }
                _ => b.send(
                    s,
                    &Packet::Unsubscribe(Unsubscribe {
                        packet_id: id(2),
                        user_properties: UserProperties::EMPTY,
                        filters: UnsubscribeFilters::from_slice(&filters),
                    }),
                ),
            }
            assert_eq!(b.next(s), "", "{default:?}: it is not even written");
            commit(&mut b);
            if waits_for_sync {
                assert_eq!(b.next(s), "", "{default:?}");
                sync(&mut b);
            }
            assert_eq!(b.next(s), step, "{default:?}");
        }
        b.crash();
        b.commits_at_once = true;
        let s = b.connect(0, persistent("s", 600));
        assert_eq!(b.next(s), RESUMED, "{default:?}: never below os");
    }
}

#[test]
fn a_session_that_was_ended_does_not_come_back_in_a_power_cut() {
    let mut b = bench(Class::Os);
    let s = b.connect(0, persistent("s", 600));
    assert_eq!(b.next(s), CONNACK);
    (b.commits_at_once, b.syncs_at_once) = (false, false);
    b.sync(usize::MAX);
    let mut connect = persistent("s", 600);
    connect.clean_start = true;
    let s = b.connect(0, connect);
    b.answer();
    commit(&mut b);
    commit(&mut b);
    assert_eq!(b.next(s), "", "the old session is still on the disk");
    sync(&mut b);
    assert_eq!(b.next(s), CONNACK);
}

#[test]
fn a_batch_that_nobody_waits_for_costs_no_sync() {
    let mut b = bench(Class::Fsync);
    let s = b.connect(0, persistent("s", 600));
    assert_eq!(b.next(s), CONNACK);
    subscribe(&mut b, s, "#", QoS::AtLeastOnce);
    let p = b.connect(0, Connect::new(Version::V5, "p"));
    assert_eq!(b.next(p), CONNACK);
    send(&mut b, p, "fsync", "1", QoS::AtLeastOnce, 1);
    assert_eq!(b.next(s), "PUBLISH q1 #1 fsync=1");
    let (end, syncs) = (b.engine.end(), b.engine.syncs);
    puback(&mut b, s, 1);
    b.wait_ms(2000);
    assert_eq!(b.engine.session("s").map(|stored| stored.cursor), Some(end), "it was written");
    for number in 1..=10 {
        send(&mut b, p, "os", "1", QoS::AtLeastOnce, number);
        puback(&mut b, s, number + 1);
    }
    b.wait_ms(2000);
    assert_eq!(b.engine.syncs, syncs);
}

#[test]
fn a_session_stays_until_what_it_was_promised_is_synced() {
    let (mut b, p) = with_publisher(Class::Fsync);
    send(&mut b, p, "fsync", "1", QoS::ExactlyOnce, 1);
    commit(&mut b);
    let p2 = b.connect(0, persistent("p", 600));
    b.answer();
    commit(&mut b);
    assert_eq!(b.next(p), "DISCONNECT 0x8e");
    assert_eq!(b.next(p2), "");
    b.syncs_at_once = true;
    b.settle();
    assert_eq!(b.next(p2), RESUMED);
    send(&mut b, p2, "fsync", "1", QoS::ExactlyOnce, 1);
    b.settle();
    assert_eq!(b.next(p2), "PUBREC #1 0x00", "the same message again [MQTT-4.3.3-10]");
    assert_eq!(b.engine.log().len(), 1);
}

#[test]
fn each_class_survives_what_it_says() {
    for is_power_cut in [false, true] {
        let (mut b, p) = with_publisher(Class::Fsync);
        send(&mut b, p, "fsync", "1", QoS::AtLeastOnce, 1);
        commit(&mut b);
        sync(&mut b);
        send(&mut b, p, "os", "2", QoS::AtLeastOnce, 2);
        commit(&mut b);
        send(&mut b, p, "memory", "3", QoS::AtLeastOnce, 3);
        for number in 1..=3 {
            assert_eq!(b.next(p), format!("PUBACK #{number} 0x00"));
        }
        if is_power_cut {
            b.power_cut(0);
        } else {
            b.crash();
        }
        (b.commits_at_once, b.syncs_at_once) = (true, true);
        let s = b.connect(0, persistent("s", 600));
        assert_eq!(b.next(s), RESUMED);
        assert_eq!(b.next(s), "PUBLISH q1 #1 fsync=1");
        assert_eq!(b.next(s), if is_power_cut { "" } else { "PUBLISH q1 #2 os=2" });
        assert_eq!(b.next(s), "");
    }
}

#[test]
fn a_client_is_told_the_default() {
    for default in [Class::Memory, Class::Os, Class::Fsync] {
        let mut b = bench(default);
        let s = b.connect(0, Connect::new(Version::V5, "s"));
        let told = b.receive(s, |packet| match packet {
            Packet::Connack(connack) => {
                let properties = connack.properties.user_properties.iter();
                properties.map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>()
            }
            other => panic!("{other:?}"),
        });
        assert_eq!(told, Some(vec![format!("durability={}", default.name())]));
    }
}

#[test]
fn a_client_that_takes_small_packets_only_is_not_told() {
    let mut b = bench(Class::Os);
    let mut connect = Connect::new(Version::V5, "s");
    connect.maximum_packet_size = Some(32);
    let s = b.connect(0, connect);
    let told = b.receive(s, |packet| match packet {
        Packet::Connack(connack) => connack.properties.user_properties.iter().count(),
        other => panic!("{other:?}"),
    });
    assert_eq!(told, Some(0), "[MQTT-3.2.2-20]");
}

#[test]
fn an_ended_session_must_not_come_back_after_another_one_has_come_and_gone() {
    let mut b = Bench::new(2);
    let s = b.connect(0, persistent("s", 600));
    assert_eq!(b.next(s), CONNACK);
    b.cut(s);
    for shard in [0, 1] {
        let old = b.connect(0, persistent("s", 600));
        b.next(old);
        b.cut(old);
        (b.commits_at_once, b.syncs_at_once) = (false, false);
        let arrive = |b: &mut Bench| while b.answer() | b.deliver_mail() | b.report() {};
        let anew = b.connect(0, Connect::new(Version::V5, "s"));
        arrive(&mut b);
        b.cut(anew);
        arrive(&mut b);
        let again = b.connect(shard, Connect::new(Version::V5, "s"));
        arrive(&mut b);
        assert_eq!(b.next(again), "", "the old session is on the disk");
        b.commit(usize::MAX);
        arrive(&mut b);
        assert_eq!(b.next(again), "", "a power cut would bring it back");
        b.settle();
        assert_eq!(b.next(again), CONNACK);
        (b.commits_at_once, b.syncs_at_once) = (true, true);
        b.cut(again);
    }
}

/// A session moves when all that was written of it is as durable as it must be: else its next
/// connection would get a QoS 2 message whose Packet Identifier a power cut can take back.
#[test]
fn a_takeover_waits_for_the_exchanges_of_the_session() {
    let (mut b, p) = with_publisher(Class::Os);
    (b.commits_at_once, b.syncs_at_once) = (true, true);
    let s = b.connect(0, persistent("s", 600));
    assert_eq!(b.next(s), RESUMED);
    (b.commits_at_once, b.syncs_at_once) = (false, false);
    let rest = |b: &mut Bench| {
        while b.answer()
            | b.deliver_mail()
            | b.commit(usize::MAX)
            | b.report()
            | b.read_page()
            | b.deliver_page()
        {}
    };
    send(&mut b, p, "fsync", "x", QoS::ExactlyOnce, 1);
    rest(&mut b);
    assert_eq!(b.next(s), "", "its Packet Identifier is not synced");
    let s = b.connect(0, persistent("s", 600));
    rest(&mut b);
    assert_eq!(b.next(s), "");
    sync(&mut b);
    rest(&mut b);
    assert_eq!(b.next(s), RESUMED);
}

/// A message that is committed while a page is on its way is in none of both: the session reads on.
#[test]
fn what_is_committed_while_a_page_is_read_is_read_next() {
    let (mut b, p) = with_publisher(Class::Os);
    let rest = |b: &mut Bench| {
        while b.answer() | b.deliver_mail() | b.commit(usize::MAX) | b.sync(usize::MAX) | b.report()
        {
        }
    };
    send(&mut b, p, "os", "1", QoS::AtLeastOnce, 1);
    rest(&mut b);
    let s = b.connect(0, persistent("s", 600));
    rest(&mut b);
    assert_eq!(b.next(s), RESUMED);
    assert!(b.read_page(), "it reads what came while it was away");
    send(&mut b, p, "os", "2", QoS::AtLeastOnce, 2);
    rest(&mut b);
    while b.deliver_page() | b.read_page() {}
    assert_eq!(b.next(s), "PUBLISH q1 #1 os=1");
    assert_eq!(b.next(s), "PUBLISH q1 #2 os=2");
}
