//! Thresholds, checked on every small validator set by listing its subsets, with arithmetic of the test's own.

use aegis_types::{
    Canonical, Epoch, Keypair, Limits, Member, TypesError, ValidatorId, ValidatorSet, Weight, proto,
};
use proptest::prelude::*;

const MEMBERS_MAX: usize = 7;
const WEIGHT_MAX: u64 = 4;

fn set_of(weights: &[u64]) -> Result<ValidatorSet, TypesError> {
    let member =
        |(n, weight): (u8, &u64)| Member { validator: ValidatorId([n; 32]), weight: Weight(*weight) };
    ValidatorSet::new(Epoch(1), (1..=u8::MAX).zip(weights).map(member).collect())
}

/// All lists of 1 to [`MEMBERS_MAX`] weights from 1 to [`WEIGHT_MAX`].
fn small_weights() -> impl Iterator<Item = Vec<u64>> {
    (1..=MEMBERS_MAX).flat_map(|len| {
        let count = WEIGHT_MAX.pow(u32::try_from(len).expect("a small number"));
        (0..count).map(move |mut number| {
            let digit = |_| {
                let weight = number % WEIGHT_MAX + 1;
                number /= WEIGHT_MAX;
                weight
            };
            (0..len).map(digit).collect()
        })
    })
}

/// The weight of every subset; bit `i` of the position stands for member `i`.
fn subset_weights(weights: &[u64]) -> Vec<u64> {
    let weigh = |subset: usize| {
        weights.iter().enumerate().filter(|(i, _)| subset >> i & 1 == 1).map(|(_, weight)| weight).sum()
    };
    (0..1_usize << weights.len()).map(weigh).collect()
}

/// The largest weight that is less than a third of the total.
fn tolerated(total: u64) -> u64 {
    (0..total).rev().find(|faulty| 3 * faulty < total).expect("0 is less than a third")
}

/// What must hold for a set of these weights, whoever is in which subset.
fn check_thresholds(weights: &[u64], set: &ValidatorSet) {
    let subsets = subset_weights(weights);
    let everybody = subsets.len() - 1;
    let f = tolerated(subsets[everybody]);
    let (quorum, weak) = (set.quorum().0, set.weak_quorum().0);
    assert_eq!(set.total().0, subsets[everybody], "{weights:?}");
    assert_eq!(set.max_faulty().0, f, "{weights:?}");

    let quorums: Vec<usize> = (0..=everybody).filter(|subset| subsets[*subset] >= quorum).collect();
    for a in &quorums {
        for b in &quorums {
            assert!(subsets[a & b] >= weak, "{weights:?}: quorums {a:b} and {b:b} share too little");
            assert!(subsets[a & b] > f, "{weights:?}: quorums {a:b} and {b:b} may share faulty members only");
        }
    }
    for (subset, weight) in subsets.iter().enumerate() {
        let rest = subsets[everybody & !subset];
        if *weight <= f {
            assert!(rest >= quorum, "{weights:?}: without {subset:b} there is no quorum");
            assert!(*weight < weak, "{weights:?}: {subset:b} may be faulty, yet counts as a weak quorum");
        } else {
            assert!(rest < quorum, "{weights:?}: {subset:b} is more than may fail, yet the rest decides");
            assert!(*weight >= weak, "{weights:?}: {subset:b} holds a correct member, yet is no weak quorum");
        }
        let is_majority = 3 * weight > 2 * subsets[everybody];
        assert_eq!(set.is_two_thirds_majority(Weight(*weight)), is_majority, "{weights:?} {subset:b}");
        assert_eq!(*weight >= quorum, is_majority, "{weights:?} {subset:b}: the two bars differ");
    }
}

/// Whether two quorums share one member only: a member that could make both decide.
fn one_member_can_fork(weights: &[u64], set: &ValidatorSet) -> bool {
    let subsets = subset_weights(weights);
    let quorums: Vec<usize> = (0..subsets.len()).filter(|s| subsets[*s] >= set.quorum().0).collect();
    quorums.iter().any(|a| quorums.iter().any(|b| (a & b).count_ones() <= 1))
}

#[test]
fn every_small_set_has_sound_thresholds_or_is_refused() {
    let (mut valid, mut refused) = (0_u32, 0_u32);
    for weights in small_weights() {
        let total: u64 = weights.iter().sum();
        let largest = *weights.iter().max().expect("not empty");
        let rest_decides_alone = total - largest >= total - tolerated(total);
        match set_of(&weights) {
            Ok(set) => {
                valid += 1;
                assert!(weights.len() < 4 || rest_decides_alone, "{weights:?}: one member can block it");
                check_thresholds(&weights, &set);
            }
            Err(error) => {
                refused += 1;
                assert!(weights.len() >= 4 && !rest_decides_alone, "{weights:?} is refused: {error}");
                assert!(error.to_string().contains("nobody may have more than"), "{error}");
            }
        }
    }
    assert_eq!(valid + refused, (1..=7).map(|len| 4_u32.pow(len)).sum(), "the list of sets is not whole");
    assert!(
        valid > 10_000 && refused > 100,
        "{valid} valid and {refused} refused: one side is hardly tested"
    );
}

#[test]
fn no_single_member_of_a_set_of_four_or_more_can_block_decide_or_fork() {
    for weights in small_weights().filter(|weights| weights.len() >= 4) {
        let Ok(set) = set_of(&weights) else { continue };
        for (member, weight) in weights.iter().enumerate() {
            assert!(set.total().0 - weight >= set.quorum().0, "{weights:?}: {member} can block");
            assert!(*weight < set.quorum().0, "{weights:?}: {member} decides alone");
        }
        assert!(!one_member_can_fork(&weights, &set), "{weights:?}");
    }
}

#[test]
fn of_fewer_than_four_members_one_always_outweighs_f() {
    for weights in small_weights().filter(|weights| weights.len() < 4) {
        let set = set_of(&weights).expect("small sets are for trying things out");
        assert!(weights.iter().any(|weight| *weight > set.max_faulty().0), "{weights:?}");
    }
}

/// Worked examples: weights, then `W`, `f`, quorum and weak quorum.
#[test]
fn worked_examples() {
    let examples: [(&[u64], [u64; 4]); 9] = [
        (&[1], [1, 0, 1, 1]),
        (&[1, 1], [2, 0, 2, 1]),
        (&[1, 1, 1], [3, 0, 3, 1]),
        (&[1, 1, 1, 1], [4, 1, 3, 2]),
        (&[1, 1, 1, 1, 1], [5, 1, 4, 2]),
        (&[1, 1, 1, 1, 1, 1], [6, 1, 5, 2]),
        (&[1, 1, 1, 1, 1, 1, 1], [7, 2, 5, 3]),
        // Weight, not count: three of seven decide.
        (&[10, 10, 11, 300, 290, 295, 1], [917, 305, 612, 306]),
        (&[1 << 32, 1 << 32, 1 << 32, 1 << 32], [1 << 34, 5_726_623_061, 11_453_246_123, 5_726_623_062]),
    ];
    for (weights, expected) in examples {
        let set = set_of(weights).expect("a valid set");
        let actual = [set.total(), set.max_faulty(), set.quorum(), set.weak_quorum()].map(|weight| weight.0);
        assert_eq!(actual, expected, "{weights:?}");
    }
}

#[test]
fn a_set_that_breaks_a_rule_is_refused_and_the_rule_is_named() {
    let member = |n: u8, weight| Member { validator: ValidatorId([n; 32]), weight: Weight(weight) };
    let full: Vec<Member> = (0..=128).map(|n| member(n, 1)).collect();
    let cases = [
        (Vec::new(), "no members"),
        (full.clone(), "129 members; at most 128"),
        (vec![member(1, 1), member(2, 1), member(1, 2)], "names a validator twice"),
        (vec![member(1, 1), member(2, 0)], "has weight 0; allowed are 1 to 4294967296"),
        (vec![member(1, 1), member(2, Weight::MAX.0 + 1)], "weight 4294967297; allowed are 1 to 4294967296"),
        (vec![member(1, 1), member(2, u64::MAX), member(3, u64::MAX)], "allowed are 1 to"),
        (vec![member(1, 1), member(2, 1), member(3, 1), member(4, 2)], "nobody may have more than 1"),
    ];
    for (members, rule) in cases {
        let error = ValidatorSet::new(Epoch::ZERO, members).expect_err(rule);
        assert!(error.to_string().contains(rule), "`{error}` does not say `{rule}`");
    }
    assert!(ValidatorSet::new(Epoch::ZERO, full[..Limits::VALIDATORS].to_vec()).is_ok());
    assert!(set_of(&[1, Weight::MAX.0]).is_ok());
}

#[test]
fn members_are_found_by_key_and_strangers_weigh_nothing() {
    let keys: Vec<ValidatorId> = (1..=5).map(|n| Keypair::from_seed(&[n; 32]).validator_id()).collect();
    let members =
        keys.iter().zip(5..).map(|(key, weight)| Member { validator: *key, weight: Weight(weight) });
    let set = ValidatorSet::new(Epoch(2), members.collect()).expect("a valid set");
    assert!(set.members().is_sorted_by(|a, b| a.validator < b.validator));
    for (key, weight) in keys.iter().zip(5..) {
        let position = set.index_of(key).expect("a member");
        assert_eq!(set.get(position).map(|member| member.validator), Some(*key));
        assert_eq!(set.weight_of(key), Weight(weight));
        assert!(set.contains(key));
    }
    let stranger = Keypair::from_seed(&[9; 32]).validator_id();
    assert_eq!((set.index_of(&stranger), set.weight_of(&stranger)), (None, Weight::ZERO));
    assert!(!set.contains(&stranger) && set.get(5).is_none() && set.get(usize::MAX).is_none());
}

#[test]
fn leaders_are_members_that_cannot_all_be_faulty_and_the_hash_covers_them() {
    let key = |seed: u8| Keypair::from_seed(&[seed; 32]).validator_id();
    let member = |(seed, weight)| Member { validator: key(seed), weight: Weight(weight) };
    let members = [(1, 16), (2, 16), (3, 16), (4, 1), (5, 1)].map(member);
    let set = ValidatorSet::new(Epoch(3), members.to_vec()).expect("16 of 50 is within f = 16");
    let led =
        |seeds: &[u8]| set.clone().with_leaders(&seeds.iter().map(|seed| key(*seed)).collect::<Vec<_>>());
    assert_eq!(set.leaders().len(), 0);
    assert_eq!(led(&[]).as_ref(), Ok(&set));
    let (one, other) = (led(&[3, 1]).expect("32 of 50"), led(&[1, 3]).expect("the same in another order"));
    assert_eq!(one.leaders().collect::<Vec<_>>(), [key(3), key(1)]);
    assert_eq!(ValidatorSet::decode(&one.encode()).as_ref(), Ok(&one));
    assert!(one.hash() != other.hash() && one.hash() != set.hash());
    for (seeds, reason) in [
        (&[1, 9][..], "is no member"),
        (&[1, 1], "twice"),
        (&[4, 5], "might all be faulty; 17 are needed"),
        (&[1], "might all be faulty"),
    ] {
        let error = led(seeds).expect_err(reason).to_string();
        assert!(error.contains(reason), "{error}");
    }
    let pair = ValidatorSet::new(Epoch(0), [member((1, 5)), member((2, 1))].to_vec()).expect("two members");
    let alone = pair.with_leaders(&[key(1)]).expect_err("a view change must change the leader");
    assert!(alone.to_string().contains("leads alone"), "{alone}");
}

#[test]
fn leaders_outside_the_set_or_more_than_its_members_do_not_decode() {
    let set = set_of(&[1, 1, 1, 1]).expect("equal weights");
    for (leaders, reason) in [(vec![0, 1, 2, 4], "outside the set"), (vec![0, 1, 2, 3, 0], "at most 4")] {
        let proto = proto::ValidatorSet { leaders, ..set.to_proto() };
        let error = ValidatorSet::from_proto(proto).expect_err(reason).to_string();
        assert!(error.contains(reason), "{error}");
    }
}

#[test]
fn weight_arithmetic_stops_at_its_ends() {
    assert_eq!(Weight(u64::MAX).plus(Weight(1)), Weight(u64::MAX));
    assert_eq!(Weight(1).minus(Weight(2)), Weight::ZERO);
    assert_eq!(Weight(5).plus(Weight(2)).minus(Weight(3)), Weight(4));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// What the subsets show for small sets, by arithmetic in wider numbers for sets of any size and weight.
    #[test]
    fn thresholds_of_large_sets_are_sound(
        weights in prop::collection::vec(1..=Weight::MAX.0, 1..=Limits::VALIDATORS),
        share in 0..=u64::MAX,
    ) {
        let total: u128 = weights.iter().map(|weight| u128::from(*weight)).sum();
        let largest = weights.iter().copied().max().map(u128::from).expect("not empty");
        let f = (total - 1) / 3;
        let Ok(set) = set_of(&weights) else {
            prop_assert!(weights.len() >= 4 && largest > f);
            return Ok(());
        };
        prop_assert!(weights.len() < 4 || largest <= f);
        let [quorum, weak] = [set.quorum(), set.weak_quorum()].map(|weight| u128::from(weight.0));
        prop_assert_eq!(u128::from(set.total().0), total);
        prop_assert!(quorum <= total - f, "a quorum is left when f fails");
        prop_assert!(2 * quorum - total >= weak, "two quorums share a weak quorum");
        prop_assert!(weak > f && 3 * f < total && 3 * (f + 1) >= total);
        let weight = u64::try_from(u128::from(share) % (total + 1)).expect("below the total");
        prop_assert_eq!(set.is_two_thirds_majority(Weight(weight)), u128::from(weight) >= quorum);
    }

    #[test]
    fn the_order_of_members_does_not_change_a_set(
        (members, shuffled) in prop::collection::btree_map(any::<[u8; 32]>(), 90..=100_u64, 4..20)
            .prop_map(|members| {
                let member = |(id, weight)| Member { validator: ValidatorId(id), weight: Weight(weight) };
                members.into_iter().map(member).collect::<Vec<_>>()
            })
            .prop_flat_map(|members| (Just(members.clone()), Just(members).prop_shuffle()))
    ) {
        let [one, other] = [members, shuffled].map(|members| ValidatorSet::new(Epoch(4), members));
        prop_assert_eq!(&one, &other);
        if let (Ok(one), Ok(other)) = (one, other) {
            prop_assert_eq!(one.encode(), other.encode());
            prop_assert_eq!(one.hash(), other.hash());
        }
    }
}
