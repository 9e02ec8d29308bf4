//! A stationary Gaussian process of lag one, and how much of its forecast a cut destroys.
//!
//! With past `X`, present `Y`, `A = (S_X^-1 S_XY)'` and residual `S_E = S_Y - A S_XY`:
//! - `I = 1/2 (ln det S_Y - ln det S_E)`: nats by which the past forecasts the present;
//! - `Phi_G(cut) = min over A' without entries across the cut of 1/2 ln(det S_E(A') / det S_E)`, where
//!   `S_E(A') = S_E + (A - A') S_X (A - A')^T` (Oizumi, Tsuchiya and Amari, PNAS 2016): nats lost when two groups of
//!   channels must be forecast without looking at each other;
//! - `SI(cut) = sum_k H(Y_k | X_k) - H(Y | X)`: the same with noise that may be shared counted as loss (Ay; Barrett
//!   and Seth 2011).
//!
//! `0 <= Phi_G <= min(I, SI)`: `A' = 0` gives `I`, separate regressions give at most `SI`.
//!
//! # Minimisation
//! `ln det` is concave, so with `Omega = S_E(A')^-1` the linear system
//! `sum over entries (i', j') within blocks of Omega[i,i'] S_X[j',j] a[i',j'] = (Omega A S_X)[i,j]` yields an `A'`
//! that is never worse (majorise and minimise; iterated seemingly unrelated regression). There are local minima, so
//! it starts three times: from separate regressions, from the entries of `A` within blocks, and from zero; the lowest
//! end counts.

use crate::statistics::linear::Dense;

/// A step that lowers the objective by less than this ends the search at one start.
const SEARCH_TOLERANCE: f64 = 1e-9;

/// The same for the last polish of the best start.
const POLISH_TOLERANCE: f64 = 1e-15;

/// Steps per start at most; five to seven are typical.
const STEPS_MAX: usize = 500;

/// Two cuts whose values differ by less count as tied.
const TIE: f64 = 1e-9;

/// Channels up to which all cuts are searched: 511 cuts at ten.
pub const SEARCH_CHANNELS_MAX: usize = 10;

/// A division of channels into two groups that are not empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cut {
    mask: u32,
    channels: usize,
}

impl Cut {
    /// The cut that puts the channels whose bits are set into one group and the rest into the other.
    pub fn new(mask: u32, channels: usize) -> Option<Self> {
        let all = 1_u32.checked_shl(u32::try_from(channels).ok()?)?.checked_sub(1)?;
        (mask != 0 && mask & !all == 0 && mask != all).then_some(Self { mask, channels })
    }

    /// All cuts, in order of mask, with the last channel never in the masked group.
    pub fn all(channels: usize) -> impl Iterator<Item = Self> {
        let halves = u32::try_from(channels.saturating_sub(1))
            .ok()
            .and_then(|bits| 1_u32.checked_shl(bits))
            .unwrap_or(1);
        (1..halves).map(move |mask| Self { mask, channels })
    }

    /// The masked group, as a bit mask.
    pub fn mask(self) -> u32 {
        self.mask
    }

    /// The channels of both groups, the masked one first.
    pub fn groups(self) -> [Vec<usize>; 2] {
        (0..self.channels).partition::<Vec<_>, _>(|channel| self.is_masked(*channel)).into()
    }

    fn is_masked(self, channel: usize) -> bool {
        self.mask >> channel & 1 == 1
    }

    fn is_within(self, a: usize, b: usize) -> bool {
        self.is_masked(a) == self.is_masked(b)
    }
}

/// The process, given by covariances at lag 0 and 1.
#[derive(Debug, Clone)]
pub struct GaussianProcess {
    past: Dense,
    across: Dense,
    present: Dense,
    coefficients: Dense,
    residual: Dense,
    ln_det_residual: f64,
    information: f64,
}

impl GaussianProcess {
    /// The process with covariances of the past `S_X`, past and present `S_XY` and present `S_Y`; nothing unless the
    /// joint covariance is positive definite.
    pub(crate) fn new(past: Dense, across: Dense, present: Dense) -> Option<Self> {
        let coefficients = past.cholesky()?.solve_columns(&across).transposed();
        let residual = present.minus(&coefficients.times(&across));
        let ln_det_residual = residual.cholesky()?.ln_det();
        let information = (present.cholesky()?.ln_det() - ln_det_residual) / 2.0;
        Some(Self { past, across, present, coefficients, residual, ln_det_residual, information })
    }

    /// The process whose joint covariance of past and present is given row by row: twice as many rows as channels.
    pub fn from_joint(joint: &[Vec<f64>]) -> Option<Self> {
        let (size, channels) = (joint.len(), joint.len() / 2);
        if channels == 0 || !size.is_multiple_of(2) || joint.iter().any(|row| row.len() != size) {
            return None;
        }
        let block =
            |a: usize, b: usize| Dense::from_fn(channels, channels, |row, column| joint[a + row][b + column]);
        Self::new(block(0, 0), block(0, channels), block(channels, channels))
    }

    /// Number of channels.
    pub fn channels(&self) -> usize {
        self.past.rows()
    }

    /// `I`: nats by which the past forecasts the present.
    pub fn information(&self) -> f64 {
        self.information
    }

    /// `SI` of a cut, in nats; nothing when numbers fail.
    pub fn stochastic_interaction(&self, cut: Cut) -> Option<f64> {
        let mut sum = 0.0;
        for group in cut.groups() {
            let (_, residual) = self.regression(&group)?;
            sum += residual.cholesky()?.ln_det();
        }
        Some((sum - self.ln_det_residual) / 2.0)
    }

    /// `Phi_G` of a cut, in nats; nothing when numbers fail.
    pub fn phi(&self, cut: Cut) -> Option<f64> {
        let (coefficients, value) = self.search(cut)?;
        self.descend(cut, coefficients, value, POLISH_TOLERANCE).map(|(_, value)| value.max(0.0))
    }

    /// The cut with the lowest `Phi_G` and that value: the minimum-information bipartition. Ties go to the lowest
    /// mask. Nothing for fewer than two channels, more than [`SEARCH_CHANNELS_MAX`], or when numbers fail.
    pub fn weakest_cut(&self) -> Option<(Cut, f64)> {
        if self.channels() > SEARCH_CHANNELS_MAX {
            return None;
        }
        let mut weakest: Option<(Cut, f64)> = None;
        for cut in Cut::all(self.channels()) {
            let (_, value) = self.search(cut)?;
            if weakest.is_none_or(|(_, lowest)| value < lowest - TIE) {
                weakest = Some((cut, value));
            }
        }
        let (cut, _) = weakest?;
        Some((cut, self.phi(cut)?))
    }

    /// The lowest end of three starts.
    fn search(&self, cut: Cut) -> Option<(Dense, f64)> {
        let size = self.channels();
        let mut separate = Dense::zero(size, size);
        for group in cut.groups() {
            let (coefficients, _) = self.regression(&group)?;
            for (row, target) in group.iter().enumerate() {
                for (column, source) in group.iter().enumerate() {
                    separate.set(*target, *source, coefficients.at(row, column));
                }
            }
        }
        let within =
            |row, column| if cut.is_within(row, column) { self.coefficients.at(row, column) } else { 0.0 };
        let mut best: Option<(Dense, f64)> = None;
        for start in [separate, Dense::from_fn(size, size, within), Dense::zero(size, size)] {
            let value = self.objective(&start)?;
            let end = self.descend(cut, start, value, SEARCH_TOLERANCE)?;
            if best.as_ref().is_none_or(|(_, lowest)| end.1 < *lowest) {
                best = Some(end);
            }
        }
        best
    }

    fn descend(&self, cut: Cut, start: Dense, value: f64, tolerance: f64) -> Option<(Dense, f64)> {
        let (mut coefficients, mut value) = (start, value);
        for _ in 0..STEPS_MAX {
            let next = self.step(cut, &coefficients)?;
            let lower = self.objective(&next)?;
            if lower >= value {
                break;
            }
            let gained = value - lower;
            (coefficients, value) = (next, lower);
            if gained < tolerance {
                break;
            }
        }
        Some((coefficients, value))
    }

    fn step(&self, cut: Cut, coefficients: &Dense) -> Option<Dense> {
        let size = self.channels();
        let omega = self.residual_of(coefficients).cholesky()?.inverse();
        let target = omega.times(&self.coefficients).times(&self.past);
        let entries: Vec<(usize, usize)> = (0..size)
            .flat_map(|row| (0..size).map(move |column| (row, column)))
            .filter(|(row, column)| cut.is_within(*row, *column))
            .collect();
        let system = Dense::lower_from_fn(entries.len(), |a, b| {
            let ((i, j), (k, l)) = (entries[a], entries[b]);
            omega.at(i, k) * self.past.at(l, j)
        });
        let mut solution: Vec<f64> = entries.iter().map(|(row, column)| target.at(*row, *column)).collect();
        system.cholesky()?.solve(&mut solution);
        let mut next = Dense::zero(size, size);
        for ((row, column), value) in entries.into_iter().zip(solution) {
            next.set(row, column, value);
        }
        Some(next)
    }

    fn residual_of(&self, coefficients: &Dense) -> Dense {
        let difference = self.coefficients.minus(coefficients);
        self.residual.plus(&difference.times(&self.past).times(&difference.transposed()))
    }

    fn objective(&self, coefficients: &Dense) -> Option<f64> {
        Some((self.residual_of(coefficients).cholesky()?.ln_det() - self.ln_det_residual) / 2.0)
    }

    /// Coefficients and residual covariance of a group that is forecast from itself alone.
    fn regression(&self, group: &[usize]) -> Option<(Dense, Dense)> {
        let across = self.across.part(group, group);
        let coefficients = self.past.part(group, group).cholesky()?.solve_columns(&across).transposed();
        let residual = self.present.part(group, group).minus(&coefficients.times(&across));
        Some((coefficients, residual))
    }
}
