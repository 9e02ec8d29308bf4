//! The weight rule: levels in, weights out, in whole numbers only.
//!
//! ```text
//! core   = the first m eligible members by level (+ 20,000 if already in the core), then by position
//! target = 16,000 in the core, 1,000 outside
//! w'     = max(1,000, min(target, 2 w))                 down at once, up at most twofold per epoch
//! c*     = largest c in min w'..=max w' with 3 top_t(min(w', c)) <= sum(min(w', c)) - 1
//! w      = min(w', c*)
//! ```
//!
//! # The cap
//! `top_t` is the sum of the `t` largest. After the cap `3 top_t <= W - 1`, hence `top_t <= (W - 1) / 3 = f`: no `t`
//! members can stop or fork the network, *for any levels*. Two quorums share more than `f`, so a correct member
//! stands in both, and what is left without `t` members is a quorum. Nothing that is reported can change this.
//!
//! The binary search is right because `g(c) = 3 top_t - sum` is convex: its slope is `3 min(t, k) - k` where `k`
//! members lie above `c`, and `k` falls as `c` rises. At `min w'` all are equal and `g = (3t - n) min w' < 0` since
//! `n >= 3t + 1`; so the values of `c` that satisfy the condition are an interval that starts there.
//!
//! At `n = 3t + 1` nothing can be gained: the `2t` largest hold at most `2f`, so any `t + 1` members hold at least
//! `W - 2f > f`, and a quorum takes `2t + 1` members whatever the weights. A gain needs `t` below `(n - 1) / 3`: it
//! is bought with tolerance.

use std::cmp::Reverse;

use aegis_types::Weight;

use crate::micro::Micro;
use crate::weights::WeightPolicy;

/// The weight of a member outside the core, and of one that joins.
pub const BASE: Weight = Weight(1_000);

/// What membership in the core adds: the ratio of 16 makes a core of `3t + 1` decide alone while it is whole. A
/// larger one changes nothing but the time a joiner takes; a smaller one leaves slow members in the quorum.
pub const GAIN: u64 = 15_000;

/// How much of its weight a member gains per epoch at most, in thousandths: at most twofold. Limits what a member
/// gains from one epoch of deceit. Falling is not limited.
pub const GROWTH_PER_MILLE: u64 = 1_000;

/// What a level must be better by to take a seat from a member of the core, in millionths. Noise of the terms would
/// move seats back and forth without it.
pub const HYSTERESIS: u32 = 20_000;

/// What the rule knows of one member. Positions in slices of these name the members; ties go to the lower position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// Its weight in the epoch that ends.
    pub weight: Weight,
    /// Its level.
    pub level: Micro,
    /// Whether it may be in the core.
    pub eligible: bool,
    /// Whether it was in the core.
    pub was_core: bool,
}

/// What the rule decided, by position.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Weighing {
    /// The core, best first.
    pub core: Vec<usize>,
    /// Eligible members, best first: the core and those next to it.
    pub ranking: Vec<usize>,
    /// What each member aims at: base, or base and gain in the core.
    pub targets: Vec<Weight>,
    /// Weights after growth, before the cap.
    pub grown: Vec<Weight>,
    /// `c*`: nobody has more than this.
    pub cap: Weight,
    /// The weights.
    pub weights: Vec<Weight>,
}

/// Applies the rule. The policy must have been made for as many members as there are standings.
pub fn weigh(policy: WeightPolicy, standings: &[Standing]) -> Weighing {
    let ranking = ranking(standings);
    let core: Vec<usize> = ranking.iter().copied().take(policy.core_size()).collect();
    let targets: Vec<Weight> = (0..standings.len())
        .map(|position| if core.contains(&position) { BASE.plus(Weight(GAIN)) } else { BASE })
        .collect();
    let grown: Vec<Weight> =
        standings.iter().zip(&targets).map(|(standing, target)| grow(standing.weight, *target)).collect();
    let cap = largest_cap(&grown, policy.fault_tolerance());
    let weights = grown.iter().map(|weight| *weight.min(&cap)).collect();
    Weighing { core, ranking, targets, grown, cap, weights }
}

/// Whether no `t` members hold more than `f`: what [`weigh`] guarantees, checked apart from how it does.
pub fn is_capped(weights: &[Weight], t: usize) -> bool {
    let total = sum(weights.iter().copied());
    top(weights, t).saturating_mul(3) < total
}

/// The sum of the `t` largest weights.
pub fn top(weights: &[Weight], t: usize) -> u128 {
    let mut sorted = weights.to_vec();
    sorted.sort_unstable_by_key(|weight| Reverse(*weight));
    sum(sorted.into_iter().take(t))
}

fn ranking(standings: &[Standing]) -> Vec<usize> {
    let mut ranking: Vec<(Reverse<u32>, usize)> = standings
        .iter()
        .enumerate()
        .filter(|(_, standing)| standing.eligible)
        .map(|(position, standing)| {
            let bonus = if standing.was_core { HYSTERESIS } else { 0 };
            (Reverse(standing.level.get().saturating_add(bonus)), position)
        })
        .collect();
    ranking.sort_unstable();
    ranking.into_iter().map(|(_, position)| position).collect()
}

fn grow(weight: Weight, target: Weight) -> Weight {
    let gained = weight.0.saturating_mul(GROWTH_PER_MILLE) / 1_000;
    target.min(weight.plus(Weight(gained))).max(BASE)
}

fn largest_cap(grown: &[Weight], t: usize) -> Weight {
    let smallest = grown.iter().min().copied().unwrap_or(BASE);
    let largest = grown.iter().max().copied().unwrap_or(BASE);
    let (mut low, mut high) = (smallest.0, largest.0);
    while low < high {
        let middle = low.midpoint(high).saturating_add(low.saturating_add(high) % 2);
        let capped: Vec<Weight> = grown.iter().map(|weight| (*weight).min(Weight(middle))).collect();
        if is_capped(&capped, t) { low = middle } else { high = middle.saturating_sub(1) }
    }
    Weight(low)
}

fn sum(weights: impl Iterator<Item = Weight>) -> u128 {
    weights.map(|weight| u128::from(weight.0)).sum()
}
