//! What must be refused, with an error that says what to do, and without losing anything.

use std::process::Command;

use aegis_rpc::{ErrorCode, Submit};
use aegis_types::{Canonical, Keypair, Proposal, ProposalBody};

use crate::cluster::{Cluster, aegis, api_error, binary, unix_ms};

fn put(key: &str) -> ProposalBody {
    ProposalBody::KvPut { key: key.to_owned(), value: Vec::new() }
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_proposals_are_refused_with_a_reason_and_a_code() {
    let cluster = Cluster::start(1);
    let client = cluster.client(0);
    let domain = cluster.genesis.domain();
    let key = Keypair::from_seed(&[5; 32]);

    let expired = Proposal::sign(put("a"), unix_ms() - 1, "1", &key, &domain).unwrap();
    assert_eq!(api_error(client.submit(Submit::signed(expired.encode())).await).code, ErrorCode::Expired);

    let mut other = cluster.genesis.clone();
    other.chain = "another-chain".parse().unwrap();
    let foreign = Proposal::sign(put("a"), unix_ms() + 60_000, "2", &key, &other.domain()).unwrap();
    let error = api_error(client.submit(Submit::signed(foreign.encode())).await);
    assert_eq!(error.code, ErrorCode::BadSignature);
    assert!(error.message.contains("aegis-e2e"), "{error}");

    let error = api_error(client.submit(Submit::signed(b"garbage".to_vec())).await);
    assert_eq!(error.code, ErrorCode::InvalidArgument, "{error}");

    let mut large = Proposal::sign(put("a"), unix_ms() + 60_000, "3", &key, &domain).unwrap();
    large.body = ProposalBody::KvPut { key: "a".into(), value: vec![0; 70_000] };
    let error = api_error(client.submit(Submit::signed(large.encode())).await);
    assert_eq!(error.code, ErrorCode::TooLarge, "{error}");
    assert!(client.kv_get("a").await.is_err(), "nothing of all that took effect");
}

#[test]
fn a_home_in_use_is_refused_and_the_first_node_goes_on() {
    let cluster = Cluster::start(1);
    let home = cluster.nodes[0].home.to_str().unwrap();
    let error =
        aegis(&["--home", home, "run", "--rpc-listen", "127.0.0.1:0", "--listen", "/ip4/127.0.0.1/tcp/0"])
            .expect_err("two processes with one key would equivocate");
    assert!(error.contains("in use"), "{error}");
    let status = aegis(&["--rpc", cluster.nodes[0].rest(), "--output", "json", "status"]).unwrap();
    assert!(status.contains("aegis-e2e"), "{status}");
}

#[test]
fn another_genesis_than_the_datas_is_refused() {
    let mut cluster = Cluster::start(1);
    cluster.stop(0);
    let file = cluster.nodes[0].home.join("genesis.toml");
    let text = std::fs::read_to_string(&file).unwrap().replace("aegis-e2e", "aegis-other");
    std::fs::write(&file, text).unwrap();
    let home = cluster.nodes[0].home.to_str().unwrap();
    let error =
        aegis(&["--home", home, "run", "--rpc-listen", "127.0.0.1:0", "--listen", "/ip4/127.0.0.1/tcp/0"])
            .expect_err("the data is another network's");
    assert!(error.contains("genesis"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_has_lost_its_votes_does_not_start() {
    let mut cluster = Cluster::start(1);
    cluster.commit(ProposalBody::KvPut { key: "a".into(), value: b"b".to_vec() }, "a").await;
    cluster.stop(0);
    let home = cluster.nodes[0].home.clone();
    for (lost, advice) in [("data/wal", "Restore the folder"), ("data", "Mount it or move it back")] {
        std::fs::remove_dir_all(home.join(lost)).unwrap();
        let error = aegis(&["--home", home.to_str().unwrap(), "run", "--rpc-listen", "127.0.0.1:0"])
            .expect_err("it might vote otherwise than before");
        assert!(error.contains("vote journal") && error.contains(advice), "{lost}: {error}");
    }
    assert!(!home.join("data").exists(), "what is moved back must find its place free");
}

#[test]
fn a_misspelt_key_of_the_configuration_names_the_right_one() {
    let cluster = Cluster::new(&[1], &[]);
    let file = cluster.nodes[0].home.join("config.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    let misspelt = text.replace("[consensus]", "[consensus]\nbatch_dely = \"5ms\"");
    assert_ne!(misspelt, text);
    std::fs::write(&file, misspelt).unwrap();
    let home = cluster.nodes[0].home.to_str().unwrap();
    let error = aegis(&["--home", home, "config", "check"]).expect_err("the key is misspelt");
    assert!(error.contains("batch_delay"), "{error}");
}

#[test]
fn a_key_file_that_others_can_read_is_refused() {
    use std::os::unix::fs::PermissionsExt;
    let cluster = Cluster::new(&[1], &[]);
    let file = cluster.nodes[0].home.join("node.key");
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
    let home = cluster.nodes[0].home.to_str().unwrap();
    let error =
        aegis(&["--home", home, "run", "--rpc-listen", "127.0.0.1:0"]).expect_err("the key is exposed");
    assert!(error.contains("chmod 600"), "{error}");
}

#[test]
fn a_busy_port_is_named() {
    let cluster = Cluster::new(&[1], &[]);
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let rpc = address.to_string();
    let home = cluster.nodes[0].home.to_str().unwrap();
    let listen = ["--listen", "/ip4/127.0.0.1/tcp/0"];
    let error = aegis(&["--home", home, "run", "--rpc-listen", &rpc, listen[0], listen[1]])
        .expect_err("the port is taken");
    assert!(
        error.contains(&format!("port {}", address.port())) && error.contains("choose another"),
        "{error}"
    );
}

#[test]
fn without_a_node_the_command_line_says_how_to_start_one() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let output = Command::new(binary())
        .args(["--rpc", &format!("http://{free}"), "status"])
        .env_remove("AEGIS_HOME")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(5));
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(error.contains("aegis run"), "{error}");
}

#[test]
fn nothing_is_done_with_the_data_of_a_home_that_never_ran_and_nothing_is_made() {
    let cluster = Cluster::new(&[1], &[]);
    let home = &cluster.nodes[0].home;
    let text = home.to_str().unwrap();
    let backup = home.join("../backup");
    for command in [
        &["store", "check"][..],
        &["store", "compact"],
        &["store", "backup", "--to", backup.to_str().unwrap()],
        &["weights", "recompute", "--from", "1", "--replay"],
    ] {
        let told = aegis(&[&["--home", text], command].concat()).unwrap_err();
        assert!(told.contains("no node has run on this home"), "{command:?}: {told}");
    }
    let refused =
        Command::new(binary()).args(["--home", text, "store", "accept-lost-votes"]).output().unwrap();
    assert_eq!(refused.status.code(), Some(4));
    let told = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(told.contains("no votes are lost") && told.contains("--key-was-used"), "{told}");
    assert!(!home.join("data").exists() && !home.join("journal.id").exists() && !backup.exists());
}

#[cfg(not(feature = "tor"))]
#[test]
fn a_program_without_tor_says_so_before_it_looks_at_addresses() {
    let cluster = Cluster::new(&[1], &[]);
    let home = cluster.nodes[0].home.to_str().unwrap();
    let listen = ["--listen", "/ip4/127.0.0.1/tcp/0"];
    for command in [
        &["run", "--tor", "only", listen[0], listen[1]][..],
        &["config", "check", "--set", "p2p.tor.mode=only"],
    ] {
        let told = aegis(&[&["--home", home], command].concat()).unwrap_err();
        assert!(told.contains("built without Tor"), "{command:?}: {told}");
    }
    assert!(aegis(&["version"]).unwrap().contains("without Tor"));
}
