//! Admission: from a signed proposal to a batch on its way to all validators.
//!
//! A validator checks a proposal, lets it wait a moment for others, seals them into a batch, and streams that to all
//! validators. A node that is no validator hands the proposal to one that is. Either way this node's mempool remembers it
//! until it is executed, so a client can wait here.

use std::sync::Arc;
use std::time::Duration;

use aegis_ledger::{Admission as Check, RejectCode};
use aegis_p2p::Lane;
use aegis_rpc::api::{ApiError, ErrorCode};
use aegis_types::{Batch, Canonical, Limits, Proposal, ProposalId};
use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use tracing::{debug, warn};

use super::batches::{HeldBatch, Offer, Taken};
use super::clock::unix_ms;
use super::context::NodeContext;
use super::driver::DriverInput;
use super::mempool::{Entered, Resolution, Resolved};
use super::state::StateView;
use super::wire::{Answer, PayloadFrame, Question};

/// When a client that found no room should try again.
const RETRY_MS: u64 = 100;
/// Validators that are asked in turn to take a proposal from a node that is none.
const FORWARD_TRIES: usize = 3;
/// How often the batches of this node that still wait are announced again.
const ANNOUNCE_INTERVAL: Duration = Duration::from_secs(1);
/// Batches announced at once.
const ANNOUNCED_MAX: usize = 256;

/// When a batch is sealed.
#[derive(Debug, Clone, Copy)]
pub struct SealRule {
    /// After the first proposal, at the latest.
    pub delay: Duration,
    /// When it has so many proposals.
    pub proposals: usize,
    /// When it has so many bytes.
    pub bytes: usize,
}

/// The way to the sealing task.
#[derive(Debug, Clone)]
pub struct Admission {
    sender: mpsc::Sender<Admitted>,
}

/// A proposal on its way into a batch.
#[derive(Debug)]
pub struct Admitted {
    proposal: Arc<Proposal>,
    bytes: usize,
}

/// What a submission led to.
#[derive(Debug)]
pub enum Submitted {
    /// It waits; the receiver tells what becomes of it.
    Waiting(ProposalId, oneshot::Receiver<Resolution>),
    /// It had a result before.
    Known(Box<Resolved>),
}

impl Admission {
    /// A way for `proposals_max` proposals, and its end.
    pub fn channel(proposals_max: usize) -> (Self, mpsc::Receiver<Admitted>) {
        let (sender, receiver) = mpsc::channel(proposals_max.max(1));
        (Self { sender }, receiver)
    }
}

impl NodeContext {
    /// Whether this node votes in the current epoch.
    pub fn is_validator(&self) -> bool {
        self.agreement.borrow().is_member
    }

    /// Admits a decoded proposal, and has it ordered.
    ///
    /// # Errors
    /// What is wrong with it, or `busy`.
    pub async fn admit(self: &Arc<Self>, proposal: Proposal) -> Result<Submitted, ApiError> {
        let result = self.try_admit(proposal).await;
        if result.is_err() {
            self.telemetry.proposals_refused.inc();
        }
        result
    }

    async fn try_admit(self: &Arc<Self>, proposal: Proposal) -> Result<Submitted, ApiError> {
        if !proposal.verify(&self.domain) {
            return Err(ApiError::new(
                ErrorCode::BadSignature,
                format!(
                    "the signature is not the account's for chain `{}` with genesis {}; sign with the account's key for this network",
                    self.genesis.chain,
                    self.genesis.hash()
                ),
            ));
        }
        if let Some(known) = self.check(&proposal)? {
            return Ok(Submitted::Known(Box::new(known)));
        }
        let id = proposal.id();
        let bytes = proposal.encode().len();
        let proposal = Arc::new(proposal);
        match self.mempool.enter(&proposal, id, u64::try_from(bytes).unwrap_or(u64::MAX)) {
            Entered::Joined(id, receiver) => Ok(Submitted::Waiting(id, receiver)),
            Entered::Conflict => Err(conflict()),
            Entered::Full => {
                Err(ApiError::busy("as many proposals wait for agreement as this node allows", RETRY_MS))
            }
            Entered::New(receiver) => {
                if self.is_validator() {
                    self.seal_soon(proposal, bytes)?;
                } else if let Err(error) = self.forward(&proposal).await {
                    self.mempool.withdraw(&proposal);
                    return Err(error);
                }
                Ok(Submitted::Waiting(id, receiver))
            }
        }
    }

    fn seal_soon(&self, proposal: Arc<Proposal>, bytes: usize) -> Result<(), ApiError> {
        self.admission.sender.try_send(Admitted { proposal, bytes }).map_err(|error| match error {
            mpsc::error::TrySendError::Full(admitted) => {
                self.mempool.withdraw(&admitted.proposal);
                ApiError::busy("proposals come in faster than they are batched", RETRY_MS)
            }
            mpsc::error::TrySendError::Closed(_) => {
                ApiError::new(ErrorCode::Unavailable, "the node is stopping")
            }
        })
    }

    /// The ledger's word on a proposal: its first result if it has one.
    fn check(&self, proposal: &Proposal) -> Result<Option<Resolved>, ApiError> {
        let now_ms = unix_ms().max(self.agreement.borrow().tip.2);
        let ledger = self.ledger.read().map_err(|_| internal("a panic left the ledger half changed"))?;
        let verdict = ledger.check(&StateView(self.kv.as_ref()), proposal, now_ms).map_err(internal)?;
        match verdict {
            Check::Fresh => Ok(None),
            Check::Duplicate(first) => Ok(Some(Resolved {
                id: first.id,
                height: first.height,
                position: first.position,
                outcome: first.outcome,
                certificate: None,
                is_duplicate: true,
            })),
            Check::Conflict => Err(conflict()),
            Check::Refused { code, reason } => Err(refusal(code, reason)),
        }
    }

    /// Hands a proposal to a validator.
    async fn forward(&self, proposal: &Proposal) -> Result<(), ApiError> {
        let question = Question::Forward(Bytes::from(proposal.encode())).encode();
        let members: Vec<_> =
            self.agreement.borrow().validators.members().iter().map(|member| member.validator).collect();
        let mut connected: Vec<_> =
            members.into_iter().filter(|validator| self.network.is_connected(validator)).collect();
        // Spread the load: whose turn it is follows from the proposal.
        let turn = usize::from(proposal.id().0[0]) % connected.len().max(1);
        connected.rotate_left(turn);
        for validator in connected.iter().take(FORWARD_TRIES) {
            let answer = match self.network.request(validator, question.clone()).await {
                Ok(answer) => Answer::decode(answer),
                Err(error) => {
                    debug!(%validator, %error, "a proposal could not be forwarded");
                    continue;
                }
            };
            match answer {
                Ok(Answer::Forwarded(None)) => return Ok(()),
                Ok(Answer::Forwarded(Some(error))) => {
                    return Err(
                        serde_json::from_str(&error).unwrap_or_else(|_| internal("a validator refused it"))
                    );
                }
                Ok(Answer::Tip { .. } | Answer::Blocks(_) | Answer::Batches(_)) | Err(_) => {
                    warn!(%validator, "a validator answered a forwarded proposal with nonsense");
                }
            }
        }
        Err(ApiError::new(
            ErrorCode::Unavailable,
            "this node is no validator, and no validator that it is connected to took the proposal; nothing was admitted, try again",
        ))
    }

    /// Offers a sealed or received batch to pool and driver; false when the pool did not take it.
    pub async fn take_batch(&self, batch: Arc<HeldBatch>, offer: Offer) -> Taken {
        let taken = self.pool.offer(batch.clone(), offer);
        if taken == Taken::New && self.inputs.send(DriverInput::Batch(batch)).await.is_err() {
            debug!("the driver has stopped");
        }
        taken
    }
}

fn conflict() -> ApiError {
    ApiError::new(
        ErrorCode::Conflict,
        "the account used this idempotency key for another request; use a new key for a new request",
    )
}

fn internal(error: impl std::fmt::Display) -> ApiError {
    ApiError::new(ErrorCode::Internal, format!("the node failed: {error}; look at its log"))
}

fn refusal(code: RejectCode, reason: String) -> ApiError {
    match code {
        RejectCode::Expired | RejectCode::ExpiryTooFar => ApiError::new(ErrorCode::Expired, reason),
        _ => {
            let mut error = ApiError::new(ErrorCode::InvalidArgument, reason);
            error.field = Some(code.name().to_owned());
            error
        }
    }
}

/// Seals admitted proposals into batches and spreads them, until the node stops.
pub async fn seal_batches(node: Arc<NodeContext>, mut admitted: mpsc::Receiver<Admitted>, rule: SealRule) {
    let author = node.node_key.validator_id();
    // Restarts must not repeat a sequence number: equal numbers could make equal batches.
    let mut sequence = unix_ms().saturating_mul(1_000);
    while let Some(first) = admitted.recv().await {
        let deadline = Instant::now() + rule.delay;
        let mut bytes = first.bytes;
        let mut proposals = vec![first];
        while proposals.len() < rule.proposals && bytes < rule.bytes {
            match tokio::time::timeout_at(deadline, admitted.recv()).await {
                Ok(Some(next)) => {
                    bytes += next.bytes;
                    proposals.push(next);
                }
                Ok(None) | Err(_) => break,
            }
        }
        for proposals in split(proposals) {
            sequence += 1;
            let proposals = proposals.iter().map(|admitted| (*admitted.proposal).clone()).collect();
            let batch = Arc::new(HeldBatch::new(Batch { author, sequence, proposals }));
            spread(&node, batch).await;
        }
    }
}

/// Cuts a list so that each part fits a batch. One proposal is at most an eighth of a batch, so each part has some.
fn split(admitted: Vec<Admitted>) -> Vec<Vec<Admitted>> {
    /// What the batch's own fields and the proposals' frames may add.
    const OVERHEAD: usize = 4_096;
    let mut parts = Vec::new();
    let mut part = Vec::new();
    let mut bytes = OVERHEAD;
    for next in admitted {
        let size = next.bytes + 8;
        if !part.is_empty() && (bytes + size > Limits::BATCH_BYTES || part.len() >= Limits::BATCH_PROPOSALS) {
            parts.push(std::mem::take(&mut part));
            bytes = OVERHEAD;
        }
        bytes += size;
        part.push(next);
    }
    if !part.is_empty() {
        parts.push(part);
    }
    parts
}

async fn spread(node: &NodeContext, batch: Arc<HeldBatch>) {
    let frame = PayloadFrame::Batch(batch.encoding.clone()).encode();
    // Own batches are bounded by the mempool, so they need no share of the pool.
    node.take_batch(batch, Offer::Named).await;
    send_to_validators(node, &frame);
}

fn send_to_validators(node: &NodeContext, frame: &Bytes) {
    let me = node.node_key.validator_id();
    let members: Vec<_> =
        node.agreement.borrow().validators.members().iter().map(|member| member.validator).collect();
    for validator in members.into_iter().filter(|validator| *validator != me) {
        if node.network.send(&validator, Lane::Payload, frame.clone()).is_err() {
            node.telemetry.messages_not_sent.inc();
        }
    }
}

/// Announces this node's waiting batches again and again: a validator that missed one asks for it.
pub async fn announce_batches(node: Arc<NodeContext>) {
    let mut interval = tokio::time::interval(ANNOUNCE_INTERVAL);
    let mut announced_before = std::collections::BTreeSet::new();
    loop {
        interval.tick().await;
        let waiting = node.pool.digests_of(&node.node_key.validator_id(), ANNOUNCED_MAX);
        // What came within the last interval is still on its way.
        let old: Vec<_> =
            waiting.iter().filter(|digest| announced_before.contains(*digest)).copied().collect();
        if !old.is_empty() && node.is_validator() {
            send_to_validators(&node, &PayloadFrame::Announce(old).encode());
        }
        announced_before = waiting.into_iter().collect();
    }
}
