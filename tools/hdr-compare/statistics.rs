//! The ratio of two sets of figures, one figure a run, with an interval by resampling runs.

use pulsegate::base::prng::Prng;

/// Resampled pairs of sets.
const RESAMPLES: usize = 1000;
/// Share of the interval.
const SHARE: f64 = 0.99;
/// Half of a normal distribution's interval of that share, in standard deviations.
const NORMAL: f64 = 2.576;
/// The same of Student's distribution with 1, 2, … degrees of freedom: what few runs deserve. Source: any table of it.
const STUDENT: [f64; 20] = [
    63.657, 9.925, 5.841, 4.604, 4.032, 3.707, 3.499, 3.355, 3.250, 3.169, 3.106, 3.055, 3.012, 2.977, 2.947,
    2.921, 2.898, 2.878, 2.861, 2.845,
];

/// A ratio and what it may be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Ratio {
    pub(crate) value: f64,
    pub(crate) low: f64,
    pub(crate) high: f64,
}

/// The middle of a set. It takes no notice of one run in five that a neighbour disturbed.
pub(crate) fn middle(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let (low, high) = (sorted[(sorted.len() - 1) / 2], sorted[sorted.len() / 2]);
    (low + high) / 2.0
}

/// B over A. Both sets hold positive figures, two at least.
///
/// Resampling a few runs shows less spread than there is; the interval is widened around its middle by what Student's
/// distribution asks for the smaller set, and by the bias of the spread of a sample.
pub(crate) fn ratio(a: &[f64], b: &[f64]) -> Ratio {
    let logs = |values: &[f64]| -> Vec<f64> { values.iter().map(|value| value.ln()).collect() };
    let (a, b) = (logs(a), logs(b));
    let value = middle(&b) - middle(&a);
    let mut prng = Prng::new(a.len() as u64 * 1000 + b.len() as u64);
    let mut space = Vec::new();
    let mut differences: Vec<f64> = (0..RESAMPLES)
        .map(|_| resampled(&b, &mut prng, &mut space) - resampled(&a, &mut prng, &mut space))
        .collect();
    differences.sort_unstable_by(f64::total_cmp);
    let at = |share: f64| differences[((RESAMPLES - 1) as f64 * share).round() as usize];
    let runs = a.len().min(b.len());
    let student = STUDENT.get(runs - 2).copied().unwrap_or(NORMAL);
    let widened = student / NORMAL * (runs as f64 / (runs - 1) as f64).sqrt();
    let (low, high) = (at((1.0 - SHARE) / 2.0).min(value), at((1.0 + SHARE) / 2.0).max(value));
    Ratio {
        value: value.exp(),
        low: (value + (low - value) * widened).exp(),
        high: (value + (high - value) * widened).exp(),
    }
}

fn resampled(values: &[f64], prng: &mut Prng, space: &mut Vec<f64>) -> f64 {
    space.clear();
    space.extend((0..values.len()).map(|_| values[prng.below(values.len() as u64) as usize]));
    middle(space)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_runs_have_no_spread_and_a_ratio_is_found() {
        let ratio = ratio(&[2.0; 5], &[3.0; 5]);
        for value in [ratio.value, ratio.low, ratio.high] {
            assert!((value - 1.5).abs() < 1e-9, "{ratio:?}");
        }
    }

    #[test]
    fn fewer_runs_make_a_wider_interval() {
        let runs = [1.0, 1.1, 0.9, 1.05, 0.95, 1.02, 0.98, 1.0, 1.1, 0.9];
        let few = ratio(&runs[..3], &runs[..3]);
        let many = ratio(&runs, &runs);
        assert!(few.low < many.low && many.high < few.high, "{few:?} {many:?}");
        assert_eq!(middle(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(middle(&[4.0, 1.0, 2.0, 3.0]), 2.5);
    }
}
