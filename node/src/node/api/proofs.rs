//! Proofs of replicated values, and the handovers that lead to their signers.

use aegis_ledger::LedgerError;
use aegis_rpc::api::{ApiError, EncodedBytes, ErrorCode, Handovers, KvProof};
use aegis_types::proposal::check_key;
use aegis_types::{Canonical, Epoch, Handover, KvRecord};

use super::internal;
use crate::node::certified::NotCertified;
use crate::node::context::NodeContext;
use crate::node::handovers;

/// When a client may ask again while nothing is certified: blocks come several times a second, or once in an idle interval.
const RETRY_AFTER_MS: u64 = 500;

/// What a key has in the newest certified state.
///
/// # Errors
/// `not_ready` while no state is certified, `too_large` for a key that cannot be proved.
pub fn prove(node: &NodeContext, key: &str) -> Result<KvProof, ApiError> {
    check_key(key)?;
    let state = node.certified.pin().map_err(refusal)?;
    let (record, proof) = state.prove(&KvRecord::state_key(key)).map_err(refusal)?;
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
