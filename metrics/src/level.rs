//! The level: one number per member, by which the core is chosen.
//!
//! `C_j = P_j (4 R_j + 2 S_j + (1 - D_j) + typ_j) / 8`, all in millionths, divided once and rounded down.
//! - Participation multiplies: who does not vote has level 0, whatever it says.
//! - Coherence has half of the weight, because it is what latency depends on; with a quarter, noise of the other
//!   terms moves core seats back and forth.
//! - Typicality asks whether a member's phi is like the others', never whether it is high: phi rises when a node is
//!   sick.
//!
//! `typ_j = max(0, 1 - |phi_j - med phi| / (4 max(MAD, floor)))` with weighted lower medians.
//! A value that a member leaves out counts as the worst: stability 0, divergence 1, typicality 0.
//!
//! Stability, divergence and phi are each member's own word. Lying about them is worth at most half of a level, and a
//! level decides only the order in which members enter the core.

use aegis_types::Weight;

use crate::median::weighted_lower_median;
use crate::micro::Micro;

/// Smallest spread of phi that counts, in millionths of phi. In a homogeneous network the spread goes to 0 and the
/// slightest difference would be atypical; 0.005 is the scatter of phi between runs of one healthy node.
const PHI_SPREAD_FLOOR: u64 = 5_000;

/// Spreads away from the median at which typicality reaches 0.
const SPREADS_TO_ZERO: u64 = 4;

/// The terms of a member's level. See the module for what a missing one counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
pub struct LevelTerms {
    /// `P`: share of recent certificates with its vote.
    pub participation: Micro,
    /// `R`: agreement in time with the weighted quorum.
    pub coherence: Micro,
    /// `S`: likeness of the two halves of its window; its own word.
    pub stability: Option<Micro>,
    /// `D`: distance from its peers; its own word.
    pub divergence: Option<Micro>,
    /// How typical its phi is among the members'.
    pub typicality: Option<Micro>,
}

impl LevelTerms {
    /// `C`: the level.
    pub fn level(&self) -> Micro {
        let share = |value: Option<Micro>| u64::from(value.unwrap_or_default().get());
        let closeness = self.divergence.map(Micro::complement);
        let terms = u64::from(self.coherence.get())
            .saturating_mul(4)
            .saturating_add(share(self.stability).saturating_mul(2))
            .saturating_add(share(closeness))
            .saturating_add(share(self.typicality));
        let product = u128::from(self.participation.get()).saturating_mul(u128::from(terms));
        Micro::of(product, u128::from(Micro::ONE.get()).saturating_mul(8).saturating_mul(1_000_000))
    }
}

/// Typicality of each `(phi, weight)`, in the order given; nothing for a member without phi.
pub fn typicality(values: &[(Option<Micro>, Weight)]) -> Vec<Option<Micro>> {
    let known = || values.iter().filter_map(|(phi, weight)| Some(((*phi)?, *weight)));
    let Some(median) = weighted_lower_median(known()) else { return vec![None; values.len()] };
    let distance = |phi: Micro| u64::from(phi.get().abs_diff(median.get()));
    let spread =
        weighted_lower_median(known().map(|(phi, weight)| (distance(phi), weight))).unwrap_or_default();
    let reach = spread.max(PHI_SPREAD_FLOOR).saturating_mul(SPREADS_TO_ZERO);
    values
        .iter()
        .map(|(phi, _)| phi.map(|phi| Micro::of(u128::from(distance(phi)), u128::from(reach)).complement()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_level_weighs_its_terms_four_two_one_one() {
        let terms = LevelTerms {
            participation: Micro::new(900_000),
            coherence: Micro::new(600_000),
            stability: Some(Micro::new(855_000)),
            divergence: Some(Micro::new(123_000)),
            typicality: Some(Micro::new(500_000)),
        };
        // .9 * (4 * .6 + 2 * .855 + .877 + .5) / 8
        assert_eq!(terms.level().get(), 617_287);
    }

    #[test]
    fn who_does_not_vote_has_no_level_and_silence_earns_nothing() {
        let perfect = LevelTerms {
            participation: Micro::ONE,
            coherence: Micro::ONE,
            stability: Some(Micro::ONE),
            divergence: Some(Micro::ZERO),
            typicality: Some(Micro::ONE),
        };
        assert_eq!(perfect.level(), Micro::ONE);
        assert_eq!(LevelTerms { participation: Micro::ZERO, ..perfect }.level(), Micro::ZERO);
        let silent = LevelTerms { stability: None, divergence: None, typicality: None, ..perfect };
        assert_eq!(silent.level().get(), 500_000);
    }

    #[test]
    fn typicality_is_distance_in_spreads_on_both_sides() {
        let phi = [10_000, 11_000, 12_000, 32_000, 2_000].map(|phi| (Some(Micro::new(phi)), Weight(1)));
        // Median 11,000; distances 1, 0, 1, 21, 9 thousand; their median 1,000 is below the floor of 5,000.
        let shares: Vec<u32> = typicality(&phi).into_iter().map(|share| share.unwrap().get()).collect();
        assert_eq!(shares, [950_000, 1_000_000, 950_000, 0, 550_000]);
    }

    #[test]
    fn without_any_phi_there_is_no_typicality() {
        assert_eq!(typicality(&[(None, Weight(1)), (None, Weight(2))]), [None, None]);
        let one = typicality(&[(None, Weight(1)), (Some(Micro::new(7)), Weight(2))]);
        assert_eq!(one, [None, Some(Micro::ONE)]);
    }
}
