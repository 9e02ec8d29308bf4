//! State sync against honest and lying peers, each on a network of its own on loopback.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use aegis_p2p::{EventReceiver, Network, NetworkConfig, NetworkEvent};
use aegis_store::{CommittedLog, DataDir, SegmentOptions};
use aegis_types::{
    Canonical as _, CertifiedHeader, CommittedBlock, Executed, Hash, Height, Keypair, Proposal, ProposalBody,
};
use bytes::Bytes;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use super::settle::settle;
use super::sync::{StateSync, SyncFailure};
use crate::node::executor::Execution;
use crate::node::recovery::open_state;
use crate::node::snapshot::manifest::{Manifest, Piece};
use crate::node::snapshot::question::{Offer, PART_BYTES, SnapshotAnswer, SnapshotQuestion};
use crate::node::snapshot::shelf::{Shelf, read_manifest};
use crate::node::snapshot::writer::Source;
use crate::node::testing::Chain;
use crate::node::wire::{Answer, Question};

const CACHE_BYTES: u64 = 8 << 20;
const SEGMENT_BYTES: u64 = 8 << 20;
/// Height of the snapshot that the tests serve.
const HEIGHT: Height = Height(9);

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
        StateSync::new(network, self.chain.genesis.clone(), folder, CACHE_BYTES, SEGMENT_BYTES)
    }
}

fn put(chain: &Chain, number: u32) -> Proposal {
    let body = ProposalBody::KvPut { key: format!("key {number}"), value: vec![7; 3_000] };
    let expires = chain.now_ms() + 60_000;
    Proposal::sign(body, expires, format!("put-{number}"), &chain.key, &chain.genesis.domain()).unwrap()
}

struct Peer {
    network: Network,
    /// Parts that it was asked for.
    parts: Arc<AtomicUsize>,
}

/// What a peer does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Conduct {
    Honest,
    /// It sends chunks with a byte changed.
    WrongChunks,
    /// It sends another block than the snapshot's.
    WrongBlock,
    /// Its pieces never end.
    EndlessData,
    /// It offers a state of a height that nobody has reached.
    FalseHeight,
    /// Its manifest has other chunks than the state.
    FalseChunks,
    /// Its manifest is right but for the lengths.
    FalseLengths,
    /// It offers the snapshot and does not answer anything after that.
    Silent,
    /// It stops serving after so many parts.
    StopsAfter(usize),
}

async fn serve(mut events: EventReceiver, shelf: Arc<Shelf>, conduct: Conduct, parts: Arc<AtomicUsize>) {
    while let Some(event) = events.recv().await {
        let NetworkEvent::Request { request, reply, .. } = event else { continue };
        let Ok(Question::Snapshot(question)) = Question::decode(request) else { continue };
        if let Some(answer) = conduct.answer(question, &shelf, &parts) {
            let _ = reply.send(Answer::Snapshot(answer).encode());
        }
    }
}

impl Conduct {
    fn answer(
        self,
        question: SnapshotQuestion,
        shelf: &Shelf,
        parts: &AtomicUsize,
    ) -> Option<SnapshotAnswer> {
        match question {
            SnapshotQuestion::Offers => {
                let mut offers = shelf.offers();
                if self == Self::FalseHeight {
                    offers = vec![Offer { height: Height(1 << 40), root: Hash([9; 32]) }];
                }
                Some(SnapshotAnswer::Offers { offers, first_block: Height(1) })
            }
            SnapshotQuestion::Handovers(_) => Some(SnapshotAnswer::Handovers(Vec::new())),
            _ if self == Self::Silent => None,
            SnapshotQuestion::Manifest(root) => Some(SnapshotAnswer::Manifest(self.manifest(&root, shelf))),
            SnapshotQuestion::Part { root, level, piece, offset } => {
                let count = parts.fetch_add(1, Ordering::Relaxed);
                let part = shelf.part(&root, level, piece, offset);
                Some(SnapshotAnswer::Part(self.part(part, piece, count)))
            }
        }
    }

    fn manifest(self, root: &Hash, shelf: &Shelf) -> Option<Bytes> {
        let held = shelf.manifest(&shelf.offers()[0].root)?;
        let mut manifest = Manifest::decode(&held).unwrap();
        match self {
            Self::FalseHeight => {
                manifest.witness.header.executed = Executed { height: Height(1 << 40), state_root: *root };
            }
            Self::FalseChunks => manifest.chunks[0].root = Hash([1; 32]),
            Self::FalseLengths => manifest.chunks.iter_mut().for_each(|chunk| chunk.bytes = 1),
            _ => {}
        }
        Some(manifest.encode().into())
    }

    fn part(self, part: Option<Bytes>, piece: Piece, count: usize) -> Option<Bytes> {
        match (self, piece) {
            (Self::WrongChunks, Piece::Chunk(_)) => part.map(|part| {
                let mut part = part.to_vec();
                let middle = part.len() / 2;
                part[middle] ^= 1;
                part.into()
            }),
            (Self::WrongBlock, Piece::Block) => Some(Bytes::from_static(b"no block")),
            (Self::EndlessData, _) => Some(vec![0; PART_BYTES].into()),
            (Self::StopsAfter(most), _) if count >= most => None,
            _ => part,
        }
    }
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
    let mut state = open_state(&data_dir.kv_dir(), &world.chain.genesis, &log, CACHE_BYTES).unwrap();
    assert_eq!(state.execution.standing.executed.height, HEIGHT);
    state.execution.execute(&world.block(HEIGHT.next())).unwrap();
    assert_eq!(state.execution.standing, world.execution.standing);
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
        Conduct::Silent,
    ];
    let honest = world.peer(100, Conduct::Honest).await;
    let mut liars = Vec::new();
    for (seed, lie) in (101..).zip(lies) {
        liars.push(world.peer(seed, lie).await);
    }
    let peers: Vec<&Peer> = std::iter::once(&honest).chain(&liars).collect();
    let data = tempfile::tempdir().unwrap();
    let sync = world.newcomer(data.path(), &peers).await;
    assert_eq!(sync.run(Height(1)).await.unwrap(), HEIGHT);
    let scores = sync.network.peers().await;
    let score = |peer: &Peer| {
        let id = peer.network.local_id();
        scores.iter().find(|info| info.id == id).map_or(-100.0, |info| info.score)
    };
    assert!(score(&honest) > -1.0, "an honest peer was taken for a liar: {}", score(&honest));
    assert!(score(&liars[5]) > -1.0, "false lengths are nobody's proof");
    for (lie, liar) in lies.iter().zip(&liars) {
        let was_asked = liar.parts.load(Ordering::Relaxed) > 0;
        match lie {
            Conduct::WrongChunks | Conduct::EndlessData => {
                assert!(!was_asked || score(liar) < -20.0, "{lie:?} went unpunished");
            }
            _ => {}
        }
    }
    assert!(score(&liars[3]) < -20.0, "a false height went unpunished");
    drop(sync);
    go_on(&world, data.path());
}

/// With each liar alone nothing is taken over, and nothing is left that would be used.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lying_peer_alone_achieves_nothing() {
    let world = World::new();
    for (seed, lie) in (101..).zip([Conduct::WrongChunks, Conduct::WrongBlock, Conduct::FalseChunks]) {
        let liar = world.peer(seed, lie).await;
        let data = tempfile::tempdir().unwrap();
        let sync = world.newcomer(data.path(), &[&liar]).await;
        let failure = sync.run(Height(1)).await.expect_err("there is no honest peer");
        assert!(matches!(failure, SyncFailure::NoSource | SyncFailure::Unverified(_)), "{lie:?}: {failure}");
        let data_dir = DataDir::open(data.path()).unwrap();
        let shelf = Shelf::open(data.path().join("snap")).unwrap();
        settle(&data_dir, &shelf).unwrap();
        assert!(shelf.offers().is_empty());
        assert_eq!(std::fs::read_dir(data_dir.kv_dir()).unwrap().count(), 0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_fetched_is_not_fetched_again_after_a_restart() {
    let world = World::new();
    let pieces = world.manifest().chunks.len() + 1;
    let data = tempfile::tempdir().unwrap();
    let quitter = world.peer(101, Conduct::StopsAfter(3)).await;
    let sync = world.newcomer(data.path(), &[&quitter]).await;
    assert!(matches!(sync.run(Height(1)).await, Err(SyncFailure::NoSource)));
    drop(sync);
    let honest = world.peer(100, Conduct::Honest).await;
    let sync = world.newcomer(data.path(), &[&honest]).await;
    assert_eq!(sync.run(Height(1)).await.unwrap(), HEIGHT);
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
    refused("an epoch that nobody handed over to", &|bad| bad.block.header.epoch = aegis_types::Epoch(1));
    for bytes in [&b""[..], b"\xff\xff", &good.encode()[..100]] {
        assert!(Manifest::decode(bytes).is_err());
    }
    assert_eq!(Manifest::decode(&good.encode()).unwrap(), good);
}

#[test]
fn a_damaged_snapshot_is_not_served_and_is_gone_after_a_restart() {
    let world = World::new();
    let manifest = world.manifest();
    let (root, level) = (manifest.state_root(), manifest.level);
    assert!(world.shelf.part(&root, level, Piece::Chunk(0), 0).is_some());
    let folder = world.shelf.folder_of(HEIGHT);
    let damage = |name: &str| {
        let path = folder.join(name);
        let mut bytes = std::fs::read(&path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        std::fs::write(&path, bytes).unwrap();
    };
    damage("0");
    assert!(world.shelf.part(&root, level, Piece::Chunk(0), 0).is_none());
    assert!(world.shelf.offers().is_empty(), "it is not offered any more");
    damage("manifest");
    let again = Shelf::open(world.folder.path().join("snap")).unwrap();
    assert!(again.offers().is_empty());
    assert!(!folder.exists());
}
