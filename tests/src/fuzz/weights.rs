//! What the weight rule reads, as a node answers it to who computes weights again, and what the rule makes of it.

use aegis_metrics::weights::rule::{BASE, is_capped};
use aegis_metrics::weights::{Candidate, CandidateReport, Fallback};
use aegis_metrics::{FaultTolerance, Micro, WeightInput};
use aegis_types::{Canonical, Epoch, ValidatorId, Weight};

use super::memory;

/// An input that decodes has one encoding. The rule has an answer for it: weights of which no `t` members hold more than `f`,
/// or equal ones with a reason, and leaders and a core out of the members.
///
/// # Panics
/// When that does not hold, or the decoder takes too much memory.
pub fn run(bytes: &[u8]) {
    let input = match memory::bounded(bytes.len(), || WeightInput::decode(bytes)) {
        Ok(input) => input,
        Err(error) => return assert!(!error.to_string().is_empty()),
    };
    assert_eq!(input.encode(), bytes, "a weight input has a second encoding");
    let outcome = input.outcome();
    let candidates: Vec<ValidatorId> =
        input.candidates().iter().map(|candidate| candidate.validator).collect();
    assert!(outcome.nodes.iter().map(|node| &node.validator).eq(&candidates), "members came or went");
    let weights: Vec<Weight> = outcome.nodes.iter().map(|node| node.after).collect();
    // The rule looks at its own work and falls back when it is wrong: that must not be needed.
    assert_ne!(outcome.fallback, Some(Fallback::FailedCheck), "{weights:?}");
    match (outcome.fallback, outcome.policy) {
        (None, Some(policy)) => {
            assert!(is_capped(&weights, policy.fault_tolerance()), "{weights:?} under {policy:?}");
            assert!(weights.iter().all(|weight| (BASE..=Weight::MAX).contains(weight)), "{weights:?}");
        }
        (Some(_), _) => assert!(weights.iter().all(|weight| *weight == BASE), "{weights:?}"),
        (None, None) => panic!("the rule decided without a policy"),
    }
    for named in outcome.core.iter().chain(&outcome.leaders) {
        assert!(candidates.contains(named), "{named} is no member");
    }
    assert_eq!(outcome.validator_set().is_ok(), !candidates.is_empty());
}

/// Seven members of whom one reported nothing and one equivocated, under each tolerance; one alone; the heaviest there may be.
pub fn seeds() -> Vec<Vec<u8>> {
    let candidate = |number: u8, members: u8, weight: Weight| Candidate {
        validator: ValidatorId([number; 32]),
        weight,
        was_core: number < 4,
        participation: Micro::new(1_000_000 - u32::from(number)),
        clean_epochs: 10,
        equivocated: number == 5,
        recently_absent: number == 6,
        report: (number != 6).then(|| CandidateReport {
            rtt_us: (0..members).map(|other| 10_000 * u32::from(number.abs_diff(other))).collect(),
            phi: Some(Micro::new(10_000)),
            stability: Some(Micro::new(900_000)),
            divergence: None,
            commit_latency_us: Some(60_000),
        }),
    };
    let input = |members: u8, weight: Weight, tolerance: FaultTolerance| {
        let candidates = (0..members).map(|number| candidate(number, members, weight)).collect();
        WeightInput::new(Epoch(3), tolerance, candidates).expect("the candidates are in order").encode()
    };
    vec![
        input(7, BASE, FaultTolerance::Safe),
        input(7, BASE, FaultTolerance::Fast),
        input(7, Weight(8_000), FaultTolerance::Fixed(1)),
        input(7, Weight::MAX, FaultTolerance::Fixed(2)),
        input(1, BASE, FaultTolerance::Fast),
    ]
}
