//! Admission: from a signed proposal to a batch on its way to all validators.
//!
//! A validator checks a proposal, together with others that come at the same time, lets it wait a moment for others, seals them
//! into a batch, and streams that to all validators. A node that is no validator hands the proposal to one that is. Either way
//! this node's mempool remembers it until it is executed, so a client can wait here, and hands it on again should nothing come
//! of it.
//!
//! # Once entered, never forgotten
//! From entering the mempool to handing on, all happens in one closure that no client's leaving can interrupt. The entry is
//! made before the ledger is asked: a block that is executed meanwhile is either known to the ledger or finds the entry.

mod examining;
mod forwarding;
mod sealing;

use std::sync::Arc;

use aegis_ledger::{Admission as Check, RejectCode};
use aegis_rpc::api::{ApiError, ErrorCode, Submit};
use aegis_types::{Canonical, Keypair, Parameter, Proposal, ProposalBody, ProposalId};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tracing::debug;

pub use examining::examine_proposals;
pub use forwarding::hand_on_again;
pub use sealing::{SealRule, announce_batches, seal_batches};

use super::batches::{HeldBatch, Offer, Taken};
use super::clock::unix_ms;
use super::context::NodeContext;
use super::driver::DriverInput;
use super::mempool::{Entered, Resolution, Resolved};
use super::state::StateView;

/// When a client that found no room should try again.
const RETRY_MS: u64 = 100;
/// Proposals that wait for their signatures and standing to be checked, at most 128 MiB of them. Others wait before that: their clients'
/// connections bound them.
const EXAMINED_MAX: usize = 1_024;
/// Proposals that are checked while nobody waits for the result.
const UNATTENDED_MAX: usize = 1_024;
/// Proposals that are handed to validators at once.
const FORWARDS_MAX: usize = 64;

/// The way to the sealing task, and the bounds of what goes on at once.
#[derive(Debug, Clone)]
pub struct Admission {
    sender: mpsc::Sender<Admitted>,
    examined: mpsc::Sender<Examined>,
    unattended: Arc<Semaphore>,
    forwards: Arc<Semaphore>,
}

/// A proposal on its way into a batch.
#[derive(Debug)]
pub struct Admitted {
    proposal: Arc<Proposal>,
    bytes: usize,
}

/// A proposal to check, and where to tell what came of it.
type Examined = (Proposal, oneshot::Sender<Result<Submitted, ApiError>>);

/// Where [`examine_proposals`] and [`seal_batches`] take what they do.
#[derive(Debug)]
pub struct AdmissionEnds {
    /// Proposals to check.
    pub to_examine: mpsc::Receiver<Examined>,
    /// Proposals to seal.
    pub admitted: mpsc::Receiver<Admitted>,
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
    /// A way for `proposals_max` proposals, and its ends.
    pub fn channel(proposals_max: usize) -> (Self, AdmissionEnds) {
        let (sender, admitted) = mpsc::channel(proposals_max.max(1));
        let (examined, to_examine) = mpsc::channel(EXAMINED_MAX);
        let bound = |permits| Arc::new(Semaphore::new(permits));
        let admission =
            Self { sender, examined, unattended: bound(UNATTENDED_MAX), forwards: bound(FORWARDS_MAX) };
        (admission, AdmissionEnds { to_examine, admitted })
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
        let (sender, examined) = oneshot::channel();
        // What examines ends with the node, and with nothing else.
        let stopping = || ApiError::new(ErrorCode::Unavailable, "the node is stopping");
        self.admission.examined.send((proposal, sender)).await.map_err(|_| stopping())?;
        let result = examined.await.map_err(|_| stopping())?;
        if result.is_err() {
            self.telemetry.proposals_refused.inc();
        }
        result
    }

    /// Admits a proposal while nobody waits for what comes of it.
    ///
    /// # Errors
    /// `busy` when too many such are under way.
    pub fn admit_unattended(self: &Arc<Self>, proposal: Proposal) -> Result<(), ApiError> {
        let permit = self.admission.unattended.clone().try_acquire_owned();
        let permit = permit.map_err(|_| ApiError::busy("too many proposals are being checked", RETRY_MS))?;
        let node = self.clone();
        tokio::spawn(async move {
            if let Err(error) = node.admit(proposal).await {
                debug!(%error, "a proposal that nobody waits for was refused");
            }
            drop(permit);
        });
        Ok(())
    }

    /// Signs a proposal with a key of this node. Unless its lifetime is given, it is valid for some minutes, and for no longer
    /// than half of what the network allows: a block's time may lie on either side of this node's clock.
    ///
    /// # Errors
    /// What is wrong with the fields.
    pub async fn sign(
        self: &Arc<Self>,
        key: &Keypair,
        body: ProposalBody,
        idempotency_key: String,
        lifetime_ms: Option<u64>,
    ) -> Result<Proposal, ApiError> {
        let lifetime_ms = match lifetime_ms {
            Some(given) => given,
            None => {
                let node = self.clone();
                let longest = tokio::task::spawn_blocking(move || node.lifetime_max_ms());
                longest.await.map_err(internal)??.div_euclid(2).min(Submit::EXPIRY_MS_DEFAULT)
            }
        };
        let expires_at_ms = unix_ms().saturating_add(lifetime_ms);
        Ok(Proposal::sign(body, expires_at_ms, idempotency_key, key, &self.domain)?)
    }

    fn lifetime_max_ms(&self) -> Result<u64, ApiError> {
        let ledger = self.ledger.read().map_err(|_| internal("a panic left the ledger half changed"))?;
        Ok(ledger.parameters().get(Parameter::ProposalLifetimeMaxMs))
    }

    /// Enters a proposal whose signature holds.
    fn enter(self: &Arc<Self>, proposal: Proposal) -> Result<Submitted, ApiError> {
        let is_validator = self.is_validator();
        if !is_validator && self.connected_validators().is_empty() {
            return Err(ApiError::new(
                ErrorCode::Unavailable,
                "this node is no validator and is connected to none; nothing was admitted, try again",
            ));
        }
        let id = proposal.id();
        let bytes = proposal.encode().len();
        let proposal = Arc::new(proposal);
        let receiver = match self.mempool.enter(&proposal, id, u64::try_from(bytes).unwrap_or(u64::MAX)) {
            Entered::Joined(id, receiver) => return Ok(Submitted::Waiting(id, receiver)),
            Entered::Conflict => return Err(conflict()),
            Entered::Full => {
                return Err(ApiError::busy(
                    "as many proposals wait for agreement as this node allows",
                    RETRY_MS,
                ));
            }
            Entered::New(receiver) => receiver,
        };
        let admitted = match self.check(&proposal) {
            Ok(Some(known)) => {
                self.mempool.withdraw(&proposal, &Resolution::Executed(Box::new(known.clone())));
                return Ok(Submitted::Known(Box::new(known)));
            }
            Ok(None) if is_validator => self.seal_soon(proposal.clone(), bytes),
            Ok(None) => {
                self.forward_soon(proposal.clone(), 0);
                Ok(())
            }
            Err(error) => Err(error),
        };
        match admitted {
            Ok(()) => Ok(Submitted::Waiting(id, receiver)),
            Err(error) => {
                self.mempool.withdraw(&proposal, &Resolution::Refused(Box::new(error.clone())));
                Err(error)
            }
        }
    }

    /// Queues a proposal for the next batch.
    fn seal_soon(&self, proposal: Arc<Proposal>, bytes: usize) -> Result<(), ApiError> {
        self.admission.sender.try_send(Admitted { proposal, bytes }).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => {
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

    /// Offers a sealed or received batch to pool and driver; false when the pool did not take it.
    pub async fn take_batch(&self, batch: Arc<HeldBatch>, offer: Offer) -> Taken {
        let proposals = batch.batch.proposals.len();
        let taken = self.pool.offer(batch.clone(), offer);
        if taken == Taken::New {
            self.observation.count_proposals(proposals);
        }
        if taken == Taken::New && self.inputs.send(DriverInput::Batch(batch)).await.is_err() {
            debug!("the driver has stopped");
        }
        taken
    }
}

/// The error when an idempotency key stands for another request.
pub fn conflict() -> ApiError {
    ApiError::new(
        ErrorCode::Conflict,
        "the account used this idempotency key for another request; a new request needs a new key (--idempotency-key)",
    )
}

fn internal(error: impl std::fmt::Display) -> ApiError {
    ApiError::new(ErrorCode::Internal, format!("the node failed: {error}; look at its log"))
}

fn refusal(code: RejectCode, reason: String) -> ApiError {
    let error = match code {
        RejectCode::Expired => ApiError::new(ErrorCode::Expired, reason),
        RejectCode::ExpiryTooFar => ApiError::new(ErrorCode::ExpiryTooFar, reason),
        RejectCode::VoteClosed | RejectCode::EvidenceKnown => ApiError::new(ErrorCode::Conflict, reason),
        _ => ApiError::new(ErrorCode::InvalidArgument, reason),
    };
    ApiError { reject_code: Some(code.name().to_owned()), ..error }
}
