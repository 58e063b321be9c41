//! How far chance alone moves a run from what is expected of it.

use super::Model;
use crate::spread::Spread;

/// Runs that are simulated to see.
const SIMULATIONS: u64 = 40;
/// Moments that are looked at in each.
const MOMENTS: usize = 200;

/// How far `seen` is from `expected`, as a part of it, over the second half of both: a slab that retires a moment earlier
/// or later is no difference there.
#[must_use]
pub fn difference(expected: &[f64], seen: &[f64]) -> f64 {
    let sum = |values: &[f64]| values[values.len() / 2..].iter().sum::<f64>();
    let (expected, seen) = (sum(expected), sum(seen));
    if expected > 0.0 { seen / expected - 1.0 } else { 0.0 }
}

impl Model {
    /// What simulated runs of so many seconds differ by from what is derived; `filled` of the slab in use was carved
    /// before.
    #[must_use]
    pub fn chance(&self, seconds: f64, filled: f64) -> Spread {
        let tunnels = (self.arrival_rate * seconds).round().max(1.0) as u64;
        let differences: Vec<f64> = (0..SIMULATIONS)
            .map(|seed| {
                let points = self.simulate(seed, tunnels, MOMENTS, filled).points;
                let expected: Vec<f64> = points.iter().map(|point| self.pinned(point.0, filled)).collect();
                let seen: Vec<f64> = points.iter().map(|point| point.1).collect();
                difference(&expected, &seen)
            })
            .collect();
        Spread::of(&differences).unwrap_or(Spread {
            median: 0.0,
            least: 0.0,
            most: 0.0,
        })
    }
}

/// The same in words.
#[must_use]
pub fn told_chance(chance: Spread) -> String {
    format!(
        "{SIMULATIONS} simulated runs of this length lie {:+.0} % to {:+.0} % from it by chance",
        chance.least * 100.0,
        chance.most * 100.0
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chance_moves_few_slabs_further_than_many() {
        let model = |arrival_rate| Model {
            arrival_rate,
            byte_rate: 1e6,
            slab: 1e6,
            lifetime: Some(5.0),
        };
        let (few, many) = (model(0.5).chance(60.0, 0.0), model(50.0).chance(60.0, 0.0));
        let width = |spread: Spread| spread.most - spread.least;
        assert!(few.least < 0.0 && few.most > 0.0, "{few:?}");
        assert!(width(few) > 5.0 * width(many), "{few:?} {many:?}");
    }

    #[test]
    fn the_second_half_decides() {
        assert_eq!(difference(&[1.0, 1.0, 2.0, 2.0], &[9.0, 9.0, 2.0, 3.0]), 0.25);
        assert_eq!(difference(&[0.0; 4], &[1.0; 4]), 0.0);
    }
}
