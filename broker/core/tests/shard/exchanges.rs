//! Acknowledgements that come twice, refuse, or belong to nothing.

use crate::bench::dialogue::{
    CONNACK, RESUMED, clean, id, payloads, persistent, puback, send, subscribe,
};
use crate::bench::{Bench, Wire};
use flotilla_core::id::{ClientId, Position, ShardId, Ticket};
use flotilla_core::record::OutboundRecord;
use flotilla_core::turn::{Batch, Write};
use flotilla_mqtt::{Ack, Connect, Packet, QoS, ReasonCode};

fn durable(b: &mut Bench, qos: QoS) -> Wire {
    let s = b.connect(0, persistent("s", 600));
    assert_eq!(b.next(s), CONNACK);
    subscribe(b, s, "#", qos);
    s
}

fn pubrec(b: &mut Bench, wire: Wire, packet_id: u16, reason_code: ReasonCode) {
    b.send(wire, &Packet::Pubrec(Ack::new(id(packet_id), reason_code)));
}

fn refused(b: &Bench) -> u64 {
    b.shards[0].counters().messages_refused
}

#[test]
fn a_message_that_the_client_refuses_is_counted() {
    let mut b = Bench::new(1);
    let s = durable(&mut b, QoS::ExactlyOnce);
    let p = clean(&mut b, "p");
    send(&mut b, p, "a", "1", QoS::AtLeastOnce, 1);
    assert_eq!(b.next(s), "PUBLISH q1 #1 a=1");
    b.send(s, &Packet::Puback(Ack::new(id(1), ReasonCode::NotAuthorized)));
    assert_eq!(refused(&b), 1);
    send(&mut b, p, "a", "2", QoS::ExactlyOnce, 2);
    assert_eq!(b.next(s), "PUBLISH q2 #2 a=2");
    pubrec(&mut b, s, 2, ReasonCode::NotAuthorized);
    assert_eq!((b.next(s).as_str(), refused(&b)), ("", 2), "[MQTT-4.3.3-4]");
    // What is refused once is done: a second time it is nothing.
    b.send(s, &Packet::Puback(Ack::new(id(1), ReasonCode::NotAuthorized)));
    assert_eq!(refused(&b), 2);
    b.cut(s);
    let s = b.connect(0, persistent("s", 600));
    assert_eq!((b.next(s).as_str(), b.next(s).as_str()), (RESUMED, ""));
}

#[test]
fn a_second_pubrec_changes_nothing() {
    let mut b = Bench::new(1);
    let s = durable(&mut b, QoS::ExactlyOnce);
    let p = clean(&mut b, "p");
    send(&mut b, p, "a", "1", QoS::ExactlyOnce, 1);
    assert_eq!(b.next(s), "PUBLISH q2 #1 a=1");
    b.commits_at_once = false;
    pubrec(&mut b, s, 1, ReasonCode::Success);
    pubrec(&mut b, s, 1, ReasonCode::Success);
    pubrec(&mut b, s, 1, ReasonCode::UnspecifiedError);
    assert_eq!(b.next(s), "", "the first one is not stored");
    b.settle();
    assert_eq!((b.next(s).as_str(), b.next(s).as_str()), ("PUBREL #1 0x00", ""), "once");
    // When it has left, it may have been lost on an earlier connection.
    pubrec(&mut b, s, 1, ReasonCode::Success);
    assert_eq!(b.next(s), "PUBREL #1 0x00");
    b.send(s, &Packet::Puback(Ack::new(id(1), ReasonCode::Success)));
    assert_eq!(b.shards[0].census().sessions[1].on_wire, 1, "PUBACK is not for QoS 2");
    b.send(s, &Packet::Pubcomp(Ack::new(id(1), ReasonCode::Success)));
    pubrec(&mut b, s, 1, ReasonCode::Success);
    assert_eq!(b.next(s), "PUBREL #1 0x92", "section 4.3.3: there is none of this name any more");
}

/// A client acknowledges on a new connection what it got on the old one, before the broker has come
/// to sending it again.
#[test]
fn what_is_acknowledged_before_it_is_sent_again_is_done() {
    for qos in [QoS::AtLeastOnce, QoS::ExactlyOnce] {
        for crash in [false, true] {
            let mut b = Bench::new(1);
            let s = durable(&mut b, qos);
            let p = clean(&mut b, "p");
            for number in 1..=3 {
                send(&mut b, p, "a", &number.to_string(), qos, number);
                assert_eq!(b.next(s), format!("PUBLISH q{} #{number} a={number}", qos.bits()));
            }
            b.cut(s);
            if crash {
                b.crash();
            }
            let s = b.connect(0, Connect { receive_maximum: 1, ..persistent("s", 600) });
            assert_eq!(b.next(s), RESUMED);
            assert_eq!(b.next(s), format!("PUBLISH q{} dup #1 a=1", qos.bits()));
            // 2 is finished, of 3 the first half.
            for number in [2, 3] {
                match qos {
                    QoS::ExactlyOnce => {
                        pubrec(&mut b, s, number, ReasonCode::Success);
                        assert_eq!(b.next(s), format!("PUBREL #{number} 0x00"));
                    }
                    _ => puback(&mut b, s, number),
                }
            }
            let pubcomp = |number| Packet::Pubcomp(Ack::new(id(number), ReasonCode::Success));
            if qos == QoS::ExactlyOnce {
                b.send(s, &pubcomp(2));
                pubrec(&mut b, s, 1, ReasonCode::Success);
                assert_eq!(b.next(s), "PUBREL #1 0x00");
                b.send(s, &pubcomp(1));
            } else {
                puback(&mut b, s, 1);
            }
            assert_eq!(b.next(s), "", "{qos:?} {crash}: [MQTT-4.3.3-5]");
            if qos == QoS::ExactlyOnce {
                b.send(s, &pubcomp(3));
            }
            let p = clean(&mut b, "q");
            send(&mut b, p, "a", "4", qos, 4);
            assert_eq!(b.next(s), format!("PUBLISH q{} #4 a=4", qos.bits()));
        }
    }
}

#[test]
fn the_last_message_under_an_identifier_is_the_open_one() {
    let mut b = Bench::new(1);
    let s = durable(&mut b, QoS::ExactlyOnce);
    b.cut(s);
    let p = clean(&mut b, "p");
    send(&mut b, p, "a", "1", QoS::ExactlyOnce, 1);
    send(&mut b, p, "a", "2", QoS::ExactlyOnce, 2);
    // The first exchange was finished; its record stays until the cursor has passed it.
    let record = |position, released| {
        let record = OutboundRecord { position: Position(position), packet_id: id(7), released };
        Write::PutOutbound(ClientId::from("s"), record)
    };
    b.engine.submit(Batch {
        shard: ShardId(0),
        ticket: Ticket(u64::MAX),
        writes: vec![record(1, true), record(2, false)],
        ..Batch::default()
    });
    b.engine.commit(usize::MAX);
    b.crash();
    let s = b.connect(0, persistent("s", 600));
    assert_eq!(b.next(s), RESUMED);
    assert_eq!(b.next(s), "PUBLISH q2 dup #7 a=2");
    pubrec(&mut b, s, 7, ReasonCode::Success);
    assert_eq!(b.next(s), "PUBREL #7 0x00");
    b.send(s, &Packet::Pubcomp(Ack::new(id(7), ReasonCode::Success)));
    assert_eq!(payloads(&mut b, s), [""; 0], "the first one was there before");
}
