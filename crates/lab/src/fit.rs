//! A straight line through points.

use serde::{Deserialize, Serialize};

/// The line of least squares.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Line {
    /// Rise per unit of x.
    pub slope: f64,
    /// The value at 0.
    pub intercept: f64,
    /// R²: the part of the variance that the line explains; 1 if there is none.
    pub r2: f64,
}

impl Line {
    /// Through all points; `None` if there are fewer than three, or all have the same x.
    #[must_use]
    pub fn through(points: &[(f64, f64)]) -> Option<Self> {
        let n = points.len() as f64;
        if points.len() < 3 {
            return None;
        }
        let mean = |of: fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>() / n;
        let (x_mean, y_mean) = (mean(|point| point.0), mean(|point| point.1));
        let (mut xx, mut xy, mut yy) = (0.0, 0.0, 0.0);
        for (x, y) in points {
            let (dx, dy) = (x - x_mean, y - y_mean);
            xx += dx * dx;
            xy += dx * dy;
            yy += dy * dy;
        }
        if xx == 0.0 {
            return None;
        }
        let slope = xy / xx;
        Some(Self {
            slope,
            intercept: y_mean - slope * x_mean,
            r2: if yy == 0.0 { 1.0 } else { xy * xy / (xx * yy) },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_found_and_a_circle_is_none() {
        let line = Line::through(&[(0.0, 1.0), (1.0, 3.0), (2.0, 5.0)]).unwrap();
        assert_eq!((line.slope, line.intercept, line.r2), (2.0, 1.0, 1.0));
        let circle = Line::through(&[(0.0, 1.0), (1.0, 0.0), (0.0, -1.0), (-1.0, 0.0)]).unwrap();
        assert!(circle.r2 < 1e-9);
        assert!(Line::through(&[(1.0, 1.0), (1.0, 2.0), (1.0, 3.0)]).is_none());
        assert!(Line::through(&[(1.0, 1.0), (2.0, 2.0)]).is_none());
    }
}
