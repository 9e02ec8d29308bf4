//! Fetches the pieces of one snapshot from many peers at once, and verifies each when it arrives.
//!
//! A piece comes from one peer, part by part; another piece from another. The last ones are asked of several. The claimed
//! lengths in a manifest serve for progress only: a piece ends where its peer says so, within the bounds of any piece, and
//! is then right or not. So a manifest with wrong lengths cannot make an honest peer look like a liar, nor a pace too slow.

use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use aegis_p2p::{Network, Offence};
use aegis_rpc::api::SnapshotPhase;
use aegis_types::{Canonical as _, CommittedBlock, Hash, Limits, Subtree, TypesError, ValidatorId};
use futures::StreamExt as _;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use tokio::sync::{Semaphore, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, warn};

use super::asking::{NoAnswer, ask, nonsense};
use super::pace::Pace;
use super::progress::Progress;
use super::sources::{Miss, Sources};
use super::sync::SyncFailure;
use crate::node::snapshot::chunk::{self, CHUNK_BYTES_MAX};
use crate::node::snapshot::manifest::{Manifest, Piece};
use crate::node::snapshot::piece_file;
use crate::node::snapshot::question::{Offer, PART_BYTES, SnapshotAnswer, SnapshotQuestion};
use crate::node::snapshot::shelf::piece_path;

/// A piece that grows beyond this waits until it is the only such one: ordinary chunks have half of it, and a peer that
/// sends endless data must not fill the memory with several pieces at once.
const ORDINARY_BYTES: usize = 2 * 1024 * 1024;

/// One snapshot that is being fetched.
pub struct Fetch<'a> {
    pub network: &'a Network,
    pub manifest: Arc<Manifest>,
    /// Where its pieces are kept.
    pub folder: PathBuf,
    pub progress: &'a watch::Sender<Option<Progress>>,
    /// What works away from the asynchronous threads.
    pub work: &'a TaskTracker,
}

/// Why a piece did not come.
enum NoPiece {
    /// The peer does not have the snapshot, or says so.
    NotHeld,
    /// Nothing came, which need not be the peer's fault.
    Missed(Miss),
    /// The peer sent something wrong, for this reason.
    Wrong(String),
    /// This node failed.
    Failed(anyhow::Error),
}

type Fetched = (ValidatorId, Piece, Result<u64, NoPiece>);

/// What all pieces under way share.
struct Shared {
    large: Semaphore,
    /// Bytes of parts that have arrived, right or not.
    arrived: AtomicU64,
}

impl Fetch<'_> {
    /// Fetches what is missing. Pieces of earlier attempts that are still right are kept. The first of `peers` are asked
    /// first; who was asked in vain is added to `useless`.
    ///
    /// # Errors
    /// When no peer is left that sends right pieces in useful time, or this node's disk fails.
    pub async fn run(
        &self,
        peers: &[ValidatorId],
        useless: &mut Vec<ValidatorId>,
    ) -> Result<(), SyncFailure> {
        let mut sources = Sources::of(peers);
        let outcome = self.fetch_from_all(&mut sources).await;
        useless.extend(sources.useless());
        outcome
    }

    async fn fetch_from_all(&self, sources: &mut Sources) -> Result<(), SyncFailure> {
        let (missing, kept_bytes) = self.missing().await?;
        let (height, total) = (self.manifest.height(), self.manifest.total_bytes());
        let progress = Progress::begin(height, SnapshotPhase::Fetching, kept_bytes, total);
        self.progress.send_replace(Some(progress));
        let shared = Shared { large: Semaphore::new(1), arrived: AtomicU64::new(0) };
        let pieces = self.manifest.pieces().count();
        let mut pace = Pace::begin(pieces, pieces.saturating_sub(missing.len()), kept_bytes, Instant::now());
        let mut open = Open { missing, asked: BTreeMap::new() };
        let mut under_way: FuturesUnordered<BoxFuture<'_, Fetched>> = FuturesUnordered::new();
        while !open.is_empty() {
            if sources.is_exhausted() {
                return Err(SyncFailure::NoSource);
            }
            while let Some((peer, piece)) = open.assign(&sources.ready(Instant::now())) {
                let out = sources.begin(&peer);
                under_way.push(Box::pin(self.fetch(peer, piece, out, &shared)));
            }
            let wake = sources.next_rested().map_or(pace.deadline(), |rested| rested.min(pace.deadline()));
            let (peer, piece, result) = tokio::select! {
                Some(fetched) = under_way.next() => fetched,
                () = tokio::time::sleep_until(wake.into()) => {
                    sources.wake(Instant::now());
                    if !pace.is_useful(shared.arrived.load(Ordering::Relaxed), Instant::now()) {
                        return Err(SyncFailure::TooSlow);
                    }
                    continue;
                }
            };
            sources.end(&peer);
            match self.judge(peer, piece, result, sources)? {
                Some(bytes) if open.close(&piece) => {
                    pace.note_verified(bytes, Instant::now());
                    self.progress.send_modify(|progress| {
                        if let Some(progress) = progress {
                            progress.done_bytes += bytes;
                        }
                    });
                }
                Some(_) => {}
                None => open.give_back(piece, &peer),
            }
        }
        Ok(())
    }

    /// Notes what a result says of its source; the bytes of a right piece.
    fn judge(
        &self,
        peer: ValidatorId,
        piece: Piece,
        result: Result<u64, NoPiece>,
        sources: &mut Sources,
    ) -> Result<Option<u64>, SyncFailure> {
        match result {
            Ok(bytes) => {
                sources.note_delivered(&peer);
                return Ok(Some(bytes));
            }
            Err(NoPiece::Failed(error)) => return Err(SyncFailure::Failed(error)),
            Err(NoPiece::Missed(miss)) => {
                debug!(%peer, ?piece, ?miss, "a piece of a snapshot did not come");
                sources.note_missed(&peer, miss, Instant::now());
            }
            Err(NoPiece::NotHeld) => sources.drop_out(&peer),
            Err(NoPiece::Wrong(reason)) => {
                warn!(%peer, ?piece, reason, "a peer sent a wrong piece of a snapshot and is not asked again");
                self.network.report(&peer, Offence::Invalid);
                sources.drop_out(&peer);
            }
        }
        Ok(None)
    }

    /// What is not on disk yet, and the bytes that are.
    async fn missing(&self) -> Result<(VecDeque<Piece>, u64), SyncFailure> {
        let (manifest, folder) = (self.manifest.clone(), self.folder.clone());
        let looked = self.work.spawn_blocking(move || {
            let (mut missing, mut kept_bytes) = (VecDeque::new(), 0_u64);
            for piece in manifest.pieces() {
                match piece_file::read(&piece_path(&folder, piece)) {
                    Ok(bytes) if check(&manifest, piece, &bytes).is_ok() => {
                        kept_bytes += bytes.len() as u64;
                    }
                    Ok(_) | Err(_) => missing.push_back(piece),
                }
            }
            (missing, kept_bytes)
        });
        looked.await.map_err(|error| SyncFailure::Failed(error.into()))
    }

    async fn fetch(
        &self,
        peer: ValidatorId,
        piece: Piece,
        out: CancellationToken,
        shared: &Shared,
    ) -> Fetched {
        let result = tokio::select! {
            result = self.fetch_from(peer, piece, shared) => result,
            () = out.cancelled() => Err(NoPiece::NotHeld),
        };
        (peer, piece, result)
    }

    async fn fetch_from(&self, peer: ValidatorId, piece: Piece, shared: &Shared) -> Result<u64, NoPiece> {
        let limit = match piece {
            Piece::Chunk(_) => CHUNK_BYTES_MAX,
            Piece::Block => Limits::COMMITTED_BLOCK_BYTES as u64,
        };
        let mut only_large = None;
        let mut bytes: Vec<u8> = Vec::new();
        loop {
            if bytes.len() >= ORDINARY_BYTES && only_large.is_none() {
                let acquired = shared.large.acquire().await;
                only_large = Some(acquired.map_err(|error| NoPiece::Failed(error.into()))?);
            }
            let part = self.ask_part(&peer, piece, bytes.len() as u64, &shared.arrived).await?;
            bytes.extend_from_slice(&part);
            if bytes.len() as u64 > limit {
                return Err(NoPiece::Wrong(format!("it has more than {limit} bytes")));
            }
            if part.len() < PART_BYTES {
                break;
            }
            // At 1, 2, 4 MiB and so on: each time twice as much as before, so that checking costs no more than fetching.
            if bytes.len().is_power_of_two()
                && let Piece::Chunk(index) = piece
            {
                let number = usize::try_from(index).unwrap_or(usize::MAX);
                Subtree::new(self.manifest.level, number)
                    .and_then(|subtree| chunk::check_beginning(&bytes, subtree))
                    .map_err(|error| NoPiece::Wrong(error.to_string()))?;
            }
        }
        let (manifest, path) = (self.manifest.clone(), piece_path(&self.folder, piece));
        let kept = self.work.spawn_blocking(move || {
            check(&manifest, piece, &bytes).map_err(|error| NoPiece::Wrong(error.to_string()))?;
            piece_file::write(&path, &bytes).map_err(|error| NoPiece::Failed(error.into()))?;
            Ok(bytes.len() as u64)
        });
        kept.await.map_err(|error| NoPiece::Failed(error.into()))?
    }

    async fn ask_part(
        &self,
        peer: &ValidatorId,
        piece: Piece,
        offset: u64,
        arrived: &AtomicU64,
    ) -> Result<bytes::Bytes, NoPiece> {
        let question = SnapshotQuestion::Part { offer: Offer::of(&self.manifest), piece, offset };
        let (asked, before) = (Instant::now(), arrived.load(Ordering::Relaxed));
        match ask(self.network, peer, question).await {
            Ok(SnapshotAnswer::Part(part)) => {
                let part = part.ok_or(NoPiece::NotHeld)?;
                arrived.fetch_add(part.len() as u64, Ordering::Relaxed);
                Ok(part)
            }
            Ok(_) => {
                nonsense(self.network, peer);
                Err(NoPiece::Wrong("it is no part of a piece".to_owned()))
            }
            Err(NoAnswer::Nonsense) => Err(NoPiece::Wrong("it cannot be read".to_owned())),
            Err(NoAnswer::Timeout) => {
                let others_came = arrived.load(Ordering::Relaxed) > before;
                Err(NoPiece::Missed(Miss::Timeout { asked, others_came }))
            }
            Err(NoAnswer::Later) => Err(NoPiece::Missed(Miss::Later)),
            Err(NoAnswer::Gone) => Err(NoPiece::Missed(Miss::Gone)),
        }
    }
}

/// Checks a piece against the manifest, which has been verified.
///
/// # Errors
/// What is wrong with it.
pub fn check(manifest: &Manifest, piece: Piece, bytes: &[u8]) -> Result<(), TypesError> {
    match piece {
        Piece::Chunk(index) => {
            let number = usize::try_from(index).unwrap_or(usize::MAX);
            let root: Option<Hash> = manifest.chunks.get(number).map(|chunk| chunk.root);
            let root = root.ok_or_else(|| TypesError::invalid("snapshot chunk", "there is no such chunk"))?;
            chunk::verify(bytes, Subtree::new(manifest.level, number)?, &root)
        }
        Piece::Block => {
            let block = CommittedBlock::decode(bytes)?;
            if block.header == manifest.block.header {
                Ok(())
            } else {
                Err(TypesError::invalid("snapshot block", "it is another one than the manifest's"))
            }
        }
    }
}

/// The pieces that are not there yet.
struct Open {
    /// Those that nobody was asked for.
    missing: VecDeque<Piece>,
    /// Those under way, and with whom.
    asked: BTreeMap<Piece, Vec<ValidatorId>>,
}

impl Open {
    fn is_empty(&self) -> bool {
        self.missing.is_empty() && self.asked.is_empty()
    }

    /// The next piece to ask for, and whom of those who are ready: the first of them. When all pieces are under way, one is
    /// asked for that is with others, so that nobody can hold up the rest by being slow.
    fn assign(&mut self, ready: &[ValidatorId]) -> Option<(ValidatorId, Piece)> {
        if let Some(peer) = ready.first()
            && let Some(piece) = self.missing.pop_front()
        {
            self.asked.insert(piece, vec![*peer]);
            return Some((*peer, piece));
        }
        for peer in ready {
            let with_another = |(_, asked): &(&Piece, &mut Vec<ValidatorId>)| !asked.contains(peer);
            if let Some((piece, asked)) = self.asked.iter_mut().find(with_another) {
                asked.push(*peer);
                return Some((*peer, *piece));
            }
        }
        None
    }

    /// Notes that a piece is there; false when it was before.
    fn close(&mut self, piece: &Piece) -> bool {
        self.asked.remove(piece).is_some()
    }

    /// Notes that a piece did not come from a peer.
    fn give_back(&mut self, piece: Piece, peer: &ValidatorId) {
        if let Some(asked) = self.asked.get_mut(&piece) {
            asked.retain(|other| other != peer);
            if asked.is_empty() {
                self.asked.remove(&piece);
                self.missing.push_back(piece);
            }
        }
    }
}
