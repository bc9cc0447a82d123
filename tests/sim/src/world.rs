//! A broker and its clients, as they run.

mod actions;
mod ear;
mod end;
mod faults;
mod nasty;
mod reading;
mod watch;

use std::collections::BTreeSet;
use std::fmt::Write as _;

use crate::bench::Bench;
use crate::bench::dice::Dice;
use crate::client::{Client, Line};
use crate::model::Model;
use crate::plan::{Kind, Operation, Setup};
use crate::tally::Tally;
use nasty::Nasty;

pub(crate) struct World {
    pub(crate) bench: Bench,
    setup: Setup,
    model: Model,
    clients: Vec<Client>,
    /// Every connection of an honest client, ever.
    lines: Vec<Line>,
    /// Those of them that may still be heard.
    open_lines: Vec<usize>,
    nasty: Nasty,
    stored: Stored,
    /// With what brokers before this one had counted when they ended.
    tally: Tally,
    /// Deliveries that cleaning took, and those that had expired by then.
    cleaned: (u64, u64),
    /// What happened, if somebody wants to read it.
    story: Option<String>,
    events: u64,
    prints: bool,
}

/// Numbers of messages that the disk has.
#[derive(Default)]
struct Stored {
    written_to: usize,
    written: BTreeSet<usize>,
    synced_to: usize,
    synced: BTreeSet<usize>,
}

impl World {
    pub(crate) fn new(seed: u64, has_story: bool, prints: bool) -> Self {
        let setup = Setup::of_seed(seed);
        let (limits, durability) = (setup.limits.clone(), setup.durability.clone());
        let mut bench = Bench::with_durability(setup.shards, limits, durability.clone());
        bench.spoken = Some(Vec::new());
        bench.commits_at_once = false;
        bench.syncs_at_once = false;
        let profiles = setup.profiles.clone();
        let clients = profiles.iter().enumerate().map(|(at, profile)| Client::new(at, *profile));
        let mut world = Self {
            bench,
            clients: clients.collect(),
            model: Model::new(profiles, durability),
            lines: Vec::new(),
            open_lines: Vec::new(),
            nasty: Nasty::default(),
            stored: Stored::default(),
            tally: Tally::default(),
            cleaned: (0, 0),
            story: (has_story || prints).then(String::new),
            events: 0,
            prints,
            setup,
        };
        let setup = format!("{:?}", world.setup);
        world.tell(|| setup);
        world
    }

    pub(crate) fn story(self) -> String {
        self.story.unwrap_or_default()
    }

    /// Of what kinds they were.
    pub(crate) fn tally(&self) -> Tally {
        let mut tally = self.tally.clone();
        tally.counters += &self.counters();
        tally
    }

    /// Packets and faults so far.
    pub(crate) fn events(&self) -> u64 {
        self.events
    }

    pub(crate) fn step(&mut self, operation: Operation) {
        self.model.now += 1;
        let mut dice = Dice(operation.dice);
        let d = &mut dice;
        let who = self.choose(operation.kind, d);
        match operation.kind {
            Kind::Connect => self.connect(who, d),
            Kind::Publish => self.publish(who, d),
            Kind::Subscribe => self.subscribe(who, d),
            Kind::Unsubscribe => self.unsubscribe(who, d),
            Kind::Leave => self.leave(who, d),
            Kind::Up => self.up(who, [3, 20, usize::MAX][d.below(3)]),
            Kind::Down => self.down(who, [3, 20, usize::MAX][d.below(3)]),
            Kind::Acknowledge => self.acknowledge_some(who, d),
            Kind::Cut => self.cut(who),
            Kind::Stuff => self.stuff(who, true),
            Kind::Unstuff => self.stuff(who, false),
            Kind::Mail => drop(self.bench.deliver_mail_between(d.below(8))),
            Kind::Commit => drop(self.bench.commit(1 + d.below(3))),
            Kind::Sync => drop(self.bench.sync(1 + d.below(4))),
            Kind::Report => drop(self.bench.report_to(d.below(4))),
            Kind::Read => drop(self.bench.read_page_of(d.below(8))),
            Kind::Page => drop(self.bench.deliver_page_of(d.below(8))),
            Kind::Answer => drop(self.bench.answer_question(d.below(8))),
            Kind::Rest => self.bench.settle(),
            Kind::Gather => self.bench.hold_turns(d.one_in(2)),
            Kind::Wait => self.bench.wait_ms(1 + d.below(1_500) as u64),
            Kind::Jump => self.jump(d),
            Kind::Kill => self.kill(d),
            Kind::PowerCut => self.power_cut(d),
            Kind::Full => self.fill(true),
            Kind::Room => self.fill(false),
            Kind::Fail => self.fail(true),
            Kind::Heal => self.fail(false),
            Kind::Clean => self.clean(d),
            Kind::Reauthenticate => self.reauthenticate(who, d),
            Kind::NastyConnect => self.nasty_connects(d),
            Kind::NastySend => self.nasty_sends(d),
            Kind::NastyRest => self.nasty_rests(d),
        }
        self.hear();
        self.watch();
    }

    /// A client for whom the operation has a meaning, if there is one.
    fn choose(&self, kind: Kind, d: &mut Dice) -> usize {
        let is_apt = |client: &Client| match kind {
            Kind::Connect => client.line.is_none(),
            Kind::Up => !client.uplink.is_empty(),
            Kind::Acknowledge => !client.answers.is_empty(),
            Kind::Down => client.line.is_some_and(|line| {
                let wire = self.lines[line].wire;
                !self.bench.inbox(wire).is_empty() || !self.bench.is_open(wire)
            }),
            _ => client.is_connected,
        };
        let apt: Vec<_> = (0..self.clients.len()).filter(|&at| is_apt(&self.clients[at])).collect();
        let is_any = apt.is_empty() || kind == Kind::Connect && d.one_in(8);
        if is_any { d.below(self.clients.len()) } else { apt[d.below(apt.len())] }
    }

    /// Adds a line to the story.
    fn tell(&mut self, line: impl FnOnce() -> String) {
        self.events += 1;
        if let Some(story) = &mut self.story {
            let line = line();
            if self.prints {
                println!("{:6} {line}", self.model.now);
            }
            writeln!(story, "{:6} {line}", self.model.now).expect("into a string");
        }
    }
}
