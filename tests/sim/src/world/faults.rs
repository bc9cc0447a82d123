//! What goes wrong, and how it passes.

use flotilla_core::counters::Counters;
use flotilla_core::durability::Class;

use super::World;
use crate::bench::dice::Dice;
use crate::model::Who;

impl World {
    /// The client puts its answers on the way.
    pub(super) fn acknowledge(&mut self, who: Who) {
        let client = &mut self.clients[who];
        client.uplink.append(&mut client.answers);
    }

    pub(super) fn cut(&mut self, who: Who) {
        let Some(line) = self.clients[who].line else { return };
        let wire = self.lines[line].wire;
        self.bench.cut(wire);
        self.clients[who].forget_line();
        self.tell(|| format!("connection {line} of c{who} breaks"));
    }

    pub(super) fn stuff(&mut self, who: Who, is_stuffed: bool) {
        let Some(line) = self.clients[who].line else { return };
        self.bench.stuff(self.lines[line].wire, is_stuffed);
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
        self.tell(|| format!("the clock is set {seconds} s, back: {is_back}"));
    }

    pub(super) fn fill(&mut self, is_full: bool) {
        self.bench.store_changed(is_full);
        self.model.full = Some(if is_full { u64::MAX } else { self.model.now });
        self.tell(|| format!("the disk is full: {is_full}"));
    }

    pub(super) fn fail(&mut self, is_failing: bool) {
        self.bench.disk_fails(is_failing);
        self.tell(|| format!("the disk fails: {is_failing}"));
    }

    pub(super) fn kill(&mut self, d: &mut Dice) {
        // Of a disk that failed nobody knows what it has.
        if self.bench.is_failing() && self.setup.has_class(Class::Fsync) {
            return self.power_cut(d);
        }
        self.bench.hold_turns(false);
        self.tell(|| "the broker is killed".into());
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
        self.count_before();
        self.bench.power_cut(kept);
        self.restarted(Class::Fsync);
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
        self.dropped_before = self.dropped();
    }

    /// Deliveries that were counted as dropped, by all brokers so far.
    pub(super) fn dropped(&self) -> u64 {
        let mut sum = Counters::default();
        for shard in &self.bench.shards {
            sum += shard.counters();
        }
        self.dropped_before + sum.dropped.iter().sum::<u64>()
    }
}
