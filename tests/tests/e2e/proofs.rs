//! Values proved by a running network, and checked when nothing of it is left but the genesis.

use std::path::Path;
use std::time::{Duration, Instant};

use aegis_light::ProofFile;
use aegis_rpc::{Consistency, ErrorCode};
use aegis_types::{Epoch, Parameter, ProposalBody};

use crate::cluster::{Cluster, PATIENCE, aegis, api_error};

fn put(key: &str, value: &str) -> ProposalBody {
    ProposalBody::KvPut { key: key.into(), value: value.into() }
}

fn json(text: &str) -> serde_json::Value {
    serde_json::from_str(text).expect("one JSON document")
}

/// Proves a key at a node until the state is of block `height` or later and signed in `epoch` or later: an unchanged key is
/// proved by the newest certified state, which lags a little behind the newest one.
fn prove_since(
    cluster: &Cluster,
    node: usize,
    key: &str,
    (height, epoch): (u64, u64),
    file: &Path,
) -> serde_json::Value {
    let home = cluster.nodes[node].home.to_str().unwrap();
    let rpc = cluster.nodes[node].rest();
    let deadline = Instant::now() + PATIENCE;
    loop {
        let file = file.to_str().unwrap();
        aegis(&["--home", home, "--rpc", rpc, "kv", "get", key, "--prove", "--file", file]).unwrap();
        let verified = json(&aegis(&["--home", home, "--output", "json", "verify", file]).unwrap());
        if verified["height"].as_u64().unwrap() >= height && verified["epoch"].as_u64().unwrap() >= epoch {
            return verified;
        }
        assert!(
            Instant::now() < deadline,
            "no state of block {height} and epoch {epoch} is certified: {verified}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_is_proved_over_several_epochs_and_checked_when_all_nodes_are_gone() {
    let mut cluster = Cluster::new(&[3, 3, 2, 2], &[(Parameter::EpochLengthMs, 2_000)]);
    cluster.start_all();
    let submission = cluster.commit(put("greeting", "hello"), "first").await;
    let height = submission.height.expect("it is committed").0;
    for index in 0..4 {
        cluster.wait_status(index, "the third epoch", |status| status.epoch >= Epoch(2)).await;
    }
    let folder = tempfile::tempdir().unwrap();
    let (there, absent) = (folder.path().join("there.json"), folder.path().join("absent.json"));
    let verified = prove_since(&cluster, 1, "greeting", (height, 2), &there);
    assert_eq!((&verified["exists"], &verified["value"]), (&true.into(), &"hello".into()));
    assert_eq!((&verified["modified_height"], &verified["version"]), (&height.into(), &1.into()));
    let weight = |field: &str| verified[field].as_u64().unwrap();
    assert!(weight("weight") >= weight("quorum") && weight("total_weight") == 10, "{verified}");
    let home = cluster.nodes[1].home.to_str().unwrap();
    let far = ["--home", home, "kv", "get", "greeting", "--prove", "--from-epoch", "9999"];
    let told = aegis(&far).unwrap_err();
    assert!(told.contains("epoch 9999 has not begun"), "{told}");
    let denied = prove_since(&cluster, 2, "never/written", (height, 2), &absent);
    assert_eq!((&denied["exists"], denied.get("value")), (&false.into(), None));

    let genesis = cluster.nodes[0].home.join("genesis.toml");
    let kept = folder.path().join("genesis.toml");
    std::fs::copy(genesis, &kept).unwrap();
    for index in 0..4 {
        cluster.kill(index);
    }
    drop(cluster);
    let offline = |file: &Path| {
        let home = folder.path().join("no home");
        let arguments = ["--home", home.to_str().unwrap(), "verify", file.to_str().unwrap(), "--genesis"];
        aegis(&[arguments.as_slice(), &[kept.to_str().unwrap()]].concat())
    };
    let text = offline(&there).unwrap();
    assert!(text.contains("the proof holds") && text.contains("of 10 (quorum 7)"), "{text}");
    assert!(text.contains("hello"), "{text}");
    assert!(offline(&absent).unwrap().contains("does not exist"));
    refuses_forgeries(&there, offline);
}

/// Every tampering with what is proved is refused by the command line, with a reason and an exit code.
fn refuses_forgeries(there: &Path, offline: impl Fn(&Path) -> Result<String, String>) {
    let text = std::fs::read_to_string(there).unwrap();
    let good = ProofFile::parse(text.as_bytes()).unwrap();
    assert!(good.handovers.len() >= 2);
    let forged = there.with_extension("forged");
    let mut values = vec![
        ("a value", text.replace("\"hello\"", "\"hullo\"")),
        (
            "a handover left out",
            ProofFile { handovers: good.handovers[1..].to_vec(), ..good.clone() }.to_json().unwrap(),
        ),
        ("another key", ProofFile { key: "other".into(), ..good.clone() }.to_json().unwrap()),
        ("absence", ProofFile { record: None, ..good.clone() }.to_json().unwrap()),
        ("half a file", text[..text.len() / 2].to_owned()),
    ];
    let mut signature = good.clone();
    signature.certified.certificate.signatures[0].1.0[5] ^= 1;
    values.push(("a signature", signature.to_json().unwrap()));
    let mut root = good.clone();
    root.certified.header.executed.state_root.0[0] ^= 1;
    values.push(("a state root", root.to_json().unwrap()));
    let mut sibling = good;
    sibling.proof.siblings[15].0[31] ^= 1;
    values.push(("a sibling", sibling.to_json().unwrap()));
    for (what, json) in values {
        std::fs::write(&forged, json).unwrap();
        let refused = offline(&forged).expect_err(what);
        assert!(refused.starts_with("error: "), "{what}: {refused}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_is_proved_at_once_at_every_node() {
    const ROUNDS: u64 = 50;
    let cluster = Cluster::start(4);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("proof.json");
    let file = file.to_str().unwrap();
    let mut waited = Duration::ZERO;
    for round in 0..ROUNDS {
        let value = format!("value {round}");
        let done = cluster.commit(put("k", &value), &format!("round-{round}")).await;
        let node = &cluster.nodes[usize::try_from(round).unwrap() % cluster.nodes.len()];
        let home = node.home.to_str().unwrap();
        let begun = Instant::now();
        aegis(&["--home", home, "--rpc", node.rest(), "kv", "get", "k", "--prove", "--file", file]).unwrap();
        waited += begun.elapsed();
        let verified = json(&aegis(&["--home", home, "--output", "json", "verify", file]).unwrap());
        assert_eq!((&verified["exists"], &verified["value"]), (&true.into(), &value.into()), "{round}");
        assert_eq!(verified["modified_height"].as_u64(), done.height.map(|height| height.0), "{round}");
    }
    println!("{ROUNDS} proofs after a put took {:?} each", waited / u32::try_from(ROUNDS).unwrap());
    // A key that nobody has changed since needs no further block, and one that is gone is proved to be.
    cluster.commit(ProposalBody::KvDelete { key: "k".into() }, "delete").await;
    let client = cluster.client(0);
    assert!(client.kv_proof("k").await.unwrap().record_base64.is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn where_blocks_are_rare_a_proof_is_not() {
    let mut cluster = Cluster::new(&[1; 4], &[(Parameter::IdleIntervalMs, 60_000)]);
    cluster.start_all();
    for round in 0..3 {
        let done = cluster.commit(put("k", &round.to_string()), &format!("round-{round}")).await;
        let proof = cluster.client(1).kv_proof("k").await.unwrap();
        assert!(proof.height >= done.height.unwrap(), "{proof:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_quorum_only_the_certified_state_is_proved() {
    let mut cluster = Cluster::start(4);
    let done = cluster.commit(put("k", "v"), "first").await;
    cluster.wait_same_root(done.height.unwrap()).await;
    cluster.kill(2);
    cluster.kill(3);
    let error = api_error(cluster.client(0).kv_proof("k").await);
    assert_eq!(error.code, ErrorCode::Unavailable, "{error}");
    let certified = cluster.client(0).reading(Consistency::Certified);
    assert!(certified.kv_proof("k").await.unwrap().record_base64.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_has_just_started_proves_as_soon_as_a_block_comes() {
    let mut cluster = Cluster::start(4);
    let height = cluster.commit(put("k", "v"), "first").await.height.expect("it is committed").0;
    cluster.stop(3);
    cluster.start_node(3, &[crate::cluster::Transport::Quic]);
    let folder = tempfile::tempdir().unwrap();
    let verified = prove_since(&cluster, 3, "k", (height, 0), &folder.path().join("proof.json"));
    assert_eq!(verified["value"], "v");
}
