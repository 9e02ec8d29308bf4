//! The rule: which answers let a read be served.

use std::collections::BTreeMap;

use aegis_types::{Height, ValidatorId, ValidatorSet, Weight};

/// The answers to questions that were asked after some reads had begun.
///
/// Trusted: that each answer is of the validator that it is counted for. Its height may be any lie.
#[derive(Debug, Clone, Default)]
pub struct Round {
    /// By validator, the lowest height that it named. Any answer of a correct one is good, so the lowest is too.
    answers: BTreeMap<ValidatorId, Height>,
}

impl Round {
    /// Counts an answer. Who asks only members of validator sets keeps this bounded.
    pub fn count(&mut self, from: ValidatorId, height: Height) {
        self.answers.entry(from).and_modify(|known| *known = height.min(*known)).or_insert(height);
    }

    /// Whether a validator has answered.
    pub fn has(&self, validator: &ValidatorId) -> bool {
        self.answers.contains_key(validator)
    }

    /// Whether a node that has executed the blocks up to `executed`, after which `validators` are in charge, may serve the
    /// round's reads: members with a quorum of the weight have named heights that it has executed.
    pub fn is_confirmed(&self, executed: Height, validators: &ValidatorSet) -> bool {
        let named = self.answers.iter().filter(|(_, height)| **height <= executed);
        let weight =
            named.fold(Weight::ZERO, |sum, (validator, _)| sum.plus(validators.weight_of(validator)));
        weight >= validators.quorum()
    }
}

#[cfg(test)]
mod tests {
    use aegis_types::{Epoch, Member};

    use super::*;

    const LIE: Height = Height(u64::MAX);

    fn validator(number: u8) -> ValidatorId {
        ValidatorId([number; 32])
    }

    fn set(epoch: u64, weights: &[(u8, u64)]) -> ValidatorSet {
        let members = weights
            .iter()
            .map(|(number, weight)| Member { validator: validator(*number), weight: Weight(*weight) });
        ValidatorSet::new(Epoch(epoch), members.collect()).unwrap()
    }

    fn round(answers: &[(u8, u64)]) -> Round {
        let mut round = Round::default();
        answers.iter().for_each(|(number, height)| round.count(validator(*number), Height(*height)));
        round
    }

    #[test]
    fn a_quorum_of_answers_at_or_below_the_executed_height_confirms() {
        let validators = set(0, &[(1, 1), (2, 1), (3, 1), (4, 1)]);
        assert!(round(&[(1, 7), (2, 7), (3, 6)]).is_confirmed(Height(7), &validators));
        assert!(!round(&[(1, 7), (2, 7)]).is_confirmed(Height(7), &validators), "two of four are no quorum");
        assert!(!round(&[(1, 7), (2, 7), (3, 8)]).is_confirmed(Height(7), &validators), "8 is not executed");
        assert!(round(&[(1, 7), (2, 7), (3, 8)]).is_confirmed(Height(8), &validators), "now it is");
    }

    #[test]
    fn weight_counts_and_not_the_number_of_answers() {
        // W = 20, f = 6, quorum 14.
        let validators = set(0, &[(1, 5), (2, 5), (3, 4), (4, 2), (5, 2), (6, 1), (7, 1)]);
        assert!(round(&[(1, 0), (2, 0), (3, 0)]).is_confirmed(Height(0), &validators));
        assert!(!round(&[(3, 0), (4, 0), (5, 0), (6, 0), (7, 0)]).is_confirmed(Height(0), &validators));
    }

    #[test]
    fn one_that_claims_a_huge_height_holds_nobody_up() {
        let validators = set(0, &[(1, 1), (2, 1), (3, 1), (4, 1)]);
        let mut round = round(&[(1, LIE.0), (2, 5), (3, 5)]);
        assert!(!round.is_confirmed(Height(5), &validators));
        round.count(validator(4), Height(5));
        assert!(round.is_confirmed(Height(5), &validators));
    }

    #[test]
    fn one_that_claims_nothing_hides_nothing_that_a_quorum_committed() {
        // Block 9 was committed by 2, 3 and 4 and acknowledged; this node, 1, has not heard of it; 2 lies.
        let validators = set(0, &[(1, 1), (2, 1), (3, 1), (4, 1)]);
        for honest in [3, 4] {
            assert!(!round(&[(1, 8), (2, 0), (honest, 9)]).is_confirmed(Height(8), &validators));
        }
        assert!(!round(&[(1, 8), (2, 0), (3, 9), (4, 9)]).is_confirmed(Height(8), &validators));
    }

    #[test]
    fn after_a_change_of_epochs_the_new_members_must_answer() {
        // The handover at 10 replaces 1, 2 and 3.
        let old = set(0, &[(1, 1), (2, 1), (3, 1), (4, 1)]);
        let new = set(1, &[(4, 1), (5, 1), (6, 1), (7, 1)]);
        let mut round = round(&[(1, 10), (2, 10), (3, 10), (4, 10)]);
        assert!(!round.is_confirmed(Height(9), &old), "they say that the handover exists");
        assert!(!round.is_confirmed(Height(10), &new), "they have no say any more");
        round.count(validator(5), Height(10));
        round.count(validator(6), Height(12));
        assert!(!round.is_confirmed(Height(10), &new));
        assert!(round.is_confirmed(Height(12), &new));
    }

    #[test]
    fn strangers_and_repeated_answers_have_no_weight() {
        let validators = set(0, &[(1, 1), (2, 1), (3, 1), (4, 1)]);
        let mut round = round(&[(1, 3), (50, 3), (51, 3), (52, 3)]);
        (0..9).for_each(|_| round.count(validator(2), Height(3)));
        assert!(!round.is_confirmed(Height(3), &validators));
    }

    #[test]
    fn a_sole_validator_confirms_itself() {
        assert!(round(&[(1, 4)]).is_confirmed(Height(4), &set(0, &[(1, 3)])));
        assert!(!round(&[(1, 5)]).is_confirmed(Height(4), &set(0, &[(1, 3)])));
    }

    /// Every way in which four equal validators can be faulty, ahead, or behind.
    #[test]
    fn no_lie_of_a_third_lets_a_read_miss_an_acknowledged_block() {
        let validators = set(0, &[(1, 1), (2, 1), (3, 1), (4, 1)]);
        let acknowledged = Height(5);
        let mut refused = 0;
        for liar in 1..=4 {
            for left_out in 1..=4 {
                // All but one voted Commit for the acknowledged block: with the liar or without it, a quorum.
                let committed = |number: u8| number != left_out;
                for lie in [0, 4, 5, u64::MAX] {
                    for silent in 0..=4 {
                        let mut round = Round::default();
                        for number in (1..=4).filter(|number| *number != silent) {
                            let truth = if committed(number) { acknowledged.0 } else { 4 };
                            let height = if number == liar { lie } else { truth };
                            round.count(validator(number), Height(height));
                        }
                        assert!(
                            !round.is_confirmed(Height(4), &validators),
                            "{liar} {left_out} {lie} {silent}"
                        );
                        refused += 1;
                    }
                }
            }
        }
        assert_eq!(refused, 4 * 4 * 4 * 5);
    }
}
