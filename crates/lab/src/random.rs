//! Chance that can be repeated: the same seed gives the same run on every machine.

/// SplitMix64 (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators, 2014).
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// The sequence of `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Evenly distributed, above 0 and at most 1.
    pub fn unit(&mut self) -> f64 {
        ((self.bits() >> 11) + 1) as f64 / (1_u64 << 53) as f64
    }

    /// Exponentially distributed: times between arrivals, and lifetimes.
    pub fn exponential(&mut self, mean: f64) -> f64 {
        -self.unit().ln() * mean
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_is_a_sequence() {
        let first = |seed| {
            let mut random = Random::new(seed);
            [random.bits(), random.bits()]
        };
        // The reference implementation's first outputs of seed 0.
        assert_eq!(first(0), [0xe220_a839_7b1d_cdaf, 0x6e78_9e6a_a1b9_65f4]);
        assert_ne!(first(1), first(2));
    }

    #[test]
    fn exponential_times_have_the_mean_that_was_asked_for() {
        let mut random = Random::new(7);
        let times: Vec<f64> = (0..100_000).map(|_| random.exponential(3.0)).collect();
        let mean = times.iter().sum::<f64>() / times.len() as f64;
        assert!((2.95..3.05).contains(&mean), "{mean}");
        assert!(times.iter().all(|time| *time >= 0.0));
    }
}
