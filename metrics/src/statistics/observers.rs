//! Values of thousands of observers from a random sample of their signed reports, with the error shown.
//!
//! By the inequality of Dvoretzky, Kiefer and Wolfowitz (with Massart's constant), in a sample of `m` each empirical
//! quantile is within `eps = sqrt(ln(2 / delta) / (2 m))` of the true one in rank, all at once, with probability
//! `1 - delta`, whatever the distribution. For `eps = delta = 0.05` that takes 738 reports, be it of ten thousand
//! nodes or of a million.
//!
//! Signatures keep each liar to one report. A share `b` of liars widens the ranks further: the honest value of rank
//! `r` stands, among all, between `r (1 - b)` and `r (1 - b) + b`. The sample must be drawn by a beacon that nobody
//! can steer, after the reports are fixed: [`draw`] uses the hash of a block.

use aegis_types::{Hash, ValidatorId};

use crate::statistics::distribution::as_f64;

/// The `size` members of `population` that `beacon` draws: those whose hash with the beacon is lowest. The same on
/// every node, in ascending order of hash.
pub fn draw(beacon: &Hash, population: &[ValidatorId], size: usize) -> Vec<ValidatorId> {
    let mut tickets: Vec<(Hash, ValidatorId)> =
        population.iter().map(|node| (ticket(beacon, node), *node)).collect();
    tickets.sort_unstable();
    tickets.dedup();
    tickets.into_iter().take(size).map(|(_, node)| node).collect()
}

/// The hash of a node with a beacon. Those with the lowest are the sample, so who knows its own and the highest of a full
/// sample knows whether it is drawn.
pub fn ticket(beacon: &Hash, node: &ValidatorId) -> Hash {
    let bytes = [beacon.as_bytes().as_slice(), node.as_bytes().as_slice()].concat();
    Hash::of("aegis v1 observer sample", &bytes)
}

/// How many nodes there are, given the highest of the `size` lowest tickets: tickets are spread evenly, so of `n` nodes the
/// `size`-th lies at about `size / n` of the way. The relative error is about `1 / sqrt(size)`. Nothing for fewer than two.
pub fn population_of(size: usize, highest: &Hash) -> Option<f64> {
    let (first, _) = highest.0.split_first_chunk()?;
    let place = u64::from_be_bytes(*first);
    #[allow(clippy::cast_precision_loss, reason = "an estimate")]
    let share = place as f64 / u64::MAX as f64;
    (size >= 2 && share > 0.0).then(|| as_f64(size - 1) / share)
}

/// Reports needed for an error in rank of `epsilon` with probability of failure `delta`, both above 0 and below 1.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the number is positive and saturates"
)]
pub fn sample_size(epsilon: f64, delta: f64) -> usize {
    libm::ceil(libm::log(2.0 / delta) / (2.0 * epsilon * epsilon)) as usize
}

/// A quantile of a population, estimated from a sample.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub struct SampledQuantile {
    /// The quantile asked for, 0 to 1.
    pub rank: f64,
    /// The sample's quantile.
    pub estimate: f64,
    /// The true quantile is at least this, with the stated confidence; nothing when the bound reaches below the
    /// sample.
    pub lower: Option<f64>,
    /// The true quantile is at most this; nothing when the bound reaches above the sample.
    pub upper: Option<f64>,
    /// Error in rank.
    pub epsilon: f64,
    /// Probability that the bounds hold.
    pub confidence: f64,
    /// Share of liars that the bounds allow for.
    pub liars: f64,
    /// Reports in the sample.
    pub sample: usize,
    /// Nodes in the population.
    pub population: usize,
}

/// The quantile `rank` of the values of a population, from a random sample of them. `delta` is the probability that
/// the bounds fail, `liars` the share of the population that they allow to lie. Nothing for an empty sample or
/// arguments outside their ranges.
pub fn sampled_quantile(
    sample: &[f64],
    population: usize,
    rank: f64,
    delta: f64,
    liars: f64,
) -> Option<SampledQuantile> {
    let in_range = (0.0..=1.0).contains(&rank) && delta > 0.0 && delta < 1.0 && (0.0..1.0).contains(&liars);
    if sample.is_empty() || !in_range || sample.iter().any(|value| value.is_nan()) {
        return None;
    }
    let mut sorted = sample.to_vec();
    sorted.sort_by(f64::total_cmp);
    let count = as_f64(sorted.len());
    // A sample of everybody has no error of sampling.
    let epsilon =
        if sorted.len() >= population { 0.0 } else { libm::sqrt(libm::log(2.0 / delta) / (2.0 * count)) };
    // The honest value of rank r lies, among all values, between these ranks: liars may stand all below or all above
    // it.
    let (low, high) = (rank * (1.0 - liars) - epsilon, rank * (1.0 - liars) + liars + epsilon);
    let at = |rank: f64| (0.0..=1.0).contains(&rank).then(|| sorted[position(rank, sorted.len())]);
    Some(SampledQuantile {
        rank,
        estimate: at(rank)?,
        lower: at(low),
        upper: at(high),
        epsilon,
        confidence: 1.0 - delta,
        liars,
        sample: sorted.len(),
        population,
    })
}

/// The position of the smallest value at which the empirical distribution reaches `rank`.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the rank is between 0 and 1")]
fn position(rank: f64, count: usize) -> usize {
    (libm::ceil(rank * as_f64(count)) as usize).saturating_sub(1).min(count - 1)
}
