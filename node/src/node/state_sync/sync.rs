//! Which snapshot is fetched, from whom, and what happens when that fails.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use aegis_p2p::{Network, Offence};
use aegis_types::{Canonical as _, Epoch, Genesis, Handover, Hash, Height, ValidatorId};
use futures::future::join_all;
use tokio::sync::watch;
use tracing::{debug, info, warn};

use super::asking::{NoAnswer, ask, nonsense};
use super::build::{Build, discard};
use super::chain::Chain;
use super::fetch::{Fetch, SOURCES_MAX};
use super::progress::Progress;
use super::settle::Incoming;
use crate::node::snapshot::manifest::Manifest;
use crate::node::snapshot::question::{SnapshotAnswer, SnapshotQuestion};
use crate::node::snapshot::shelf::{make_folder, read_manifest, write_manifest};

/// Snapshots remembered for having come too slowly; each took a minute to find out.
const SLOW_MAX: usize = 64;
/// Snapshots tried before giving up for a while.
const TRIED_MAX: usize = 8;

/// Why no snapshot was taken over.
#[derive(Debug, thiserror::Error)]
pub enum SyncFailure {
    /// Nobody has one that would help.
    #[error("no peer offers a snapshot that is far enough ahead")]
    NoOffer,
    /// No peer is left that sends right pieces.
    #[error("no peer is left that sends the rest of the snapshot")]
    NoSource,
    /// Pieces come so slowly that another snapshot is worth a try.
    #[error("the snapshot comes too slowly")]
    TooSlow,
    /// A manifest or its handovers do not hold, or did not come.
    #[error("the snapshot cannot be verified: {0}")]
    Unverified(String),
    /// This node failed.
    #[error("{0:#}")]
    Failed(#[from] anyhow::Error),
}

impl From<std::io::Error> for SyncFailure {
    fn from(error: std::io::Error) -> Self {
        Self::Failed(error.into())
    }
}

/// Takes over certified states from peers.
pub struct StateSync {
    pub network: Network,
    pub genesis: Genesis,
    /// `snap/incoming`
    pub folder: PathBuf,
    pub cache_bytes: u64,
    pub log_segment_bytes: u64,
    pub progress: watch::Sender<Option<Progress>>,
    /// Snapshots that came too slowly: tried last.
    slow: Mutex<BTreeSet<Hash>>,
}

/// A snapshot and who offers it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Candidate {
    height: Height,
    root: Hash,
    peers: Vec<ValidatorId>,
}

impl StateSync {
    /// State sync into the folder `snap/incoming`.
    pub fn new(
        network: Network,
        genesis: Genesis,
        folder: PathBuf,
        cache_bytes: u64,
        log_segment_bytes: u64,
    ) -> Self {
        let (progress, slow) = (watch::Sender::new(None), Mutex::default());
        Self { network, genesis, folder, cache_bytes, log_segment_bytes, progress, slow }
    }

    /// Fetches, verifies and builds the newest state at or above `least` that peers have. When it returns, the state waits
    /// for the exchange: see [`settle`](super::settle::settle).
    ///
    /// # Errors
    /// See [`SyncFailure`]. What was fetched stays for the next attempt.
    pub async fn run(&self, least: Height) -> Result<Height, SyncFailure> {
        let outcome = self.try_candidates(least).await;
        self.progress.send_replace(None);
        outcome
    }

    /// Deletes what was built: the node has come further by itself meanwhile.
    pub fn discard(&self) {
        if let Err(error) = discard(&self.folder) {
            warn!(%error, "a state that was built and is not needed cannot be deleted");
        }
    }

    async fn try_candidates(&self, least: Height) -> Result<Height, SyncFailure> {
        let mut last = SyncFailure::NoOffer;
        for candidate in self.candidates(least).await.into_iter().take(TRIED_MAX) {
            // Another peer's manifest of the same state may be right where one is not.
            for peer in &candidate.peers {
                match self.try_manifest(&candidate, peer).await {
                    Ok(()) => return Ok(candidate.height),
                    Err(SyncFailure::Failed(error)) => return Err(SyncFailure::Failed(error)),
                    Err(failure) => {
                        info!(height = %candidate.height, %peer, %failure, "a snapshot was not taken over");
                        if matches!(failure, SyncFailure::TooSlow) {
                            self.remember_slow(candidate.root);
                        }
                        last = failure;
                    }
                }
            }
        }
        Err(last)
    }

    /// What connected peers offer, the newest first; what came too slowly before last.
    async fn candidates(&self, least: Height) -> Vec<Candidate> {
        let mut peers: Vec<ValidatorId> =
            self.network.peers().await.into_iter().map(|peer| peer.id).collect();
        // By chance, so that nobody can choose names that are asked first.
        peers.sort_by_cached_key(|_| rand::random::<u64>());
        peers.truncate(SOURCES_MAX);
        let offers = join_all(peers.iter().map(|peer| async move {
            match ask(&self.network, peer, SnapshotQuestion::Offers).await {
                Ok(SnapshotAnswer::Offers { offers, .. }) => {
                    offers.into_iter().map(|offer| (*peer, offer)).collect()
                }
                Ok(_) => {
                    nonsense(&self.network, peer);
                    Vec::new()
                }
                Err(NoAnswer::Silence | NoAnswer::Nonsense) => Vec::new(),
            }
        }));
        let mut found: BTreeMap<(Height, Hash), Vec<ValidatorId>> = BTreeMap::new();
        for (peer, offer) in offers.await.into_iter().flatten().filter(|(_, offer)| offer.height >= least) {
            found.entry((offer.height, offer.root)).or_default().push(peer);
        }
        let candidate =
            |((height, root), peers): ((Height, Hash), Vec<ValidatorId>)| Candidate { height, root, peers };
        let mut candidates: Vec<Candidate> = found.into_iter().map(candidate).collect();
        let (slow, begun) = (self.slow().clone(), self.begun());
        candidates.sort_by_key(|candidate| {
            let is_begun = begun == Some(candidate.root);
            (slow.contains(&candidate.root), !is_begun, std::cmp::Reverse(candidate.height))
        });
        candidates
    }

    /// The snapshot of which pieces were collected before.
    fn begun(&self) -> Option<Hash> {
        let manifest = read_manifest(&Incoming::new(self.folder.clone()).pieces()).ok()?;
        Some(manifest.state_root())
    }

    async fn try_manifest(&self, candidate: &Candidate, peer: &ValidatorId) -> Result<(), SyncFailure> {
        make_folder(&self.folder)?;
        let incoming = Incoming::new(self.folder.clone());
        let manifest = Arc::new(self.verified_manifest(candidate, peer, &incoming).await?);
        let pieces = incoming.pieces();
        let is_begun = read_manifest(&pieces)
            .is_ok_and(|begun| (begun.state_root(), begun.level) == (manifest.state_root(), manifest.level));
        if !is_begun {
            discard(&pieces)?;
            make_folder(&pieces)?;
        }
        write_manifest(&pieces, &manifest)?;
        info!(
            height = %manifest.height(),
            bytes = manifest.total_bytes(),
            peers = candidate.peers.len(),
            resumed = is_begun,
            "fetching a snapshot"
        );
        let fetch = Fetch {
            network: &self.network,
            manifest: manifest.clone(),
            folder: pieces,
            progress: &self.progress,
        };
        fetch.run(&candidate.peers).await?;
        self.build(incoming, manifest).await
    }

    async fn build(&self, incoming: Incoming, manifest: Arc<Manifest>) -> Result<(), SyncFailure> {
        info!(height = %manifest.height(), "the snapshot is complete; building the state from it");
        let (genesis, progress) = (self.genesis.clone(), self.progress.clone());
        let (cache_bytes, log_segment_bytes) = (self.cache_bytes, self.log_segment_bytes);
        let built = tokio::task::spawn_blocking(move || {
            let build = Build {
                incoming: &incoming,
                genesis: &genesis,
                manifest: &manifest,
                cache_bytes,
                log_segment_bytes,
                progress: &progress,
            };
            build.run()
        });
        built.await.map_err(anyhow::Error::from)?.map_err(SyncFailure::Failed)
    }

    /// The candidate's manifest, with the proof followed from the genesis on.
    async fn verified_manifest(
        &self,
        candidate: &Candidate,
        peer: &ValidatorId,
        incoming: &Incoming,
    ) -> Result<Manifest, SyncFailure> {
        let unverified = |reason: &str| SyncFailure::Unverified(reason.to_owned());
        let answer = ask(&self.network, peer, SnapshotQuestion::Manifest(candidate.root)).await;
        let encoding = match answer {
            Ok(SnapshotAnswer::Manifest(Some(encoding))) => encoding,
            Ok(SnapshotAnswer::Manifest(None)) => {
                return Err(unverified("the peer does not have it any more"));
            }
            Ok(_) => {
                nonsense(&self.network, peer);
                return Err(unverified("the peer sent something else"));
            }
            Err(NoAnswer::Silence | NoAnswer::Nonsense) => {
                return Err(unverified("the peer did not send it"));
            }
        };
        let liar = |reason: String| {
            warn!(%peer, reason, "a peer offers a snapshot that does not hold");
            self.network.report(peer, Offence::Invalid);
            SyncFailure::Unverified(reason)
        };
        let manifest = Manifest::decode(&encoding).map_err(|error| liar(error.to_string()))?;
        if (manifest.height(), manifest.state_root()) != (candidate.height, candidate.root) {
            return Err(liar("it is of another state than was offered".to_owned()));
        }
        let needed = manifest.witness.header.epoch.max(manifest.block.header.epoch);
        let chain = self.chain_to(needed, peer, incoming).await?;
        let domain = self.genesis.domain();
        let (manifest, verified) = tokio::task::spawn_blocking(move || {
            let verified = manifest.verify(chain.sets(), &domain);
            (manifest, verified)
        })
        .await
        .map_err(anyhow::Error::from)?;
        verified.map_err(|error| liar(error.to_string()))?;
        Ok(manifest)
    }

    /// The handovers up to an epoch; what is missing comes from `peer`.
    async fn chain_to(
        &self,
        epoch: Epoch,
        peer: &ValidatorId,
        incoming: &Incoming,
    ) -> Result<Chain, SyncFailure> {
        let (path, genesis) = (incoming.handovers(), self.genesis.clone());
        let opened = tokio::task::spawn_blocking(move || Chain::open(path, &genesis)).await;
        let mut chain = opened.map_err(anyhow::Error::from)??;
        while chain.epoch() < epoch {
            let answer = ask(&self.network, peer, SnapshotQuestion::Handovers(chain.epoch())).await;
            let Ok(SnapshotAnswer::Handovers(encodings)) = answer else {
                return Err(SyncFailure::Unverified("the peer did not send the handovers".to_owned()));
            };
            if encodings.is_empty() {
                let reason = format!("the peer's handovers end at epoch {}, before {epoch}", chain.epoch());
                return Err(SyncFailure::Unverified(reason));
            }
            let pushed = tokio::task::spawn_blocking(move || {
                let mut pushed = Ok(Ok(()));
                for encoding in encodings {
                    pushed = match Handover::decode(&encoding) {
                        Ok(handover) => chain.push(&handover),
                        Err(error) => Ok(Err(error)),
                    };
                    if !matches!(pushed, Ok(Ok(()))) {
                        break;
                    }
                }
                (chain, pushed)
            });
            let (returned, pushed) = pushed.await.map_err(anyhow::Error::from)?;
            chain = returned;
            if let Err(error) = pushed? {
                warn!(%peer, %error, "a peer sent a handover that does not hold");
                self.network.report(peer, Offence::Invalid);
                return Err(SyncFailure::Unverified(error.to_string()));
            }
            debug!(epoch = %chain.epoch(), "followed the handovers");
        }
        Ok(chain)
    }

    fn remember_slow(&self, root: Hash) {
        let mut slow = self.slow();
        if slow.len() >= SLOW_MAX {
            slow.clear();
        }
        slow.insert(root);
    }

    fn slow(&self) -> std::sync::MutexGuard<'_, BTreeSet<Hash>> {
        self.slow.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
