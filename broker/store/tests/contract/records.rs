//! What comes back of records after a restart.

use flotilla_core::id::Position;
use flotilla_core::record::{
    OutboundRecord, SessionRecord, Start, StoredSession, SubscriptionRecord, WillRecord,
};
use flotilla_core::turn::Write;
use flotilla_mqtt::{QoS, RetainHandling, SubscriptionOptions};

use crate::bench::{Bench, contract, id, message, packet_id, put, session};

contract!(
    an_empty_store_begins_at_one,
    a_session_comes_back_as_it_was_written,
    a_start_in_the_batch_is_resolved,
    a_new_session_begins_at_its_batch,
    a_cursor_never_goes_back,
    qos_2_exchanges_come_back,
    an_exchange_below_the_cursor_is_over,
    an_ended_session_leaves_nothing,
    an_ended_session_leaves_nothing_to_its_namesake,
    sessions_of_similar_names_are_apart,
    the_last_retained_message_of_a_topic_comes_back,
    writes_of_a_batch_are_applied_in_order,
);

fn stored(bench: &Bench, client_id: &str) -> StoredSession {
    let mut found = bench.recovered.sessions.iter();
    let found = found.find(|stored| stored.record.client_id.as_str() == client_id);
    found.expect("the session came back").clone()
}

fn full(revision: u64) -> SessionRecord {
    let subscription = |filter: &str, options, id, start| SubscriptionRecord {
        filter: Box::from(filter),
        options,
        id,
        start: Start::At(Position(start)),
        until: None,
    };
    SessionRecord {
        expiry_interval_s: u32::MAX,
        disconnected_at_ms: Some(1_700_000_000_123),
        subscriptions: vec![
            subscription("é/+/#", SubscriptionOptions::default(), None, 1),
            subscription(
                "$share/group/a",
                SubscriptionOptions {
                    qos: QoS::ExactlyOnce,
                    no_local: true,
                    retain_as_published: true,
                    retain_handling: RetainHandling::DoNotSend,
                },
                Some(268_435_455),
                u64::MAX,
            ),
            subscription(
                "b",
                SubscriptionOptions {
                    qos: QoS::AtLeastOnce,
                    retain_handling: RetainHandling::SendIfNew,
                    ..SubscriptionOptions::default()
                },
                Some(1),
                0,
            ),
        ],
        will: Some(WillRecord {
            message: message("will", b"gone"),
            delay_interval_s: 5,
            message_expiry_interval_s: Some(60),
        }),
        unacknowledged: vec![(packet_id(9), Position(3)), (packet_id(1), Position(4))],
        sent_up_to: Position(5),
        maybe_sent_below: Position(6),
        ..session("full", revision)
    }
}

fn an_empty_store_begins_at_one(mut bench: Bench) {
    for _ in 0..2 {
        assert_eq!(bench.recovered.end, Position(1));
        assert_eq!((bench.recovered.sessions.len(), bench.recovered.retained.len()), (0, 0));
        bench.reopen();
    }
}

fn a_session_comes_back_as_it_was_written(mut bench: Bench) {
    let mut bare = full(3);
    bare.will = None;
    bare.disconnected_at_ms = None;
    bare.subscriptions.clear();
    let mut other_will = full(1);
    other_will.will.as_mut().expect("there is one").message_expiry_interval_s = None;
    for record in [other_will, full(2), bare] {
        bench.submit(&[], vec![put(record.clone())]);
        bench.commit();
        bench.reopen();
        assert_eq!(stored(&bench, "full").record, record);
    }
}

fn a_start_in_the_batch_is_resolved(mut bench: Bench) {
    bench.submit(&[message("t", b""), message("t", b"")], vec![]);
    let mut record = session("a", 1);
    for messages in [0, 2] {
        record.subscriptions.push(SubscriptionRecord {
            filter: Box::from("t"),
            options: SubscriptionOptions::default(),
            id: None,
            start: Start::InBatch(messages),
            until: None,
        });
    }
    bench.submit(&[message("t", b""), message("t", b"")], vec![put(record)]);
    bench.commit();
    bench.reopen();
    let subscriptions = stored(&bench, "a").record.subscriptions;
    let starts: Vec<Start> = subscriptions.iter().map(|s| s.start).collect();
    assert_eq!(starts, [Start::At(Position(3)), Start::At(Position(5))]);
}

fn a_new_session_begins_at_its_batch(mut bench: Bench) {
    bench.submit(&[message("t", b""), message("t", b"")], vec![]);
    bench.submit(&[message("t", b"")], vec![put(session("a", 1))]);
    bench.submit(&[message("t", b"")], vec![put(session("a", 2))]);
    bench.submit(&[], vec![put(session("b", 1))]);
    bench.commit();
    bench.reopen();
    assert_eq!(stored(&bench, "a").cursor, Position(3));
    assert_eq!(stored(&bench, "b").cursor, Position(5));
}

fn a_cursor_never_goes_back(mut bench: Bench) {
    let messages = vec![message("t", b""); 10];
    bench.submit(&messages, vec![put(session("a", 1))]);
    for cursor in [4, 9, 7, 9, 2] {
        bench.submit(&[], vec![Write::PutCursor(id("a"), Position(cursor))]);
    }
    bench.commit();
    bench.reopen();
    assert_eq!(stored(&bench, "a").cursor, Position(9));
    bench.submit(&[], vec![Write::PutCursor(id("a"), Position(8))]);
    bench.commit();
    bench.reopen();
    assert_eq!(stored(&bench, "a").cursor, Position(9));
    // A new session of the same name begins anew.
    bench.submit(&[], vec![Write::EndSession(id("a"))]);
    bench.submit(&[], vec![put(session("a", 1))]);
    bench.commit();
    bench.reopen();
    assert_eq!(stored(&bench, "a").cursor, Position(11));
}

fn outbound(position: u64, packet: u16, released: bool) -> OutboundRecord {
    OutboundRecord { position: Position(position), packet_id: packet_id(packet), released }
}

fn qos_2_exchanges_come_back(mut bench: Bench) {
    bench.submit(
        &[],
        vec![
            put(session("a", 1)),
            Write::PutInbound(id("a"), packet_id(300)),
            Write::PutInbound(id("a"), packet_id(2)),
            Write::PutInbound(id("a"), packet_id(7)),
            Write::PutOutbound(id("a"), outbound(300, 1, false)),
            Write::PutOutbound(id("a"), outbound(2, 2, false)),
            Write::PutOutbound(id("a"), outbound(70_000, 3, false)),
        ],
    );
    bench.submit(
        &[],
        vec![
            Write::DeleteInbound(id("a"), packet_id(7)),
            Write::PutOutbound(id("a"), outbound(2, 2, true)),
            Write::DeleteOutbound(id("a"), Position(300)),
        ],
    );
    bench.commit();
    bench.reopen();
    let stored = stored(&bench, "a");
    assert_eq!(stored.inbound, [packet_id(2), packet_id(300)]);
    assert_eq!(stored.outbound, [outbound(2, 2, true), outbound(70_000, 3, false)]);
}

fn an_exchange_below_the_cursor_is_over(mut bench: Bench) {
    bench.submit(&[], vec![put(session("a", 1))]);
    for position in 4..=6 {
        bench.submit(&[], vec![Write::PutOutbound(id("a"), outbound(position, 1, true))]);
    }
    bench.submit(&[], vec![Write::PutCursor(id("a"), Position(5))]);
    bench.commit();
    bench.reopen();
    assert_eq!(stored(&bench, "a").outbound, [outbound(5, 1, true), outbound(6, 1, true)]);
}

fn an_ended_session_leaves_nothing(mut bench: Bench) {
    let everything = |client: &str| {
        vec![
            put(session(client, 1)),
            Write::PutInbound(id(client), packet_id(1)),
            Write::PutOutbound(id(client), outbound(5, 1, false)),
        ]
    };
    // Ended after a restart, in the same group, in the same batch.
    for client in ["early", "stays"] {
        bench.submit(&[], everything(client));
    }
    bench.commit();
    bench.reopen();
    bench.submit(&[], vec![Write::EndSession(id("early"))]);
    bench.submit(&[], everything("group"));
    bench.submit(&[], vec![Write::EndSession(id("group"))]);
    let mut batch = everything("batch");
    batch.push(Write::EndSession(id("batch")));
    bench.submit(&[], batch);
    // Ended without ever having been.
    bench.submit(&[], vec![Write::EndSession(id("never"))]);
    bench.commit();
    bench.reopen();
    assert_eq!(bench.recovered.sessions.len(), 1);
    assert_eq!(stored(&bench, "stays").inbound, [packet_id(1)]);
}

fn an_ended_session_leaves_nothing_to_its_namesake(mut bench: Bench) {
    let exchanges = || {
        vec![
            Write::PutInbound(id("a"), packet_id(1)),
            Write::PutOutbound(id("a"), outbound(500, 1, false)),
            Write::PutCursor(id("a"), Position(400)),
        ]
    };
    bench.submit(&[], vec![put(session("a", 1))]);
    bench.submit(&[], exchanges());
    bench.submit(&[], vec![Write::EndSession(id("a"))]);
    // A late write of the former owner.
    bench.submit(&[], exchanges());
    bench.commit();
    bench.reopen();
    assert_eq!(bench.recovered.sessions.len(), 0);
    bench.submit(&[], exchanges());
    bench.submit(&[], vec![put(session("a", 1))]);
    bench.commit();
    bench.reopen();
    let stored = stored(&bench, "a");
    assert_eq!((stored.cursor, stored.inbound, stored.outbound), (Position(1), vec![], vec![]));
}

fn sessions_of_similar_names_are_apart(mut bench: Bench) {
    let mut names = ["", "a", "a\u{1}", "a!", "ab", "abc", "b", "é"];
    for (packet, name) in (1..).zip(names) {
        let writes = vec![
            put(session(name, 1)),
            Write::PutInbound(id(name), packet_id(packet)),
            Write::PutOutbound(id(name), outbound(1, packet, false)),
            Write::PutCursor(id(name), Position(1)),
        ];
        bench.submit(&[], writes);
    }
    bench.commit();
    bench.reopen();
    for (packet, name) in (1..).zip(names) {
        let stored = stored(&bench, name);
        assert_eq!(stored.inbound, [packet_id(packet)], "{name:?}");
        assert_eq!(stored.outbound, [outbound(1, packet, false)], "{name:?}");
    }
    names.sort_unstable();
    let found = bench.recovered.sessions.iter().map(|stored| stored.record.client_id.as_str());
    assert!(found.eq(names), "by client identifier");
    bench.submit(&[], vec![Write::EndSession(id("a"))]);
    bench.commit();
    bench.reopen();
    assert_eq!(bench.recovered.sessions.len(), names.len() - 1);
    assert_eq!(stored(&bench, "ab").inbound.len(), 1);
    assert_eq!(stored(&bench, "a\u{1}").inbound.len(), 1);
}

fn the_last_retained_message_of_a_topic_comes_back(mut bench: Bench) {
    let retain = |topic, payload: &[u8]| Write::PutRetained(message(topic, payload));
    bench.submit(&[], vec![retain("b", b"1"), retain("a", b"1"), retain("a/b", b"1")]);
    bench.submit(&[], vec![retain("a", b"2"), Write::DeleteRetained(Box::from("a/b"))]);
    bench.submit(&[], vec![Write::DeleteRetained(Box::from("never"))]);
    bench.commit();
    bench.reopen();
    assert_eq!(bench.recovered.retained, [message("a", b"2"), message("b", b"1")]);
}

fn writes_of_a_batch_are_applied_in_order(mut bench: Bench) {
    bench.submit(
        &[],
        vec![
            Write::PutRetained(message("gone", b"1")),
            Write::DeleteRetained(Box::from("gone")),
            Write::DeleteRetained(Box::from("back")),
            Write::PutRetained(message("back", b"2")),
            put(session("a", 1)),
            Write::PutInbound(id("a"), packet_id(1)),
            Write::EndSession(id("a")),
            put(session("a", 1)),
            Write::PutInbound(id("a"), packet_id(2)),
            Write::DeleteInbound(id("a"), packet_id(2)),
            Write::PutInbound(id("a"), packet_id(3)),
        ],
    );
    bench.commit();
    bench.reopen();
    assert_eq!(bench.recovered.retained, [message("back", b"2")]);
    assert_eq!(stored(&bench, "a").inbound, [packet_id(3)]);
}
