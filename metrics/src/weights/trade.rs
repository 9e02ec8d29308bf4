//! What weights trade, computed exactly from the weights themselves; to be printed wherever weights are.
//!
//! With total `W`, `f = (W - 1) / 3` and quorum `q = W - f`:
//! - *arbitrary faults by count*: the largest `k` such that any `k` members hold at most `f`;
//! - *weight that may fail*: `f`, in whatever members it lies;
//! - *simultaneous crashes*: the largest `k` such that without any `k` members a quorum is left. Since `W - f = q`
//!   this is the same number; it stands apart because operators ask for it by itself;
//! - *sequential crashes*: one member per epoch, the heaviest each time, with the rule applied in between, until no
//!   quorum is left;
//! - *random crashes*: the share of all sets of `k` members without which a quorum is left.

use std::collections::BTreeMap;

use aegis_types::Weight;

use crate::micro::Micro;
use crate::weights::WeightPolicy;
use crate::weights::rule::{Standing, top, weigh};
use crate::weights::thresholds::Thresholds;

/// Most combinations of weight classes that [`LiveShare::of`] goes through; a steady network has fewer than a
/// thousand.
const COMBINATIONS_MAX: usize = 200_000;

/// The price of a set of weights.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Trade {
    /// `n`.
    pub members: usize,
    /// `W`.
    pub total: Weight,
    /// `q`.
    pub quorum: Weight,
    /// Arbitrary faults guaranteed, whichever members fail.
    pub arbitrary_faults: usize,
    /// The same with equal weights: `(n - 1) / 3`.
    pub arbitrary_faults_equal: usize,
    /// `f`: any members that together hold no more may fail in any way.
    pub weight_may_fail: Weight,
    /// Crashes at one time that are always survived, whichever members crash.
    pub simultaneous_crashes: usize,
    /// Most crashes at one time that can be survived: the lightest members.
    pub simultaneous_crashes_lightest: usize,
    /// Crashes survived at one per epoch, the heaviest member each time.
    pub sequential_crashes: usize,
}

impl Trade {
    /// The trade of `standings`' weights as they are. Without a policy weights do not change after a crash.
    pub fn of(policy: Option<WeightPolicy>, standings: &[Standing]) -> Self {
        let weights: Vec<Weight> = standings.iter().map(|standing| standing.weight).collect();
        let thresholds = Thresholds::of(&weights);
        let mut ascending = weights.clone();
        ascending.sort_unstable();
        let simultaneous = crashes_survived(thresholds, ascending.iter().rev());
        Self {
            members: weights.len(),
            total: thresholds.total,
            quorum: thresholds.quorum,
            arbitrary_faults: faults_withstood(&weights, thresholds.may_fail),
            arbitrary_faults_equal: weights.len().saturating_sub(1) / 3,
            weight_may_fail: thresholds.may_fail,
            simultaneous_crashes: simultaneous,
            simultaneous_crashes_lightest: crashes_survived(thresholds, ascending.iter()),
            sequential_crashes: match policy {
                Some(policy) => sequential_crashes(policy, standings),
                None => simultaneous,
            },
        }
    }
}

/// How many of the weights in `order` can be lost, one after the other, while a quorum is left.
fn crashes_survived<'a>(thresholds: Thresholds, order: impl Iterator<Item = &'a Weight>) -> usize {
    let mut left = thresholds.total;
    order
        .take_while(|weight| {
            left = left.minus(**weight);
            left >= thresholds.quorum && left > Weight::ZERO
        })
        .count()
}

fn faults_withstood(weights: &[Weight], may_fail: Weight) -> usize {
    (1..=weights.len()).take_while(|count| top(weights, *count) <= u128::from(may_fail.0)).count()
}

/// Crashes survived at one per epoch: the heaviest live member crashes (the lowest position of several), the rest
/// must be a quorum; then the epoch ends and the rule gives new weights, with the crashed members not eligible and
/// all levels as they are.
pub fn sequential_crashes(policy: WeightPolicy, standings: &[Standing]) -> usize {
    let mut standings = standings.to_vec();
    let mut live: Vec<bool> = vec![true; standings.len()];
    let mut survived = 0_usize;
    while survived < standings.len() {
        let heaviest = standings
            .iter()
            .zip(&live)
            .enumerate()
            .filter(|(_, (_, live))| **live)
            .max_by_key(|(position, (standing, _))| (standing.weight, std::cmp::Reverse(*position)));
        let Some((crashed, _)) = heaviest else { break };
        if let Some(entry) = live.get_mut(crashed) {
            *entry = false;
        }
        let weights: Vec<Weight> = standings.iter().map(|standing| standing.weight).collect();
        let left = standings
            .iter()
            .zip(&live)
            .filter(|(_, live)| **live)
            .fold(Weight::ZERO, |sum, (standing, _)| sum.plus(standing.weight));
        if left < Thresholds::of(&weights).quorum || left == Weight::ZERO {
            break;
        }
        survived = survived.saturating_add(1);
        for (standing, live) in standings.iter_mut().zip(&live) {
            standing.eligible &= live;
        }
        let weighing = weigh(policy, &standings);
        for (position, (standing, weight)) in standings.iter_mut().zip(&weighing.weights).enumerate() {
            standing.weight = *weight;
            standing.was_core = weighing.core.contains(&position);
        }
    }
    survived
}

/// How likely the network lives on when `k` members, drawn at random, crash at one time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LiveShare {
    /// Sets of `k` members without which a quorum is left.
    pub live: u128,
    /// All sets of `k` members.
    pub all: u128,
}

impl LiveShare {
    /// Counts the sets of `crashes` members exactly. Nothing when weights are so various, or members so many, that
    /// counting would take long or overflow.
    pub fn of(weights: &[Weight], crashes: usize) -> Option<Self> {
        let mut classes: BTreeMap<Weight, usize> = BTreeMap::new();
        for weight in weights {
            let count = classes.entry(*weight).or_default();
            *count = count.saturating_add(1);
        }
        let may_fail = Thresholds::of(weights).may_fail;
        // From (members crashed, their weight) to the number of ways.
        let mut ways: BTreeMap<(usize, u64), u128> = BTreeMap::from([((0, 0), 1)]);
        for (weight, count) in classes {
            let mut next: BTreeMap<(usize, u64), u128> = BTreeMap::new();
            for ((crashed, lost), number) in ways {
                for more in 0..=count.min(crashes.saturating_sub(crashed)) {
                    let lost = lost.saturating_add(weight.0.saturating_mul(u64::try_from(more).ok()?));
                    let number = number.checked_mul(choose(count, more)?)?;
                    let entry = next.entry((crashed.saturating_add(more), lost)).or_default();
                    *entry = entry.checked_add(number)?;
                }
            }
            if next.len() > COMBINATIONS_MAX {
                return None;
            }
            ways = next;
        }
        let (mut live, mut all) = (0_u128, 0_u128);
        for ((_, lost), number) in ways.into_iter().filter(|((crashed, _), _)| *crashed == crashes) {
            all = all.checked_add(number)?;
            if lost <= may_fail.0 {
                live = live.checked_add(number)?;
            }
        }
        Some(Self { live, all })
    }

    /// The share; 0 when there is no set of that size.
    pub fn share(self) -> Micro {
        // Brought to a size whose product with a million cannot overflow.
        let shift = 28_u32.saturating_sub(self.all.leading_zeros());
        let shorten = |number: u128| number.checked_shr(shift).unwrap_or_default();
        Micro::of(shorten(self.live), shorten(self.all))
    }
}

fn choose(n: usize, k: usize) -> Option<u128> {
    let n = u128::try_from(n).ok()?;
    let k = u128::try_from(k).ok()?;
    (0..k).try_fold(1_u128, |product, step| {
        product.checked_mul(n.checked_sub(step)?)?.checked_div(step.checked_add(1)?)
    })
}
