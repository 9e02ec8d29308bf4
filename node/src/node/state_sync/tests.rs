//! State sync against honest and lying peers, each on a network of its own on loopback.

mod peers;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use aegis_p2p::NetworkConfig;
use aegis_rpc::api::SnapshotPhase;
use aegis_store::{CommittedLog, DataDir, SegmentOptions};
use aegis_types::{
    Canonical as _, CertifiedHeader, CommittedBlock, Epoch, Hash, Height, Keypair, Proposal, ProposalBody,
};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use self::peers::{Conduct, Peer, serve};
use super::build::Build;
use super::progress::Progress;
use super::settle::{Incoming, settle};
use super::sync::{StateSync, SyncFailure};
use crate::node::executor::Execution;
use crate::node::recovery::open_state;
use crate::node::snapshot::manifest::{Manifest, Piece};
use crate::node::snapshot::question::{Offer, PART_BYTES};
use crate::node::snapshot::room::SnapshotRoom;
use crate::node::snapshot::shelf::{Shelf, read_manifest, write_manifest};
use crate::node::snapshot::writer::Source;
use crate::node::testing::Chain;

const CACHE_BYTES: u64 = 8 << 20;
/// Attempts that a peer may leave unanswered on a busy machine.
const ANSWER_TRIES: usize = 3;
const SEGMENT_BYTES: u64 = 8 << 20;
/// Height of the snapshot that the tests serve.
const HEIGHT: Height = Height(9);

/// Takes a state over. That nobody has answered in time says something of the machine only, unless it stays so.
async fn run(sync: &StateSync) -> Result<Height, SyncFailure> {
    let mut outcome = sync.run(Height(1)).await;
    for _ in 0..ANSWER_TRIES {
        if !matches!(outcome, Err(SyncFailure::NoOffer)) {
            break;
        }
        outcome = sync.run(Height(1)).await;
    }
    outcome
}

/// A chain of a few megabytes of state, and a snapshot of it on a shelf.
struct World {
    chain: Chain,
    execution: Execution,
    shelf: Arc<Shelf>,
    folder: TempDir,
}

impl World {
    fn new() -> Self {
        let mut chain = Chain::new();
        let mut execution = chain.execution();
        for block in 0..10 {
            let proposals = (0..150).map(|number| put(&chain, block * 1_000 + number)).collect();
            chain.decide(&mut execution, proposals);
        }
        let folder = tempfile::tempdir().unwrap();
        let shelf = Arc::new(Shelf::open(folder.path().join("snap")).unwrap());
        let world = Self { chain, execution, shelf, folder };
        world.make_snapshot();
        world
    }

    fn make_snapshot(&self) {
        let followed = self.execution.certified.follow().unwrap();
        assert_eq!(followed.point.executed.height, HEIGHT);
        let block = self.block(HEIGHT);
        let source = Source {
            room: SnapshotRoom { folder: self.folder.path().to_path_buf(), free_min: 0 },
            kv: self.execution.kv.clone(),
            pinned: followed.pinned,
            buckets: followed.buckets,
            block_encoding: block.encode(),
            block: CertifiedHeader { header: block.header, certificate: block.certificate },
            witness: followed.point.by.clone(),
            stop: CancellationToken::new(),
        };
        let folder = self.shelf.begin(HEIGHT).unwrap();
        let manifest = source.write_into(&folder).unwrap();
        assert!(manifest.chunks.len() >= 4, "{}", manifest.chunks.len());
        self.shelf.finish(&folder, HEIGHT).unwrap();
    }

    fn block(&self, height: Height) -> CommittedBlock {
        self.chain.blocks[usize::try_from(height.0 - 1).unwrap()].clone()
    }

    fn manifest(&self) -> Manifest {
        read_manifest(&self.shelf.folder_of(HEIGHT)).unwrap()
    }

    /// A manifest that would say the same of another height; nobody has verified it.
    fn manifest_of_height(&self, height: Height) -> Manifest {
        let mut manifest = self.manifest();
        manifest.witness.header.executed.height = height;
        manifest
    }

    fn config(&self) -> NetworkConfig {
        let mut config = NetworkConfig::new(self.chain.genesis.chain.clone(), self.chain.genesis.hash());
        config.listen = vec!["/ip4/127.0.0.1/tcp/0".parse().unwrap()];
        config.limits.request_timeout = Duration::from_secs(20);
        config
    }

    /// Starts a peer that serves the snapshot, more or less.
    async fn peer(&self, seed: u8, conduct: Conduct) -> Peer {
        let key = Keypair::from_seed(&[seed; 32]);
        let (network, events) = aegis_p2p::start(&key, self.config()).await.unwrap();
        let parts = Arc::new(AtomicUsize::new(0));
        tokio::spawn(serve(events, self.shelf.clone(), conduct, parts.clone()));
        Peer { network, parts }
    }

    /// A node that is connected to the peers and has its data in a folder.
    async fn newcomer(&self, data: &Path, peers: &[&Peer]) -> StateSync {
        let mut config = self.config();
        for peer in peers {
            config.bootstrap.extend(peer.network.listen_addresses().await);
        }
        let key = Keypair::from_seed(&[200; 32]);
        let (network, mut events) = aegis_p2p::start(&key, config).await.unwrap();
        tokio::spawn(async move { while events.recv().await.is_some() {} });
        let connected = async {
            while network.connected() < peers.len() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), connected).await.expect("all peers are connected");
        let folder = data.join("snap").join("incoming");
        let room = SnapshotRoom { folder: data.to_path_buf(), free_min: 0 };
        StateSync::new(network, self.chain.genesis.clone(), folder, CACHE_BYTES, SEGMENT_BYTES, room)
    }
}

fn put(chain: &Chain, number: u32) -> Proposal {
    let body = ProposalBody::KvPut { key: format!("key {number}"), value: vec![7; 3_000] };
    let expires = chain.now_ms() + 60_000;
    Proposal::sign(body, expires, format!("put-{number}"), &chain.key, &chain.genesis.domain()).unwrap()
}

/// Puts what was built in place, opens it as a start does, and executes the rest of the chain on it.
fn go_on(world: &World, data: &Path) {
    let data_dir = DataDir::open(data).unwrap();
    let shelf = Shelf::open(data.join("snap")).unwrap();
    settle(&data_dir, &shelf).unwrap();
    assert!(shelf.has(HEIGHT), "what was fetched is served to others");
    let options = SegmentOptions { segment_bytes: SEGMENT_BYTES };
    let log = CommittedLog::open(&data_dir.log_dir(), options).unwrap();
    assert_eq!((log.first(), log.last()), (Some(HEIGHT), Some(HEIGHT)));
    let mut state =
        open_state(&data_dir.kv_dir(), &world.chain.genesis, &log, CACHE_BYTES, &CancellationToken::new())
            .unwrap();
    assert_eq!(state.execution.standing.executed.height, HEIGHT);
    state.execution.execute(&world.block(HEIGHT.next())).unwrap();
    assert_eq!(state.execution.standing, world.execution.standing);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn blocks_wait_while_a_state_is_built_and_not_while_one_is_fetched() {
    let (world, data) = (World::new(), tempfile::tempdir().unwrap());
    let sync = world.newcomer(data.path(), &[]).await;
    let show = |phase| sync.progress.send_replace(Some(Progress::begin(HEIGHT, phase, 0, 1)));
    show(SnapshotPhase::Fetching);
    sync.until_built().await;
    show(SnapshotPhase::Building);
    let mut waiting = Box::pin(sync.until_built());
    assert!(futures::poll!(&mut waiting).is_pending());
    sync.progress.send_replace(None);
    waiting.await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lying_peers_cost_time_only() {
    let world = World::new();
    let lies = [
        Conduct::WrongChunks,
        Conduct::WrongBlock,
        Conduct::EndlessData,
        Conduct::FalseHeight,
        Conduct::FalseChunks,
        Conduct::FalseLengths,
        Conduct::FarEpoch,
        Conduct::Silent,
        Conduct::EndlessManifest,
    ];
    let honest = world.peer(100, Conduct::Honest).await;
    let mut liars = Vec::new();
    for (seed, lie) in (101..).zip(lies) {
        liars.push(world.peer(seed, lie).await);
    }
    let peers: Vec<&Peer> = std::iter::once(&honest).chain(&liars).collect();
    let data = tempfile::tempdir().unwrap();
    let sync = world.newcomer(data.path(), &peers).await;
    assert_eq!(run(&sync).await.unwrap(), HEIGHT);
    let scores = sync.network.peers().await;
    let score = |peer: &Peer| {
        let id = peer.network.local_id();
        scores.iter().find(|info| info.id == id).map_or(-100.0, |info| info.score)
    };
    assert!(score(&honest) > -1.0, "an honest peer was taken for a liar: {}", score(&honest));
    assert!(score(&liars[5]) > -1.0, "false lengths are nobody's proof");
    assert!(
        score(&liars[3]) > -1.0,
        "what one peer offers is not even asked for while many offer another one"
    );
    drop(sync);
    go_on(&world, data.path());
}

/// With each liar alone nothing is taken over, and nothing is left that would be used.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lying_peer_alone_achieves_nothing() {
    let world = World::new();
    let lies = [
        Conduct::WrongChunks,
        Conduct::WrongBlock,
        Conduct::EndlessData,
        Conduct::FalseHeight,
        Conduct::FalseChunks,
        Conduct::FarEpoch,
        Conduct::EndlessManifest,
    ];
    for (seed, lie) in (101..).zip(lies) {
        let liar = world.peer(seed, lie).await;
        let data = tempfile::tempdir().unwrap();
        let sync = world.newcomer(data.path(), &[&liar]).await;
        let failure = run(&sync).await.expect_err("there is no honest peer");
        assert!(matches!(failure, SyncFailure::NoSource | SyncFailure::Unverified(_)), "{lie:?}: {failure}");
        let score = sync.network.peers().await.first().map_or(-100.0, |info| info.score);
        // A manifest of an epoch that nobody has reached may be right as far as this node can see.
        let is_proved = lie != Conduct::FarEpoch;
        assert_eq!(score < -20.0, is_proved, "{lie:?}: {score}");
        let data_dir = DataDir::open(data.path()).unwrap();
        let shelf = Shelf::open(data.path().join("snap")).unwrap();
        settle(&data_dir, &shelf).unwrap();
        assert!(shelf.offers().is_empty());
        assert_eq!(std::fs::read_dir(data_dir.kv_dir()).unwrap().count(), 0);
    }
}

/// The manifest of a large state does not get through a slow line in the time of one answer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_manifest_comes_in_parts() {
    let world = World::new();
    let peer = world.peer(100, Conduct::LongManifest).await;
    let data = tempfile::tempdir().unwrap();
    let sync = world.newcomer(data.path(), &[&peer]).await;
    assert_eq!(run(&sync).await.unwrap(), HEIGHT);
    drop(sync);
    go_on(&world, data.path());
}

/// Neither how much a peer offers nor how often it takes it back keeps a newcomer from what another one has.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn false_offers_use_up_nobody_elses_turn() {
    let world = World::new();
    let honest = world.peer(100, Conduct::Honest).await;
    let flood = world.peer(101, Conduct::ManyFalseOffers).await;
    let data = tempfile::tempdir().unwrap();
    let sync = world.newcomer(data.path(), &[&honest, &flood]).await;
    assert_eq!(run(&sync).await.unwrap(), HEIGHT);
    drop(sync);
    go_on(&world, data.path());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_takes_its_offer_back_again_and_again_is_reported_mildly() {
    let world = World::new();
    let fickle = world.peer(101, Conduct::TakesBack).await;
    let data = tempfile::tempdir().unwrap();
    let sync = world.newcomer(data.path(), &[&fickle]).await;
    let mut scores = Vec::new();
    for _ in 0..3 {
        assert!(matches!(run(&sync).await, Err(SyncFailure::Unverified(_))));
        scores.push(sync.network.peers().await[0].score);
    }
    assert_eq!(scores[0], 0.0, "it may have been retired just now");
    assert!(scores[1] < -1.0 && scores[2] < scores[1] && scores[2] > -10.0, "{scores:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_is_busy_is_asked_again_however_often_it_refuses() {
    let world = World::new();
    let busy = world.peer(101, Conduct::Busy(8)).await;
    let data = tempfile::tempdir().unwrap();
    let sync = world.newcomer(data.path(), &[&busy]).await;
    assert_eq!(run(&sync).await.unwrap(), HEIGHT);
    drop(sync);
    go_on(&world, data.path());
}

/// The same state cut at another level is another snapshot: it is neither mixed up with the first, nor does it cost the
/// pieces that are there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_level_does_not_cost_what_was_fetched() {
    let world = World::new();
    let pieces = world.manifest().chunks.len() + 1;
    let data = tempfile::tempdir().unwrap();
    let quitter = world.peer(101, Conduct::StopsAfter(3)).await;
    let sync = world.newcomer(data.path(), &[&quitter]).await;
    assert!(matches!(run(&sync).await, Err(SyncFailure::NoSource)));
    drop(sync);
    for seed in [102, 103] {
        let other = world.peer(seed, Conduct::OtherLevel(1)).await;
        let sync = world.newcomer(data.path(), &[&other]).await;
        assert!(matches!(run(&sync).await, Err(SyncFailure::NoSource)));
        assert!(other.parts.load(Ordering::Relaxed) > 0, "its manifest holds");
    }
    let honest = world.peer(100, Conduct::Honest).await;
    let sync = world.newcomer(data.path(), &[&honest]).await;
    assert_eq!(run(&sync).await.unwrap(), HEIGHT);
    assert_eq!(honest.parts.load(Ordering::Relaxed), pieces - 3);
    drop(sync);
    go_on(&world, data.path());
}

/// A building that failed must not leave an older announcement that vouches for it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_build_takes_back_what_was_announced_and_ends_when_the_node_does() {
    let world = World::new();
    let honest = world.peer(100, Conduct::Honest).await;
    let data = tempfile::tempdir().unwrap();
    let sync = world.newcomer(data.path(), &[&honest]).await;
    assert_eq!(run(&sync).await.unwrap(), HEIGHT);
    let incoming = Incoming::new(sync.folder.clone());
    assert!(incoming.is_ready());
    let (progress, _) = tokio::sync::watch::channel(None);
    let stop = CancellationToken::new();
    stop.cancel();
    let build = Build {
        incoming: &incoming,
        genesis: &world.chain.genesis,
        manifest: &world.manifest(),
        cache_bytes: CACHE_BYTES,
        log_segment_bytes: SEGMENT_BYTES,
        progress: &progress,
        stop: &stop,
    };
    assert!(build.run().unwrap_err().to_string().contains("stops"));
    assert!(!incoming.is_ready(), "half of a state would be put in place");
    sync.stop();
    sync.working().await;
    sync.discard().await;
    assert!(!incoming.folder().exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_fetched_is_not_fetched_again_after_a_restart() {
    let world = World::new();
    let pieces = world.manifest().chunks.len() + 1;
    let data = tempfile::tempdir().unwrap();
    let quitter = world.peer(101, Conduct::StopsAfter(3)).await;
    let sync = world.newcomer(data.path(), &[&quitter]).await;
    assert!(matches!(run(&sync).await, Err(SyncFailure::NoSource)));
    drop(sync);
    let honest = world.peer(100, Conduct::Honest).await;
    let sync = world.newcomer(data.path(), &[&honest]).await;
    assert_eq!(run(&sync).await.unwrap(), HEIGHT);
    assert_eq!(honest.parts.load(Ordering::Relaxed), pieces - 3);
    drop(sync);
    go_on(&world, data.path());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_snapshot_that_is_not_far_enough_ahead_is_left_alone() {
    let world = World::new();
    let honest = world.peer(100, Conduct::Honest).await;
    let data = tempfile::tempdir().unwrap();
    let sync = world.newcomer(data.path(), &[&honest]).await;
    assert!(matches!(sync.run(HEIGHT.next()).await, Err(SyncFailure::NoOffer)));
    assert_eq!(honest.parts.load(Ordering::Relaxed), 0);
}

#[test]
fn every_lie_in_a_manifest_is_refused() {
    let world = World::new();
    let good = world.manifest();
    let genesis = &world.chain.genesis;
    let sets = std::collections::BTreeMap::from([(genesis.validators.epoch(), genesis.validators.clone())]);
    let domain = genesis.domain();
    good.verify(&sets, &domain).unwrap();
    let refused = |what: &str, change: &dyn Fn(&mut Manifest)| {
        let mut bad = good.clone();
        change(&mut bad);
        assert!(bad.verify(&sets, &domain).is_err(), "{what}");
    };
    refused("another chunk", &|bad| bad.chunks[0].root = Hash([1; 32]));
    refused("chunks in another order", &|bad| bad.chunks.swap(0, 1));
    refused("another level", &|bad| bad.level += 1);
    refused("too few chunks", &|bad| bad.chunks.truncate(1));
    refused("another root", &|bad| bad.witness.header.executed.state_root = Hash([1; 32]));
    refused("another height", &|bad| bad.witness.header.executed.height = Height(8));
    refused("another block", &|bad| bad.block = bad.witness.clone());
    refused("no votes", &|bad| bad.witness.certificate.signatures.clear());
    refused("no votes for the block", &|bad| bad.block.certificate.signatures.clear());
    refused("an epoch that nobody handed over to", &|bad| bad.block.header.epoch = Epoch(1));
    for bytes in [&b""[..], b"\xff\xff", &good.encode()[..100]] {
        assert!(Manifest::decode(bytes).is_err());
    }
    assert_eq!(Manifest::decode(&good.encode()).unwrap(), good);
}

/// A question can have any offset. None of them is a fault of the disk.
#[test]
fn a_question_for_a_part_that_there_is_not_costs_no_snapshot() {
    let world = World::new();
    let offer = Offer::of(&world.manifest());
    let part_bytes = PART_BYTES as u64;
    for offset in [1, part_bytes + 1, part_bytes << 20, u64::MAX / part_bytes * part_bytes, u64::MAX] {
        for piece in [Piece::Chunk(0), Piece::Block] {
            assert!(world.shelf.part(&offer, piece, offset).unwrap().is_none(), "{offset}");
        }
    }
    assert!(world.shelf.part(&offer, Piece::Chunk(u32::MAX), 0).unwrap().is_none());
    for other in [Offer { level: offer.level + 1, ..offer }, Offer { height: Height(8), ..offer }] {
        assert!(world.shelf.part(&other, Piece::Chunk(0), 0).unwrap().is_none());
    }
    assert_eq!(world.shelf.offers(), [offer]);
    assert!(world.shelf.part(&offer, Piece::Chunk(0), 0).unwrap().is_some());
}

/// A folder in the place of a file cannot be read, as little as a file when all descriptors are in use.
#[test]
fn a_disk_that_refuses_a_read_costs_no_snapshot() {
    let world = World::new();
    let offer = Offer::of(&world.manifest());
    let path = world.shelf.folder_of(HEIGHT).join("0");
    let aside = path.with_extension("aside");
    std::fs::rename(&path, &aside).unwrap();
    std::fs::create_dir(&path).unwrap();
    assert!(world.shelf.part(&offer, Piece::Chunk(0), 0).is_err());
    assert_eq!(world.shelf.offers(), [offer]);
    std::fs::remove_dir(&path).unwrap();
    std::fs::rename(&aside, &path).unwrap();
    assert!(world.shelf.part(&offer, Piece::Chunk(0), 0).unwrap().is_some());
}

#[test]
fn a_damaged_snapshot_is_not_served_and_is_gone_after_a_restart() {
    let world = World::new();
    let offer = Offer::of(&world.manifest());
    assert!(world.shelf.part(&offer, Piece::Chunk(0), 0).unwrap().is_some());
    let folder = world.shelf.folder_of(HEIGHT);
    let damage = |name: &str| {
        let path = folder.join(name);
        let mut bytes = std::fs::read(&path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        std::fs::write(&path, bytes).unwrap();
    };
    damage("0");
    assert!(world.shelf.part(&offer, Piece::Chunk(0), 0).unwrap().is_none());
    assert!(world.shelf.offers().is_empty(), "it is not offered any more");
    world.make_snapshot();
    assert_eq!(world.shelf.offers(), [offer]);
    damage("1");
    assert!(world.shelf.part(&offer, Piece::Chunk(1), 0).unwrap().is_none());
    // Whatever is made next makes room.
    let next = world.folder.path().join("snap").join("10.making");
    std::fs::create_dir(&next).unwrap();
    write_manifest(&next, &world.manifest_of_height(Height(10))).unwrap();
    world.shelf.finish(&next, Height(10)).unwrap();
    assert!(!folder.exists(), "it takes disk and serves nobody");
    let folder = world.shelf.folder_of(Height(10));
    let damage = |name: &str| std::fs::write(folder.join(name), b"damaged").unwrap();
    damage("manifest");
    let again = Shelf::open(world.folder.path().join("snap")).unwrap();
    assert!(again.offers().is_empty());
    assert!(!folder.exists());
}
