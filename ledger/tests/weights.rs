//! Measured weights: from reports in blocks to the validators and leaders of the next epoch.

#[path = "weights/network.rs"]
mod network;
#[path = "weights/reports.rs"]
mod reports;
mod support;

use std::collections::BTreeSet;

use aegis_ledger::{Entry, Ledger, LedgerEvent, StateError, StateReader, query, weights};
use aegis_metrics::weights::Fallback;
use aegis_metrics::weights::explain::Ineligible;
use aegis_types::{Epoch, Parameter, WeightsMode};
use network::{Network, numbers, value};
use support::{add, equivocation, remove, set, validator};

fn measured() -> (Parameter, u64) {
    value(Parameter::WeightsMode, "measured")
}

fn fast(members: usize) -> Network {
    Network::new(members, &[measured(), value(Parameter::FaultTolerance, "fast")])
}

fn fallback(network: &Network, epoch: u64) -> Option<Fallback> {
    weights::explain(&network.chain.state, Epoch(epoch)).unwrap().expect("the epoch is kept").fallback
}

fn set_word(parameter: Parameter, word: &str) -> aegis_types::ProposalBody {
    aegis_types::ProposalBody::ParamSet { name: parameter.name().into(), value: word.into() }
}

#[test]
fn weight_moves_to_the_well_placed_and_they_lead() {
    let mut network = fast(7);
    let mut history = Vec::new();
    for _ in 0..6 {
        network.epoch();
        history.push(network.weights());
    }
    // The genesis gave 1 each: the first step is to the base.
    assert_eq!(history[0], [1_000; 7]);
    assert_eq!(history[1], [2_000, 2_000, 2_000, 2_000, 1_000, 1_000, 1_000]);
    assert_eq!(history[5], [16_000, 16_000, 16_000, 16_000, 1_000, 1_000, 1_000]);
    assert_eq!(network.leaders(), BTreeSet::from([1, 2, 3, 4]));
    let outcome = weights::explain(&network.chain.state, Epoch(6)).unwrap().unwrap();
    assert_eq!((outcome.trade.arbitrary_faults, outcome.trade.arbitrary_faults_equal), (1, 2));
    let seats = weights::seats(&network.chain.state).unwrap();
    assert_eq!(seats.iter().filter(|seat| seat.in_core).count(), 4);
}

#[test]
fn the_safe_profile_weighs_all_alike() {
    for members in [4, 7] {
        let mut network = Network::new(members, &[measured()]);
        network.epochs(6);
        assert_eq!(network.weights(), vec![16_000; members]);
        assert_eq!(network.leaders().len(), members);
    }
}

#[test]
fn a_stopped_validator_falls_at_once_does_not_lead_and_climbs_back_twofold() {
    let mut network = fast(7);
    network.epochs(6);
    network.down.insert(2);
    network.epoch();
    let mut of_others = network.weights().split_off(4);
    of_others.sort_unstable();
    assert_eq!(network.weights()[..4], [16_000, 1_000, 16_000, 16_000]);
    assert_eq!(of_others, [1_000, 1_000, 2_000], "one takes the empty seat");
    assert!(!network.leaders().contains(&2));
    let outcome = weights::explain(&network.chain.state, Epoch(7)).unwrap().unwrap();
    let stopped = outcome.nodes.iter().find(|node| node.validator == validator(2)).unwrap();
    assert_eq!(stopped.ineligible, [Ineligible::LowParticipation]);
    network.down.clear();
    let mut climb = Vec::new();
    for _ in 0..5 {
        network.epoch();
        climb.push(network.weights()[1]);
    }
    assert_eq!(climb, [2_000, 4_000, 8_000, 16_000, 16_000]);
    assert!(network.leaders().contains(&2));
}

#[test]
fn reports_of_less_than_a_quorum_give_equal_weights_led_by_all() {
    let mut network = fast(7);
    network.epochs(3);
    let sample = network.draw();
    network.report(&[1, 2], &sample);
    let closed = network.chain.end_epoch(Vec::new());
    assert_eq!(network.weights(), [1_000; 7]);
    assert!(network.leaders().is_empty());
    assert!(matches!(fallback(&network, 4), Some(Fallback::TooFewReports { .. })));
    assert!(closed.events.iter().any(|event| matches!(
        event,
        LedgerEvent::WeightsComputed { epoch: Epoch(4), fallback: Some(Fallback::TooFewReports { .. }) }
    )));
}

#[test]
fn slow_commits_in_two_epochs_give_equal_weights() {
    let mut network = fast(7);
    network.epochs(4);
    network.commit_latency_us = 80_000;
    network.epoch();
    assert_eq!(fallback(&network, 5), None);
    network.epoch();
    assert_eq!(fallback(&network, 6), Some(Fallback::SlowCommits { baseline_us: 60_000 }));
    assert_eq!(network.weights(), [1_000; 7]);
}

#[test]
fn a_validator_that_joins_starts_at_the_base_and_waits() {
    let parameters = [measured(), value(Parameter::FaultTolerance, "fast"), (Parameter::CleanEpochs, 2)];
    let mut network = Network::new(7, &parameters);
    // 8 is as well placed as the first four.
    network.rtt_us = |a, b| {
        if [(a, b), (b, a)].iter().any(|(a, b)| *b <= 4 && (*a <= 4 || *a == 8)) { 20_000 } else { 90_000 }
    };
    network.epochs(5);
    network.pass(add(8, 4_000));
    network.epoch();
    assert_eq!(network.weights()[7], 1_000, "the voted weight is not read");
    let mut weights_of_8 = Vec::new();
    for _ in 0..3 {
        network.down = BTreeSet::from([4]);
        network.epoch();
        weights_of_8.push(network.weights()[7]);
    }
    assert_eq!(weights_of_8, [1_000, 2_000, 4_000]);
}

#[test]
fn who_leaves_by_vote_or_evidence_is_gone_with_the_next_epoch() {
    let mut network = fast(7);
    network.epochs(5);
    network.pass(remove(1));
    let evidence = equivocation(&network.chain, 2, network.chain.ledger.epoch());
    network.chain.submit(7, evidence);
    network.epoch();
    let left: BTreeSet<u8> = numbers(network.chain.ledger.validators()).collect();
    assert_eq!(left, BTreeSet::from([3, 4, 5, 6, 7]));
    assert_eq!(fallback(&network, 6), None);
    let set = network.chain.ledger.validators();
    assert!(set.members().iter().all(|member| member.weight <= set.max_faulty()));
}

#[test]
fn two_badly_placed_liars_of_thirteen_win_no_seat_and_hold_less_than_a_third() {
    let mut network = Network::new(13, &[measured(), value(Parameter::FaultTolerance, "fast")]);
    network.rtt_us = |a, b| if a <= 7 && b <= 7 { 20_000 } else { 120_000 };
    network.claims_us = [(12, 1_000), (13, 1_000)].into();
    network.epochs(6);
    assert_eq!(network.weights(), [[16_000; 7].as_slice(), &[1_000; 6]].concat());

    // Two members of the core slander an honest one: it may lose its seat, and the slanderers lose theirs with it.
    network.claims_us = [(1, 10_000_000), (2, 10_000_000)].into();
    network.epoch();
    let set = network.chain.ledger.validators();
    let of_liars = network.weights()[0] + network.weights()[1];
    assert!(of_liars <= set.max_faulty().0);
    assert_eq!(
        network.weights()[..2],
        [1_000, 1_000],
        "they are flagged, or far from everybody by their own word"
    );
    // The five that are left share the core with two who begin to grow: the cap has 6 c below 5 c + 10,000.
    assert_eq!(network.weights()[2..7], [9_999; 5]);
}

#[test]
fn a_minority_neither_hides_a_validators_votes_nor_makes_up_those_of_one_that_is_down() {
    let mut network = fast(7);
    network.epochs(5);
    let all: BTreeSet<u8> = (1..=7).collect();
    network.names_only.insert(3, all.iter().copied().filter(|n| *n != 1).collect());
    network.epoch();
    assert_eq!(network.weights()[0], 16_000);

    network.down.insert(1);
    for liar in [2, 5, 6] {
        network.names_only.insert(liar, all.clone());
    }
    network.epoch();
    let outcome = weights::explain(&network.chain.state, Epoch(7)).unwrap().unwrap();
    let absent = outcome.nodes.iter().find(|node| node.validator == validator(1)).unwrap();
    assert_eq!(
        absent.terms.participation.get(),
        0,
        "less than half of the reporting weight makes nobody present"
    );
    assert_eq!(network.weights()[0], 1_000);
}

#[test]
fn who_is_kept_from_reporting_counts_as_present_where_the_others_received_its_votes() {
    let mut network = Network::new(7, &[measured()]);
    network.epochs(6);
    let participation = |network: &Network, epoch: u64, n: u8| {
        let outcome = weights::explain(&network.chain.state, Epoch(epoch)).unwrap().unwrap();
        let node = outcome.nodes.iter().find(|node| node.validator == validator(n)).unwrap();
        assert!(!node.reported);
        node.terms.participation.get()
    };
    // The leader lets the reports of a quorum in, and closes the epoch.
    let sample = network.draw();
    network.report(&[1, 2, 3, 4, 5], &sample);
    network.chain.end_epoch(Vec::new());
    assert_eq!([6, 7].map(|n| participation(&network, 7, n)), [1_000_000; 2]);
    assert_eq!(network.weights(), [16_000; 7]);
    assert_eq!(network.leaders().len(), 7);

    // Who is down as well has nobody who received its votes.
    network.down.insert(7);
    let sample = network.draw();
    network.report(&[1, 2, 3, 4, 5], &sample);
    network.chain.end_epoch(Vec::new());
    assert_eq!([6, 7].map(|n| participation(&network, 8, n)), [1_000_000, 0]);
    assert_eq!(network.weights()[5..], [16_000, 1_000]);
    assert!(network.leaders().contains(&6) && !network.leaders().contains(&7));
}

#[test]
fn who_spoils_its_own_report_has_shown_no_vote() {
    let mut network = Network::new(7, &[measured()]);
    network.epochs(2);
    let sample = network.draw();
    network.report(&[1, 2, 3, 4, 5, 6], &sample);
    let mut sampled = network.sampled(7, &sample);
    let (height, digest) = sample.blocks[0];
    sampled[0].own = Some((aegis_types::View::ZERO, network.commit(2, height, digest).signature));
    let report = aegis_types::Canonical::encode(&network.signed(7));
    network.chain.submit(7, aegis_types::ProposalBody::MetricsReport { report, sampled });
    network.chain.end_epoch(Vec::new());
    let outcome = weights::explain(&network.chain.state, Epoch(3)).unwrap().unwrap();
    let node = outcome.nodes.iter().find(|node| node.validator == validator(7)).unwrap();
    assert_eq!((node.terms.participation.get(), node.after.0), (0, 1_000));
}

/// A state that counts how many entries were read in order.
struct Counted<'a> {
    state: &'a support::MemoryState,
    reads: std::cell::Cell<usize>,
}

impl StateReader for Counted<'_> {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StateError> {
        self.state.get(key)
    }

    fn next(&self, from: &[u8]) -> Result<Option<Entry>, StateError> {
        self.reads.set(self.reads.get() + 1);
        self.state.next(from)
    }
}

#[test]
fn the_epochs_on_record_are_found_without_reading_them_all() {
    let mut network = Network::new(4, &[measured()]);
    network.epochs(1);
    // Of the entries whose keys end with epoch 1 the weights are by far the largest.
    let (key, record) = {
        let of_epoch = network.chain.state.0.iter().filter(|(key, _)| key.ends_with(&1_u64.to_be_bytes()));
        let (key, record) = of_epoch.max_by_key(|(_, record)| record.len()).expect("it is on record");
        (key.clone(), record.clone())
    };
    let at = |epoch: u64| [&key[..key.len() - 8], &epoch.to_be_bytes()[..]].concat();
    let kept = |epochs: &[(u64, u64)]| {
        let mut state = network.chain.state.clone();
        state.0.remove(&key);
        state.0.extend(
            epochs.iter().flat_map(|(first, last)| *first..=*last).map(|epoch| (at(epoch), record.clone())),
        );
        let counted = Counted { state: &state, reads: std::cell::Cell::new(0) };
        let kept = weights::weights_kept(&counted).unwrap();
        (kept.map(|(oldest, newest)| (oldest.0, newest.0)), counted.reads.get())
    };
    assert_eq!(kept(&[]).0, None);
    for last in 1..40 {
        assert_eq!(kept(&[(1, last)]).0, Some((1, last)));
    }
    // Weights were fixed in between.
    assert_eq!(kept(&[(7, 8), (20, 20), (500, 502)]).0, Some((7, 502)));
    assert_eq!(kept(&[(u64::MAX - 1, u64::MAX)]).0, Some((u64::MAX - 1, u64::MAX)));
    let (range, reads) = kept(&[(300, 10_299)]);
    assert_eq!(range, Some((300, 10_299)));
    assert!(reads < 40, "{reads} reads for ten thousand epochs");
}

#[test]
fn every_epoch_is_kept_with_what_it_came_from_and_can_be_computed_again() {
    let mut network = fast(7);
    network.epochs(3);
    network.down.insert(6);
    network.epochs(2);
    let state = &network.chain.state;
    assert_eq!(weights::weights_kept(state).unwrap(), Some((Epoch(1), Epoch(5))));
    let mut outcomes = Vec::new();
    for epoch in 1..=5 {
        let on_record = weights::weights(state, Epoch(epoch)).unwrap().expect("it is kept");
        let outcome = on_record.recompute();
        assert!(on_record.is_result_of(&outcome));
        assert_eq!(weights::explain(state, Epoch(epoch)).unwrap().as_ref(), Some(&outcome));
        assert_eq!(on_record.validators.epoch(), Epoch(epoch));
        outcomes.push((on_record, outcome));
    }
    assert_eq!(&outcomes[4].0.validators, network.chain.ledger.validators());
    assert!(!outcomes[4].0.is_result_of(&outcomes[3].1), "another epoch's outcome is noticed");
    assert_eq!(weights::weights(state, Epoch(0)).unwrap(), None);
    assert_eq!(weights::weights(state, Epoch(6)).unwrap(), None);
}

#[test]
fn the_history_is_as_long_as_agreed() {
    let mut network = Network::new(4, &[measured(), (Parameter::WeightsHistoryEpochs, 3)]);
    network.epochs(5);
    assert_eq!(weights::weights_kept(&network.chain.state).unwrap(), Some((Epoch(3), Epoch(5))));
    network.chain.pass(3, set(Parameter::WeightsHistoryEpochs, 1));
    network.epoch();
    assert_eq!(weights::weights_kept(&network.chain.state).unwrap(), Some((Epoch(6), Epoch(6))));
}

#[test]
fn two_ledgers_and_one_that_is_opened_again_in_each_phase_have_one_root() {
    let mut one = fast(7);
    one.down.insert(5);
    let mut two = one.clone();
    one.epochs(3);
    for _ in 0..3 {
        let sample = two.draw();
        two.chain.ledger = Ledger::open(two.genesis(), &two.chain.state).unwrap();
        two.report(&two.up(), &sample);
        two.chain.ledger = Ledger::open(two.genesis(), &two.chain.state).unwrap();
        two.chain.end_epoch(Vec::new());
    }
    assert_eq!(one.chain.ledger.root(), two.chain.ledger.root());
    assert_eq!(one.chain.ledger.validators(), two.chain.ledger.validators());
}

#[test]
fn the_members_can_turn_to_measured_weights_to_equal_ones_and_back_to_voted_ones() {
    let mut network = Network::of(support::Chain::new(&[5, 5, 5, 5, 4, 4, 4]));
    network.pass(set_word(Parameter::FaultTolerance, "fast"));
    network.pass(set_word(Parameter::WeightsMode, "measured"));
    network.chain.end_epoch(Vec::new());
    assert_eq!(network.chain.ledger.parameters().weights_mode(), WeightsMode::Measured);
    assert_eq!(network.weights(), [1_000; 7], "nobody has reported yet");
    network.epochs(2);
    assert_eq!(network.weights()[..2], [4_000, 4_000]);

    network.pass(set_word(Parameter::WeightsMode, "equal"));
    network.epoch();
    assert_eq!(network.weights(), [1_000; 7]);
    assert_eq!(fallback(&network, 4), Some(Fallback::Decided));

    network.pass(set_word(Parameter::WeightsMode, "measured"));
    network.epoch();
    network.pass(set_word(Parameter::WeightsMode, "fixed"));
    network.epoch();
    assert_eq!(network.weights()[..5], [2_000, 2_000, 2_000, 2_000, 1_000], "they stay as they were");
    assert!(network.leaders().is_empty());
    network.pass(add(5, 1_500));
    network.chain.end_epoch(Vec::new());
    assert_eq!(network.weights()[4], 1_500, "the voted weight counts again");
    assert_eq!(weights::sample(&network.chain.state).unwrap(), None);
    assert!(weights::seats(&network.chain.state).unwrap().is_empty());
}

#[test]
fn a_fault_tolerance_that_the_members_cannot_have_is_not_set() {
    let mut network = Network::new(7, &[measured()]);
    network.pass(set_word(Parameter::FaultTolerance, "3"));
    assert_eq!(query::pending_parameters(&network.chain.state).unwrap(), []);
    network.pass(set_word(Parameter::FaultTolerance, "2"));
    network.pass(set_word(Parameter::CoreSize, "4"));
    assert_eq!(query::pending_parameters(&network.chain.state).unwrap(), [(Parameter::FaultTolerance, 2)]);
}
