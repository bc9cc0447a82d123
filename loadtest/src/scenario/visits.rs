//! Connections that come and go while messages flow.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use crate::{client::Role, error::Error, run::Run};

/// How long who will be cut hangs before: what comes meanwhile has not come when it is back.
const DEAF: Duration = Duration::from_millis(20);
/// How long it may take until all are back in the end.
const BACK_WITHIN: Duration = Duration::from_secs(60);

/// Those who come and go. In each cycle each leaves once, one after the other, and is away for a
/// quarter of it.
#[derive(Debug)]
pub(super) struct Visits {
    visitors: Vec<Visitor>,
    cycle: Duration,
    began: Instant,
    /// How many have been told to leave, ever.
    told: u64,
    /// They wait for acknowledgements.
    leaving: Vec<usize>,
    /// In the order in which they will be cut.
    deaf: VecDeque<(Instant, usize)>,
    /// In the order in which they come back.
    away: VecDeque<(Instant, usize)>,
    coming: Vec<usize>,
    /// How often somebody has come back.
    pub(super) returns: u64,
}

/// One of them.
#[derive(Debug)]
pub(super) struct Visitor {
    /// Its connection.
    pub(super) client: usize,
    /// What it is when it comes back.
    pub(super) role: Role,
    pub(super) farewell: Farewell,
    pub(super) is_here: bool,
}

/// How somebody leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Farewell {
    /// Says DISCONNECT.
    Disconnect,
    /// Closes the connection without a word.
    Close,
    /// Ends the connection with RST.
    Reset,
}

impl Visits {
    pub(super) fn new(visitors: Vec<Visitor>, cycle: Duration) -> Self {
        Self {
            visitors,
            cycle,
            began: Instant::now(),
            told: 0,
            leaving: Vec::new(),
            deaf: VecDeque::new(),
            away: VecDeque::new(),
            coming: Vec::new(),
            returns: 0,
        }
    }

    /// Lets those go and come whose time it is.
    pub(super) fn step(&mut self, run: &mut Run) -> Result<(), Error> {
        let all = self.visitors.len();
        let passed = self.began.elapsed().div_duration_f64(self.cycle);
        while self.told < (passed * all as f64) as u64 {
            let next = (self.told % all as u64) as usize;
            self.told += 1;
            let visitor = &mut self.visitors[next];
            if visitor.is_here {
                visitor.is_here = false;
                if let Some(publisher) = visitor.role.publisher {
                    run.pause(publisher, true);
                }
                self.leaving.push(next);
            }
        }
        self.go(run)?;
        self.come(run, Instant::now());
        Ok(())
    }

    /// Everybody comes back, nobody goes any more.
    ///
    /// # Errors
    /// When a connection breaks, or not all are back after a minute.
    pub(super) fn end(&mut self, run: &mut Run) -> Result<(), Error> {
        let last = Instant::now() + self.cycle;
        let deadline = Instant::now() + BACK_WITHIN;
        while self.leaving.len() + self.deaf.len() + self.away.len() + self.coming.len() > 0 {
            self.go(run)?;
            self.come(run, last);
            run.wait(Duration::from_millis(1))?;
            if run.fleet.is_stopped() {
                return Ok(());
            }
            if Instant::now() > deadline {
                let done = self.visitors.iter().filter(|visitor| visitor.is_here).count();
                let (seconds, all) = (BACK_WITHIN.as_secs(), self.visitors.len());
                return Err(Error::NotReady { seconds, done, all });
            }
        }
        Ok(())
    }

    /// Those go whose messages the broker has.
    fn go(&mut self, run: &mut Run) -> Result<(), Error> {
        let now = Instant::now();
        let back = now + self.cycle / 4;
        for number in std::mem::take(&mut self.leaving) {
            let Visitor { client, role, farewell, .. } = &self.visitors[number];
            if role.publisher.is_some_and(|publisher| !run.is_acknowledged(publisher)) {
                self.leaving.push(number);
                continue;
            }
            if *farewell != Farewell::Disconnect {
                run.fleet.deafen(*client);
                self.deaf.push_back((now + DEAF, number));
                continue;
            }
            run.fleet.depart(*client)?;
            self.away.push_back((back, number));
        }
        while let Some((_, number)) = self.deaf.pop_front_if(|(until, _)| *until <= now) {
            let Visitor { client, role, farewell, .. } = &self.visitors[number];
            if *farewell == Farewell::Reset {
                run.fleet.reset(*client)?;
            } else {
                run.fleet.cut(*client);
            }
            run.wills += u64::from(role.will.is_some());
            self.away.push_back((back, number));
        }
        Ok(())
    }

    fn come(&mut self, run: &mut Run, now: Instant) {
        while let Some((_, number)) = self.away.pop_front_if(|(back, _)| *back <= now) {
            let visitor = &self.visitors[number];
            run.fleet.open_again(visitor.client, visitor.role.clone());
            self.coming.push(number);
        }
        for number in std::mem::take(&mut self.coming) {
            let visitor = &mut self.visitors[number];
            if !run.fleet.is_ready(visitor.client) {
                self.coming.push(number);
                continue;
            }
            visitor.is_here = true;
            self.returns += 1;
            if let Some(publisher) = visitor.role.publisher {
                run.pause(publisher, false);
            }
        }
    }
}
