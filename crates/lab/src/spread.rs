//! The middle of repeated measurements, and how far they lie apart.

/// Median, least and most.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    /// Half of the values are at most this.
    pub median: f64,
    /// The least.
    pub least: f64,
    /// The most.
    pub most: f64,
}

impl Spread {
    /// Of all `values`; `None` of none.
    #[must_use]
    pub fn of(values: &[f64]) -> Option<Self> {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        let (least, most) = (*sorted.first()?, *sorted.last()?);
        let half = sorted.len() / 2;
        let median = if sorted.len() % 2 == 1 {
            sorted[half]
        } else {
            f64::midpoint(sorted[half - 1], sorted[half])
        };
        Some(Self { median, least, most })
    }

    /// Whether a value of one may be a value of the other.
    #[must_use]
    pub fn overlaps(&self, other: &Self) -> bool {
        self.least <= other.most && other.least <= self.most
    }
}

/// Which of `values` is nearest to their median: the run to show for all.
#[must_use]
pub fn middle(values: &[f64]) -> usize {
    let Some(Spread { median, .. }) = Spread::of(values) else {
        return 0;
    };
    let away = |at: &usize| (values[*at] - median).abs();
    (0..values.len())
        .min_by(|a, b| away(a).total_cmp(&away(b)))
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_halves_and_the_middle_is_a_run() {
        let odd = Spread::of(&[3.0, 1.0, 9.0]).unwrap();
        assert_eq!((odd.median, odd.least, odd.most), (3.0, 1.0, 9.0));
        assert_eq!(Spread::of(&[4.0, 1.0, 2.0, 9.0]).unwrap().median, 3.0);
        assert_eq!(Spread::of(&[]), None);
        assert_eq!(
            (middle(&[3.0, 1.0, 9.0]), middle(&[4.0, 1.0, 9.0, 2.0]), middle(&[])),
            (0, 0, 0)
        );
    }

    #[test]
    fn spreads_overlap_where_they_touch() {
        let spread = |values: &[f64]| Spread::of(values).unwrap();
        assert!(spread(&[1.0, 2.0]).overlaps(&spread(&[2.0, 3.0])));
        assert!(!spread(&[1.0, 2.0]).overlaps(&spread(&[2.1, 3.0])));
        assert!(spread(&[1.0, 5.0]).overlaps(&spread(&[3.0])));
    }
}
