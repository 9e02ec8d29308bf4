//! What becomes of real nodes whose data is damaged, lost, restored, or meets a full disk.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use aegis_rpc::api::Role;
use aegis_rpc::{Consistency, ErrorCode};
use aegis_types::{Height, Parameter, ProposalBody};

use crate::cluster::{Cluster, Transport, aegis, api_error};

const BOTH: [Transport; 2] = [Transport::Quic, Transport::Tcp];
/// Epochs short enough to see some.
const EPOCH_MS: u64 = 8_000;

fn put(key: &str, value: &[u8]) -> ProposalBody {
    ProposalBody::KvPut { key: key.to_owned(), value: value.to_vec() }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

fn flip(file: &Path, offset: usize) {
    let mut bytes = fs::read(file).unwrap();
    bytes[offset] ^= 4;
    fs::write(file, bytes).unwrap();
}

/// Runs a node that must not start, and returns what it says.
fn refused(home: &Path) -> String {
    let home = home.to_str().unwrap();
    aegis(&["--home", home, "run", "--rpc-listen", "127.0.0.1:0", "--listen", "/ip4/127.0.0.1/tcp/0"])
        .expect_err("the node must not start")
}

fn started(weights: &[u64], parameters: &[(Parameter, u64)]) -> Cluster {
    let mut cluster = Cluster::new(weights, parameters);
    cluster.start_all();
    cluster
}

#[tokio::test(flavor = "multi_thread")]
async fn damaged_and_lost_blocks_and_state_come_back_from_peers() {
    let mut cluster = started(&[1; 4], &[]);
    for number in 0..10 {
        cluster.commit(put(&format!("k{number}"), b"v"), &format!("key{number}")).await;
    }
    let damages: [fn(&Path); 5] = [
        |data| flip(files(&data.join("clog")).last().unwrap(), 20),
        |data| fs::remove_file(files(&data.join("clog")).last().unwrap()).unwrap(),
        |data| fs::remove_dir_all(data.join("clog")).unwrap(),
        |data| flip(&data.join("kv/db"), 3_000),
        |data| {
            fs::remove_dir_all(data.join("kv")).unwrap();
            let log = files(&data.join("clog"));
            let newest = fs::OpenOptions::new().write(true).open(log.last().unwrap()).unwrap();
            newest.set_len(100).unwrap();
        },
    ];
    for (number, damage) in damages.into_iter().enumerate() {
        cluster.stop(1);
        damage(&cluster.nodes[1].home.join("data"));
        cluster.start_node(1, &BOTH);
        let target = cluster.status(0).await.unwrap().height;
        cluster.wait_status(1, "the blocks", |status| status.executed_height >= target).await;
        let key = format!("after{number}");
        cluster.commit(put(&key, b"v"), &key).await;
        cluster.wait_same_root(target).await;
        assert_eq!(&*cluster.client(1).kv_get("k3").await.unwrap().value, b"v", "damage {number}");
        let status = cluster
            .wait_status(1, "its seat", |status| status.silent.is_none() && status.weight.0 == 1)
            .await;
        assert_eq!(status.read_only, None);
    }
    cluster.stop(1);
    let home = cluster.nodes[1].home.to_str().unwrap().to_owned();
    let report = aegis(&["--home", &home, "--output", "json", "store", "check"]).unwrap();
    assert!(report.contains("\"faults_total\":0") || report.contains("\"faults_total\": 0"), "{report}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_journal_stops_the_node_until_the_operator_accepts_that_and_it_votes_in_a_later_epoch() {
    let mut cluster = started(&[1; 4], &[(Parameter::EpochLengthMs, EPOCH_MS)]);
    cluster.commit(put("before", b"1"), "before").await;
    cluster.stop(2);
    let home = cluster.nodes[2].home.clone();
    fs::remove_dir_all(home.join("data/wal")).unwrap();
    let told = refused(&home);
    assert!(told.contains("aegis store accept-lost-votes"), "{told}");
    let home_text = home.to_str().unwrap();
    assert!(aegis(&["--home", home_text, "store", "check"]).is_err());
    assert!(!home.join("data/wal").exists(), "the place of the lost journal stays free");
    aegis(&["--home", home_text, "store", "accept-lost-votes"]).unwrap();
    let again = aegis(&["--home", home_text, "store", "accept-lost-votes"]).unwrap_err();
    assert!(again.contains("nothing is lost"), "{again}");

    let accepted_in = cluster.status(0).await.unwrap().epoch;
    cluster.start_node(2, &BOTH);
    let silent = cluster.wait_status(2, "its status", |_| true).await;
    assert!(silent.silent.is_some() && silent.role == Role::Validator, "{silent:#?}");
    let shown = aegis(&["--home", home_text, "status"]).unwrap();
    assert!(shown.contains("validator, ") && !shown.contains("observer"), "{shown}");
    // The others need it no longer; then it takes part again.
    let voting =
        cluster.wait_status(2, "its vote", |status| status.silent.is_none() && status.weight.0 == 1).await;
    assert!(voting.epoch > accepted_in, "it votes only in a later epoch");
    let epoch = voting.epoch;
    cluster.stop(2);
    cluster.start_node(2, &BOTH);
    cluster
        .wait_status(2, "its vote after a restart", |status| status.silent.is_none() && status.epoch >= epoch)
        .await;
    // It was started by the address of node 0 alone; it must know the others before that one goes.
    cluster.wait_status(2, "its peers", |status| status.peers >= 3).await;
    // With another node gone, nothing is decided without it.
    cluster.stop(0);
    cluster.commit(put("after", b"2"), "after").await;

    cluster.stop(2);
    fs::remove_dir_all(home.join("data/kv")).unwrap();
    let told = aegis(&["--home", home_text, "store", "check"]).unwrap_err();
    assert!(
        told.contains("1 fault was found"),
        "a store that is missing is one fault, not one for each block: {told}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_journal_is_told_with_file_and_offset_and_never_voted_with() {
    let mut cluster = started(&[1; 4], &[]);
    cluster.commit(put("a", b"1"), "a").await;
    cluster.stop(3);
    let home = cluster.nodes[3].home.clone();
    let journal = files(&home.join("data/wal")).pop().unwrap();
    flip(&journal, 80);
    let told = refused(&home);
    for expected in ["vote journal", "byte", journal.file_name().unwrap().to_str().unwrap()] {
        assert!(told.contains(expected), "{expected} is missing in: {told}");
    }
    cluster.commit(put("b", b"2"), "b").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_of_a_running_node_restores_a_home_that_follows_and_votes_later() {
    let mut cluster = started(&[1; 4], &[(Parameter::EpochLengthMs, EPOCH_MS)]);
    for number in 0..5 {
        cluster.commit(put(&format!("k{number}"), b"v"), &format!("key{number}")).await;
    }
    let height = cluster.status(1).await.unwrap().executed_height;
    let folder = tempfile::tempdir().unwrap();
    let backup = folder.path().join("backup");
    let (home, to) = (cluster.nodes[1].home.clone(), backup.to_str().unwrap());
    let home_text = home.to_str().unwrap();
    let within = home.join("data/backup");
    let told =
        aegis(&["--home", home_text, "store", "backup", "--to", within.to_str().unwrap()]).unwrap_err();
    assert!(told.contains("own data folder") && !within.exists(), "{told}");
    aegis(&["--home", home_text, "store", "backup", "--to", to]).unwrap();
    let told = aegis(&["--home", home_text, "store", "restore", "--from", to]).unwrap_err();
    assert!(told.contains("stop it first"), "a node runs on the home: {told}");
    cluster.kill(1);
    fs::rename(home.join("data"), folder.path().join("lost")).unwrap();

    let tampered = folder.path().join("tampered");
    copy_folder(&backup, &tampered);
    let log = files(&tampered.join("clog")).pop().unwrap();
    flip(&log, 64 + 32 + 60);
    let told =
        aegis(&["--home", home_text, "store", "restore", "--from", tampered.to_str().unwrap()]).unwrap_err();
    assert!(told.contains("damaged") && told.contains("as it was before"), "{told}");
    assert!(told.contains(log.to_str().unwrap()), "it names the file that was given: {told}");
    assert!(!home.join("data").exists(), "a restore that failed leaves nothing");
    fs::create_dir(home.join("data")).unwrap();
    fs::write(home.join("data/note"), "mine").unwrap();
    aegis(&["--home", home_text, "store", "restore", "--from", tampered.to_str().unwrap()]).unwrap_err();
    assert_eq!(files(&home.join("data")), [home.join("data/note")]);

    // A home that knows no journal: its key may have voted elsewhere, so what is kept of the failure is that votes may be lost.
    let unknown = folder.path().join("unknown");
    copy_folder(&home, &unknown);
    fs::remove_dir_all(unknown.join("data")).unwrap();
    fs::remove_file(unknown.join("journal.id")).unwrap();
    let unknown_text = unknown.to_str().unwrap();
    let told = aegis(&["--home", unknown_text, "store", "restore", "--from", tampered.to_str().unwrap()]);
    assert!(told.unwrap_err().contains("only from a later epoch"));
    assert!(unknown.join("journal.id").exists() && !files(&unknown.join("data/wal")).is_empty());
    aegis(&["--home", unknown_text, "store", "restore", "--from", to]).unwrap();

    aegis(&["--home", home_text, "store", "restore", "--from", to]).unwrap();
    let report = aegis(&["--home", home_text, "--output", "json", "store", "check"]).unwrap();
    assert!(
        report.contains("\"votes_from_epoch\":null") || report.contains("\"votes_from_epoch\": null"),
        "{report}"
    );
    cluster.start_node(1, &BOTH);
    cluster.wait_status(1, "the blocks", |status| status.executed_height > height).await;
    assert_eq!(&*cluster.client(1).kv_get("k2").await.unwrap().value, b"v");
    cluster.wait_status(1, "its vote", |status| status.silent.is_none()).await;
    cluster.stop(1);
    let compacted = aegis(&["--home", home_text, "--output", "json", "store", "compact"]).unwrap();
    let compacted: serde_json::Value = serde_json::from_str(&compacted).unwrap();
    let log_bytes = |when: &str| compacted["log_bytes"][when].as_u64().unwrap();
    assert!(log_bytes("before") >= log_bytes("after"));
    let stopped = folder.path().join("stopped");
    aegis(&["--home", home_text, "store", "backup", "--to", stopped.to_str().unwrap()]).unwrap();
    flip(files(&home.join("data/clog")).last().unwrap(), 64 + 32 + 60);
    let failed = folder.path().join("failed");
    let error =
        aegis(&["--home", home_text, "store", "backup", "--to", failed.to_str().unwrap()]).unwrap_err();
    assert!(error.contains("damaged") || error.contains("does not match"), "{error}");
    assert!(!failed.exists(), "a backup that failed leaves nothing");
    cluster.start_node(1, &BOTH);
    cluster.wait_status(1, "the way on", |status| status.executed_height > height).await;
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for path in files(from) {
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy_folder(&path, &target);
        } else {
            fs::copy(&path, target).unwrap();
        }
    }
}

/// A small file system of its own, where this user may mount one.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn mount(path: &Path) -> Option<Self> {
        fs::create_dir_all(path).unwrap();
        let mounted =
            Command::new("mount").args(["-t", "tmpfs", "-o", "size=64m", "tmpfs"]).arg(path).output();
        mounted.is_ok_and(|output| output.status.success()).then(|| Self(path.to_owned()))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: the node may still be ending.
        let _ = Command::new("umount").arg("-l").arg(&self.0).output();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_makes_a_node_read_only_and_room_brings_it_back() {
    let mut cluster = Cluster::new(&[1; 4], &[]);
    let home = cluster.nodes[0].home.clone();
    let Some(disk) = SmallDisk::mount(&home.join("data")) else {
        eprintln!("skipped: this user cannot mount a file system");
        return;
    };
    let config = fs::read_to_string(home.join("config.toml")).unwrap();
    let config = config
        .replace("#free_min = \"256MiB\"", "free_min = \"8MiB\"")
        .replace("#reserve = \"64MiB\"", "reserve = \"4MiB\"");
    assert!(config.contains("\nfree_min") && config.contains("\nreserve"), "{config}");
    fs::write(home.join("config.toml"), config).unwrap();
    cluster.start_all();
    cluster.commit(put("before", b"1"), "before").await;
    let filler = home.join("data/filler");
    // As much as fits.
    let _ = fs::write(&filler, vec![7; 56 << 20]);
    let status = cluster.wait_status(0, "read-only", |status| status.read_only.is_some()).await;
    assert!(status.read_only.unwrap().contains("free"), "it says what to do");
    let stale = cluster.client(0).reading(Consistency::Local);
    assert_eq!(&*stale.kv_get("before").await.unwrap().value, b"1", "reads of what it has go on");
    let refused = cluster.client(0).kv_get("before").await.unwrap_err().to_string();
    assert!(refused.contains("read-only") && refused.contains("`local`"), "{refused}");
    let signed = cluster.sign(put("refused", b"2"), "refused");
    let error = api_error(cluster.client(0).submit(aegis_rpc::Submit::signed(signed)).await);
    assert_eq!(error.code, ErrorCode::NotReady, "{error}");
    let ready = cluster.client(0).readiness().await;
    assert!(!ready.is_ok_and(|ready| ready.ready));
    // The other three decide without it.
    cluster.commit(put("during", b"3"), "during").await;
    let height = cluster.status(1).await.unwrap().height;

    fs::remove_file(&filler).unwrap();
    cluster
        .wait_status(0, "its return", |status| status.read_only.is_none() && status.executed_height >= height)
        .await;
    assert_eq!(&*cluster.client(0).kv_get("during").await.unwrap().value, b"3");
    cluster.wait_same_root(Height(height.0)).await;
    cluster.stop(0);
    drop(disk);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_home_of_the_first_format_is_brought_up_to_date_and_goes_on() {
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/home-v1");
    let mut cluster = Cluster::new(&[1], &[]);
    let home = cluster.nodes[0].home.clone();
    fs::remove_dir_all(&home).unwrap();
    copy_folder(&fixture, &home);
    for secret in ["node.key", "account.key", "rpc.token"] {
        fs::set_permissions(home.join(secret), fs::Permissions::from_mode(0o600)).unwrap();
    }
    assert_eq!(fs::read_to_string(home.join("data/FORMAT")).unwrap(), "aegis data format 1\n");
    cluster.start_node(0, &BOTH);
    assert_eq!(&*cluster.client(0).kv_get("old2").await.unwrap().value, b"value2");
    let height = cluster.status(0).await.unwrap().height;
    cluster.wait_status(0, "a block of its own", |status| status.height > height).await;
    assert_eq!(fs::read_to_string(home.join("data/FORMAT")).unwrap(), "aegis data format 2\n");
    cluster.stop(0);
    cluster.start_node(0, &BOTH);
    cluster.wait_status(0, "no loss", |status| status.silent.is_none() && status.height > height).await;
}
