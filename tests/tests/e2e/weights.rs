//! Measured weights: reports become agreed once an epoch, and anyone can compute what came of them.

use std::time::Instant;

use aegis_types::{Epoch, Parameter};

use crate::cluster::{Cluster, PATIENCE, aegis};

/// Epochs that must have measured weights.
const EPOCHS: u64 = 3;

fn recompute(cluster: &Cluster, index: usize, more: &[&str]) -> Vec<serde_json::Value> {
    let home = cluster.nodes[index].home.to_str().unwrap();
    let command = ["--home", home, "--output", "json", "weights", "recompute", "--from", "1"];
    let json = aegis(&[&command, more].concat()).unwrap_or_else(|error| panic!("{more:?}: {error}"));
    serde_json::from_str(&json).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn weights_come_of_agreed_reports_and_can_be_computed_again() {
    let measured = Parameter::WeightsMode.parse_value("measured").unwrap();
    let parameters = [(Parameter::EpochLengthMs, 6_000), (Parameter::WeightsMode, measured)];
    let mut cluster = Cluster::new(&[1_000; 4], &parameters);
    cluster.start_all();
    let deadline = Instant::now() + PATIENCE;
    let newest = loop {
        let weights = cluster.client(0).weights().await.unwrap();
        assert_eq!(weights.mode, "measured");
        match weights.on_record {
            Some(range) if range.newest >= Epoch(EPOCHS) => {
                assert_eq!(range.oldest, Epoch(1));
                break range.newest;
            }
            _ => assert!(Instant::now() < deadline, "the weights are {weights:#?}"),
        }
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    };

    let mut by_rule = 0;
    for epoch in 1..=newest.0 {
        let explained = cluster.client(0).explain_weights(Epoch(epoch)).await.unwrap();
        assert!(explained.is_confirmed, "{explained:#?}");
        let outcome = explained.explanation;
        if outcome.fallback.is_none() {
            by_rule += 1;
            let reported = outcome.nodes.iter().filter(|node| node.reported);
            assert!(reported.clone().count() >= 3, "{outcome:#?}");
            let present = outcome.nodes.iter().filter(|node| node.terms.participation >= 800_000);
            assert!(present.count() >= 3, "{outcome:#?}");
            assert!(reported.clone().any(|node| node.terms.coherence > 0), "{outcome:#?}");
        }
        let other = cluster.client(1).explain_weights(Epoch(epoch)).await;
        let other = other.map(|other| other.input_base64);
        assert_eq!(other.unwrap(), explained.input_base64, "two nodes read different measurements");
    }
    assert!(by_rule > 0, "the rule was never applied");

    let asked = recompute(&cluster, 0, &[]);
    assert!(asked.len() as u64 >= EPOCHS && asked.iter().all(|one| one["is_confirmed"] == true), "{asked:?}");
    let home = cluster.nodes[0].home.to_str().unwrap().to_owned();
    let text = aegis(&["--home", &home, "weights", "explain", "1"]).unwrap();
    assert!(text.contains("TAKES PART") && text.contains("what they trade"), "{text}");
    let missing = aegis(&["--home", &home, "weights", "explain", "99999"]).unwrap_err();
    assert!(missing.contains("weights_history_epochs"), "{missing}");

    cluster.stop(0);
    let replayed = recompute(&cluster, 0, &["--replay"]);
    assert!(replayed.len() >= asked.len());
    assert_eq!(replayed[..asked.len()], asked[..], "the log gives other weights than the node said");
}
