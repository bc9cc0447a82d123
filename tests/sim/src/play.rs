//! Plays a plan, and looks for the shortest one that fails in the same way.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::plan::{Operation, Plan};
use crate::tally::Tally;
use crate::world::World;

/// What came of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// What was wrong, in one sentence; `None`: nothing.
    pub fault: Option<String>,
    /// What happened, if it was asked for.
    pub story: String,
    /// Packets and faults.
    pub events: u64,
    /// Of what kinds.
    pub tally: Tally,
}

/// How much is told of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Telling {
    /// Nothing.
    Silent,
    /// The story is kept.
    Kept,
    /// The story is printed while it happens.
    Printed,
}

thread_local! {
    static LAST_PANIC: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Panics are caught and told from now on, not printed.
pub fn catch_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        let text = panic.payload_as_str().unwrap_or("a panic without words");
        LAST_PANIC.with(|last| *last.borrow_mut() = Some(format!("{place}: {text}")));
    }));
}

/// Plays a plan to its end, or to its first fault.
pub fn play(plan: &Plan, telling: Telling) -> Outcome {
    let mut world = World::new(plan.seed, telling == Telling::Kept, telling == Telling::Printed);
    let end = catch_unwind(AssertUnwindSafe(|| {
        for operation in &plan.operations {
            world.step(*operation);
        }
        world.calm_down();
        world.probe();
        world.calm_down();
        world.check();
    }));
    let fault = end.err().map(|_| {
        LAST_PANIC.with(|last| last.borrow_mut().take()).unwrap_or_else(|| "a panic".into())
    });
    let (events, tally) = (world.events(), world.tally());
    Outcome { fault, story: world.story(), events, tally }
}

/// The shortest plan that was found to fail where this one does. `tries`: runs at most.
pub fn shrink(plan: &Plan, tries: usize) -> Plan {
    let Some(fault) = play(plan, Telling::Silent).fault else { return plan.clone() };
    let place = kind(&fault).to_owned();
    let mut best = plan.clone();
    let mut tries = tries;
    let mut size = best.operations.len().div_ceil(2);
    while size > 0 && tries > 0 {
        let mut at = 0;
        let mut has_shrunk = false;
        while at < best.operations.len() && tries > 0 {
            let without: Vec<Operation> = best.operations[..at]
                .iter()
                .chain(best.operations.iter().skip(at + size))
                .copied()
                .collect();
            let shorter = Plan { seed: best.seed, operations: without };
            tries -= 1;
            let outcome = play(&shorter, Telling::Silent);
            if outcome.fault.as_deref().is_some_and(|fault| kind(fault) == place) {
                best = shorter;
                has_shrunk = true;
            } else {
                at += size;
            }
        }
        if !has_shrunk {
            size /= 2;
        }
    }
    best
}

/// Where it was noticed: the same fault has the same place.
fn kind(fault: &str) -> &str {
    fault.split(": ").next().unwrap_or(fault)
}
