//! Fetches the pieces of one snapshot from many peers at once, and verifies each when it arrives.
//!
//! A piece comes from one peer, part by part; another piece from another. The last ones are asked of several. The claimed lengths in a manifest serve for
//! progress only: a piece ends where its peer says so, within the bounds of any piece, and is then right or not. So a manifest
//! with wrong lengths cannot make an honest peer look like a liar.

use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use aegis_p2p::{Network, Offence};
use aegis_rpc::api::SnapshotPhase;
use aegis_types::{Canonical as _, CommittedBlock, Hash, Limits, Subtree, TypesError, ValidatorId};
use futures::StreamExt as _;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use tokio::sync::{Semaphore, watch};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::asking::{NoAnswer, ask, nonsense};
use super::progress::Progress;
use super::sync::SyncFailure;
use crate::node::snapshot::chunk::{self, CHUNK_BYTES_MAX};
use crate::node::snapshot::manifest::{Manifest, Piece};
use crate::node::snapshot::piece_file;
use crate::node::snapshot::question::{PART_BYTES, SnapshotAnswer, SnapshotQuestion};
use crate::node::snapshot::shelf::piece_path;

/// Pieces under way with one peer: half of the requests that it serves, so that other questions get through.
const PIECES_PER_PEER: usize = 2;
/// Peers that a snapshot is fetched from. With as many pieces under way as all of them may have, slow ones cannot take the
/// others' places; more would use up the questions that this node may have open.
pub const SOURCES_MAX: usize = 24;
/// A piece that grows beyond this waits until it is the only such one: ordinary chunks have half of it, and a peer that
/// sends endless data must not fill the memory with several pieces at once.
const ORDINARY_BYTES: usize = 2 * 1024 * 1024;
/// A peer that leaves so many pieces unanswered is not asked again in this attempt.
const SILENCES_MAX: u32 = 3;
/// Within this time at least [`RATE_MIN`] bytes a second must be verified, or the snapshot is given up for another one: whoever
/// has a snapshot that nobody else has could otherwise hold a newcomer up for ever.
const RATE_WINDOW: Duration = Duration::from_secs(60);
const RATE_MIN: u64 = 16 * 1024;

/// One snapshot that is being fetched.
pub struct Fetch<'a> {
    pub network: &'a Network,
    pub manifest: Arc<Manifest>,
    /// Where its pieces are kept.
    pub folder: PathBuf,
    pub progress: &'a watch::Sender<Option<Progress>>,
}

/// Why a piece did not come.
enum NoPiece {
    /// The peer does not have the snapshot, or says so.
    NotHeld,
    Silence,
    /// The peer sent something wrong, for this reason.
    Wrong(String),
    /// This node failed.
    Failed(anyhow::Error),
}

type Fetched = (ValidatorId, Piece, Result<u64, NoPiece>);

#[derive(Debug, Default)]
struct Source {
    under_way: usize,
    silences: u32,
    /// Cancelled when it is not asked again in this attempt: what it still sends is not waited for.
    out: CancellationToken,
}

impl Fetch<'_> {
    /// Fetches what is missing. Pieces of earlier attempts that are still right are kept.
    ///
    /// # Errors
    /// When no peer is left that sends right pieces in useful time, or this node's disk fails.
    pub async fn run(&self, peers: &[ValidatorId]) -> Result<(), SyncFailure> {
        let (missing, kept_bytes) = self.missing().await?;
        let (height, total) = (self.manifest.height(), self.manifest.total_bytes());
        let progress = Progress::begin(height, SnapshotPhase::Fetching, kept_bytes, total);
        self.progress.send_replace(Some(progress));
        let large = Semaphore::new(1);
        let mut open = Open { missing, asked: BTreeMap::new() };
        let mut sources: BTreeMap<ValidatorId, Source> =
            peers.iter().take(SOURCES_MAX).map(|peer| (*peer, Source::default())).collect();
        let mut under_way: FuturesUnordered<BoxFuture<'_, Fetched>> = FuturesUnordered::new();
        let mut pace = Pace::new();
        while !open.is_empty() {
            while let Some((peer, piece)) = open.assign(&sources) {
                let source = sources.entry(peer).or_default();
                source.under_way += 1;
                under_way.push(Box::pin(self.fetch(peer, piece, source.out.clone(), &large)));
            }
            let fetched = tokio::select! {
                fetched = under_way.next() => fetched,
                () = tokio::time::sleep_until(pace.deadline.into()) => {
                    pace.check()?;
                    continue;
                }
            };
            let Some((peer, piece, result)) = fetched else { return Err(SyncFailure::NoSource) };
            match self.judge(peer, piece, result, &mut sources)? {
                Some(bytes) if open.close(&piece) => {
                    pace.bytes += bytes;
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
        sources: &mut BTreeMap<ValidatorId, Source>,
    ) -> Result<Option<u64>, SyncFailure> {
        let source = sources.entry(peer).or_default();
        source.under_way = source.under_way.saturating_sub(1);
        match result {
            Ok(bytes) => {
                source.silences = 0;
                return Ok(Some(bytes));
            }
            Err(NoPiece::Failed(error)) => return Err(SyncFailure::Failed(error)),
            Err(NoPiece::Silence) => {
                source.silences += 1;
                if source.silences >= SILENCES_MAX {
                    debug!(%peer, "a peer does not send its snapshot");
                    source.out.cancel();
                }
            }
            Err(NoPiece::NotHeld) => source.out.cancel(),
            Err(NoPiece::Wrong(reason)) => {
                warn!(%peer, ?piece, reason, "a peer sent a wrong piece of a snapshot and is not asked again");
                self.network.report(&peer, Offence::Invalid);
                source.out.cancel();
            }
        }
        Ok(None)
    }

    /// What is not on disk yet, and the bytes that are.
    async fn missing(&self) -> Result<(VecDeque<Piece>, u64), SyncFailure> {
        let (manifest, folder) = (self.manifest.clone(), self.folder.clone());
        let looked = tokio::task::spawn_blocking(move || {
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
        large: &Semaphore,
    ) -> Fetched {
        let result = tokio::select! {
            result = self.fetch_from(peer, piece, large) => result,
            () = out.cancelled() => Err(NoPiece::NotHeld),
        };
        (peer, piece, result)
    }

    async fn fetch_from(&self, peer: ValidatorId, piece: Piece, large: &Semaphore) -> Result<u64, NoPiece> {
        let limit = match piece {
            Piece::Chunk(_) => CHUNK_BYTES_MAX,
            Piece::Block => Limits::COMMITTED_BLOCK_BYTES as u64,
        };
        let mut only_large = None;
        let mut bytes: Vec<u8> = Vec::new();
        loop {
            if bytes.len() >= ORDINARY_BYTES && only_large.is_none() {
                only_large = Some(large.acquire().await.map_err(|error| NoPiece::Failed(error.into()))?);
            }
            let part = self.ask_part(&peer, piece, bytes.len() as u64).await?;
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
        let kept = tokio::task::spawn_blocking(move || {
            check(&manifest, piece, &bytes).map_err(|error| NoPiece::Wrong(error.to_string()))?;
            piece_file::write(&path, &bytes).map_err(|error| NoPiece::Failed(error.into()))?;
            Ok(bytes.len() as u64)
        });
        kept.await.map_err(|error| NoPiece::Failed(error.into()))?
    }

    async fn ask_part(&self, peer: &ValidatorId, piece: Piece, offset: u64) -> Result<bytes::Bytes, NoPiece> {
        let (root, level) = (self.manifest.state_root(), self.manifest.level);
        let question = SnapshotQuestion::Part { root, level, piece, offset };
        match ask(self.network, peer, question).await {
            Ok(SnapshotAnswer::Part(part)) => part.ok_or(NoPiece::NotHeld),
            Ok(_) => {
                nonsense(self.network, peer);
                Err(NoPiece::Wrong("it is no part of a piece".to_owned()))
            }
            Err(NoAnswer::Nonsense) => Err(NoPiece::Wrong("it cannot be read".to_owned())),
            Err(NoAnswer::Silence) => Err(NoPiece::Silence),
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

    /// The next piece to ask for, and whom: the source with the fewest pieces under way. When all are under way, an idle source
    /// is asked for one that is with others, so that nobody can hold up the rest by being slow.
    fn assign(&mut self, sources: &BTreeMap<ValidatorId, Source>) -> Option<(ValidatorId, Piece)> {
        let has_room = |source: &Source| !source.out.is_cancelled() && source.under_way < PIECES_PER_PEER;
        let mut idle: Vec<_> = sources.iter().filter(|(_, source)| has_room(source)).collect();
        idle.sort_by_key(|(_, source)| source.under_way);
        if let Some((peer, _)) = idle.first()
            && let Some(piece) = self.missing.pop_front()
        {
            self.asked.insert(piece, vec![**peer]);
            return Some((**peer, piece));
        }
        for (peer, _) in idle {
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

/// Whether pieces come in useful time.
struct Pace {
    bytes: u64,
    deadline: Instant,
}

impl Pace {
    fn new() -> Self {
        Self { bytes: 0, deadline: Instant::now() + RATE_WINDOW }
    }

    /// Called at the deadline.
    fn check(&mut self) -> Result<(), SyncFailure> {
        if self.bytes < RATE_MIN * RATE_WINDOW.as_secs() {
            return Err(SyncFailure::TooSlow);
        }
        *self = Self::new();
        Ok(())
    }
}
