//! Acknowledgements that come twice, refuse, or belong to nothing.

use crate::bench::dialogue::{CONNACK, RESUMED, clean, id, payloads, persistent, send, subscribe};
use crate::bench::{Bench, Wire};
use flotilla_core::id::{ClientId, Position, ShardId, Ticket};
use flotilla_core::record::OutboundRecord;
use flotilla_core::turn::{Batch, Write};
use flotilla_mqtt::{Ack, Packet, QoS, ReasonCode};

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
