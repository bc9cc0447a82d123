//! A distribution of durations, cheap to add to.

use std::{ops::AddAssign, time::Duration};

/// Upper bounds of the buckets, seconds; above the last one there is one more bucket.
pub(crate) const BOUNDS: [f64; 14] = [
    0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0,
];

/// How many durations fell into each bucket, with their sum: so the mean of a bucket is exact.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Histogram {
    /// By bucket.
    pub(crate) buckets: [Bucket; BOUNDS.len() + 1],
}

/// One bucket.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Bucket {
    /// Durations.
    pub(crate) count: u64,
    /// Their sum, nanoseconds.
    pub(crate) sum_ns: u64,
}

impl Histogram {
    /// Adds one duration.
    pub(crate) fn add(&mut self, duration: Duration) {
        let seconds = duration.as_secs_f64();
        let index = BOUNDS.partition_point(|bound| *bound < seconds);
        if let Some(bucket) = self.buckets.get_mut(index) {
            bucket.count += 1;
            bucket.sum_ns += u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        }
    }
}

impl AddAssign<&Self> for Histogram {
    fn add_assign(&mut self, other: &Self) {
        for (bucket, other) in self.buckets.iter_mut().zip(&other.buckets) {
            bucket.count += other.count;
            bucket.sum_ns += other.sum_ns;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_belongs_to_its_bucket() {
        let mut histogram = Histogram::default();
        for micros in [0, 100, 101, 5_000_000, 5_000_001, 60_000_000] {
            histogram.add(Duration::from_micros(micros));
        }
        let counts = histogram.buckets.map(|bucket| bucket.count);
        assert_eq!((counts[0], counts[1], counts[13], counts[14]), (2, 1, 1, 2));
        assert_eq!(histogram.buckets[14].sum_ns, 65_000_001_000);
        let mut sum = histogram;
        sum += &histogram;
        assert_eq!(sum.buckets[0].count, 4);
    }
}
