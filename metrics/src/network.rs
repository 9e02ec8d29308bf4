//! Values of the whole network that are counted, not estimated: observability and headroom.

use aegis_types::{ValidatorSet, Weight};

use crate::micro::Micro;

/// `collective_awareness`: the share of the weight whose holders see a quorum, that is hold unexpired reports of
/// members of at least a quorum in weight. `seen` yields each reporting member's own weight and the weight that it
/// says to cover.
///
/// 1: everyone with weight sees enough of the network; 0: nobody does. Each member's coverage is its own word.
pub fn collective_awareness(set: &ValidatorSet, seen: impl IntoIterator<Item = (Weight, Weight)>) -> Micro {
    let aware = seen
        .into_iter()
        .filter(|(_, covered)| *covered >= set.quorum())
        .fold(Weight::ZERO, |sum, (own, _)| sum.plus(own));
    Micro::of(u128::from(aware.0), u128::from(set.total().0))
}

/// `system_health`: `(W_live - q + 1) / (W - q + 1)` brought into 0 to 1, with `live` the weight that voted in the
/// last heights. 0: no quorum is possible; 1: nothing is missing.
pub fn system_health(set: &ValidatorSet, live: Weight) -> Micro {
    let headroom = |weight: Weight| u128::from(weight.plus(Weight(1)).minus(set.quorum()).0);
    Micro::of(headroom(live), headroom(set.total()))
}

#[cfg(test)]
mod tests {
    use aegis_types::{Epoch, Member, ValidatorId};

    use super::*;

    fn set() -> ValidatorSet {
        let members =
            (1..=7).map(|byte| Member { validator: ValidatorId([byte; 32]), weight: Weight(1_000) });
        ValidatorSet::new(Epoch(3), members.collect()).unwrap()
    }

    #[test]
    fn health_falls_to_nothing_where_quorums_end() {
        let set = set();
        assert_eq!(system_health(&set, Weight(7_000)), Micro::ONE);
        assert_eq!(system_health(&set, Weight(set.quorum().0 - 1)), Micro::ZERO);
        assert!(system_health(&set, set.quorum()) > Micro::ZERO);
        // 6,000 of 7,000 with a quorum of 4,667: 1,334 of 2,334.
        assert_eq!(system_health(&set, Weight(6_000)).get(), 571_550);
    }

    #[test]
    fn awareness_counts_the_weight_that_sees_a_quorum() {
        let seen =
            [(Weight(1_000), Weight(7_000)), (Weight(1_000), Weight(4_667)), (Weight(1_000), Weight(4_666))];
        assert_eq!(collective_awareness(&set(), seen).get(), 285_714);
        assert_eq!(collective_awareness(&set(), []), Micro::ZERO);
    }
}
