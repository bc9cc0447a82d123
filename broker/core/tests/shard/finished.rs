//! What is done behind a message that is not acknowledged.

use crate::bench::dialogue::{CONNACK, RESUMED, clean, id, persistent, puback, send, subscribe};
use crate::bench::{Bench, Wire};
use flotilla_core::limits::Limits;
use flotilla_mqtt::{Ack, Packet, QoS, ReasonCode};

/// The client ends the exchange of a QoS 2 message.
fn complete(b: &mut Bench, s: Wire, number: u16) {
    let ack = Ack::new(id(number), ReasonCode::Success);
    b.send(s, &Packet::Pubrec(ack));
    assert_eq!(b.next(s), format!("PUBREL #{number} 0x00"));
    b.send(s, &Packet::Pubcomp(ack));
}

#[test]
fn what_is_not_acknowledged_is_sent_again_however_much_is_done_behind_it() {
    for (inflight_max, finished_max) in [(10, 2), (2, 10), (1024, 0)] {
        let limits = Limits { inflight_max, finished_max, ..Limits::default() };
        let mut b = Bench::with_limits(1, limits);
        let s = b.connect(0, persistent("s", 600));
        assert_eq!(b.next(s), CONNACK);
        subscribe(&mut b, s, "a", QoS::ExactlyOnce);
        let p = clean(&mut b, "p");
        send(&mut b, p, "a", "first", QoS::AtLeastOnce, 1);
        assert_eq!(b.next(s), "PUBLISH q1 #1 a=first");
        let mut last = 1;
        for number in 2..=20 {
            send(&mut b, p, "a", &number.to_string(), QoS::ExactlyOnce, number);
            b.send(p, &Packet::Pubrel(Ack::new(id(number), ReasonCode::Success)));
            if b.next(s) == format!("PUBLISH q2 #{number} a={number}") {
                last = number;
                complete(&mut b, s, number);
            }
        }
        assert_eq!(usize::from(last), finished_max + 2, "then it gets no more");
        b.cut(s);
        let s = b.connect(0, persistent("s", 600));
        assert_eq!(b.next(s), RESUMED);
        assert_eq!(b.next(s), "PUBLISH q1 dup #1 a=first");
        assert_eq!(b.next(s), "", "no more until that one is acknowledged");
        puback(&mut b, s, 1);
        // As many as the quota allows, then one for each that is done.
        let ahead = inflight_max.min(20 - last);
        for number in last + 1..=last + ahead {
            assert_eq!(b.next(s), format!("PUBLISH q2 #{number} a={number}"));
        }
        for number in last + 1..=20 {
            complete(&mut b, s, number);
            let next = number + ahead;
            let due =
                if next > 20 { String::new() } else { format!("PUBLISH q2 #{next} a={next}") };
            assert_eq!(b.next(s), due);
        }
    }
}
