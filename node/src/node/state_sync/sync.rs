//! Which snapshot is fetched, from whom, and what happens when that fails.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aegis_p2p::{Network, Offence};
use aegis_types::{Genesis, Height, ValidatorId};
use futures::future::join_all;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{info, warn};

use super::asking::{NoAnswer, ask, nonsense};
use super::begun;
use super::build::Build;
use super::candidates::{Candidate, Experience};
use super::fetch::Fetch;
use super::following::Following;
use super::progress::Progress;
use super::settle::Incoming;
use super::sources::SOURCES_MAX;
use crate::node::snapshot::manifest::{MANIFEST_BYTES_MAX, Manifest};
use crate::node::snapshot::question::{Offer, PART_BYTES, SnapshotAnswer, SnapshotQuestion};
use crate::node::snapshot::room::SnapshotRoom;
use crate::node::snapshot::shelf::make_folder;

/// How long a peer may take to send a manifest, all parts of it. The longest needs 100 kB/s for that;
/// whoever drips parts costs no more than this.
const MANIFEST_PATIENCE: Duration = Duration::from_secs(40);
/// Before a part is asked for again of a peer that was busy.
const LATER_PAUSE: Duration = Duration::from_millis(500);
/// ... so often for a whole manifest.
const LATER_TRIES: u32 = 6;

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
    pub room: SnapshotRoom,
    pub progress: watch::Sender<Option<Progress>>,
    experience: Mutex<Experience>,
    /// Whatever works in the folder, away from the asynchronous threads. It outlasts the task that began it.
    work: TaskTracker,
    stop: CancellationToken,
}

impl StateSync {
    /// State sync into the folder `snap/incoming`.
    pub fn new(
        network: Network,
        genesis: Genesis,
        folder: PathBuf,
        cache_bytes: u64,
        log_segment_bytes: u64,
        room: SnapshotRoom,
    ) -> Self {
        let (progress, experience) = (watch::Sender::new(None), Mutex::default());
        let (work, stop) = (TaskTracker::new(), CancellationToken::new());
        Self {
            network,
            genesis,
            folder,
            cache_bytes,
            log_segment_bytes,
            room,
            progress,
            experience,
            work,
            stop,
        }
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

    /// Waits while a state is being built.
    pub async fn until_built(&self) {
        let mut progress = self.progress.subscribe();
        // The sender lives as long as this.
        let _ = progress.wait_for(|progress| !progress.is_some_and(|progress| progress.is_building())).await;
    }

    /// Deletes everything that was fetched and built: the node has come further by itself meanwhile, or needs the room.
    pub async fn discard(&self) {
        let incoming = self.incoming();
        let discarded = self.work.spawn_blocking(move || incoming.discard()).await;
        if let Err(error) = discarded.map_err(std::io::Error::other).and_then(|discarded| discarded) {
            warn!(%error, "a state that was fetched and is not needed cannot be deleted");
        }
    }

    /// Begins to end whatever works in the folder. To be called when no task runs this any more.
    pub fn stop(&self) {
        self.stop.cancel();
        self.work.close();
    }

    /// Completes after [`Self::stop`], when nothing works in the folder any more. Until then nobody else may touch it.
    pub fn working(&self) -> impl Future<Output = ()> + Send + use<> {
        let work = self.work.clone();
        async move { work.wait().await }
    }

    fn incoming(&self) -> Incoming {
        Incoming::new(self.folder.clone())
    }

    /// Each peer's word is taken for one offer, so that nobody can use up an attempt with many.
    async fn try_candidates(&self, least: Height) -> Result<Height, SyncFailure> {
        make_folder(&self.folder)?;
        self.incoming().withdraw()?;
        let peers = self.peers().await;
        let mut following = Following {
            network: &self.network,
            genesis: &self.genesis,
            file: self.incoming().handovers(),
            work: &self.work,
            peers: &peers,
            silent: BTreeSet::new(),
            end: None,
        };
        let mut last = SyncFailure::NoOffer;
        let mut believed = BTreeSet::new();
        for candidate in self.candidates(least, &peers).await {
            // Another peer's manifest of the same state may be right where one is not.
            for peer in &candidate.peers {
                if !believed.insert(*peer) {
                    continue;
                }
                let manifest = match self.verified_manifest(candidate.offer, peer, &mut following).await {
                    Ok(manifest) => Arc::new(manifest),
                    Err(SyncFailure::Failed(error)) => return Err(SyncFailure::Failed(error)),
                    Err(failure) => {
                        info!(height = %candidate.offer.height, %peer, %failure, "a snapshot was not taken over");
                        self.experience().note_failed(*peer, candidate.offer);
                        last = failure;
                        continue;
                    }
                };
                match self.take_over(&candidate, manifest).await {
                    Ok(()) => return Ok(candidate.offer.height),
                    Err(SyncFailure::Failed(error)) => return Err(SyncFailure::Failed(error)),
                    Err(failure) => {
                        info!(height = %candidate.offer.height, %failure, "a snapshot was not taken over");
                        last = failure;
                    }
                }
                break;
            }
        }
        Err(last)
    }

    /// Connected peers, not more than may be asked, in an order by chance: nobody can choose a name that is asked first.
    async fn peers(&self) -> Vec<ValidatorId> {
        let mut peers: Vec<ValidatorId> =
            self.network.peers().await.into_iter().map(|peer| peer.id).collect();
        peers.sort_by_cached_key(|_| rand::random::<u64>());
        peers.truncate(SOURCES_MAX);
        peers
    }

    async fn candidates(&self, least: Height, peers: &[ValidatorId]) -> Vec<Candidate> {
        let offers = join_all(peers.iter().map(|peer| async move {
            match ask(&self.network, peer, SnapshotQuestion::Offers).await {
                Ok(SnapshotAnswer::Offers { offers, .. }) => {
                    offers.into_iter().map(|offer| (*peer, offer)).collect()
                }
                Ok(_) => {
                    nonsense(&self.network, peer);
                    Vec::new()
                }
                Err(_) => Vec::new(),
            }
        }));
        let offers = offers.await.into_iter().flatten().filter(|(_, offer)| offer.height >= least).collect();
        self.experience().order(offers, &begun::begun(&self.incoming()))
    }

    /// Fetches the pieces from whoever offers them, and builds the state.
    async fn take_over(&self, candidate: &Candidate, manifest: Arc<Manifest>) -> Result<(), SyncFailure> {
        let incoming = self.incoming();
        let (set, is_begun) = begun::open_set(&incoming, &manifest)?;
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
            folder: set.clone(),
            progress: &self.progress,
            work: &self.work,
        };
        let mut useless = Vec::new();
        let fetched = fetch.run(&candidate.peers, &mut useless).await;
        useless.into_iter().for_each(|peer| self.experience().note_failed(peer, candidate.offer));
        if matches!(fetched, Err(SyncFailure::TooSlow)) {
            self.experience().note_slow(candidate.offer);
        }
        fetched?;
        begun::choose(&incoming, &set)?;
        self.build(incoming, manifest).await
    }

    async fn build(&self, incoming: Incoming, manifest: Arc<Manifest>) -> Result<(), SyncFailure> {
        info!(height = %manifest.height(), "the snapshot is complete; building the state from it");
        let (genesis, progress, stop) = (self.genesis.clone(), self.progress.clone(), self.stop.clone());
        let (cache_bytes, log_segment_bytes) = (self.cache_bytes, self.log_segment_bytes);
        let room = self.room.clone();
        let built = self.work.spawn_blocking(move || {
            room.check_build(manifest.total_bytes())?;
            let build = Build {
                incoming: &incoming,
                genesis: &genesis,
                manifest: &manifest,
                cache_bytes,
                log_segment_bytes,
                progress: &progress,
                stop: &stop,
            };
            build.run()
        });
        built.await.map_err(anyhow::Error::from)?.map_err(SyncFailure::Failed)
    }

    /// The manifest of an offer, with the proof followed from the genesis on.
    async fn verified_manifest(
        &self,
        offer: Offer,
        peer: &ValidatorId,
        following: &mut Following<'_>,
    ) -> Result<Manifest, SyncFailure> {
        let encoding = self.manifest(offer, peer).await?;
        let liar = |reason: String| {
            warn!(%peer, reason, "a peer offers a snapshot that does not hold");
            self.network.report(peer, Offence::Invalid);
            SyncFailure::Unverified(reason)
        };
        let manifest = Manifest::decode(&encoding).map_err(|error| liar(error.to_string()))?;
        if Offer::of(&manifest) != offer {
            return Err(liar("it is another one than was offered".to_owned()));
        }
        let epochs = [manifest.block.header.epoch, manifest.witness.header.epoch];
        let chain = following.to(epochs[0].max(epochs[1]), peer).await?;
        let domain = self.genesis.domain();
        let verifying = self.work.spawn_blocking(move || {
            let sets = chain.sets_of(epochs)?;
            let is_known = epochs.iter().all(|epoch| sets.contains_key(epoch));
            // Not the peer's fault: the chain has just been followed to the later of both.
            anyhow::ensure!(is_known, "the handovers on this disk lack an epoch; they are fetched again");
            let verified = manifest.verify(&sets, &domain);
            Ok((manifest, verified))
        });
        let (manifest, verified) = verifying.await.map_err(anyhow::Error::from)??;
        verified.map_err(|error| liar(error.to_string()))?;
        self.experience().note_kept(peer);
        Ok(manifest)
    }

    /// An encoded manifest, as a peer has it, within [`MANIFEST_PATIENCE`].
    async fn manifest(&self, offer: Offer, peer: &ValidatorId) -> Result<Vec<u8>, SyncFailure> {
        let late = |_| SyncFailure::Unverified("the peer did not send it in time".to_owned());
        tokio::time::timeout(MANIFEST_PATIENCE, self.manifest_by_parts(offer, peer)).await.map_err(late)?
    }

    async fn manifest_by_parts(&self, offer: Offer, peer: &ValidatorId) -> Result<Vec<u8>, SyncFailure> {
        let unverified = |reason: &str| SyncFailure::Unverified(reason.to_owned());
        let mut encoding = Vec::new();
        let mut tries_left = LATER_TRIES;
        // One part more than a manifest has is enough to find out that it is none.
        while encoding.len() <= MANIFEST_BYTES_MAX {
            let question = SnapshotQuestion::Manifest { offer, offset: encoding.len() as u64 };
            match ask(&self.network, peer, question).await {
                Ok(SnapshotAnswer::Manifest(Some(part))) => {
                    encoding.extend_from_slice(&part);
                    if part.len() < PART_BYTES {
                        break;
                    }
                }
                Ok(SnapshotAnswer::Manifest(None)) => {
                    if self.experience().note_taken_back(*peer) {
                        self.network.report(peer, Offence::Unanswered);
                    }
                    return Err(unverified("the peer does not have it any more"));
                }
                Ok(_) => {
                    nonsense(&self.network, peer);
                    return Err(unverified("the peer sent something else"));
                }
                Err(NoAnswer::Later) if tries_left > 0 => {
                    tries_left -= 1;
                    tokio::time::sleep(LATER_PAUSE).await;
                }
                Err(_) => return Err(unverified("the peer did not send it")),
            }
        }
        Ok(encoding)
    }

    fn experience(&self) -> MutexGuard<'_, Experience> {
        self.experience.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
