//! A distribution of numbers, cheap to add to.

use std::fmt::Debug;
use std::marker::PhantomData;
use std::ops::AddAssign;
use std::time::Duration;

/// Buckets with an upper bound; above the last one there is one more.
const BOUNDED: usize = 14;

/// What is counted.
pub trait Unit: Copy + Debug + Default + PartialEq + Eq {
    /// Upper bounds of the buckets, ascending; a bound belongs to its bucket.
    const BOUNDS: [u64; BOUNDED];
    /// So many make one in what is shown: 1,000,000,000 nanoseconds are a second.
    const SCALE: f64;
}

/// Durations, kept in nanoseconds, shown in seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Nanoseconds;

impl Unit for Nanoseconds {
    const BOUNDS: [u64; BOUNDED] = [
        100_000,
        250_000,
        500_000,
        1_000_000,
        2_500_000,
        5_000_000,
        10_000_000,
        25_000_000,
        50_000_000,
        100_000_000,
        250_000_000,
        500_000_000,
        1_000_000_000,
        5_000_000_000,
    ];
    const SCALE: f64 = 1e9;
}

/// Things by number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pieces;

impl Unit for Pieces {
    const BOUNDS: [u64; BOUNDED] =
        [0, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000];
    const SCALE: f64 = 1.0;
}

/// Sizes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bytes;

impl Unit for Bytes {
    const BOUNDS: [u64; BOUNDED] = [
        0, 256, 512, 1024, 2048, 4096, 8192, 16_384, 32_768, 65_536, 131_072, 524_288, 1_048_576,
        4_194_304,
    ];
    const SCALE: f64 = 1.0;
}

/// How many numbers fell into each bucket, with their sum: so the mean of a bucket is exact.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Histogram<U> {
    /// By bucket.
    pub buckets: [Bucket; BOUNDED + 1],
    unit: PhantomData<U>,
}

/// One bucket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bucket {
    /// How many numbers.
    pub count: u64,
    /// Their sum.
    pub sum: u64,
}

impl<U: Unit> Histogram<U> {
    /// Adds one number.
    pub fn add(&mut self, number: u64) {
        let bucket = &mut self.buckets[U::BOUNDS.partition_point(|bound| *bound < number)];
        bucket.count += 1;
        bucket.sum += number;
    }

    /// Upper bounds of the buckets as they are shown.
    pub fn bounds() -> [f64; BOUNDED] {
        U::BOUNDS.map(|bound| bound as f64 / U::SCALE)
    }

    /// How many numbers were added.
    pub fn count(&self) -> u64 {
        self.buckets.iter().map(|bucket| bucket.count).sum()
    }
}

impl Histogram<Nanoseconds> {
    /// Adds one duration.
    pub fn add_duration(&mut self, duration: Duration) {
        self.add(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX));
    }
}

impl<U> AddAssign<&Self> for Histogram<U> {
    fn add_assign(&mut self, other: &Self) {
        for (bucket, other) in self.buckets.iter_mut().zip(&other.buckets) {
            bucket.count += other.count;
            bucket.sum += other.sum;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_belongs_to_its_bucket() {
        let mut histogram = Histogram::<Nanoseconds>::default();
        for micros in [0, 100, 101, 5_000_000, 5_000_001, 60_000_000] {
            histogram.add_duration(Duration::from_micros(micros));
        }
        let counts = histogram.buckets.map(|bucket| bucket.count);
        assert_eq!((counts[0], counts[1], counts[13], counts[14]), (2, 1, 1, 2));
        assert_eq!(histogram.buckets[14].sum, 65_000_001_000);
        let mut sum = histogram;
        sum += &histogram;
        assert_eq!((sum.buckets[0].count, sum.count()), (4, 12));
        assert_eq!(Histogram::<Nanoseconds>::bounds()[0], 0.000_1);
    }
}
