//! What all connections of a run write on: publishers, arrivals, counters.

use std::{
    collections::HashSet,
    time::{Duration, Instant},
};

use flotilla_mqtt::{PacketId, Publish, QoS, Version};

use crate::{
    client::Receives,
    publisher::Publisher,
    stamp::Stamp,
    stream::{Arrival, Stream},
    tally::Tally,
};

/// Which streams a receiver looks at.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Watch {
    /// The stream of its first publisher.
    pub(crate) stream: usize,
    /// Number of that publisher.
    pub(crate) publisher: u32,
    /// How many publishers.
    pub(crate) count: u32,
    /// Whether messages of a publisher are to come in order: not when several receivers share the
    /// stream.
    pub(crate) is_ordered: bool,
    /// Whether the time on the way counts: not for those who come late for their messages.
    pub(crate) is_timed: bool,
}

/// State of a run beside the sockets.
#[derive(Debug)]
pub(crate) struct Desk {
    pub(crate) version: Version,
    /// In each stamp.
    pub(crate) run: u32,
    origin: Instant,
    /// The clock, as it was when the sockets that are worked on were asked.
    pub(crate) now_ns: u64,
    pub(crate) publishers: Vec<Publisher>,
    pub(crate) streams: Vec<Stream>,
    pub(crate) tally: Tally,
    /// Publishers that may be able to send again.
    pub(crate) touched: Vec<u32>,
    /// Packet Identifiers of messages whose PUBREL has not come, of sessions that outlive their
    /// connection.
    pub(crate) inboxes: Vec<HashSet<PacketId>>,
    /// Publishers that send by the clock.
    pub(crate) paced: Vec<u32>,
}

impl Desk {
    pub(crate) fn new(version: Version, run: u32) -> Self {
        Self {
            version,
            run,
            origin: Instant::now(),
            now_ns: 0,
            publishers: Vec::new(),
            streams: Vec::new(),
            tally: Tally::new(),
            touched: Vec::new(),
            inboxes: Vec::new(),
            paced: Vec::new(),
        }
    }

    /// Reads the clock.
    pub(crate) fn tick(&mut self) {
        self.now_ns = u64::try_from(self.origin.elapsed().as_nanos()).unwrap_or(u64::MAX);
    }

    /// A message arrived at somebody who makes this of it.
    pub(crate) fn received(&mut self, publish: &Publish<'_>, receives: Receives) {
        self.tally.arrived[publish.qos as usize] += 1;
        let stamp = Stamp::read(publish.payload).filter(|stamp| stamp.run == self.run);
        match (stamp, receives) {
            (Some(stamp), Receives::Streams(watch)) => self.delivered(stamp, publish.qos, watch),
            (Some(_), Receives::Wills) => self.tally.wills += 1,
            (Some(stamp), Receives::Last) => {
                let last = self.publishers[stamp.publisher as usize].sent - 1;
                self.tally.last += u64::from(stamp.sequence == last);
            }
            (None, _) | (_, Receives::Nothing) => self.tally.foreign += 1,
        }
    }

    fn delivered(&mut self, stamp: Stamp, qos: QoS, watch: Watch) {
        let at = stamp.publisher.wrapping_sub(watch.publisher);
        if at >= watch.count {
            self.tally.foreign += 1;
            return;
        }
        match self.streams[watch.stream + at as usize].received(stamp.sequence) {
            Arrival::Duplicate => {
                self.tally.arrived[qos as usize] -= 1;
                self.tally.duplicated += 1;
                self.tally.duplicated_qos1 += u64::from(qos == QoS::AtLeastOnce);
                return;
            }
            Arrival::Late if watch.is_ordered => self.tally.reordered += 1,
            Arrival::Late | Arrival::InOrder => {}
        }
        self.tally.delivered += 1;
        if watch.is_timed {
            let latency_ns = self.now_ns.saturating_sub(stamp.time_ns);
            self.tally.latency.saturating_record(latency_ns);
            self.tally.lately.saturating_record(latency_ns);
        }
        let publisher = &mut self.publishers[stamp.publisher as usize];
        publisher.delivered += 1;
        touch(publisher, &mut self.touched);
    }

    /// The broker acknowledged a message of this publisher.
    pub(crate) fn acknowledged(&mut self, publisher: u32, is_refused: bool) {
        self.tally.acknowledged += 1;
        self.tally.refused += u64::from(is_refused);
        let publisher = &mut self.publishers[publisher as usize];
        publisher.acknowledged += 1;
        publisher.refused += u64::from(is_refused);
        touch(publisher, &mut self.touched);
    }

    /// How long until somebody is to send by the clock.
    pub(crate) fn next_due(&self) -> Duration {
        let due_ns = self.paced.iter().map(|number| self.publishers[*number as usize].due_ns());
        Duration::from_nanos(due_ns.min().unwrap_or(u64::MAX).saturating_sub(self.now_ns))
    }

    /// The publisher may be able to send.
    pub(crate) fn touch(&mut self, publisher: u32) {
        touch(&mut self.publishers[publisher as usize], &mut self.touched);
    }
}

fn touch(publisher: &mut Publisher, touched: &mut Vec<u32>) {
    if !publisher.is_touched {
        publisher.is_touched = true;
        touched.push(publisher.number);
    }
}
