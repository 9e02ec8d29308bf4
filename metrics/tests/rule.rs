//! Properties of the weight rule: the cap and its proof, monotony, symmetry, and the price, on small sets
//! exhaustively and on large ones at random.

use aegis_metrics::weights::rule::{BASE, is_capped, top};
use aegis_metrics::weights::trade::sequential_crashes;
use aegis_metrics::weights::{LiveShare, Standing, Trade, WeightPolicy, weigh};
use aegis_metrics::{FaultTolerance, Micro};
use aegis_types::{Epoch, Member, ValidatorId, ValidatorSet, Weight};
use proptest::prelude::*;

fn standing(weight: u64, level: u32) -> Standing {
    Standing { weight: Weight(weight), level: Micro::new(level), eligible: true, was_core: false }
}

fn set(weights: &[Weight]) -> ValidatorSet {
    let members = weights.iter().enumerate().map(|(position, weight)| Member {
        validator: ValidatorId([u8::try_from(position).unwrap(); 32]),
        weight: *weight,
    });
    ValidatorSet::new(Epoch(1), members.collect()).unwrap()
}

/// Standings of a shape: `n`, `t`, `m` and as many standings.
fn shapes() -> impl Strategy<Value = (WeightPolicy, Vec<Standing>)> {
    (1..9_usize, 0..12_usize)
        .prop_flat_map(|(t, more)| {
            let n = 3 * t + 1 + more;
            let one = (1_000..=16_000_u64, 0..=1_000_000_u32, any::<bool>(), any::<bool>());
            (Just(t), 2 * t + 1..=n, prop::collection::vec(one, n))
        })
        .prop_map(|(t, m, members)| {
            let policy =
                WeightPolicy::new(members.len(), u32::try_from(t).unwrap(), u32::try_from(m).unwrap())
                    .unwrap();
            let standings = members.into_iter().map(|(weight, level, eligible, was_core)| Standing {
                weight: Weight(weight),
                level: Micro::new(level),
                eligible,
                was_core,
            });
            (policy, standings.collect())
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn no_t_members_hold_more_than_f((policy, standings) in shapes()) {
        let weights = weigh(policy, &standings).weights;
        let set = set(&weights);
        let (w, f, q) = (set.total().0, set.max_faulty().0, set.quorum().0);
        // Lemma 1: thresholds fit each other. Lemma 2: the cap.
        prop_assert!(w - f == q && 2 * q - w > f);
        prop_assert!(top(&weights, policy.fault_tolerance()) <= u128::from(f));
        prop_assert!(is_capped(&weights, policy.fault_tolerance()));
        // Without any t members a quorum is left.
        prop_assert!(u128::from(w) - top(&weights, policy.fault_tolerance()) >= u128::from(q));
    }

    #[test]
    fn the_cap_is_the_largest_that_holds((policy, standings) in shapes()) {
        let result = weigh(policy, &standings);
        let largest = result.grown.iter().max().unwrap();
        if result.cap < *largest {
            let looser: Vec<Weight> =
                result.grown.iter().map(|weight| (*weight).min(Weight(result.cap.0 + 1))).collect();
            prop_assert!(!is_capped(&looser, policy.fault_tolerance()));
        }
    }

    #[test]
    fn weights_rise_at_most_twofold_and_stay_in_range((policy, standings) in shapes()) {
        let result = weigh(policy, &standings);
        for (position, (before, after)) in standings.iter().zip(&result.weights).enumerate() {
            prop_assert!(after.0 <= 2 * before.weight.0);
            prop_assert!((BASE.0..=16_000).contains(&after.0));
            prop_assert!(before.eligible || !result.core.contains(&position));
        }
        let total: u64 = result.weights.iter().map(|weight| weight.0).sum();
        let members = u64::try_from(standings.len()).unwrap();
        prop_assert!((members * 1_000..=members * 16_000).contains(&total));
        prop_assert!(result.core.len() <= policy.core_size());
    }

    #[test]
    fn a_higher_level_never_lowers_ones_weight(
        (policy, standings) in shapes(),
        member in any::<prop::sample::Index>(),
        more in 1..500_000_u32,
    ) {
        let position = member.index(standings.len());
        let before = weigh(policy, &standings).weights[position];
        let mut better = standings;
        better[position].level = Micro::new(better[position].level.get() + more);
        prop_assert!(weigh(policy, &better).weights[position] >= before);
    }

    #[test]
    fn the_order_of_members_only_moves_the_weights((policy, mut standings) in shapes(), seed in any::<u64>()) {
        // Ties are broken by position, so each level appears once.
        for (position, standing) in standings.iter_mut().enumerate() {
            let level = 1_000 * ((position * 7_919) % 499) + position;
            standing.level = Micro::new(u32::try_from(level).unwrap());
            standing.was_core = false;
        }
        let mut order: Vec<usize> = (0..standings.len()).collect();
        order.sort_by_key(|position| (u64::try_from(*position).unwrap() + 1).wrapping_mul(seed | 1));
        let moved: Vec<Standing> = order.iter().map(|position| standings[*position]).collect();
        let (plain, moved) = (weigh(policy, &standings).weights, weigh(policy, &moved).weights);
        for (position, from) in order.iter().enumerate() {
            prop_assert_eq!(moved[position], plain[*from]);
        }
    }

    #[test]
    fn a_quorum_of_3t_plus_1_takes_2t_plus_1_members_whatever_the_weights(
        t in 1..9_usize,
        seeds in prop::collection::vec((1_000..=16_000_u64, 0..=1_000_000_u32, any::<bool>()), 28),
    ) {
        let standings: Vec<Standing> = seeds[..3 * t + 1]
            .iter()
            .map(|(weight, level, eligible)| Standing { eligible: *eligible, ..standing(*weight, *level) })
            .collect();
        let policy = FaultTolerance::Safe.policy(standings.len(), None).unwrap();
        let weights = weigh(policy, &standings).weights;
        prop_assert!(top(&weights, 2 * t) < u128::from(set(&weights).quorum().0));
    }

    #[test]
    fn counted_crashes_are_those_of_trying_all(
        weights in prop::collection::vec(1_000..16_000_u64, 4..11),
        crashes in 0..5_usize,
    ) {
        let weights: Vec<Weight> = weights.into_iter().map(Weight).collect();
        let total: u64 = weights.iter().map(|weight| weight.0).sum();
        let (mut live, mut all) = (0, 0);
        for mask in 0_u32..1 << weights.len() {
            if usize::try_from(mask.count_ones()).unwrap() == crashes {
                let crashed = weights.iter().enumerate().filter(|(bit, _)| mask >> bit & 1 == 1);
                let lost: u64 = crashed.map(|(_, weight)| weight.0).sum();
                all += 1;
                live += u128::from(lost <= (total - 1) / 3);
            }
        }
        prop_assert_eq!(LiveShare::of(&weights, crashes).unwrap(), LiveShare { live, all });
    }
}

#[test]
fn every_weight_vector_of_small_networks_is_capped_as_by_trying_all_caps() {
    // Weights of 1 to 5 thousand; the rule against a search through every cap.
    let mut checked = 0;
    for (n, t) in [(4_usize, 1_usize), (5, 1), (6, 1), (7, 1), (7, 2)] {
        for code in 0..5_usize.pow(u32::try_from(n).unwrap()) {
            let weights: Vec<u64> = (0..n)
                .map(|position| 1 + code / 5_usize.pow(u32::try_from(position).unwrap()) % 5)
                .map(|w| u64::try_from(w).unwrap() * 1_000)
                .collect();
            // All are in the core, so each weight doubles before the cap.
            let standings: Vec<Standing> = weights.iter().map(|weight| standing(*weight, 0)).collect();
            let policy = WeightPolicy::new(n, u32::try_from(t).unwrap(), u32::try_from(n).unwrap()).unwrap();
            let result = weigh(policy, &standings);
            let grown: Vec<u64> = weights.iter().map(|weight| (2 * weight).min(16_000)).collect();
            let holds = |cap: u64| {
                let mut capped: Vec<u64> = grown.iter().map(|weight| (*weight).min(cap)).collect();
                capped.sort_unstable_by(|a, b| b.cmp(a));
                3 * capped[..t].iter().sum::<u64>() < capped.iter().sum()
            };
            let cap = result.cap.0;
            assert!(holds(cap), "{weights:?}");
            assert!(cap == *grown.iter().max().unwrap() || !holds(cap + 1), "{weights:?}");
            assert!(
                (2_000..=cap).step_by(500).all(|lower| lower < *grown.iter().min().unwrap() || holds(lower)),
                "{weights:?}"
            );
            checked += 1;
        }
    }
    println!("{checked} weight vectors");
}

#[test]
fn perfect_scores_for_t_liars_leave_them_below_a_third() {
    for (n, t) in [(4_usize, 1_usize), (7, 1), (7, 2), (13, 2), (13, 4), (51, 8), (100, 33)] {
        let policy =
            WeightPolicy::new(n, u32::try_from(t).unwrap(), u32::try_from((3 * t + 1).min(n)).unwrap())
                .unwrap();
        let mut standings: Vec<Standing> = (0..n)
            .map(|position| Standing {
                eligible: position < t,
                ..standing(1_000, if position < t { 1_000_000 } else { 0 })
            })
            .collect();
        for _ in 0..10 {
            let weights = weigh(policy, &standings).weights;
            assert!(top(&weights, t) <= u128::from(set(&weights).max_faulty().0), "n={n} t={t}");
            for (standing, weight) in standings.iter_mut().zip(weights) {
                standing.weight = weight;
                standing.was_core = standing.eligible;
            }
        }
    }
}

/// A network whose weights have settled: the first members are the best.
fn settled(n: usize, t: u32, m: u32) -> (WeightPolicy, Vec<Standing>) {
    let policy = WeightPolicy::new(n, t, m).unwrap();
    let mut standings: Vec<Standing> = (0..n)
        .map(|position| standing(1_000, u32::try_from(900_000 - 50_000 * position.min(17)).unwrap()))
        .collect();
    for _ in 0..6 {
        let result = weigh(policy, &standings);
        for (position, (standing, weight)) in standings.iter_mut().zip(&result.weights).enumerate() {
            standing.weight = *weight;
            standing.was_core = result.core.contains(&position);
        }
    }
    (policy, standings)
}

#[test]
fn the_price_is_that_of_the_specification() {
    // n, t, m: sequential crashes, the heaviest each time.
    for (n, t, m, sequential) in [
        (4, 1, 4, 1),
        (7, 1, 4, 2),
        (10, 2, 7, 5),
        (13, 3, 10, 6),
        (13, 2, 7, 8),
        (13, 2, 5, 5),
        (13, 1, 4, 2),
    ] {
        let (policy, standings) = settled(n, t, m);
        assert_eq!(sequential_crashes(policy, &standings), sequential, "n={n} t={t} m={m}");
        let trade = Trade::of(Some(policy), &standings);
        assert_eq!(trade.simultaneous_crashes, trade.arbitrary_faults);
        assert_eq!(trade.arbitrary_faults, usize::try_from(t).unwrap(), "n={n} t={t} m={m}");
        assert_eq!(trade.arbitrary_faults_equal, (n - 1) / 3);
    }
}

#[test]
fn thirteen_members_at_t_2_in_numbers() {
    let (policy, standings) = settled(13, 2, 7);
    let weights: Vec<Weight> = standings.iter().map(|standing| standing.weight).collect();
    let trade = Trade::of(Some(policy), &standings);
    assert_eq!(
        (trade.total, trade.quorum, trade.weight_may_fail),
        (Weight(118_000), Weight(78_667), Weight(39_333))
    );
    assert_eq!(trade.simultaneous_crashes_lightest, 8);
    let shares = [3, 4, 5, 6].map(|crashes| LiveShare::of(&weights, crashes).unwrap().share().get());
    assert_eq!(shares.map(|share| (share + 500) / 1_000), [878, 657, 413, 209]);
    let equal = vec![Weight(1_000); 13];
    assert_eq!(
        [4, 5].map(|crashes| LiveShare::of(&equal, crashes).unwrap().share()),
        [Micro::ONE, Micro::ZERO]
    );
}

#[test]
fn too_various_weights_are_not_counted() {
    let weights: Vec<Weight> = (0..60).map(|position| Weight(1_000 + position * position * 7)).collect();
    assert_eq!(LiveShare::of(&weights, 30), None);
    assert_eq!(Trade::of(None, &[]).members, 0);
}
