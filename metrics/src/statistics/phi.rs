//! phi: how strongly a node's channels drive one another.
//!
//! `phi = Phi_G(weakest cut) / I`, 0 to 1, over the window's channels after rank-based normal scores and shrinkage
//! (see [`process`](crate::statistics::process) and [`shrinkage`](crate::statistics::shrinkage)).
//!
//! - 0: some channel or group can be forecast as well without the rest. 1: every forecast needs both sides of every
//!   cut.
//! - `2 T Phi_G` is asymptotically chi-square with `2 n1 n2` degrees of freedom if nothing crosses the cut: that is
//!   the p-value.
//! - It is a detector of coupling, not a score of health: it rises with contention and is highest for a node that
//!   stalls.
//! - Too little data gives a reason and no number, never 0.

use std::fmt;

use crate::statistics::distribution::{as_f64, chi_square_tail, normal_scores};
use crate::statistics::linear::Dense;
use crate::statistics::process::{Cut, GaussianProcess};
use crate::statistics::shrinkage::shrunk_correlations;

/// Fewer channels have no cut worth the name.
pub const CHANNELS_MIN: usize = 3;

/// Samples needed per channel.
pub const SAMPLES_PER_CHANNEL: usize = 20;

/// The name of the measure, for output: no two measures of integration agree on all systems.
pub const MEASURE: &str =
    "Phi_G (Oizumi, Tsuchiya and Amari 2016), minimum-information bipartition, divided by I(past; present)";

/// phi with what is needed to judge it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PhiEstimate {
    /// `Phi_G / I`, 0 to 1.
    pub phi: f64,
    /// `Phi_G` in nats.
    pub nats: f64,
    /// `I(past; present)` in nats.
    pub information: f64,
    /// The weakest cut; its bits are positions in the list of channels given.
    pub cut: Cut,
    /// How far correlations were shrunk, 0.01 to 1.
    pub shrinkage: f64,
    /// How likely chance alone gives as much across this cut.
    pub p_value: f64,
}

/// Why there is no number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TooLittle {
    /// Not enough channels that vary and have few gaps.
    Channels {
        /// How many were left.
        kept: usize,
        /// How many are needed.
        needed: usize,
    },
    /// The window is not long enough yet.
    Samples {
        /// How many there are.
        samples: usize,
        /// How many are needed.
        needed: usize,
    },
    /// A channel repeats another or holds what is no number.
    Degenerate,
    /// Peers have not agreed on a reference yet, or none of them has reported.
    Reference,
}

impl fmt::Display for TooLittle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Channels { kept, needed } => {
                write!(f, "only {kept} channels vary and have few gaps; {needed} are needed")
            }
            Self::Samples { samples, needed } => {
                write!(f, "only {samples} samples so far; {needed} are needed")
            }
            Self::Degenerate => f.write_str("the covariance of the channels is singular"),
            Self::Reference => f.write_str("there is no agreed reference of the peers yet"),
        }
    }
}

/// phi of channels of equal length, one value per second each, without gaps.
///
/// # Errors
/// [`TooLittle`].
pub fn phi(channels: &[&[f64]]) -> Result<PhiEstimate, TooLittle> {
    let kept = channels.len();
    if kept < CHANNELS_MIN {
        return Err(TooLittle::Channels { kept, needed: CHANNELS_MIN });
    }
    let samples = channels.iter().map(|channel| channel.len()).min().unwrap_or_default();
    let needed = SAMPLES_PER_CHANNEL * kept;
    if samples < needed {
        return Err(TooLittle::Samples { samples, needed });
    }
    let scores: Vec<Vec<f64>> = channels.iter().map(|channel| normal_scores(&channel[..samples])).collect();
    let (process, shrinkage) = estimated_process(&scores).ok_or(TooLittle::Degenerate)?;
    let (cut, nats) = process.weakest_cut().ok_or(TooLittle::Degenerate)?;
    let information = process.information();
    let [a, b] = cut.groups();
    let half = u32::try_from(a.len() * b.len()).unwrap_or(u32::MAX);
    Ok(PhiEstimate {
        phi: if information > 0.0 { (nats / information).clamp(0.0, 1.0) } else { 0.0 },
        nats,
        information,
        cut,
        shrinkage,
        p_value: chi_square_tail(2.0 * as_f64(samples - 1) * nats, half),
    })
}

/// The process of lag one that fits columns of equal length best, after shrinkage, and the shrinkage.
pub fn estimated_process(columns: &[Vec<f64>]) -> Option<(GaussianProcess, f64)> {
    let size = columns.len();
    let past = columns.iter().map(|column| column.split_last().map(|(_, past)| past));
    let present = columns.iter().map(|column| column.split_first().map(|(_, present)| present));
    let lagged: Vec<&[f64]> = past.chain(present).collect::<Option<_>>()?;
    let shrunk = shrunk_correlations(&lagged)?;
    let block = |rows: usize, columns: usize| {
        Dense::from_fn(size, size, |row, column| shrunk.correlation.at(rows + row, columns + column))
    };
    Some((GaussianProcess::new(block(0, 0), block(0, size), block(size, size))?, shrunk.lambda))
}
