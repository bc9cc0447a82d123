//! Numbers that look random, the same ones again for the same seed.

use std::{ops::Range, time::Duration};

/// A generator (SplitMix64).
#[derive(Clone, Debug)]
pub struct Dice(u64);

impl Dice {
    /// The same seed gives the same numbers.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Dice of its own for part `number` of a test, whatever the other parts throw.
    #[must_use]
    pub fn part(&self, number: u64) -> Self {
        let mut dice = Self(self.0 ^ number.wrapping_mul(0xD6E8_FEB8_6659_FD93));
        dice.throw();
        dice
    }

    /// Any number.
    pub fn throw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number of the range.
    ///
    /// # Panics
    /// When the range is empty.
    pub fn within(&mut self, range: Range<u64>) -> u64 {
        range.start + self.throw() % (range.end - range.start)
    }

    /// A time of the range, in steps of a microsecond.
    ///
    /// # Panics
    /// When the range is empty.
    pub fn time(&mut self, range: Range<Duration>) -> Duration {
        let micros = |time: Duration| time.as_micros() as u64;
        Duration::from_micros(self.within(micros(range.start)..micros(range.end)))
    }

    /// Yes, once in so many times.
    pub fn once_in(&mut self, times: u64) -> bool {
        self.throw().is_multiple_of(times)
    }

    /// One of them.
    ///
    /// # Panics
    /// When there is none.
    pub fn one_of<'a, T>(&mut self, choices: &'a [T]) -> &'a T {
        &choices[self.within(0..choices.len() as u64) as usize]
    }
}
