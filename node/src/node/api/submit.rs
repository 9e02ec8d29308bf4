//! Submission of proposals.

use std::sync::Arc;
use std::time::{Duration, Instant};

use aegis_ledger::Outcome as LedgerOutcome;
use aegis_rpc::api::{
    ApiError, CertificateInfo, ErrorCode, Outcome, Payload, ProposalState, Submission, SubmissionState,
    Submit, Wait,
};
use aegis_types::{Canonical, Certificate, CommittedBlock, Height, Proposal, ProposalBody, ProposalId};

use super::{Api, blocks, internal};
use crate::calendar;
use crate::node::admission::{Submitted, conflict};
use crate::node::context::NodeContext;
use crate::node::mempool::{Resolution, Resolved};

impl Api {
    pub(super) async fn submit_proposal(&self, request: Submit) -> Result<Submission, ApiError> {
        let proposal = match request.payload {
            Payload::Signed(encoding) => Proposal::decode(&encoding)?,
            Payload::ByNode { body, idempotency_key, expires_in_ms } => {
                let key = &self.node.account_key;
                self.node.sign(key, body, idempotency_key.unwrap_or_else(random_key), expires_in_ms).await?
            }
        };
        self.follow(proposal, request.wait, request.timeout_ms).await
    }

    pub(super) async fn submit_vote(
        &self,
        id: ProposalId,
        approve: bool,
        wait: Wait,
        timeout_ms: u64,
    ) -> Result<Submission, ApiError> {
        if !self.node.is_validator() {
            return Err(ApiError::new(
                ErrorCode::NotReady,
                "this node is not a validator of the current epoch, so it has no vote",
            ));
        }
        let body = ProposalBody::ProposalVote { proposal: id, approve };
        let lifetime = None;
        let proposal = self.node.sign(&self.node.node_key, body, random_key(), lifetime).await?;
        self.follow(proposal, wait, timeout_ms).await
    }

    async fn follow(&self, proposal: Proposal, wait: Wait, timeout_ms: u64) -> Result<Submission, ApiError> {
        self.node.condition.check_writable()?;
        let start = Instant::now();
        let idempotency_key = proposal.idempotency_key.clone();
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
            let id = proposal.id();
            self.node.admit_unattended(proposal)?;
            return Ok(in_state(id, SubmissionState::Received));
        }
        let (id, receiver) = match self.node.admit(proposal).await? {
            Submitted::Known(resolved) => return self.committed(*resolved, idempotency_key, start).await,
            Submitted::Waiting(id, receiver) => (id, receiver),
        };
        if wait == Wait::Admit {
            return Ok(in_state(id, SubmissionState::Admitted));
        }
        match tokio::time::timeout(Duration::from_millis(timeout_ms), receiver).await {
            Ok(Ok(Resolution::Executed(resolved))) => self.committed(*resolved, idempotency_key, start).await,
            Ok(Ok(Resolution::Expired)) => Err(ApiError::new(
                ErrorCode::Expired,
                "the proposal expired before it was ordered and will never take effect; submit a new one",
            )),
            Ok(Ok(Resolution::Conflict)) => Err(conflict()),
            Ok(Ok(Resolution::Refused(error))) => Err(*error),
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
        &self,
        resolved: Resolved,
        idempotency_key: String,
        start: Instant,
    ) -> Result<Submission, ApiError> {
        let Resolved { id, height, position, outcome, certificate, is_duplicate } = resolved;
        let epoch = self.node.standing.borrow().epoch.validators.epoch();
        let certificate = match certificate {
            // Nothing has to be read for it.
            Some(certificate) if certificate.content.epoch == epoch => {
                Some(blocks::certificate_info(&self.node, &certificate)?)
            }
            certificate => self.read_in_turn(move |node| certificate_of(node, certificate, height)).await?,
        };
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
}

/// The commit certificate of a height: the one at hand, or the committed log's.
fn certificate_of(
    node: &NodeContext,
    at_hand: Option<Arc<Certificate>>,
    height: Height,
) -> Result<Option<CertificateInfo>, ApiError> {
    if let Some(certificate) = at_hand {
        return blocks::certificate_info(node, &certificate).map(Some);
    }
    let Some(block) = node.log.read(height).map_err(internal)? else { return Ok(None) };
    let block = CommittedBlock::decode(&block).map_err(internal)?;
    blocks::certificate_info(node, &block.certificate).map(Some)
}

fn random_key() -> String {
    hex::encode(rand::random::<[u8; 16]>())
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
