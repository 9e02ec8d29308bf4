//! The thresholds of any list of weights. `aegis_types::ValidatorSet` computes them for a set that votes; a list of
//! candidates, some of them gone, is none, so they are repeated here, and a test compares the two.

use aegis_types::Weight;

#[derive(Debug, Clone, Copy)]
pub(crate) struct Thresholds {
    pub(crate) total: Weight,
    /// `f = (W - 1) / 3`.
    pub(crate) may_fail: Weight,
    /// `W - f`.
    pub(crate) quorum: Weight,
}

impl Thresholds {
    pub(crate) fn of(weights: &[Weight]) -> Self {
        let total = weights.iter().fold(Weight::ZERO, |sum, weight| sum.plus(*weight));
        let may_fail = Weight(total.0.saturating_sub(1) / 3);
        Self { total, may_fail, quorum: total.minus(may_fail) }
    }
}

#[cfg(test)]
mod tests {
    use aegis_types::{Epoch, Member, ValidatorId, ValidatorSet};
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn they_are_those_of_a_validator_set(weights in prop::collection::vec(1_000..1_500_u64, 7..20)) {
            let members = weights.iter().enumerate().map(|(position, weight)| {
                Member { validator: ValidatorId([u8::try_from(position).unwrap(); 32]), weight: Weight(*weight) }
            });
            let set = ValidatorSet::new(Epoch(0), members.collect()).unwrap();
            let thresholds = Thresholds::of(&weights.into_iter().map(Weight).collect::<Vec<_>>());
            prop_assert_eq!(thresholds.total, set.total());
            prop_assert_eq!(thresholds.may_fail, set.max_faulty());
            prop_assert_eq!(thresholds.quorum, set.quorum());
        }
    }
}
