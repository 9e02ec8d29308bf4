//! Values proved by a running network, and checked when nothing of it is left but the genesis.

use std::path::Path;
use std::time::Instant;

use aegis_light::ProofFile;
use aegis_types::{Epoch, Parameter, ProposalBody};

use crate::cluster::{Cluster, PATIENCE, aegis};

fn put(key: &str, value: &str) -> ProposalBody {
    ProposalBody::KvPut { key: key.into(), value: value.into() }
}

fn json(text: &str) -> serde_json::Value {
    serde_json::from_str(text).expect("one JSON document")
}

/// Proves a key at a node until the state is of block `height` or later and signed in `epoch` or later: the newest certified
/// state lags a little behind the newest one.
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
    assert!(text.contains("hello") && text.contains("of 10 (quorum 7)"), "{text}");
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
async fn a_node_that_has_just_started_proves_as_soon_as_a_block_comes() {
    let mut cluster = Cluster::start(4);
    let height = cluster.commit(put("k", "v"), "first").await.height.expect("it is committed").0;
    cluster.stop(3);
    cluster.start_node(3, &[crate::cluster::Transport::Quic]);
    let folder = tempfile::tempdir().unwrap();
    let verified = prove_since(&cluster, 3, "k", (height, 0), &folder.path().join("proof.json"));
    assert_eq!(verified["value"], "v");
}
