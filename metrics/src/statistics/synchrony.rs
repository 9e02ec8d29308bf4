//! Network coherence: whether heights are voted in step.
//!
//! Per height, the phase of member `j` is `pi clamp(lag_j / (T_h / 2), -1, 1)`: `lag_j` is when its Prepare arrived,
//! less the weighted median arrival; `T_h` is the time between commits. The clamp keeps a member that is a whole
//! period late from looking in phase; a vote that did not come counts as half a period late. With `p_j = w_j / W`,
//! `R^2 = |sum p_j e^(i phase_j)|^2`.
//!
//! `n` independent phases have `E[R] = sqrt(pi / 4n)`, a quarter for 13 members, so `R` is debiased:
//! `PPC = (R^2 - sum p^2) / (1 - sum p^2)`, on average 0 for independent phases and 1 for equal ones. The window's
//! value is `sqrt(max(0, mean PPC))`; the mean is taken first, since roots of clipped noise would not be 0 on
//! average.

use std::collections::VecDeque;

use aegis_types::Weight;

use crate::median::weighted_lower_median;
use crate::statistics::distribution::as_f64;

/// Heights that the value is averaged over.
pub const SYNCHRONY_HEIGHTS: usize = 600;

/// One member's vote at one height, as this node saw it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VoteArrival {
    /// The voter's weight.
    pub weight: Weight,
    /// When its Prepare arrived, in microseconds on this node's clock; nothing when it did not.
    pub at_us: Option<u64>,
}

/// The debiased phase agreement of one height, at most 1 and below 0 for votes that avoid each other. Nothing without
/// two votes or an interval.
pub fn phase_agreement(arrivals: &[VoteArrival], interval_us: u64) -> Option<f64> {
    let seen = arrivals.iter().filter_map(|arrival| Some((arrival.at_us?, arrival.weight)));
    let median = float(weighted_lower_median(seen)?);
    let voted = arrivals.iter().filter(|arrival| arrival.at_us.is_some()).count();
    if voted < 2 || interval_us == 0 {
        return None;
    }
    let half = float(interval_us) / 2.0;
    let phases = arrivals.iter().map(|arrival| {
        let lag = arrival.at_us.map_or(1.0, |at| ((float(at) - median) / half).clamp(-1.0, 1.0));
        (float(arrival.weight.0), std::f64::consts::PI * lag)
    });
    debiased(&phases.collect::<Vec<_>>())
}

/// `PPC` of weighted phases in radians; nothing when one has all the weight.
pub fn debiased(phases: &[(f64, f64)]) -> Option<f64> {
    let total: f64 = phases.iter().map(|(weight, _)| weight).sum();
    let (mut cosine, mut sine, mut squares) = (0.0, 0.0, 0.0);
    for (weight, phase) in phases {
        let share = weight / total;
        cosine += share * libm::cos(*phase);
        sine += share * libm::sin(*phase);
        squares += share * share;
    }
    let rest = 1.0 - squares;
    (rest > 1e-12).then(|| (cosine * cosine + sine * sine - squares) / rest)
}

/// Phase agreement of the last [`SYNCHRONY_HEIGHTS`] heights.
#[derive(Debug, Clone, Default)]
pub struct SynchronyWindow {
    agreements: VecDeque<f64>,
}

impl SynchronyWindow {
    /// Adds a height. One that has no value is left out.
    pub fn push(&mut self, arrivals: &[VoteArrival], interval_us: u64) {
        if let Some(agreement) = phase_agreement(arrivals, interval_us) {
            if self.agreements.len() >= SYNCHRONY_HEIGHTS {
                self.agreements.pop_front();
            }
            self.agreements.push_back(agreement);
        }
    }

    /// Network coherence, 0 to 1; nothing before the first height.
    pub fn network_coherence(&self) -> Option<f64> {
        if self.agreements.is_empty() {
            return None;
        }
        let mean = self.agreements.iter().sum::<f64>() / as_f64(self.agreements.len());
        Some(libm::sqrt(mean.clamp(0.0, 1.0)))
    }

    /// Heights in the window.
    pub fn heights(&self) -> usize {
        self.agreements.len()
    }
}

#[allow(clippy::cast_precision_loss, reason = "microseconds and weights are far below 2^53")]
fn float(number: u64) -> f64 {
    number as f64
}
