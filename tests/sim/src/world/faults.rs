//! What goes wrong, and how it passes.

use std::collections::VecDeque;

use flotilla_core::counters::Counters;
use flotilla_core::durability::Class;
use flotilla_core::id::Position;
use flotilla_core::message::Message;

use super::World;
use crate::bench::dice::Dice;
use crate::client::Sent;
use crate::model::Who;
use crate::plan::HONEST;
use crate::tally::Happening;

impl World {
    /// The client puts its answers on the way.
    pub(super) fn acknowledge(&mut self, who: Who) {
        let client = &mut self.clients[who];
        client.uplink.append(&mut client.answers);
    }

    /// Or only those of QoS 2: no order holds between the two ([MQTT-4.6.0-2] to [MQTT-4.6.0-4]).
    pub(super) fn acknowledge_some(&mut self, who: Who, d: &mut Dice) {
        let client = &mut self.clients[who];
        if !d.one_in(3) {
            return self.acknowledge(who);
        }
        let is_puback = |sent: &Sent| sent.bytes[0] == 0x40;
        let answers = std::mem::take(&mut client.answers);
        let (later, now): (VecDeque<_>, VecDeque<_>) = answers.into_iter().partition(is_puback);
        client.uplink.extend(now);
        client.answers = later;
    }

    pub(super) fn cut(&mut self, who: Who) {
        let Some(line) = self.clients[who].line else { return };
        let wire = self.lines[line].wire;
        self.bench.cut(wire);
        self.tally.count(Happening::Cut);
        self.clients[who].forget_line();
        self.tell(|| format!("connection {line} of c{who} breaks"));
    }

    pub(super) fn stuff(&mut self, who: Who, is_stuffed: bool) {
        let Some(line) = self.clients[who].line else { return };
        self.bench.stuff(self.lines[line].wire, is_stuffed);
        self.tally.count_if(is_stuffed, Happening::Stuffed);
        self.tell(|| format!("the socket of c{who} is stuffed: {is_stuffed}"));
    }

    pub(super) fn jump(&mut self, d: &mut Dice) {
        let seconds = d.below(60) as u64;
        let is_back = d.one_in(2);
        let unix_ms = &mut self.bench.now.unix_ms;
        *unix_ms = match is_back {
            true => unix_ms.saturating_sub(seconds * 1000).max(1_000_000),
            false => *unix_ms + seconds * 1000,
        };
        self.tally.count(Happening::Jump);
        self.tell(|| format!("the clock is set {seconds} s, back: {is_back}"));
    }

    pub(super) fn fill(&mut self, is_full: bool) {
        self.bench.store_changed(is_full);
        self.model.full = Some(if is_full { u64::MAX } else { self.model.now });
        self.tally.count_if(is_full, Happening::Full);
        self.tell(|| format!("the disk is full: {is_full}"));
    }

    pub(super) fn fail(&mut self, is_failing: bool) {
        self.bench.disk_fails(is_failing);
        self.tally.count_if(is_failing, Happening::Fail);
        self.tell(|| format!("the disk fails: {is_failing}"));
    }

    pub(super) fn kill(&mut self, d: &mut Dice) {
        // Of a disk that failed nobody knows what it has.
        if self.bench.is_failing() && self.setup.has_class(Class::Fsync) {
            return self.power_cut(d);
        }
        self.bench.hold_turns(false);
        self.tell(|| "the broker is killed".into());
        let unwritten = self.bench.engine.submissions() as u64;
        self.tally.count(Happening::Kill);
        self.tally.count_all(Happening::KillLoses, unwritten);
        self.count_before();
        self.bench.crash();
        self.restarted(Class::Os);
    }

    pub(super) fn power_cut(&mut self, d: &mut Dice) {
        // Where nothing is synced, a power cut takes even the Packet Identifiers in use.
        if !self.setup.has_class(Class::Fsync) {
            return;
        }
        self.bench.hold_turns(false);
        let kept = d.below(4);
        self.tell(|| format!("the power fails, {kept} batches are kept"));
        let unsynced = self.bench.engine.unsynced().saturating_sub(kept) as u64;
        self.tally.count(Happening::PowerCut);
        self.tally.count_all(Happening::PowerCutLoses, unsynced);
        self.count_before();
        self.bench.power_cut(kept);
        self.restarted(Class::Fsync);
    }

    /// The log is cleaned: of what nobody wants any more, or of what is too old or too much, whoever
    /// wants it; of everything or of one partition. What was written last stays.
    pub(super) fn clean(&mut self, d: &mut Dice) {
        let engine = &self.bench.engine;
        let last = engine.end().0;
        let is_consumed = d.one_in(3);
        let end = match is_consumed {
            true => engine.floor().0.min(last),
            false => 1 + d.below(last as usize) as u64,
        };
        let partition = [String::new(), format!("t/c{}/", d.below(HONEST))];
        let partition = &partition[d.below(2)];
        let before = engine.cleaned();
        let goes = |message: &Message| message.topic().starts_with(partition);
        let Some(lost) = self.bench.clean_log(Position(end), goes) else { return };
        assert!(!is_consumed || lost.is_empty(), "it was wanted: {lost:?}");
        let gone = (self.bench.engine.cleaned() - before) as u64;
        self.tell(|| {
            let lost: Vec<_> = lost.iter().map(|it| (it.client_id.as_str(), it.number())).collect();
            format!("the log is cleaned below {end} of {partition}: {gone} go, {lost:?} miss them")
        });
        if lost.is_empty() {
            self.tally.count_all(Happening::CleanConsumed, gone);
        }
        for it in &lost {
            self.tally.count_if(it.is_expired, Happening::CleanExpired);
            self.tally.count_if(it.is_in_flight, Happening::CleanInFlight);
            self.tally.count_if(it.message.is_shared(), Happening::CleanShared);
            self.tally.count(Happening::CleanOwed);
            let (messages, expired) = &mut self.cleaned;
            *if it.is_expired { expired } else { messages } += 1;
            self.model.cleaned(it);
        }
    }

    fn restarted(&mut self, survives: Class) {
        self.hear_no_more();
        self.model.crashed(survives);
        for client in &mut self.clients {
            client.forget_line();
        }
        self.nasty.forget();
        self.stored = super::Stored::default();
    }

    fn count_before(&mut self) {
        self.tally.counters += &self.counters();
    }

    /// Deliveries that were counted as dropped, by all brokers so far.
    pub(super) fn dropped(&self) -> u64 {
        let counters = [&self.tally.counters, &self.counters()];
        counters.into_iter().flat_map(|counters| counters.dropped).sum()
    }

    /// What this broker has counted.
    pub(super) fn counters(&self) -> Counters {
        let mut sum = Counters::default();
        for shard in &self.bench.shards {
            sum += shard.counters();
        }
        sum
    }
}
