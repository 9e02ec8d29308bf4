//! Proofs of replicated values, and the handovers that lead to their signers.
//!
//! What can be proved lags what is executed: a block's state is certified by a later one. A linearizable proof is given at
//! once when the key has the same record in the newest certified state as in the newest executed one, which is so for all
//! keys but those that the last blocks have changed. For these it waits for the block that certifies the change; when
//! nothing else is to be ordered, the leader proposes an empty one for that (`docs/protocol.md`, rule 1).

use std::sync::Arc;
use std::time::Duration;

use aegis_ledger::{LedgerError, StateReader};
use aegis_rpc::api::{ApiError, Consistency, EncodedBytes, ErrorCode, Handovers, KvProof};
use aegis_types::proposal::check_key;
use aegis_types::{Canonical, Epoch, Handover, Height, KvRecord};

use super::{Api, internal};
use crate::node::certified::{CertifiedPoint, NotCertified, PinnedState};
use crate::node::context::NodeContext;
use crate::node::handovers;
use crate::node::state::StateView;

/// When a client may ask again while nothing is certified: blocks come several times a second, or once in an idle interval.
const RETRY_AFTER_MS: u64 = 500;
/// How long a linearizable proof waits to be certified: some blocks, the last of them an empty one, which comes within a
/// second. With the wait for the validators before, it ends before the interface gives the request up.
const CERTIFY_PATIENCE: Duration = Duration::from_secs(3);

impl Api {
    /// What a key has, as fresh as asked, with the proof of it.
    ///
    /// # Errors
    /// Those of [`NodeApi::kv_proof`](aegis_rpc::api::NodeApi::kv_proof).
    pub(super) async fn proof(&self, key: String, consistency: Consistency) -> Result<KvProof, ApiError> {
        check_key(&key)?;
        if consistency == Consistency::Linearizable {
            let height = self.node.reads.confirm().await.map_err(|reason| self.unconfirmed(reason))?;
            let asked = key.clone();
            if let Some(proof) = self.read(move |node| prove_unchanged(node, &asked)).await? {
                return Ok(proof);
            }
            self.certified_since(height).await?;
        }
        self.read(move |node| prove(node, &key).map_err(refusal)).await
    }

    /// Waits until the state after block `height`, or a newer one, is certified.
    async fn certified_since(&self, height: Height) -> Result<(), ApiError> {
        let busy = |_| ApiError::busy("too many proofs wait to be certified", RETRY_AFTER_MS);
        let _waiter = self.waiting_proofs.try_acquire().map_err(busy)?;
        let mut points = self.node.certified.subscribe();
        let is_there = |point: &Option<_>| newest_height(point.as_ref()) >= Some(height);
        // Its sender lives as long as this node, so only the time can be up.
        let waited = tokio::time::timeout(CERTIFY_PATIENCE, points.wait_for(is_there)).await;
        if matches!(waited, Ok(Ok(_))) {
            return Ok(());
        }
        // A node that has just started: nothing is certified at all.
        self.node.certified.newest().map_err(refusal)?;
        let message = format!(
            "the key has just changed, and the state after block {height} is not certified yet: try again in a moment, or \
             ask with consistency `certified` for the newest state that is"
        );
        Err(ApiError { retry_after_ms: Some(RETRY_AFTER_MS), ..ApiError::new(ErrorCode::NotReady, message) })
    }
}

fn newest_height(point: Option<&Arc<CertifiedPoint>>) -> Option<Height> {
    point.map(|point| point.executed.height)
}

/// The proof of what a key has in the newest certified state, if it has the same in the newest executed one.
fn prove_unchanged(node: &NodeContext, key: &str) -> Result<Option<KvProof>, ApiError> {
    // Read before the point is chosen: what was there then and is certified was no older state's.
    let state_key = KvRecord::state_key(key);
    let current = StateView(node.kv.as_ref()).get(&state_key).map_err(internal)?;
    let unchanged = || -> Result<Option<KvProof>, NotCertified> {
        let state = node.certified.pin()?;
        // Reading costs less than proving, and a key that others keep changing is asked for again and again.
        if state.read(|earlier| earlier.get(&state_key))? != current {
            return Ok(None);
        }
        prove_at(&state, key).map(Some)
    };
    match unchanged() {
        Ok(proof) => Ok(proof),
        Err(NotCertified::NothingYet | NotCertified::Gone(_)) => Ok(None),
        Err(error) => Err(refusal(error)),
    }
}

/// What a key has in the newest certified state.
fn prove(node: &NodeContext, key: &str) -> Result<KvProof, NotCertified> {
    prove_at(&node.certified.pin()?, key)
}

fn prove_at(state: &PinnedState, key: &str) -> Result<KvProof, NotCertified> {
    let (record, proof) = state.prove(&KvRecord::state_key(key))?;
    let point = state.point();
    Ok(KvProof {
        key: key.to_owned(),
        height: point.executed.height,
        epoch: point.by.header.epoch,
        record_base64: record.map(EncodedBytes),
        proof_base64: proof.encode().into(),
        certified_header_base64: point.by.encode().into(),
    })
}

/// The handovers of `from` and the epochs after it.
///
/// # Errors
/// `internal` when the store fails.
pub fn handovers(node: &NodeContext, from: Epoch) -> Result<Handovers, ApiError> {
    let found = handovers::load(node.kv.as_ref(), from, Handover::PAGE_MAX).map_err(internal)?;
    let count = u64::try_from(found.len()).unwrap_or(u64::MAX);
    let next_epoch = (found.len() >= Handover::PAGE_MAX).then(|| Epoch(from.0.saturating_add(count)));
    Ok(Handovers { handovers_base64: found.into_iter().map(EncodedBytes).collect(), next_epoch })
}

pub fn refusal(error: NotCertified) -> ApiError {
    match error {
        NotCertified::NothingYet | NotCertified::Gone(_) => ApiError {
            retry_after_ms: Some(RETRY_AFTER_MS),
            ..ApiError::new(ErrorCode::NotReady, error.to_string())
        },
        NotCertified::Failed(reason) => match reason.downcast_ref() {
            Some(LedgerError::Unprovable { .. }) => ApiError::new(ErrorCode::TooLarge, reason.to_string()),
            _ => internal(format!("{reason:#}")),
        },
    }
}
