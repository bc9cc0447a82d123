//! From when until when a client was subscribed: certainly, possibly.

use std::{collections::HashMap, sync::Arc};

use crate::history::{Cut, History, What, filter::matches};

/// A stretch of time, both ends included.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Window {
    pub(super) from: u64,
    pub(super) until: u64,
    /// The client ended it: what waits then need not come any more.
    pub(super) is_ended: bool,
}

/// The stretches of one client, by Topic Filter.
#[derive(Default, Debug)]
pub(super) struct Windows {
    certain: HashMap<Arc<str>, Stretches>,
    possible: HashMap<Arc<str>, Stretches>,
}

/// Stretches of one filter, of which the last may be open.
#[derive(Default, Debug)]
struct Stretches {
    closed: Vec<Window>,
    open: Option<u64>,
}

impl Stretches {
    fn open(&mut self, at: u64) {
        self.open.get_or_insert(at);
    }

    fn close(&mut self, at: u64, is_ended: bool) {
        if let Some(from) = self.open.take() {
            self.closed.push(Window { from, until: at.max(from), is_ended });
        }
    }

    fn all(&self) -> impl Iterator<Item = Window> {
        let open = self.open.map(|from| Window { from, until: u64::MAX, is_ended: false });
        self.closed.iter().copied().chain(open)
    }
}

impl Windows {
    pub(super) fn of(history: &History, cuts: &[Cut]) -> Self {
        let mut windows = Self::default();
        let mut lossy = cuts.iter().filter(|cut| cut.takes_acknowledged()).peekable();
        let mut connecting = 0;
        for (at, what) in &history.events {
            while let Some(cut) = lossy.next_if(|cut| cut.until <= *at) {
                windows.forget(cut);
            }
            if let What::Connecting { .. } = what {
                connecting = *at;
            }
            if *what == (What::Connected { session_present: false }) {
                // Where the session should have been there, it went in the last cut.
                let cut = cuts.iter().rev().find(|cut| cut.until <= connecting);
                windows.end(cut.map_or(connecting, |cut| cut.from), *at);
            }
            windows.note(*at, what);
        }
        for cut in lossy {
            windows.forget(cut);
        }
        windows
    }

    fn note(&mut self, at: u64, what: &What) {
        match what {
            What::Connecting { clean: true, .. } | What::Leaving { ends_session: true } => {
                self.certain.values_mut().for_each(|it| it.close(at, true));
            }
            What::Subscribing { filter } => {
                self.possible.entry(Arc::clone(filter)).or_default().open(at);
            }
            What::Subscribed { filter, code } if *code < 0x80 => {
                self.certain.entry(Arc::clone(filter)).or_default().open(at);
            }
            What::Unsubscribing { filter } => {
                self.certain.entry(Arc::clone(filter)).or_default().close(at, true);
            }
            What::Unsubscribed { filter } => {
                self.possible.entry(Arc::clone(filter)).or_default().close(at, true);
            }
            _ => {}
        }
    }

    /// The session and its subscriptions are gone.
    fn end(&mut self, certainly_until: u64, possibly_until: u64) {
        self.certain.values_mut().for_each(|it| it.close(certainly_until, false));
        self.possible.values_mut().for_each(|it| it.close(possibly_until, false));
    }

    /// After a cut that may have undone the last changes, any earlier state is possible.
    fn forget(&mut self, cut: &Cut) {
        self.certain.values_mut().for_each(|it| it.close(cut.from, false));
        self.possible.values_mut().for_each(|it| it.open(cut.from));
    }

    /// The stretches, one a subscription, in which a message on the topic certainly matched.
    pub(super) fn certain(&self, topic: &str) -> Vec<Window> {
        stretches(&self.certain, topic).collect()
    }

    /// When a message on the topic may have had a reason to come.
    pub(super) fn possible(&self, topic: &str) -> Merged {
        Merged::of(stretches(&self.possible, topic).collect())
    }
}

/// Those of the filters that match the topic.
fn stretches<'a>(
    all: &'a HashMap<Arc<str>, Stretches>,
    topic: &'a str,
) -> impl Iterator<Item = Window> + 'a {
    let matching = all.iter().filter(move |(filter, _)| matches(filter, topic));
    matching.flat_map(|(_, stretches)| stretches.all())
}

/// Stretches of time, disjoint, ascending: at each moment at least one filter matched.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Merged(Vec<(u64, u64)>);

impl Merged {
    fn of(mut windows: Vec<Window>) -> Self {
        windows.sort_unstable_by_key(|window| window.from);
        let mut merged: Vec<(u64, u64)> = Vec::new();
        for Window { from, until, .. } in windows {
            match merged.last_mut() {
                Some(last) if from <= last.1 => last.1 = last.1.max(until),
                _ => merged.push((from, until)),
            }
        }
        Self(merged)
    }

    /// Whether some of the time lies in one of them.
    pub(super) fn touches(&self, from: u64, until: u64) -> bool {
        let ended = self.0.partition_point(|window| window.1 < from);
        self.0.get(ended).is_some_and(|window| window.0 <= until)
    }
}
