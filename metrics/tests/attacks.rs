//! Liars against the rule: what they can and cannot do. `cargo run --release -p aegis-metrics --example attacks`
//! prints the table.
#![cfg(feature = "sampler")]

mod deployment;

use deployment::{Attack, cities, damage, gain};

const RUNS: u32 = 40;

#[test]
fn weights_pay_where_tolerance_is_given_up_and_nowhere_else() {
    let regions = cities();
    for shape in [(4, 1, 4), (7, 2, 7), (13, 4, 13)] {
        let gain = gain(&regions, shape, 10);
        assert!((gain.weighted / gain.equal - 1.0).abs() < 1e-9, "{shape:?} {gain:?}");
    }
    for (shape, at_least) in [((7, 1, 4), 0.3), ((13, 2, 7), 0.3), ((10, 2, 7), 0.15), ((13, 3, 10), 0.08)] {
        let gain = gain(&regions, shape, RUNS);
        println!("{shape:?} {gain:?}");
        assert!(gain.weighted < gain.equal * (1.0 - at_least), "{shape:?} {gain:?}");
        assert!(gain.wins > 0.95);
    }
}

#[test]
fn claims_of_nearness_win_nothing_because_the_larger_report_counts() {
    let regions = cities();
    let honest = damage(&regions, Attack::None, RUNS);
    let lied = damage(&regions, Attack::ClaimNear, RUNS);
    assert!(lied.seats_won < 0.15, "{lied:?}");
    assert!(lied.latency_ms < honest.latency_ms * 1.03, "{lied:?} {honest:?}");
    let believed = damage(&regions, Attack::ClaimNearBelieved, RUNS);
    assert!(believed.seats_won > 1.5, "without the rule they would win: {believed:?}");
    let silent = damage(&regions, Attack::ClaimNearThenSilent, RUNS);
    assert!(silent.latency_ms < silent.equal_ms, "{silent:?}");
}

#[test]
fn leaving_slandering_and_boasting_cost_latency_and_no_safety() {
    let regions = cities();
    let honest = damage(&regions, Attack::None, RUNS);
    for attack in [Attack::LeaveCore, Attack::Slander, Attack::ClaimPerfect] {
        let damage = damage(&regions, attack, RUNS);
        println!("{attack:?}: {damage:?}, honest {:.1} ms", honest.latency_ms);
        // Two liars of t = 2 hold at most f, and the network stays faster than with equal weights.
        assert!(damage.liars_share_max < 1.0 / 3.0, "{damage:?}");
        assert!(damage.latency_ms < damage.equal_ms, "{damage:?}");
    }
    assert!(damage(&regions, Attack::Slander, RUNS).evicted < 0.6);
}
