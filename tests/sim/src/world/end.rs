//! How a run ends: everybody comes back, everything comes to rest, everybody goes.

use std::collections::BTreeMap;

use flotilla_core::counters::DropReason;
use flotilla_mqtt::{
    Connect, Packet, PacketId, QoS, Requested, Subscribe, SubscribeFilters, SubscriptionOptions,
    UserProperties, Version, decode,
};

use super::World;
use crate::bench::dice::Dice;
use crate::client::encode;
use crate::model::number_of;

/// Rounds after which what still moves will move for ever.
const ROUNDS_MAX: usize = 4_000;

impl World {
    /// Everybody comes back and stays until nothing moves any more.
    pub(crate) fn calm_down(&mut self) {
        self.bench.hold_turns(false);
        self.bench.disk_fails(false);
        self.bench.store_changed(false);
        self.bench.refuse_next = None;
        self.nasty_goes();
        for client in &mut self.clients {
            client.profile.is_lazy = false;
            client.profile.has_wills = false;
            client.profile.clean_start_one_in = 0;
        }
        let mut quiet = 0;
        let mut dice = Dice(self.model.now);
        for _ in 0..ROUNDS_MAX {
            self.model.now += 1;
            let before = self.events;
            for who in 0..self.clients.len() {
                let is_there = self.clients[who].line.is_some();
                if !is_there {
                    self.connect(who, &mut dice);
                }
                self.stuff_quietly(who);
                self.acknowledge(who);
                self.up(who, usize::MAX);
                self.hear();
                self.down(who, usize::MAX);
            }
            self.bench.settle();
            self.hear();
            let is_quiet =
                self.events == before && self.clients.iter().all(|c| c.uplink.is_empty());
            quiet = if is_quiet { quiet + 1 } else { 0 };
            if quiet > 2 {
                return;
            }
            // Cursors are written, silence counts: but nobody is silent for long.
            if quiet > 0 {
                self.bench.wait_ms(1_000);
            }
        }
        panic!("after {ROUNDS_MAX} rounds it still moves");
    }

    fn stuff_quietly(&mut self, who: usize) {
        if let Some(line) = self.clients[who].line {
            self.bench.stuff(self.lines[line].wire, false);
        }
    }

    /// Everybody publishes once more: after whatever happened, every session works.
    pub(crate) fn probe(&mut self) {
        for who in 0..self.clients.len() {
            self.publish(who, &mut Dice(who as u64));
        }
    }

    /// After [`World::calm_down`]: what must have come has come, and nothing stays behind.
    pub(crate) fn check(&mut self) {
        self.watch();
        for (who, client) in self.clients.iter().enumerate() {
            let numbers: Vec<_> = client.window.iter().map(|it| it.number).collect();
            assert!(numbers.is_empty(), "c{who} waits for acknowledgements of {numbers:?}");
            assert!(client.asked.is_empty(), "c{who} waits for SUBACK or UNSUBACK");
        }
        let lines: Vec<_> = self.clients.iter().map(|client| client.line).collect();
        self.model.check_all_came(&lines, self.dropped());
        self.check_losses();
        let limits = &self.setup.limits;
        if limits.retained_messages_max.min(limits.queue_messages_max) > 20 {
            let kept = self.look_at_retained();
            self.model.check_kept(&kept);
        }
        self.leave_nothing();
    }

    /// What cleaning took was counted, by its reason, and who lost it hears of it.
    fn check_losses(&mut self) {
        let (messages, expired) = self.cleaned;
        let mut counters = self.tally.counters.clone();
        counters += &self.counters();
        let of = |reason: DropReason| counters.dropped[reason as usize];
        let (told, told_expired) = (of(DropReason::Cleaned), of(DropReason::Expired));
        // What a killed broker had not heard of it never counts.
        let is_all = self.model.crashed.is_none();
        assert!(told == messages || !is_all && told < messages, "{told} of {messages} counted");
        assert!(told_expired >= expired || !is_all, "{told_expired} of {expired} counted");
        for who in 0..self.clients.len() {
            let profile = self.clients[who].profile;
            let line = self.clients[who].line.take();
            let Some(line) = line.filter(|_| profile.expiry_s == u32::MAX) else { continue };
            self.bench.cut(self.lines[line].wire);
            self.bench.settle();
            let untold = |world: &Self| {
                let stored = world.bench.engine.session(&format!("c{who}"));
                stored.map_or(0, |stored| stored.overtaken)
            };
            let due = untold(self);
            let name = self.clients[who].name.clone();
            let mut connect = Connect::new(Version::V5, &name);
            connect.clean_start = false;
            connect.session_expiry_interval_s = u32::MAX;
            let wire = self.bench.connect(0, connect);
            self.bench.settle();
            let told = self.bench.next(wire);
            let words = if due > 0 { format!(" messages-cleaned={due}") } else { String::new() };
            // A session that began anew may hear of what was taken from the one before it.
            let is_steady = self.setup.profiles[who].clean_start_one_in == 0;
            let is_right = told == format!("CONNACK 0x00 present=true{words}");
            assert!(is_right || due == 0 && !is_steady, "{name} misses {due}, and is told {told}");
            self.bench.cut(wire);
            self.bench.settle();
            assert_eq!(untold(self), 0, "{name} was told of {due}");
        }
    }

    /// Subscribes to everything, as somebody new.
    fn look_at_retained(&mut self) -> BTreeMap<String, usize> {
        let connect = Connect::new(Version::V5, "visitor");
        let wire = self.bench.connect(0, connect);
        self.bench.settle();
        let options = SubscriptionOptions::new(QoS::AtMostOnce);
        let wishes = [Requested { filter: "t/#", options }];
        let packet = Packet::Subscribe(Subscribe {
            packet_id: PacketId::MIN,
            subscription_id: None,
            user_properties: UserProperties::EMPTY,
            filters: SubscribeFilters::from_slice(&wishes),
        });
        self.bench.send_bytes(wire, &encode(&packet, Version::V5));
        self.bench.settle();
        let mut kept = BTreeMap::new();
        let bytes = self.bench.take_bytes(wire, usize::MAX);
        let mut rest = bytes.as_slice();
        while let Some((packet, len)) = decode(rest, Version::V5, u32::MAX).expect("valid packets")
        {
            if let Packet::Publish(publish) = packet
                && let Some(number) = number_of(publish.payload)
            {
                assert!(publish.retain, "it is there because it was retained");
                let other = kept.insert(publish.topic.to_owned(), number);
                assert!(other.is_none(), "{} keeps two", publish.topic);
            }
            rest = &rest[len..];
        }
        self.bench.cut(wire);
        kept
    }

    /// When everybody has gone and every interval is over, nothing is left.
    fn leave_nothing(&mut self) {
        for line in &self.lines {
            self.bench.cut(line.wire);
        }
        self.bench.settle();
        let sessions = self.bench.shards.iter().flat_map(|shard| shard.census().sessions);
        let names: Vec<_> = sessions.map(|session| session.client_id).collect();
        for name in names {
            // To end a session that would never expire.
            let mut connect = Connect::new(Version::V5, name.as_str());
            connect.clean_start = true;
            let wire = self.bench.connect(0, connect);
            self.bench.settle();
            self.bench.cut(wire);
        }
        self.bench.settle();
        for _ in 0..3 {
            self.bench.wait_ms(100_000);
            self.bench.settle();
        }
        for (at, shard) in self.bench.shards.iter().enumerate() {
            let census = shard.census();
            let rest = (census.connections, census.directory, census.waiters, census.ending);
            assert_eq!(rest, (0, 0, 0, 0), "shard {at} still holds {census:?}");
            assert!(census.sessions.is_empty() && census.held == 0, "shard {at}: {census:?}");
            assert!(census.timers <= 1, "shard {at}: {census:?}");
            assert_eq!(census.uncommitted_bytes, 0, "shard {at}: {census:?}");
            let counters = shard.counters();
            let open = (counters.connections_open, counters.subscriptions);
            let sessions = (counters.sessions_connected, counters.sessions_disconnected);
            assert_eq!((open, sessions), ((0, 0), (0, 0)), "shard {at} miscounts");
        }
        let router = format!("{:?}", self.bench.router);
        let router = router.split("retained: ").next().unwrap_or_default();
        let edges = router.matches("edges: {").count();
        assert_eq!(edges, router.matches("edges: {}").count(), "{router:.2000}");
        for who in 0..self.clients.len() {
            let stored = self.bench.engine.session(&format!("c{who}"));
            assert!(stored.is_none(), "c{who} is still stored");
        }
    }
}
