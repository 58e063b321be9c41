//! How many slabs are pinned: the formula, and a simulation of it. `docs/model.md` derives it.

mod chance;
mod drawing;
mod panel;
mod summary;

use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use self::chance::{difference, told_chance};
pub use self::drawing::{page, picture};
pub use self::panel::{POINTS, Panel};
pub use self::summary::summary;
use super::traffic::Arrivals;

/// Euler's constant, the limit of `Ein(x) - ln x`.
const EULER: f64 = 0.577_215_664_901_532_9;
/// A slab this many lifetimes old is pinned by no tunnel that anybody would notice.
const FORGOTTEN: f64 = 60.0;

/// What decides it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Model {
    /// Tunnels that arrive in a second.
    pub arrival_rate: f64,
    /// Bytes carved in a second.
    pub byte_rate: f64,
    /// Bytes of a slab.
    pub slab: f64,
    /// Seconds that a tunnel lives on average; `None` is forever.
    pub lifetime: Option<f64>,
}

/// What a simulation saw.
#[derive(Clone, Debug, PartialEq)]
pub struct Simulated {
    /// Seconds and pinned slabs.
    pub points: Vec<(f64, f64)>,
    /// Tunnels that arrived.
    pub tunnels: u64,
    /// Slabs that retired.
    pub slabs: u64,
}

impl Model {
    /// Seconds in which a slab fills.
    #[must_use]
    pub fn fill_time(&self) -> f64 {
        self.slab / self.byte_rate
    }

    /// How likely a slab is pinned when it is `age` seconds since it retired.
    #[must_use]
    pub fn pinned_at_age(&self, age: f64) -> f64 {
        // Tunnels of this slab that are alive: Poisson, with this mean.
        let alive = match self.lifetime {
            None => self.arrival_rate * self.fill_time(),
            Some(mean) => self.arrival_rate * mean * (-age / mean).exp() * -(-self.fill_time() / mean).exp_m1(),
        };
        -(-alive).exp_m1()
    }

    /// Slabs expected to be pinned `seconds` after the first tunnel could arrive, when `filled` of the slab in use was
    /// carved before.
    #[must_use]
    pub fn pinned(&self, seconds: f64, filled: f64) -> f64 {
        let fill = self.fill_time();
        let retired = (seconds / fill + filled).floor();
        if retired < 1.0 {
            return 0.0;
        }
        // Tunnels could only arrive in what was left of the first.
        let first = Self {
            slab: self.slab * (1.0 - filled),
            ..*self
        };
        if self.lifetime.is_none() {
            // Age does not matter.
            return first.pinned_at_age(0.0) + (retired - 1.0) * self.pinned_at_age(0.0);
        }
        let oldest = self.lifetime.map_or(f64::INFINITY, |mean| FORGOTTEN * mean);
        let mut pinned = 0.0;
        let mut slab = retired;
        while slab >= 1.0 {
            let age = seconds - (slab - filled) * fill;
            if age > oldest {
                break;
            }
            let own = if slab == 1.0 { &first } else { self };
            pinned += own.pinned_at_age(age);
            slab -= 1.0;
        }
        pinned
    }

    /// Slabs pinned in the long run; `None` if they grow without bound.
    #[must_use]
    pub fn steady(&self) -> Option<f64> {
        let mean = self.lifetime?;
        let at_most = self.arrival_rate * mean * -(-self.fill_time() / mean).exp_m1();
        Some(mean / self.fill_time() * entire_exponential_integral(at_most))
    }

    /// Lets `tunnels` arrive by chance and counts what they pin, at `points` moments. `filled` of the slab in use was
    /// carved before.
    #[must_use]
    pub fn simulate(&self, seed: u64, tunnels: u64, points: usize, filled: f64) -> Simulated {
        let lifetime = self.lifetime.map(Duration::from_secs_f64);
        let duration = tunnels as f64 / self.arrival_rate;
        let step = duration / points as f64;
        let fill = self.fill_time();
        // How the count changes at each moment.
        let mut changes = vec![0_i64; points + 2];
        let at = |seconds: f64| ((seconds / step).ceil() as usize).min(points + 1);
        let mut pins = |slab: f64, until: f64| {
            let retired = (slab + 1.0 - filled) * fill;
            if until > retired {
                changes[at(retired)] += 1;
                changes[at(until)] -= 1;
            }
        };
        let (mut slab, mut until, mut arrived) = (0.0, 0.0_f64, 0);
        for (at, life) in Arrivals::new(seed, self.arrival_rate, lifetime) {
            if at >= duration {
                break;
            }
            arrived += 1;
            let own = (at / fill + filled).floor();
            if own > slab {
                pins(slab, until);
                (slab, until) = (own, 0.0);
            }
            until = until.max(life.map_or(f64::INFINITY, |life| at + life.as_secs_f64()));
        }
        pins(slab, until);
        let mut pinned = 0;
        let points = (0..=points).map(|point| {
            pinned += changes[point];
            (point as f64 * step, pinned as f64)
        });
        Simulated {
            points: points.collect(),
            tunnels: arrived,
            slabs: (duration / fill + filled) as u64,
        }
    }
}

/// `Ein(x)`, the integral of `(1 - e^-t) / t` from 0 to x.
fn entire_exponential_integral(x: f64) -> f64 {
    if x > 30.0 {
        // E1(x) is below 1e-14 from here on.
        return x.ln() + EULER;
    }
    // Simpson's rule; the integrand is smooth, 1 at 0.
    let steps = 2_000;
    let width = x / f64::from(steps);
    let height = |t: f64| if t == 0.0 { 1.0 } else { -(-t).exp_m1() / t };
    let sum: f64 = (0..=steps)
        .map(|step| {
            let weight = match step {
                0 => 1.0,
                _ if step == steps => 1.0,
                _ if step % 2 == 1 => 4.0,
                _ => 2.0,
            };
            weight * height(f64::from(step) * width)
        })
        .sum();
    sum * width / 3.0
}

#[cfg(test)]
mod tests {
    use super::*;

    const BASE: Model = Model {
        arrival_rate: 1.0,
        byte_rate: 1e6,
        slab: 10_485_760.0,
        lifetime: None,
    };

    #[test]
    fn tunnels_that_never_end_pin_almost_every_slab_if_they_come_often_enough() {
        let pinned = BASE.pinned(104.857_6 + 0.01, 0.0);
        assert!((9.99..10.0).contains(&pinned), "{pinned}");
        assert!(BASE.steady().is_none());
        let rare = Model {
            arrival_rate: 0.01,
            ..BASE
        };
        let expected = 10.0 * (1.0 - (-0.104_857_6_f64).exp());
        assert!((rare.pinned(104.857_6 + 0.01, 0.0) / expected - 1.0).abs() < 1e-9);
    }

    #[test]
    fn the_integral_has_its_known_values() {
        for (x, value) in [(0.0, 0.0), (1.0, 0.796_599_599_297), (10.0, 2.879_804_914_864)] {
            assert!((entire_exponential_integral(x) - value).abs() < 1e-9, "{x}");
        }
    }

    #[test]
    fn the_simulation_agrees_with_the_formula() {
        for (arrival_rate, lifetime) in [
            (1.0, None),
            (0.05, None),
            (1.0, Some(60.0)),
            (0.05, Some(200.0)),
            (2.0, Some(5.0)),
        ] {
            let model = Model {
                arrival_rate,
                lifetime,
                ..BASE
            };
            let simulated = model.simulate(1, 400_000, 4_000, 0.0);
            let half = simulated.points.len() / 2;
            let mean = |of: &dyn Fn(&(f64, f64)) -> f64| {
                simulated.points[half..].iter().map(of).sum::<f64>() / (simulated.points.len() - half) as f64
            };
            let (seen, expected) = (mean(&|point| point.1), mean(&|point| model.pinned(point.0, 0.0)));
            assert!((seen / expected - 1.0).abs() < 0.03, "{model:?}: {seen} {expected}");
            if let Some(steady) = model.steady() {
                // The sum over whole slabs oscillates around the integral by less than one slab.
                assert!(
                    (steady - expected).abs() < 0.05 * expected + 0.6,
                    "{model:?}: {steady} {expected}"
                );
            }
        }
    }

    #[test]
    fn a_slab_that_was_begun_before_retires_earlier() {
        let simulated = BASE.simulate(1, 1_000, 1_000, 0.75);
        let first = simulated.points.iter().find(|point| point.1 > 0.0).unwrap().0;
        let quarter = BASE.fill_time() / 4.0;
        assert!(
            (quarter..quarter + 1.1).contains(&first) || first > BASE.fill_time(),
            "{first}"
        );
        let end = simulated.points.last().unwrap();
        assert!((end.1 - BASE.pinned(end.0, 0.75)).abs() <= 1.0, "{end:?}");
    }

    #[test]
    fn rare_tunnels_pin_a_slab_each() {
        let model = Model {
            arrival_rate: 0.001,
            lifetime: Some(10_000.0),
            ..BASE
        };
        let steady = model.steady().unwrap();
        assert!((9.7..10.1).contains(&steady), "{steady}");
    }
}
