//! A short run of the `chaos` tool: kills under load, and everything acknowledged is there once.

use std::time::Duration;

use aegis_tests::chaos::run::{Plan, run};

use crate::cluster::binary;

#[tokio::test(flavor = "multi_thread")]
async fn nothing_acknowledged_is_lost_or_happens_twice_when_nodes_are_killed() {
    let plan = Plan {
        binary: binary().to_owned(),
        kills: 3,
        all_kills: 1,
        power_cuts: 0,
        time_limit: Duration::from_secs(120),
        seed: 7,
    };
    let report = run(&plan, |_, _| {}).await.unwrap();
    assert!(report.kills > 0 && report.all_kills > 0 && report.acknowledged > 0, "{report:?}");
}
