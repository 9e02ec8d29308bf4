//! The weight rule from agreed inputs to explained weights: fallbacks, eligibility, leaders, and the encoding.

use aegis_metrics::weights::explain::{Fallback, Ineligible};
use aegis_metrics::weights::input::CLEAN_EPOCHS_MIN;
use aegis_metrics::weights::{Candidate, CandidateReport, LatencyGuard, Mode, WeightOutcome};
use aegis_metrics::{FaultTolerance, MetricsError, Micro, WeightInput};
use aegis_types::{Canonical, Epoch, Hash, ValidatorId, Weight};
use proptest::prelude::*;

fn id(position: usize) -> ValidatorId {
    ValidatorId([u8::try_from(position).unwrap() + 1; 32])
}

/// Seven members on a line: the first four 20 ms apart, the rest 80 ms away from all.
fn candidates() -> Vec<Candidate> {
    let near = |a: usize, b: usize| if a < 4 && b < 4 { 20_000 } else { 80_000 };
    (0..7)
        .map(|position| Candidate {
            validator: id(position),
            weight: Weight(1_000),
            was_core: false,
            participation: Micro::ONE,
            clean_epochs: CLEAN_EPOCHS_MIN,
            equivocated: false,
            recently_absent: false,
            report: Some(CandidateReport {
                rtt_us: (0..7)
                    .map(|other| if position == other { 0 } else { near(position, other) })
                    .collect(),
                phi: Some(Micro::new(10_000)),
                stability: Some(Micro::new(900_000)),
                divergence: Some(Micro::new(100_000)),
                commit_latency_us: Some(60_000),
            }),
        })
        .collect()
}

fn input(candidates: Vec<Candidate>) -> WeightInput {
    WeightInput::new(Epoch(4), FaultTolerance::Fast, candidates).unwrap()
}

fn weights(outcome: &WeightOutcome) -> Vec<u64> {
    outcome.nodes.iter().map(|node| node.after.0).collect()
}

/// The candidates as an outcome leaves them.
fn next(outcome: &WeightOutcome, mut candidates: Vec<Candidate>) -> Vec<Candidate> {
    for (candidate, node) in candidates.iter_mut().zip(&outcome.nodes) {
        candidate.weight = node.after;
        candidate.was_core = node.in_core;
        candidate.clean_epochs = node.clean_epochs_after;
    }
    candidates
}

#[test]
fn weight_moves_to_the_well_placed_within_five_epochs() {
    let mut members = candidates();
    let mut history = Vec::new();
    for _ in 0..5 {
        let outcome = input(members.clone()).outcome();
        assert_eq!(outcome.fallback, None);
        history.push(weights(&outcome));
        members = next(&outcome, members);
    }
    assert_eq!(history[0], [2_000, 2_000, 2_000, 2_000, 1_000, 1_000, 1_000]);
    assert_eq!(history[4], [16_000, 16_000, 16_000, 16_000, 1_000, 1_000, 1_000]);
    let outcome = input(members).outcome();
    assert_eq!(outcome.core, (0..4).map(id).collect::<Vec<_>>());
    assert_eq!(outcome.leaders, outcome.core);
    assert_eq!(outcome.trade.arbitrary_faults, 1);
    assert_eq!(outcome.trade.arbitrary_faults_equal, 2);
    assert_eq!(outcome.epoch, Epoch(5));
    let set = outcome.validator_set().unwrap();
    assert_eq!((set.total(), set.len()), (Weight(67_000), 7));
}

#[test]
fn a_stopped_member_falls_at_once_and_climbs_back_twofold() {
    let mut members = candidates();
    for _ in 0..5 {
        members = next(&input(members.clone()).outcome(), members);
    }
    members[1].participation = Micro::new(300_000);
    members[1].recently_absent = true;
    let stopped = input(members.clone()).outcome();
    assert_eq!(stopped.nodes[1].ineligible, [Ineligible::LowParticipation]);
    assert_eq!(weights(&stopped)[1], 1_000);
    assert!(!stopped.leaders.contains(&id(1)));
    members = next(&stopped, members);
    members[1].participation = Micro::ONE;
    members[1].recently_absent = false;
    let mut climb = Vec::new();
    for _ in 0..5 {
        let outcome = input(members.clone()).outcome();
        climb.push(weights(&outcome)[1]);
        members = next(&outcome, members);
    }
    assert_eq!(climb, [2_000, 4_000, 8_000, 16_000, 16_000]);
}

#[test]
fn a_joiner_starts_low_and_waits_for_ten_clean_epochs() {
    let mut members = candidates();
    members[0].clean_epochs = 0;
    for epoch in 0..CLEAN_EPOCHS_MIN {
        let outcome = input(members.clone()).outcome();
        assert_eq!(outcome.nodes[0].ineligible, [Ineligible::Joining], "epoch {epoch}");
        assert_eq!(outcome.nodes[0].after, Weight(1_000));
        members = next(&outcome, members);
    }
    assert_eq!(input(members).outcome().nodes[0].after, Weight(2_000));
}

#[test]
fn proof_of_equivocation_costs_the_core_for_ten_epochs() {
    let mut members = candidates();
    members[2].equivocated = true;
    let outcome = input(members.clone()).outcome();
    assert_eq!(outcome.nodes[2].ineligible, [Ineligible::Equivocated]);
    members = next(&outcome, members);
    members[2].equivocated = false;
    assert_eq!(input(members).outcome().nodes[2].ineligible, [Ineligible::Joining]);
}

#[test]
fn a_row_that_contradicts_everybody_is_flagged_and_raises_nobody() {
    let honest = input(candidates()).outcome();
    let mut members = candidates();
    members[6].report.as_mut().unwrap().rtt_us = vec![1_000; 7];
    let outcome = input(members).outcome();
    assert_eq!(outcome.nodes[6].ineligible, [Ineligible::Contradicted]);
    for (honest, lied) in honest.nodes.iter().zip(&outcome.nodes) {
        assert!(lied.after <= honest.after && lied.terms.coherence <= honest.terms.coherence);
    }
}

#[test]
fn each_fallback_gives_equal_weights_and_says_why() {
    let few = |mut members: Vec<Candidate>| {
        members.iter_mut().take(3).for_each(|member| member.report = None);
        input(members).outcome()
    };
    let outcome = few(candidates());
    assert_eq!(
        outcome.fallback,
        Some(Fallback::TooFewReports { reporting: Weight(4_000), quorum: Weight(4_667) })
    );
    assert_eq!(weights(&outcome), [1_000; 7]);
    assert_eq!(outcome.leaders.len(), 7);
    assert!(outcome.core.is_empty());
    assert_eq!(outcome.trade.arbitrary_faults, 2);

    let mut decided = input(candidates());
    decided.mode = Mode::Equal;
    assert_eq!(decided.outcome().fallback, Some(Fallback::Decided));

    let mut unfit = input(candidates());
    unfit.tolerance = FaultTolerance::Fixed(3);
    assert_eq!(unfit.outcome().fallback, Some(Fallback::PolicyDoesNotFit { members: 7 }));
    assert_eq!(unfit.outcome().policy, None);

    let mut slow = input(next(&input(candidates()).outcome(), candidates()));
    slow.latency = LatencyGuard { baseline_us: Some(40_000), slow_epochs: 1 };
    let outcome = slow.outcome();
    assert_eq!(outcome.fallback, Some(Fallback::SlowCommits { baseline_us: 40_000 }));
    assert_eq!(weights(&outcome), [1_000; 7]);
    // The epoch of equal weights that follows gives a new baseline.
    let mut after = input(next(&outcome, candidates()));
    after.latency = outcome.latency;
    assert_eq!(after.outcome().latency, LatencyGuard { baseline_us: Some(60_000), slow_epochs: 0 });
    assert_eq!(after.outcome().fallback, None);
}

#[test]
fn networks_too_small_for_weights_vote_alike() {
    for members in 0..4 {
        let row = |position: usize| {
            let mut candidate = candidates()[position].clone();
            candidate.report.as_mut().unwrap().rtt_us.truncate(members);
            candidate
        };
        let outcome = WeightInput::new(Epoch(0), FaultTolerance::Safe, (0..members).map(row).collect())
            .unwrap()
            .outcome();
        assert_eq!(weights(&outcome), vec![1_000; members]);
        assert_eq!(outcome.fallback, Some(Fallback::PolicyDoesNotFit { members }));
        assert_eq!(outcome.validator_set().is_ok(), members > 0);
    }
}

#[test]
fn inputs_that_do_not_fit_are_refused() {
    let mut twice = candidates();
    twice[1].validator = id(0);
    assert!(WeightInput::new(Epoch(0), FaultTolerance::Safe, twice).is_err());
    let mut short = candidates();
    short[1].report.as_mut().unwrap().rtt_us.pop();
    let error = WeightInput::new(Epoch(0), FaultTolerance::Safe, short).unwrap_err();
    assert_eq!(error, MetricsError::BadRow { expected: 7, actual: 6 });
}

#[test]
fn the_encoding_of_an_input_is_pinned_and_gives_the_same_outcome() {
    let mut members = candidates();
    members[3].report = None;
    members[2].equivocated = true;
    let mut input = input(members);
    input.core_size = Some(5);
    input.latency = LatencyGuard { baseline_us: Some(0), slow_epochs: 1 };
    let bytes = input.encode();
    let decoded = WeightInput::decode(&bytes).unwrap();
    assert_eq!(decoded, input);
    assert_eq!(decoded.outcome(), input.outcome());
    let pinned = "b870c764ff57777d7df96b644b92d6d0769bb6944f92998afbfd0fe5658c80a1";
    assert_eq!(Hash::of("test", &bytes).to_string(), pinned);
}

#[test]
fn the_explanation_is_readable_as_json() {
    let json = serde_json::to_value(input(candidates()).outcome()).unwrap();
    assert_eq!(json["nodes"][0]["terms"]["stability"], 900_000);
    assert_eq!(json["nodes"][0]["growth_limited"], true);
    assert_eq!(json["trade"]["arbitrary_faults"], 1);
    assert_eq!(json["fallback"], serde_json::Value::Null);
}

fn any_candidate(members: usize) -> impl Strategy<Value = Candidate> {
    let share = || prop::option::of((0..=1_000_000_u32).prop_map(Micro::new));
    let report =
        (prop::collection::vec(0..=10_000_000_u32, members), share(), share(), share(), any::<Option<u32>>());
    let report = report.prop_map(|(rtt_us, phi, stability, divergence, commit_latency_us)| CandidateReport {
        rtt_us,
        phi,
        stability,
        divergence,
        commit_latency_us,
    });
    let standing = (1..=u64::from(u32::MAX), any::<[bool; 3]>(), 0..=1_000_000_u32, any::<u32>());
    (standing, prop::option::weighted(0.9, report)).prop_map(
        |((weight, flags, participation, clean_epochs), report)| Candidate {
            validator: id(0),
            weight: Weight(weight),
            was_core: flags[0],
            participation: Micro::new(participation),
            clean_epochs,
            equivocated: flags[1],
            recently_absent: flags[2],
            report,
        },
    )
}

fn any_input() -> impl Strategy<Value = WeightInput> {
    (0..20_usize).prop_flat_map(|members| {
        let tolerance = prop_oneof![
            Just(FaultTolerance::Safe),
            Just(FaultTolerance::Fast),
            (1..9_u32).prop_map(FaultTolerance::Fixed)
        ];
        (prop::collection::vec(any_candidate(members), members), tolerance, any::<u64>()).prop_map(
            |(mut members, tolerance, epoch)| {
                for (position, candidate) in members.iter_mut().enumerate() {
                    candidate.validator = id(position);
                }
                WeightInput::new(Epoch(epoch), tolerance, members).unwrap()
            },
        )
    })
}

proptest! {
    #[test]
    fn every_input_has_a_valid_outcome_and_one_encoding(input in any_input()) {
        let outcome = input.outcome();
        prop_assert_eq!(outcome.nodes.len(), input.candidates().len());
        if !outcome.nodes.is_empty() {
            let set = outcome.validator_set();
            prop_assert!(set.is_ok(), "{:?}", set);
            prop_assert!(!outcome.leaders.is_empty());
        }
        prop_assert_eq!(WeightInput::decode(&input.encode()).unwrap(), input);
    }

    #[test]
    fn hostile_bytes_are_refused_or_canonical(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(input) = WeightInput::decode(&bytes) {
            prop_assert_eq!(input.encode(), bytes);
        }
    }
}
