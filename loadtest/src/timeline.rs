//! Latency over time.

use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use crate::{report::Latency, tally};

/// With more points than that, each is of twice the time.
const POINTS_MAX: usize = 1_000;

/// Points in time, all of the same length.
#[derive(Debug)]
pub(crate) struct Timeline {
    began: Instant,
    /// How long a point is.
    each: Duration,
    since: Instant,
    /// Since then.
    latency: Histogram<u64>,
    pub(crate) points: Vec<Point>,
}

/// What the latency was up to then.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Point {
    /// Seconds since the beginning.
    pub(crate) at_s: f64,
    pub(crate) latency: Latency,
}

impl Timeline {
    pub(crate) fn new(each: Duration) -> Self {
        let now = Instant::now();
        let latency = tally::histogram();
        Self { began: now, each, since: now, latency, points: Vec::new() }
    }

    /// Adds what was measured since the last time.
    pub(crate) fn add(&mut self, lately: &Histogram<u64>) {
        self.latency.add(lately).expect("both have the same bounds");
        if self.since.elapsed() < self.each {
            return;
        }
        self.since = Instant::now();
        let at_s = self.began.elapsed().as_secs_f64();
        // Time without a message is a gap.
        self.points.extend(Latency::of(&self.latency).map(|latency| Point { at_s, latency }));
        self.latency.reset();
        if self.points.len() >= POINTS_MAX {
            self.each *= 2;
            self.points = self.points.chunks(2).map(worse).collect();
        }
    }
}

/// The worse of two neighbours stands for both: no peak is lost when a run is long.
fn worse(pair: &[Point]) -> Point {
    let last = pair[pair.len() - 1];
    let max = |of: fn(&Latency) -> f64| pair.iter().map(|it| of(&it.latency)).fold(0.0, f64::max);
    let latency = Latency {
        p50: max(|it| it.p50),
        p99: max(|it| it.p99),
        p99_9: max(|it| it.p99_9),
        max: max(|it| it.max),
    };
    Point { at_s: last.at_s, latency }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_run_keeps_its_peaks() {
        let mut timeline = Timeline::new(Duration::ZERO);
        for number in 0..3 * POINTS_MAX as u64 {
            let mut lately = tally::histogram();
            lately.record(if number == 700 { 9_000_000 } else { 50_000 }).unwrap();
            timeline.add(&lately);
        }
        assert!(timeline.points.len() < POINTS_MAX);
        let peaks = timeline.points.iter().filter(|point| point.latency.p50 > 8_000.0).count();
        assert_eq!(peaks, 1);
        assert!(timeline.points.is_sorted_by(|one, other| one.at_s <= other.at_s));
    }
}
