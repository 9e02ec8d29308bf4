//! Submission of proposals.

use std::sync::Arc;
use std::time::{Duration, Instant};

use aegis_ledger::Outcome as LedgerOutcome;
use aegis_rpc::api::{
    ApiError, ErrorCode, Outcome, Payload, ProposalState, Submission, SubmissionState, Submit, Wait,
};
use aegis_types::{Canonical, CommittedBlock, Keypair, Proposal, ProposalBody, ProposalId};

use super::{blocks, internal};
use crate::calendar;
use crate::node::admission::Submitted;
use crate::node::clock::unix_ms;
use crate::node::context::NodeContext;
use crate::node::mempool::{Resolution, Resolved};

pub async fn submit(node: &Arc<NodeContext>, request: Submit) -> Result<Submission, ApiError> {
    let proposal = match request.payload {
        Payload::Signed(encoding) => Proposal::decode(&encoding)?,
        Payload::ByNode { body, idempotency_key, expires_in_ms } => {
            sign(node, &node.account_key, body, idempotency_key, expires_in_ms)?
        }
    };
    follow(node, proposal, request.wait, request.timeout_ms).await
}

pub async fn vote(
    node: &Arc<NodeContext>,
    id: ProposalId,
    approve: bool,
    wait: Wait,
    timeout_ms: u64,
) -> Result<Submission, ApiError> {
    if !node.is_validator() {
        return Err(ApiError::new(
            ErrorCode::InvalidArgument,
            "this node is not a validator of the current epoch, so it has no vote",
        ));
    }
    let body = ProposalBody::ProposalVote { proposal: id, approve };
    let proposal = sign(node, &node.node_key, body, None, Submit::EXPIRY_MS_DEFAULT)?;
    follow(node, proposal, wait, timeout_ms).await
}

fn sign(
    node: &NodeContext,
    key: &Keypair,
    body: ProposalBody,
    idempotency_key: Option<String>,
    expires_in_ms: u64,
) -> Result<Proposal, ApiError> {
    let idempotency_key = idempotency_key.unwrap_or_else(|| hex::encode(rand::random::<[u8; 16]>()));
    Ok(Proposal::sign(body, unix_ms().saturating_add(expires_in_ms), idempotency_key, key, &node.domain)?)
}

async fn follow(
    node: &Arc<NodeContext>,
    proposal: Proposal,
    wait: Wait,
    timeout_ms: u64,
) -> Result<Submission, ApiError> {
    let start = Instant::now();
    let idempotency_key = proposal.idempotency_key.clone();
    let own_id = proposal.id();
    let in_state = |id, state| Submission {
        id,
        idempotency_key: idempotency_key.clone(),
        state,
        height: None,
        position: None,
        outcome: None,
        certificate: None,
        duplicate: false,
        elapsed_ms: millis(start.elapsed()),
    };
    if wait == Wait::None {
        let node = node.clone();
        tokio::spawn(async move {
            if let Err(error) = node.admit(proposal).await {
                tracing::debug!(%error, "a proposal that nobody waits for was refused");
            }
        });
        return Ok(in_state(own_id, SubmissionState::Received));
    }
    let (id, receiver) = match node.admit(proposal).await? {
        Submitted::Known(resolved) => return committed(node, *resolved, idempotency_key, start).await,
        Submitted::Waiting(id, receiver) => (id, receiver),
    };
    if wait == Wait::Admit {
        return Ok(in_state(id, SubmissionState::Admitted));
    }
    match tokio::time::timeout(Duration::from_millis(timeout_ms), receiver).await {
        Ok(Ok(Resolution::Executed(resolved))) => committed(node, *resolved, idempotency_key, start).await,
        Ok(Ok(Resolution::Expired)) => Err(ApiError::new(
            ErrorCode::Expired,
            "the proposal expired before it was ordered and will never take effect; submit a new one",
        )),
        Ok(Err(_)) => Err(ApiError::new(
            ErrorCode::OutcomeUnknown,
            format!(
                "the node stopped before the outcome was known; retrying with idempotency key `{idempotency_key}` is safe"
            ),
        )),
        Err(_) => Err(ApiError::outcome_unknown(timeout_ms)),
    }
}

async fn committed(
    node: &Arc<NodeContext>,
    resolved: Resolved,
    idempotency_key: String,
    start: Instant,
) -> Result<Submission, ApiError> {
    let reading = node.clone();
    let Resolved { id, height, position, outcome, certificate, is_duplicate } = resolved;
    let certificate = tokio::task::spawn_blocking(move || match certificate {
        Some(certificate) => blocks::certificate_info(&reading, &certificate).map(Some),
        None => match reading.log.read(height).map_err(internal)? {
            Some(block) => {
                let block = CommittedBlock::decode(&block).map_err(internal)?;
                blocks::certificate_info(&reading, &block.certificate).map(Some)
            }
            None => Ok(None),
        },
    })
    .await
    .map_err(internal)??;
    Ok(Submission {
        id,
        idempotency_key,
        state: SubmissionState::Committed,
        height: Some(height),
        position: Some(position),
        outcome: Some(convert(&outcome)),
        certificate,
        duplicate: is_duplicate,
        elapsed_ms: millis(start.elapsed()),
    })
}

/// A ledger's outcome as the interface shows it.
fn convert(outcome: &LedgerOutcome) -> Outcome {
    let (state, code, message, version) = match outcome {
        LedgerOutcome::Applied { version } => {
            (ProposalState::Applied, None, "it took effect".to_owned(), *version)
        }
        LedgerOutcome::Opened { deadline_ms } => (
            ProposalState::Open,
            None,
            format!("the vote is open until {}", calendar::time(*deadline_ms)),
            None,
        ),
        LedgerOutcome::Rejected { code, reason } => {
            (ProposalState::Rejected, Some(code.name().to_owned()), reason.clone(), None)
        }
        // Recorded first results are never duplicates themselves.
        LedgerOutcome::Duplicate { first } => return convert(&first.outcome),
    };
    Outcome { state, code, message, version }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
