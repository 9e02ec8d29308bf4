//! A number of simulated seeds with each `cargo test`; the release binary runs thousands.

use std::collections::BTreeSet;
use std::path::Path;

use aegis_tests::sim::actors::ActorKind;
use aegis_tests::sim::delays::DelayTable;
use aegis_tests::sim::faults::FaultKind;
use aegis_tests::sim::{Options, Recording, Scenario, costs, run, shrink};

/// Few decisions a seed: this build is not optimised.
fn short() -> Options {
    Options { decisions: 25, ..Options::default() }
}

fn assert_holds(seed: u64, options: &Options) {
    let report = run(seed, options, Recording::HashOnly);
    if let Some(violation) = report.violation {
        panic!(
            "seed {seed} breaks {violation}; sim --seeds 1 --first-seed {seed} --decisions {}",
            options.decisions
        );
    }
    assert!(report.counts.decisions >= options.decisions, "seed {seed} ended early: {:?}", report.counts);
}

#[test]
fn dozens_of_seeds_break_no_invariant() {
    for seed in 1_000..1_030 {
        assert_holds(seed, &short());
    }
}

#[test]
fn a_seed_decides_its_trace() {
    let options = Options { decisions: 15, ..Options::default() };
    let mut hashes = BTreeSet::new();
    for seed in 2_000..2_005 {
        let first = run(seed, &options, Recording::HashOnly);
        let second = run(seed, &options, Recording::Text);
        assert_eq!(first.trace_hash, second.trace_hash, "seed {seed} is not deterministic");
        assert_eq!(first.counts, second.counts, "seed {seed} is not deterministic");
        hashes.insert(first.trace_hash);
    }
    assert_eq!(hashes.len(), 5, "different seeds are different runs");
}

#[test]
fn seeds_draw_every_kind_of_actor_and_fault() {
    let (mut actors, mut faults) = (BTreeSet::new(), BTreeSet::new());
    for seed in 0..1_500 {
        let scenario = Scenario::new(seed, &Options::default());
        actors.extend(scenario.byzantine.values().flatten().copied());
        faults.extend(scenario.faults.intervals.keys().copied());
        let weight = |nodes: BTreeSet<_>| -> u64 {
            nodes.iter().map(|name| scenario.genesis.validators.weight_of(name).0).sum()
        };
        let faulty =
            scenario.byzantine.keys().chain(&scenario.unreliable).map(|node| scenario.validator(*node));
        let total: u64 = scenario.genesis.validators.members().iter().map(|member| member.weight.0).sum();
        assert!(
            weight(faulty.collect()) <= (total - 1) / 3,
            "seed {seed}: more than f of the weight is faulty"
        );
    }
    assert_eq!(actors.len(), ActorKind::ALL.len());
    assert_eq!(faults.len(), FaultKind::TIMED.len());
}

#[test]
fn a_quiet_network_needs_hardly_more_than_the_least_messages() {
    let row = costs::measure(4, 12);
    assert!(row.blocks >= 12);
    assert!(row.measured.messages >= row.least.messages, "{row:?}: fewer than the protocol needs");
    assert!(row.measured.messages < 2.0 * row.least.messages, "{row:?}");
    assert!(row.measured.flushes < 2.0 * row.least.flushes, "{row:?}");
}

#[test]
fn a_run_that_breaks_nothing_is_not_shrunk() {
    let options = Options { decisions: 5, ..Options::default() };
    assert!(shrink::shrink(2_100, &options).is_none());
}

#[test]
fn measured_round_trips_may_replace_the_cities() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data/rtt/aws21_rtt_ms.csv");
    if !path.exists() {
        return;
    }
    let table = DelayTable::from_round_trips(&path).expect("the published table is square");
    assert_eq!(table.places(), 21);
    let options = Options { delays: std::sync::Arc::new(table), ..short() };
    assert_holds(2_200, &options);
}
