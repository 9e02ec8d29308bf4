//! Proposals that were admitted here and are not executed yet, and those who wait for them.
//!
//! Keyed as the ledger keys them, by account and idempotency key, so that a client that tries again joins its first try.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use aegis_ledger::{Outcome, Receipt};
use aegis_types::{AccountId, Certificate, Hash, Height, Proposal, ProposalId};
use tokio::sync::oneshot;

/// What became of a proposal.
#[derive(Debug, Clone)]
pub struct Resolved {
    /// The proposal that took effect under the idempotency key.
    pub id: ProposalId,
    /// Its block.
    pub height: Height,
    /// Its position in the block.
    pub position: u32,
    /// Its outcome.
    pub outcome: Outcome,
    /// The block's commit certificate, when this node has just seen it; else the committed log has it.
    pub certificate: Option<Arc<Certificate>>,
    /// Whether an earlier submission had this result.
    pub is_duplicate: bool,
}

/// What a waiting client is told in the end.
#[derive(Debug, Clone)]
pub enum Resolution {
    /// The proposal was executed.
    Executed(Box<Resolved>),
    /// Its expiry passed without its being ordered; it will never take effect.
    Expired,
}

/// The answer to an attempt to enter a proposal.
#[derive(Debug)]
pub enum Entered {
    /// It is new: have it ordered.
    New(oneshot::Receiver<Resolution>),
    /// The same request waits already.
    Joined(ProposalId, oneshot::Receiver<Resolution>),
    /// Another request waits under the same idempotency key.
    Conflict,
    /// There is no room.
    Full,
}

#[derive(Debug)]
struct Waiting {
    proposal: Arc<Proposal>,
    id: ProposalId,
    request: Hash,
    bytes: u64,
    since: Instant,
    clients: Vec<oneshot::Sender<Resolution>>,
}

#[derive(Debug, Default)]
struct Inner {
    waiting: BTreeMap<(AccountId, String), Waiting>,
    by_id: BTreeMap<ProposalId, (AccountId, String)>,
    bytes: u64,
}

/// The proposals of this node that wait for agreement.
#[derive(Debug)]
pub struct Mempool {
    inner: Mutex<Inner>,
    proposals_max: usize,
    bytes_max: u64,
}

/// Most clients that wait for one proposal; a client that tries again leaves its first connection.
const CLIENTS_MAX: usize = 16;

impl Mempool {
    /// An empty pool with these bounds.
    pub fn new(proposals_max: usize, bytes_max: u64) -> Self {
        Self { inner: Mutex::default(), proposals_max, bytes_max }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Every change below leaves the pool whole, so a panic elsewhere cannot have broken it.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Enters a proposal of `bytes` encoded bytes.
    pub fn enter(&self, proposal: &Arc<Proposal>, id: ProposalId, bytes: u64) -> Entered {
        let mut inner = self.lock();
        let request = proposal.request_hash();
        let key = (proposal.account, proposal.idempotency_key.clone());
        let (sender, receiver) = oneshot::channel();
        if let Some(waiting) = inner.waiting.get_mut(&key) {
            if waiting.request != request {
                return Entered::Conflict;
            }
            waiting.clients.retain(|client| !client.is_closed());
            if waiting.clients.len() >= CLIENTS_MAX {
                return Entered::Full;
            }
            waiting.clients.push(sender);
            return Entered::Joined(waiting.id, receiver);
        }
        if inner.waiting.len() >= self.proposals_max || inner.bytes.saturating_add(bytes) > self.bytes_max {
            return Entered::Full;
        }
        inner.bytes += bytes;
        inner.by_id.insert(id, key.clone());
        let clients = vec![sender];
        let waiting =
            Waiting { proposal: proposal.clone(), id, request, bytes, since: Instant::now(), clients };
        inner.waiting.insert(key, waiting);
        Entered::New(receiver)
    }

    /// Takes out a proposal that could not be handed on; nobody is told.
    pub fn withdraw(&self, proposal: &Proposal) {
        self.lock().take(&(proposal.account, proposal.idempotency_key.clone()));
    }

    /// Tells those who wait what became of an executed proposal; the time since its submission if it was one of ours.
    pub fn resolve(&self, receipt: &Receipt, height: Height, certificate: &Arc<Certificate>) -> Option<f64> {
        let waiting = self.lock().take(&(receipt.account, receipt.idempotency_key.clone()))?;
        let resolved = match &receipt.outcome {
            Outcome::Duplicate { first } => Resolved {
                id: first.id,
                height: first.height,
                position: first.position,
                outcome: first.outcome.clone(),
                certificate: None,
                is_duplicate: true,
            },
            outcome => Resolved {
                id: receipt.id,
                height,
                position: receipt.position,
                outcome: outcome.clone(),
                certificate: Some(certificate.clone()),
                is_duplicate: false,
            },
        };
        for client in waiting.clients {
            // A client that has gone away needs no answer.
            let _ = client.send(Resolution::Executed(Box::new(resolved.clone())));
        }
        Some(waiting.since.elapsed().as_secs_f64())
    }

    /// Gives up on proposals that can no longer take effect at agreed time `now_ms`.
    pub fn expire(&self, now_ms: u64) {
        let mut inner = self.lock();
        let is_expired = |waiting: &Waiting| waiting.proposal.expires_at_ms <= now_ms;
        let keys: Vec<_> = inner
            .waiting
            .iter()
            .filter(|(_, waiting)| is_expired(waiting))
            .map(|(key, _)| key.clone())
            .collect();
        for key in keys {
            if let Some(waiting) = inner.take(&key) {
                for client in waiting.clients {
                    let _ = client.send(Resolution::Expired);
                }
            }
        }
    }

    /// The waiting proposal of an id.
    pub fn get(&self, id: &ProposalId) -> Option<Arc<Proposal>> {
        let inner = self.lock();
        let key = inner.by_id.get(id)?;
        inner.waiting.get(key).map(|waiting| waiting.proposal.clone())
    }

    /// Number and bytes of waiting proposals.
    pub fn size(&self) -> (u64, u64) {
        let inner = self.lock();
        (u64::try_from(inner.waiting.len()).unwrap_or(u64::MAX), inner.bytes)
    }

    /// The waiting proposals, at most `limit`.
    pub fn list(&self, limit: usize) -> Vec<(ProposalId, Arc<Proposal>)> {
        let inner = self.lock();
        inner.waiting.values().take(limit).map(|waiting| (waiting.id, waiting.proposal.clone())).collect()
    }
}

impl Inner {
    fn take(&mut self, key: &(AccountId, String)) -> Option<Waiting> {
        let waiting = self.waiting.remove(key)?;
        self.by_id.remove(&waiting.id);
        self.bytes = self.bytes.saturating_sub(waiting.bytes);
        Some(waiting)
    }
}
