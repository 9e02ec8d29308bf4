//! Follows the handovers to an epoch, page by page from one peer after the other.
//!
//! A handover is right or not, whoever sends it, and one that is right is kept for ever. So nobody need be believed: a peer
//! that sends nothing, little or rubbish costs its own turn, and a manifest that needs more than there is costs one round.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use aegis_p2p::{Network, Offence};
use aegis_types::{Canonical as _, Epoch, Genesis, Handover, TypesError, ValidatorId};
use tokio_util::task::TaskTracker;
use tracing::{debug, warn};

use super::asking::{ask, nonsense};
use super::chain::Chain;
use super::sync::SyncFailure;
use crate::node::snapshot::question::{SnapshotAnswer, SnapshotQuestion};

/// How long one page may take: longer than a request does.
const PAGE_TIME: Duration = Duration::from_secs(15);
/// Within this time ...
const WINDOW: Duration = Duration::from_secs(60);
/// ... so many handovers must be followed, or the snapshot is given up for another one; at their largest that is 16 KiB/s.
const HANDOVERS_MIN: u64 = 32;

/// Following the handovers in a file, for one attempt.
pub struct Following<'a> {
    pub network: &'a Network,
    pub genesis: &'a Genesis,
    /// Where those that were followed are kept.
    pub file: PathBuf,
    pub work: &'a TaskTracker,
    /// Who may be asked.
    pub peers: &'a [ValidatorId],
    /// Those who have not answered; not asked again in this attempt.
    pub silent: BTreeSet<ValidatorId>,
    /// The epoch beyond which nobody had handovers.
    pub end: Option<Epoch>,
}

impl Following<'_> {
    /// The chain of handovers up to an epoch or beyond. What is missing comes from `first`, whose manifest needs it, and
    /// from all others in turn.
    ///
    /// # Errors
    /// When nobody has the next handover, or they come too slowly; errors of the disk.
    pub async fn to(&mut self, epoch: Epoch, first: &ValidatorId) -> Result<Chain, SyncFailure> {
        let (path, genesis) = (self.file.clone(), self.genesis.clone());
        let opened = self.work.spawn_blocking(move || Chain::open(path, &genesis)).await;
        let mut chain = opened.map_err(anyhow::Error::from)??;
        let others = self.peers.iter().filter(|other| *other != first);
        let turns: Vec<ValidatorId> = std::iter::once(first).chain(others).copied().collect();
        let mut fruitless = 0;
        let mut pace = HandoverPace::begin(chain.epoch(), Instant::now());
        for peer in turns.iter().cycle() {
            if chain.epoch() >= epoch {
                break;
            }
            if fruitless >= turns.len() || self.end == Some(chain.epoch()) {
                self.end = Some(chain.epoch());
                let reason = format!("nobody has the handovers from epoch {} on to {epoch}", chain.epoch());
                return Err(SyncFailure::Unverified(reason));
            }
            if !pace.is_useful(chain.epoch(), Instant::now()) {
                return Err(SyncFailure::Unverified("the handovers come too slowly".to_owned()));
            }
            let reached = chain.epoch();
            if !self.silent.contains(peer) {
                match self.page(peer, reached).await {
                    Some(page) => chain = self.push_all(chain, peer, page).await?,
                    None => drop(self.silent.insert(*peer)),
                }
            }
            fruitless = if chain.epoch() > reached { 0 } else { fruitless + 1 };
            debug!(epoch = %chain.epoch(), "followed the handovers");
        }
        Ok(chain)
    }

    /// What a peer sends of the handovers from an epoch on; none if it is silent or sends something else.
    async fn page(&self, peer: &ValidatorId, from: Epoch) -> Option<Vec<bytes::Bytes>> {
        let asking = ask(self.network, peer, SnapshotQuestion::Handovers(from));
        match tokio::time::timeout(PAGE_TIME, asking).await {
            Ok(Ok(SnapshotAnswer::Handovers(encodings))) => Some(encodings),
            Ok(Ok(_)) => {
                nonsense(self.network, peer);
                None
            }
            Ok(Err(_)) | Err(_) => None,
        }
    }

    async fn push_all(
        &self,
        mut chain: Chain,
        peer: &ValidatorId,
        encodings: Vec<bytes::Bytes>,
    ) -> Result<Chain, SyncFailure> {
        if encodings.is_empty() {
            return Ok(chain);
        }
        let pushing = self.work.spawn_blocking(move || {
            for encoding in encodings {
                let pushed = match Handover::decode(&encoding) {
                    Ok(handover) => chain.push(&handover)?,
                    Err(error) => Err(error),
                };
                if let Err(error) = pushed {
                    return Ok((chain, Some(error)));
                }
            }
            Ok::<(Chain, Option<TypesError>), std::io::Error>((chain, None))
        });
        let (chain, refused) = pushing.await.map_err(anyhow::Error::from)??;
        if let Some(error) = refused {
            warn!(%peer, %error, "a peer sent a handover that does not hold");
            self.network.report(peer, Offence::Invalid);
        }
        Ok(chain)
    }
}

/// Whether handovers come in useful time.
struct HandoverPace {
    epoch: Epoch,
    deadline: Instant,
}

impl HandoverPace {
    fn begin(epoch: Epoch, now: Instant) -> Self {
        Self { epoch, deadline: now + WINDOW }
    }

    fn is_useful(&mut self, reached: Epoch, now: Instant) -> bool {
        if now < self.deadline {
            return true;
        }
        let has_come_far = reached.0.saturating_sub(self.epoch.0) >= HANDOVERS_MIN;
        *self = Self::begin(reached, now);
        has_come_far
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn handovers_that_drip_are_not_waited_for() {
        let begun = Instant::now();
        let mut pace = HandoverPace::begin(Epoch(5), begun);
        assert!(pace.is_useful(Epoch(5), begun + WINDOW / 2), "there is time yet");
        assert!(pace.is_useful(Epoch(5 + HANDOVERS_MIN), begun + WINDOW));
        assert!(!pace.is_useful(Epoch(5 + 2 * HANDOVERS_MIN - 1), begun + 2 * WINDOW));
    }
}
