//! Chance that can be repeated.

/// A generator; the same seed gives the same numbers.
#[derive(Clone, Debug)]
pub struct Dice(pub u64);

impl Dice {
    /// From 0 to `sides` - 1.
    pub fn below(&mut self, sides: usize) -> usize {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) as usize) % sides
    }

    /// True once in so many times.
    pub fn one_in(&mut self, sides: usize) -> bool {
        self.below(sides) == 0
    }
}

/// The seeds to play: `FLOTILLA_SEEDS=from..to`, or these.
pub fn seeds(usual: std::ops::Range<u64>) -> std::ops::Range<u64> {
    std::env::var("FLOTILLA_SEEDS").map_or(usual, |range| {
        let (from, to) = range.split_once("..").expect("FLOTILLA_SEEDS=from..to");
        from.parse().expect("a number")..to.parse().expect("a number")
    })
}
