//! What happens in a run: everything that a seed decides.

use std::fmt;

use flotilla_core::durability::{Class, Durability};
use flotilla_core::limits::Limits;
use flotilla_mqtt::Version;

use crate::bench::dice::Dice;

/// Honest clients of a run.
pub(crate) const HONEST: usize = 5;

/// A run: the broker and its clients as the seed has made them, then operations, one by one.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Decides the [`Setup`].
    pub seed: u64,
    /// What happens.
    pub operations: Vec<Operation>,
}

/// Something that happens. Whatever it does not say is thrown with a die of its own, so that it
/// means the same when others before it are left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Operation {
    /// What.
    pub kind: Kind,
    /// The seed of the die.
    pub dice: u64,
}

macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident $weight:literal,)*) => {
        /// A kind of [`Operation`].
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Kind {
            $($(#[$doc])* $kind,)*
        }

        const KINDS: &[(Kind, usize)] = &[$((Kind::$kind, $weight),)*];
    };
}

kinds! {
    /// A client opens a connection, perhaps while it has another.
    Connect 24,
    /// A client publishes.
    Publish 90,
    /// A client subscribes.
    Subscribe 24,
    /// A client unsubscribes.
    Unsubscribe 4,
    /// A client sends DISCONNECT.
    Leave 3,
    /// Bytes of a client come to the broker.
    Up 150,
    /// A client reads bytes and answers what they say.
    Down 150,
    /// A client sends the acknowledgements that it has put off.
    Acknowledge 20,
    /// A connection breaks: what is on its way is lost.
    Cut 8,
    /// A socket takes nothing for a while.
    Stuff 4,
    /// It takes what waits.
    Unstuff 8,
    /// Mail between two shards arrives.
    Mail 110,
    /// The engine writes.
    Commit 60,
    /// The engine syncs.
    Sync 24,
    /// A shard hears of a commit or a sync.
    Report 80,
    /// A page is read.
    Read 30,
    /// A page arrives at its shard.
    Page 30,
    /// A question is answered.
    Answer 40,
    /// All that is on its way within the broker arrives.
    Rest 20,
    /// Events gather in one turn, or not any more.
    Gather 40,
    /// Time passes.
    Wait 20,
    /// The clock on the wall is set.
    Jump 1,
    /// SIGKILL, and a new start.
    Kill 2,
    /// The power fails: some of what was not synced is gone.
    PowerCut 2,
    /// The disk is full.
    Full 2,
    /// It has room.
    Room 6,
    /// Writes and syncs fail.
    Fail 2,
    /// They work again.
    Heal 6,
    /// A client that wishes the broker ill connects.
    NastyConnect 10,
    /// It sends something.
    NastySend 40,
    /// It reads what came, its connection breaks, or its socket takes nothing.
    NastyRest 12,
    /// The log is cleaned.
    Clean 3,
    /// A client shows again who it is.
    Reauthenticate 16,
}

impl Plan {
    /// The run of a seed.
    pub fn of_seed(seed: u64, operations: usize) -> Self {
        let mut dice = Dice(seed ^ 0x5eed_0f0b);
        let sum: usize = KINDS.iter().map(|(_, weight)| weight).sum();
        // Each run has kinds that it likes and kinds that it lacks.
        let loved: Vec<usize> = KINDS.iter().map(|_| [0, 1, 1, 1, 1, 3][dice.below(6)]).collect();
        let operation = |_| loop {
            let mut at = dice.below(sum);
            let mut kinds = KINDS.iter().zip(&loved);
            let (&(kind, _), &love) = kinds
                .find(|((_, weight), _)| {
                    let is_here = at < *weight;
                    at = at.saturating_sub(*weight);
                    is_here
                })
                .expect("below the sum");
            let is_needed = matches!(
                kind,
                Kind::Connect
                    | Kind::Up
                    | Kind::Down
                    | Kind::Publish
                    | Kind::Subscribe
                    | Kind::Mail
                    | Kind::Commit
                    | Kind::Report
                    | Kind::Answer
            );
            let thrown = (dice.below(1 << 30), dice.below(3));
            if thrown.1 < love.max(usize::from(is_needed)) {
                return Operation { kind, dice: thrown.0 as u64 };
            }
        };
        Self { seed, operations: (0..operations).map(operation).collect() }
    }

    /// The run that bytes describe: each four of them an operation.
    pub fn of_bytes(seed: u64, bytes: &[u8]) -> Self {
        let operation = |bytes: &[u8; 4]| Operation {
            kind: KINDS[usize::from(bytes[0]) % KINDS.len()].0,
            dice: u64::from(u32::from_be_bytes(*bytes) & 0x00ff_ffff),
        };
        let (operations, _) = bytes.as_chunks::<4>();
        Self { seed, operations: operations.iter().map(operation).collect() }
    }

    /// Reads what [`fmt::Display`] writes; lines with `#` in front say nothing.
    ///
    /// # Errors
    /// The line that is no operation.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut plan = Self { seed: 0, operations: Vec::new() };
        for line in text.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
            let (word, number) =
                line.split_once(' ').ok_or_else(|| format!("`{line}`: a word and a number"))?;
            let number =
                number.parse().map_err(|_| format!("`{line}`: a number behind the word"))?;
            let known = KINDS.iter().find(|(kind, _)| format!("{kind:?}") == word);
            match known {
                Some(&(kind, _)) => plan.operations.push(Operation { kind, dice: number }),
                None if word == "seed" => plan.seed = number,
                None => return Err(format!("`{line}`: no operation has this name")),
            }
        }
        Ok(plan)
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "seed {}", self.seed)?;
        for Operation { kind, dice } in &self.operations {
            writeln!(f, "{kind:?} {dice}")?;
        }
        Ok(())
    }
}

/// The broker of a run and its honest clients.
#[derive(Clone, Debug)]
pub(crate) struct Setup {
    pub(crate) shards: u16,
    pub(crate) limits: Limits,
    pub(crate) durability: Durability,
    pub(crate) profiles: Vec<Profile>,
}

/// How an honest client behaves, always.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Profile {
    pub(crate) version: Version,
    /// Session Expiry Interval, seconds; `u32::MAX`: never.
    pub(crate) expiry_s: u32,
    pub(crate) receive_maximum: u16,
    pub(crate) maximum_packet_size: Option<u32>,
    pub(crate) keep_alive_s: u16,
    /// One of so many CONNECTs has Clean Start 1; 0: none.
    pub(crate) clean_start_one_in: usize,
    pub(crate) has_wills: bool,
    /// Whether it acknowledges in its own time.
    pub(crate) is_lazy: bool,
    /// Of Topic Aliases that it takes.
    pub(crate) topic_alias_maximum: u16,
    /// Whether it shows who it is by a method of several steps.
    pub(crate) has_method: bool,
}

impl Setup {
    pub(crate) fn of_seed(seed: u64) -> Self {
        let mut dice = Dice(seed ^ 0x005e_70f0);
        let d = &mut dice;
        let mut limits = Limits {
            inflight_max: 1 + d.below(6) as u16,
            tail_messages_max: 1 + d.below(4),
            page_messages_max: 1 + d.below(5),
            cursor_lag_max: 1 + d.below(8),
            cursor_idle_ms: 1 + d.below(400) as u64,
            tail_bytes_max: 1 + d.below(200),
            receive_max: 5,
            topic_aliases_max: 4,
            topic_levels_max: 6,
            subscriptions_max: 6,
            expiry_max_s: u32::MAX,
            packet_size_max: 600,
            ..Limits::default()
        };
        limits.finished_max = d.below(20) / 4;
        if d.one_in(2) {
            limits.uncommitted_bytes_max = 400;
        }
        if d.one_in(3) {
            limits.owed_bytes_max = 1 + d.below(400);
        }
        if d.one_in(3) {
            limits.unsent_bytes_max = 50 + d.below(400);
        }
        if d.one_in(3) {
            limits.mailed_bytes_max = 100 + d.below(400);
        }
        limits.queue_messages_max = [1 + d.below(6), 40][d.below(2)];
        if d.one_in(4) {
            limits.retained_messages_max = 3;
        }
        // One class for each of three topics, so that they mix in every session and batch.
        let mut class = || [Class::Memory, Class::Os, Class::Fsync][d.below(3)];
        let rules = vec![("t/+/0".into(), class()), ("t/+/1".into(), class())];
        let durability = Durability::new(rules, class());
        let mut profiles: Vec<_> = (0..HONEST).map(|at| Profile::throw(at, d)).collect();
        let shards = 1 + d.below(3) as u16;
        for profile in profiles.iter_mut().filter(|profile| profile.version == Version::V5) {
            profile.topic_alias_maximum = [0, 1, 2, 9][d.below(4)];
            profile.has_method = d.one_in(4);
        }
        Self { shards, limits, durability, profiles }
    }

    pub(crate) fn has_class(&self, class: Class) -> bool {
        let mut rules = self.durability.rules().iter();
        self.durability.default_class() == class || rules.any(|(_, of_rule)| *of_rule == class)
    }
}

impl Profile {
    fn throw(at: usize, d: &mut Dice) -> Self {
        let version = if d.one_in(4) { Version::V3_1_1 } else { Version::V5 };
        let expiry_s = match (at, version) {
            (0 | 1, _) => u32::MAX,
            (_, Version::V5) => [0, 3, u32::MAX][d.below(3)],
            _ => [0, u32::MAX][d.below(2)],
        };
        let is_v5 = version == Version::V5;
        Self {
            version,
            expiry_s,
            receive_maximum: if is_v5 { 1 + d.below(5) as u16 } else { u16::MAX },
            maximum_packet_size: (is_v5 && d.one_in(6)).then_some(60),
            keep_alive_s: if d.one_in(5) { 5 } else { 0 },
            clean_start_one_in: if at > 0 && is_v5 && d.one_in(4) { 5 } else { 0 },
            has_wills: d.one_in(3),
            is_lazy: d.one_in(2),
            topic_alias_maximum: 0,
            has_method: false,
        }
    }
}
