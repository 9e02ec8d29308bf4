//! Correlations shrunk towards independence, so that they are positive definite whatever the window holds.
//!
//! Schäfer and Strimmer's form of Ledoit and Wolf's estimator: with `T` samples of standardised columns `w`,
//! `var_ij = (mean(w_i^2 w_j^2) - r_ij^2) / (T - 1)` and `lambda = sum var_ij / sum r_ij^2` over `i != j`, brought
//! into 0.01 to 1; `R = (1 - lambda) r` off the diagonal.

use crate::statistics::distribution::as_f64;
use crate::statistics::linear::Dense;

/// Least shrinkage: keeps the smallest eigenvalue above 0.01 where columns repeat each other.
const LAMBDA_MIN: f64 = 0.01;

pub(crate) struct Shrunk {
    pub(crate) correlation: Dense,
    pub(crate) lambda: f64,
}

/// The shrunk correlations of columns of equal length, at least three samples each; nothing when a column is
/// constant.
pub(crate) fn shrunk_correlations(columns: &[&[f64]]) -> Option<Shrunk> {
    let samples = columns.first()?.len();
    if samples < 3 || columns.iter().any(|column| column.len() != samples) {
        return None;
    }
    let standard: Vec<Vec<f64>> = columns.iter().map(|column| standardised(column)).collect::<Option<_>>()?;
    let (count, size) = (as_f64(samples), columns.len());
    let mut correlation = Dense::zero(size, size);
    let (mut variances, mut squares) = (0.0, 0.0);
    for a in 0..size {
        correlation.set(a, a, 1.0);
        for b in 0..a {
            let products = || standard[a].iter().zip(&standard[b]).map(|(x, y)| x * y);
            let r = products().sum::<f64>() / count;
            let mean_of_squares = products().map(|product| product * product).sum::<f64>() / count;
            variances += (mean_of_squares - r * r) / (count - 1.0);
            squares += r * r;
            correlation.set(a, b, r);
            correlation.set(b, a, r);
        }
    }
    let lambda = if squares > 0.0 { (variances / squares).clamp(LAMBDA_MIN, 1.0) } else { 1.0 };
    let shrink = |a: usize, b: usize| if a == b { 1.0 } else { (1.0 - lambda) * correlation.at(a, b) };
    Some(Shrunk { correlation: Dense::from_fn(size, size, shrink), lambda })
}

fn standardised(column: &[f64]) -> Option<Vec<f64>> {
    let count = as_f64(column.len());
    let mean = column.iter().sum::<f64>() / count;
    let variance = column.iter().map(|value| (value - mean) * (value - mean)).sum::<f64>() / count;
    let deviation = libm::sqrt(variance);
    (deviation > 0.0 && deviation.is_finite())
        .then(|| column.iter().map(|value| (value - mean) / deviation).collect())
}
