//! The checker is content with an honest broker, and finds each kind of fault in a doctored
//! history.

use std::sync::Arc;

use super::{Kind, Verdict, check};
use crate::history::{Cut, History, Look, Loses, Record, Serial, What};

/// Writes histories, one event after the other.
#[derive(Default)]
struct Story {
    now: u64,
    record: Record,
}

fn serial(number: u32) -> Serial {
    Serial { writer: 1, number }
}

fn received(number: u32, qos: u8, dup: bool, packet_id: u16) -> What {
    let topic = Arc::from("a/x");
    What::Received { serial: serial(number), topic, qos, dup, retain: false, packet_id }
}

impl Story {
    fn note(&mut self, client_id: &str, what: What) -> &mut Self {
        self.now += 1;
        let clients = &mut self.record.clients;
        let at = clients.iter().position(|it| it.client_id == client_id).unwrap_or_else(|| {
            clients.push(History { client_id: client_id.to_owned(), events: Vec::new() });
            clients.len() - 1
        });
        clients[at].events.push((self.now, what));
        self
    }

    fn connects(&mut self, client_id: &str, session_present: bool) -> &mut Self {
        self.note(client_id, What::Connecting { clean: false, stays: true });
        self.note(client_id, What::Connected { session_present })
    }

    fn subscribes(&mut self, client_id: &str, filter: &str) -> &mut Self {
        self.note(client_id, What::Subscribing { filter: filter.into() });
        self.note(client_id, What::Subscribed { filter: filter.into(), code: 2 })
    }

    fn unsubscribes(&mut self, client_id: &str, filter: &str) -> &mut Self {
        self.note(client_id, What::Unsubscribing { filter: filter.into() });
        self.note(client_id, What::Unsubscribed { filter: filter.into() })
    }

    fn sends(&mut self, number: u32, qos: u8) -> &mut Self {
        self.sends_on("a/x", number, qos, false, false)
    }

    fn sends_on(
        &mut self,
        topic: &str,
        number: u32,
        qos: u8,
        retain: bool,
        is_empty: bool,
    ) -> &mut Self {
        let (serial, topic) = (serial(number), topic.into());
        self.note("w", What::Publishing { serial, topic, qos, retain, is_empty })
    }

    fn acknowledged(&mut self, number: u32) -> &mut Self {
        self.note("w", What::Acknowledged { serial: serial(number), code: 0 })
    }

    fn publishes(&mut self, number: u32, qos: u8) -> &mut Self {
        self.sends(number, qos).acknowledged(number)
    }

    fn gets(&mut self, number: u32, qos: u8, dup: bool) -> &mut Self {
        self.note("r", received(number, qos, dup, number as u16));
        if qos == 2 {
            self.released(number as u16);
        }
        self
    }

    fn released(&mut self, packet_id: u16) -> &mut Self {
        self.note("r", What::Released { packet_id })
    }

    fn cut(&mut self, loses: Loses) -> &mut Self {
        let (from, until) = (self.now + 1, self.now + 2);
        self.now += 2;
        self.record.cuts.push(Cut { from, until, loses });
        self
    }

    fn looks(&mut self, found: &[(&str, u32)]) -> &mut Self {
        let (from, until) = (self.now + 1, self.now + 2);
        self.now += 2;
        let found = found.iter().map(|(topic, number)| (Arc::from(*topic), serial(*number)));
        let found = found.collect();
        self.record.looks.push(Look { from, until, filter: "ret/#".into(), found });
        self
    }

    fn verdict(&self) -> Verdict {
        check(&self.record)
    }

    #[track_caller]
    fn expect(&self, expected: &[Kind]) {
        let faults = self.verdict().faults;
        let kinds: Vec<Kind> = faults.iter().map(|fault| fault.kind).collect();
        assert_eq!(kinds, expected, "{faults:#?}");
    }
}

/// A writer and a reader that is subscribed to everything.
fn story() -> Story {
    let mut story = Story::default();
    story.connects("w", false).connects("r", false).subscribes("r", "a/#");
    story
}

#[test]
fn an_honest_broker_is_believed() {
    for qos in [1, 2] {
        let mut story = story();
        story.publishes(1, qos).sends(2, qos).gets(1, qos, false);
        // Under way when the broker is killed: 2 was stored, or 2 was not.
        story
            .cut(Loses::Nothing)
            .connects("w", true)
            .sends(2, qos)
            .acknowledged(2)
            .connects("r", true);
        story.gets(2, qos, true).publishes(3, qos).gets(3, qos, false);
        story.expect(&[]);
        let verdict = story.verdict();
        assert_eq!((verdict.messages, verdict.acknowledged, verdict.owed), (3, 3, 3));
        assert_eq!((verdict.received, verdict.redelivered, verdict.resumed), (3, 1, 2));
    }
}

#[test]
fn a_lost_message() {
    let mut story = story();
    story.publishes(1, 1).publishes(2, 1).gets(2, 1, false);
    story.expect(&[Kind::Lost]);
}

#[test]
fn what_was_not_acknowledged_may_be_lost_or_there() {
    let mut lost = story();
    lost.sends(1, 1).expect(&[]);
    let mut there = story();
    there.sends(1, 1).gets(1, 1, false).expect(&[]);
}

#[test]
fn a_subscription_counts_from_suback_to_unsubscribe() {
    // Sent before SUBACK, acknowledged after UNSUBSCRIBE: both are open.
    for is_delivered in [false, true] {
        let mut story = Story::default();
        story.connects("w", false).connects("r", false);
        story.note("r", What::Subscribing { filter: "a/x".into() }).sends(1, 1);
        story.note("r", What::Subscribed { filter: "a/x".into(), code: 1 }).acknowledged(1);
        story.sends(2, 1).note("r", What::Unsubscribing { filter: "a/x".into() }).acknowledged(2);
        if is_delivered {
            story.gets(1, 1, false).gets(2, 1, false);
        }
        story.note("r", What::Unsubscribed { filter: "a/x".into() });
        story.expect(&[]);
    }
}

#[test]
fn subscribing_again_leaves_no_gap() {
    let mut story = story();
    story.sends(1, 1).subscribes("r", "a/#").acknowledged(1).expect(&[Kind::Lost]);
}

#[test]
fn what_waits_when_a_subscription_ends_may_be_left_out() {
    let mut last = story();
    last.publishes(1, 1).unsubscribes("r", "a/#").expect(&[]);
    let mut gap = story();
    gap.publishes(1, 1).publishes(2, 1).gets(2, 1, false).unsubscribes("r", "a/#");
    gap.expect(&[Kind::Lost]);
    let mut other = story();
    other.subscribes("r", "+/x").publishes(1, 1).unsubscribes("r", "a/#");
    other.expect(&[Kind::Lost]);
}

#[test]
fn a_message_without_a_subscription() {
    let mut before = Story::default();
    before.connects("w", false).connects("r", false).publishes(1, 1).subscribes("r", "a/#");
    before.gets(1, 1, false).expect(&[Kind::NotSubscribed]);
    let mut after = story();
    after.unsubscribes("r", "a/#").publishes(1, 1).gets(1, 1, false);
    after.expect(&[Kind::NotSubscribed]);
    let mut other = Story::default();
    other.connects("w", false).connects("r", false).subscribes("r", "b/#").publishes(1, 1);
    other.gets(1, 1, false).expect(&[Kind::NotSubscribed]);
}

#[test]
fn a_message_of_nobody() {
    let mut story = story();
    story.gets(7, 1, false).expect(&[Kind::NeverPublished]);
}

#[test]
fn a_raised_qos() {
    let mut story = story();
    story.publishes(1, 1).gets(1, 2, false).expect(&[Kind::QosRaised]);
}

#[test]
fn qos_2_twice() {
    let mut story = story();
    story
        .publishes(1, 2)
        .gets(1, 2, false)
        .cut(Loses::Nothing)
        .connects("r", true)
        .gets(1, 2, true);
    story.expect(&[Kind::DeliveredTwice]);
}

#[test]
fn qos_2_goes_on_under_its_packet_identifier() {
    let mut honest = story();
    honest.publishes(1, 2).note("r", received(1, 2, false, 5)).connects("r", true);
    honest.note("r", received(1, 2, true, 5)).released(5).connects("r", true).released(5);
    honest.expect(&[]);
    let mut without_dup = story();
    without_dup.publishes(1, 2).note("r", received(1, 2, false, 5)).connects("r", true);
    without_dup.note("r", received(1, 2, false, 5)).released(5).expect(&[Kind::DupMissing]);
    let mut another = story();
    another.publishes(1, 2).publishes(2, 2).note("r", received(1, 2, false, 5));
    another.note("r", received(2, 2, false, 5)).expect(&[Kind::PacketIdInUse]);
    // The session may be a new one, although there is one.
    let mut unsure = story();
    unsure.publishes(1, 2).publishes(2, 2).publishes(3, 2).note("r", received(1, 2, false, 5));
    unsure.note("r", What::Connecting { clean: true, stays: true }).connects("r", true);
    unsure.note("r", received(2, 2, false, 5)).expect(&[]);
    unsure.note("r", received(3, 2, false, 5)).expect(&[Kind::PacketIdInUse]);
    let mut other_id = story();
    other_id.publishes(1, 2).note("r", received(1, 2, false, 5)).connects("r", true);
    other_id.note("r", received(1, 2, true, 6)).expect(&[Kind::DeliveredTwice]);
}

#[test]
fn qos_1_again_needs_a_new_connection_with_dup() {
    let mut honest = story();
    honest.publishes(1, 1).gets(1, 1, false).connects("r", true).gets(1, 1, true).expect(&[]);
    let mut without_dup = story();
    without_dup.publishes(1, 1).gets(1, 1, false).connects("r", true).gets(1, 1, false);
    without_dup.expect(&[Kind::DupMissing]);
    let mut at_once = story();
    at_once.publishes(1, 1).connects("r", true).gets(1, 1, false).gets(1, 1, true);
    at_once.expect(&[Kind::AgainOnOneConnection]);
}

#[test]
fn qos_1_sent_twice_may_come_twice() {
    let mut story = story();
    story.sends(1, 1).connects("w", true).publishes(1, 1).gets(1, 1, false).gets(1, 1, false);
    story.expect(&[]);
    story.connects("r", true).gets(1, 1, false).expect(&[Kind::DupMissing]);
}

/// The reader got it, the power failed before its acknowledgement, the writer sends it again.
#[test]
fn what_a_power_cut_takes_may_come_as_new() {
    let mut qos_1 = story();
    qos_1.sends(1, 2).gets(1, 1, false).cut(Loses::Unacknowledged).connects("w", true);
    qos_1.sends(1, 2).acknowledged(1).connects("r", true).gets(1, 1, false).expect(&[]);
    let mut killed = story();
    killed.sends(1, 2).gets(1, 1, false).cut(Loses::Nothing).connects("w", true);
    killed.sends(1, 2).acknowledged(1).connects("r", true).gets(1, 1, false);
    killed.expect(&[Kind::DupMissing]);
    // At QoS 2 it was on the disk before it was sent.
    let mut qos_2 = story();
    qos_2.sends(1, 2).gets(1, 2, false).cut(Loses::Unacknowledged).connects("w", true);
    qos_2.sends(1, 2).acknowledged(1).connects("r", true).gets(1, 2, false);
    qos_2.expect(&[Kind::DeliveredTwice]);
}

#[test]
fn dup_of_what_cannot_have_been_sent_before() {
    let mut first_connection = story();
    first_connection.publishes(1, 1).gets(1, 1, true).expect(&[Kind::DupUnfounded]);
    let mut too_young = story();
    too_young.connects("r", true).publishes(1, 1).gets(1, 1, true).expect(&[Kind::DupUnfounded]);
}

#[test]
fn the_order_of_first_copies() {
    let mut swapped = story();
    swapped.publishes(1, 1).publishes(2, 1).gets(2, 1, false).gets(1, 1, false);
    swapped.expect(&[Kind::OutOfOrder]);
    let mut again = story();
    again.publishes(1, 1).publishes(2, 1).gets(1, 1, false).gets(2, 1, false);
    again.connects("r", true).gets(1, 1, true).gets(2, 1, true).expect(&[]);
    // The subscription began between the two, so the first one comes when it is sent again.
    let mut begins = story();
    begins.unsubscribes("r", "a/#").sends(1, 1);
    begins.note("r", What::Subscribing { filter: "a/#".into() });
    begins
        .sends(2, 1)
        .gets(2, 1, false)
        .cut(Loses::Nothing)
        .connects("r", true)
        .connects("w", true);
    begins.publishes(1, 1).publishes(2, 1).gets(1, 1, false).expect(&[]);
    // Of different QoS any order will do.
    let mut mixed = story();
    mixed.publishes(1, 1).publishes(2, 2).gets(2, 2, false).gets(1, 1, false).expect(&[]);
}

#[test]
fn a_lost_session() {
    let mut gone = story();
    gone.connects("r", false).expect(&[Kind::SessionLost]);
    // Its subscriptions went with it, so nothing is owed any more.
    gone.publishes(1, 1).expect(&[Kind::SessionLost]);
    let mut unknown = story();
    unknown.note("r", What::Connecting { clean: true, stays: true }).connects("r", true);
    unknown.expect(&[]);
    unknown.connects("r", false).expect(&[Kind::SessionLost]);
}

#[test]
fn a_session_from_nowhere() {
    let mut story = story();
    story.note("s", What::Connecting { clean: false, stays: true });
    story.note("s", What::Connected { session_present: true });
    story.expect(&[Kind::SessionFromNowhere]);
}

#[test]
fn the_end_of_a_session() {
    let mut ended = story();
    ended.note("r", What::Leaving { ends_session: true }).note("r", What::Ended { code: None });
    ended.publishes(1, 1).connects("r", false).expect(&[]);
    let mut is_back = story();
    is_back.note("r", What::Leaving { ends_session: true }).connects("r", true);
    is_back.expect(&[Kind::SessionFromNowhere]);
    let mut killed = story();
    killed.note("r", What::Leaving { ends_session: true }).cut(Loses::Nothing).connects("r", true);
    killed.expect(&[]);
}

#[test]
fn a_connection_that_is_ended_without_a_fault() {
    let mut story = story();
    story.note("r", What::Ended { code: Some(0x8B) }).expect(&[]);
    story.note("r", What::Ended { code: Some(0x82) }).expect(&[Kind::Accused]);
}

#[test]
fn a_refused_message() {
    let mut story = story();
    story.sends(1, 1).note("w", What::Acknowledged { serial: serial(1), code: 0x97 });
    story.expect(&[]);
    assert_eq!((story.verdict().refused, story.verdict().acknowledged), (1, 0));
    story.gets(1, 1, false).expect(&[Kind::RefusedButDelivered]);
}

/// Two retained messages on a topic, the second with an empty payload.
fn retaining() -> Story {
    let mut story = Story::default();
    story.connects("w", false).sends_on("ret/x", 1, 1, true, false).acknowledged(1);
    story
}

#[test]
fn the_retained_message_is_the_last_acknowledged_one() {
    retaining().looks(&[("ret/x", 1)]).expect(&[]);
    retaining().looks(&[]).expect(&[Kind::RetainedWrong]);
    retaining().looks(&[("ret/x", 2)]).expect(&[Kind::RetainedWrong]);
    let mut deleted = retaining();
    deleted.sends_on("ret/x", 2, 1, true, true).acknowledged(2).looks(&[]).expect(&[]);
    deleted.looks(&[("ret/x", 1)]).expect(&[Kind::RetainedWrong]);
}

#[test]
fn or_one_that_was_under_way() {
    for found in [1, 2] {
        let mut story = retaining();
        story.sends_on("ret/x", 2, 1, true, false).cut(Loses::Nothing).looks(&[("ret/x", found)]);
        story.expect(&[]);
    }
    let mut later = retaining();
    later.looks(&[("ret/x", 2)]).sends_on("ret/x", 2, 1, true, false);
    later.expect(&[Kind::RetainedWrong]);
}

#[test]
fn a_cut_that_loses_something_leaves_a_prefix() {
    let published = |until| {
        let mut story = story();
        (1..=until).for_each(|number| _ = story.publishes(number, 1));
        story.cut(Loses::Unsynced).connects("w", true).connects("r", true);
        story
    };
    let mut prefix = published(3);
    prefix.gets(1, 1, false).gets(2, 1, false).expect(&[]);
    assert_eq!(prefix.verdict().lost_unsynced, 1);
    let mut hole = published(3);
    hole.gets(1, 1, false).gets(3, 1, false).expect(&[Kind::Hole]);
    // What was acknowledged after the cut is not covered by it.
    let mut after = published(1);
    after.subscribes("r", "a/#").publishes(2, 1).publishes(3, 1).gets(3, 1, false);
    after.expect(&[Kind::Lost]);
}

#[test]
fn a_cut_that_loses_something_may_take_sessions_and_retained_messages() {
    let mut session = story();
    session.publishes(1, 1).cut(Loses::Unsynced).connects("r", false).expect(&[]);
    let mut retained = retaining();
    retained.cut(Loses::Unsynced).looks(&[]).expect(&[]);
    retained.sends_on("ret/x", 2, 1, true, false).acknowledged(2);
    retained.looks(&[("ret/x", 1)]).expect(&[Kind::RetainedWrong]);
}
