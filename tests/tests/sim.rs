//! Simulated seeds, few enough for every run of the tests; the `sim` binary runs many.

use aegis_tests::sim::{Recording, run};

const SEEDS: std::ops::RangeInclusive<u64> = 1..=40;

#[test]
fn no_seed_breaks_an_invariant() {
    let mut decisions = 0;
    for seed in SEEDS {
        let report = run(seed, Recording::HashOnly);
        assert_eq!(report.violation, None, "reproduce: sim --seeds 1 --first-seed {seed}");
        decisions += report.counts.decisions;
    }
    assert!(
        decisions > 20 * SEEDS.count() as u64,
        "the runs decide too little to show anything: {decisions}"
    );
}

#[test]
fn one_seed_is_one_trace() {
    let hashes: Vec<u64> = (1..=6).map(|seed| run(seed, Recording::HashOnly).trace_hash).collect();
    for (seed, hash) in (1..).zip(&hashes) {
        assert_eq!(run(seed, Recording::Text).trace_hash, *hash, "seed {seed} took another course");
    }
    let distinct: std::collections::BTreeSet<&u64> = hashes.iter().collect();
    assert_eq!(distinct.len(), hashes.len(), "different seeds take different courses");
}
