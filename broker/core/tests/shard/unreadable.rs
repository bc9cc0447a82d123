//! Pages of the log that cannot be read.

use crate::bench::Bench;
use crate::bench::dialogue::{CONNACK, RESUMED, clean, persistent, send, subscribe};
use flotilla_mqtt::{Connect, QoS, Version};

#[test]
fn the_connection_ends_and_the_session_goes_on_later() {
    let mut b = Bench::new(1);
    let s = b.connect(0, persistent("s", 600));
    assert_eq!(b.next(s), CONNACK);
    subscribe(&mut b, s, "a", QoS::AtLeastOnce);
    b.cut(s);
    let p = clean(&mut b, "p");
    send(&mut b, p, "a", "1", QoS::AtLeastOnce, 1);
    b.commits_at_once = false;
    let s = b.connect(0, persistent("s", 600));
    while !b.fail_page() {
        assert!(b.answer() | b.deliver_mail() | b.commit(1) | b.sync(1) | b.report());
    }
    assert_eq!(b.next(s), RESUMED);
    assert_eq!((b.next(s).as_str(), b.is_open(s)), ("DISCONNECT 0x80", false));
    b.settle();
    b.commits_at_once = true;
    let s = b.connect(0, persistent("s", 600));
    assert_eq!((b.next(s).as_str(), b.next(s).as_str()), (RESUMED, "PUBLISH q1 #1 a=1"));
}

/// Nobody else would get what cannot be read either, so the name is free.
#[test]
fn a_session_that_ends_does_not_wait_for_them() {
    let mut b = Bench::new(1);
    let s = b.connect(0, persistent("s", 600));
    assert_eq!(b.next(s), CONNACK);
    subscribe(&mut b, s, "$share/g/a", QoS::AtLeastOnce);
    b.cut(s);
    let p = clean(&mut b, "p");
    send(&mut b, p, "a", "1", QoS::AtLeastOnce, 1);
    b.commits_at_once = false;
    let anew = b.connect(0, Connect::new(Version::V5, "s"));
    while !b.fail_page() {
        assert!(b.answer() | b.deliver_mail() | b.commit(1) | b.sync(1) | b.report());
    }
    b.settle();
    assert_eq!((b.next(anew).as_str(), b.next(anew).as_str()), (CONNACK, ""));
    assert!(b.engine.session("s").is_none());
}
