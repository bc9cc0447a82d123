//! How often each kind of thing has happened: what never does is a hole.

use std::ops::AddAssign;

use flotilla_core::counters::{ConnectOutcome, Counters, DropReason, packet_labels};

macro_rules! happenings {
    ($($name:ident $words:literal,)*) => {
        /// A kind of thing that the broker's own counters do not tell.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Happening {
            $($name,)*
        }

        const WORDS: &[&str] = &[$($words,)*];
    };
}

happenings! {
    ConnectV3 "honest CONNECT, MQTT 3.1.1",
    ConnectV5 "honest CONNECT, MQTT 5",
    ConnectAgain "honest CONNECT while another connection stands",
    CleanStart "CONNECT with Clean Start",
    Resumed "CONNACK with Session Present",
    Refused "CONNACK that refuses an honest client",
    Will "CONNECT with a Will",
    WillDelay "Will Delay Interval",
    WillExpiry "Will that expires",
    WillTold "DISCONNECT that asks for the Will",
    Leave "DISCONNECT that leaves",
    Cut "connection that breaks",
    Stuffed "socket that takes nothing",
    PublishQoS0 "PUBLISH at QoS 0",
    PublishQoS1 "PUBLISH at QoS 1",
    PublishQoS2 "PUBLISH at QoS 2",
    PublishAgain "PUBLISH that is sent again",
    PublishAlias "PUBLISH with a Topic Alias instead of its topic",
    PublishRetained "PUBLISH that is to be retained",
    PublishEmpty "PUBLISH that removes what is retained",
    PublishExpiry "PUBLISH that expires",
    PublishLong "PUBLISH that is longer than some take",
    Subscribe "subscription that is asked for",
    SubscribeShared "SUBSCRIBE to a group",
    SubscribeAgain "SUBSCRIBE that replaces",
    SubscribeTwice "SUBSCRIBE with two filters",
    NoLocal "SUBSCRIBE with No Local",
    NoLocalOff "SUBSCRIBE that takes No Local back",
    Lowered "SUBSCRIBE at a lower QoS",
    RetainAsPublished "SUBSCRIBE with Retain As Published",
    Unsubscribe "UNSUBSCRIBE of something",
    GotQoS0 "delivery at QoS 0",
    GotQoS1 "delivery at QoS 1",
    GotQoS2 "delivery at QoS 2",
    GotDup "delivery with DUP",
    GotRetained "delivery with RETAIN",
    GotShared "delivery through a group",
    GotIds "delivery with several Subscription Identifiers",
    GotAliasSet "delivery that sets a Topic Alias",
    GotAliasMoved "delivery that gives a Topic Alias to another topic",
    GotAlias "delivery with a Topic Alias instead of its topic",
    PublishRefused "acknowledgement that refuses a message",
    SubscribeRefused "SUBACK that refuses a filter",
    Reauthenticate "AUTH of a connection that stands",
    Reauthenticated "AUTH that ends such an exchange",
    Refuse "message that an honest client refuses",
    Jump "clock that is set",
    Kill "SIGKILL",
    PowerCut "power cut",
    PowerCutLoses "batch that a power cut takes",
    KillLoses "batch that a kill takes",
    Full "disk that is full",
    Fail "disk that fails",
    CleanConsumed "message cleaned that nobody wants",
    CleanOwed "message cleaned that a session wants",
    CleanShared "message cleaned that a group's member wants",
    CleanExpired "message cleaned that has expired",
    CleanInFlight "message cleaned that is in flight",
    ToldCleaned "CONNACK that tells of cleaned messages",
}

/// By clients that know the format.
const NEVER_RECEIVED: &[&str] = &["connack", "suback", "unsuback", "pingresp"];
/// By a broker.
const NEVER_SENT: &[&str] = &["connect", "subscribe", "unsubscribe", "pingreq"];

/// What has happened so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    happenings: Vec<u64>,
    pub(crate) counters: Counters,
}

impl Tally {
    pub(crate) fn count(&mut self, what: Happening) {
        self.count_all(what, 1);
    }

    pub(crate) fn count_all(&mut self, what: Happening, times: u64) {
        self.happenings.resize(WORDS.len(), 0);
        self.happenings[what as usize] += times;
    }

    pub(crate) fn count_if(&mut self, happens: bool, what: Happening) {
        if happens {
            self.count(what);
        }
    }

    /// In words, with how often.
    pub fn rows(&self) -> Vec<(String, u64)> {
        let times = self.happenings.iter().copied().chain(std::iter::repeat(0));
        let happenings = WORDS.iter().map(|words| (*words).to_owned()).zip(times);
        let Counters { packets_received, packets_sent, dropped, connects, .. } = &self.counters;
        let sent = |(at, name): (usize, &str)| (format!("sent {name}"), packets_sent[at]);
        let received =
            |(at, name): (usize, &str)| (format!("received {name}"), packets_received[at]);
        let comes = |(_, name): &(usize, &str)| !NEVER_RECEIVED.contains(name);
        let goes = |(_, name): &(usize, &str)| !NEVER_SENT.contains(name);
        let received = packet_labels().filter(comes).map(received);
        let packets = received.chain(packet_labels().filter(goes).map(sent));
        let dropped = DropReason::ALL.into_iter().zip(dropped);
        let dropped =
            dropped.map(|(reason, times)| (format!("dropped: {}", reason.name()), *times));
        let connects = ConnectOutcome::ALL.into_iter().zip(connects);
        let connects = connects.map(|(it, times)| (format!("connect: {}", it.name()), *times));
        let counters = &self.counters;
        let others = [
            ("messages refused by their receiver", counters.messages_refused),
            ("messages that nobody wants", counters.messages_unmatched),
            ("protocol errors", counters.protocol_errors),
            ("re-authentications refused", counters.reauthentications_refused),
            ("silences beyond Keep Alive", counters.keep_alive_timeouts),
            ("takeovers", counters.takeovers),
            ("sessions expired", counters.sessions_expired),
            ("retained messages expired", counters.retained_expired),
        ];
        let others = others.map(|(words, times)| (words.to_owned(), times));
        happenings.chain(packets).chain(dropped).chain(connects).chain(others).collect()
    }
}

impl AddAssign<&Self> for Tally {
    fn add_assign(&mut self, other: &Self) {
        self.happenings.resize(WORDS.len(), 0);
        for (sum, times) in self.happenings.iter_mut().zip(&other.happenings) {
            *sum += times;
        }
        self.counters += &other.counters;
    }
}
