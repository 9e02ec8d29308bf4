//! Proposals that were admitted here and are not executed yet, and those who wait for them.
//!
//! Keyed as the ledger keys them, by account and idempotency key, so that a client that tries again joins its first try.
//! A proposal stays until a block or its expiry decides about it, whatever became of the client. Until then it is this
//! node's to hand on: into a batch, or to a validator, and again should nothing come of it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use aegis_ledger::{Outcome, Receipt};
use aegis_rpc::api::ApiError;
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
    /// Another request took effect under its idempotency key, submitted elsewhere; it will never take effect itself.
    Conflict,
    /// It was not admitted.
    Refused(Box<ApiError>),
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
    /// Whether it is in a batch of this node, which is announced until it is ordered.
    is_sealed: bool,
    /// When to hand it on again; none while that is under way.
    again: Option<Instant>,
    /// How often it was handed on.
    tries: u32,
}

/// A proposal to hand on.
#[derive(Debug, Clone)]
pub struct Due {
    /// The proposal.
    pub proposal: Arc<Proposal>,
    /// Its encoded bytes.
    pub bytes: u64,
    /// How often it was handed on before.
    pub tries: u32,
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
            // Somebody misses it: what was handed on without a result is handed on again soon.
            waiting.again = waiting.again.map(|again| again.min(Instant::now()));
            return Entered::Joined(waiting.id, receiver);
        }
        if inner.waiting.len() >= self.proposals_max || inner.bytes.saturating_add(bytes) > self.bytes_max {
            return Entered::Full;
        }
        inner.bytes += bytes;
        inner.by_id.insert(id, key.clone());
        let clients = vec![sender];
        let waiting = Waiting {
            proposal: proposal.clone(),
            id,
            request,
            bytes,
            since: Instant::now(),
            clients,
            is_sealed: false,
            again: None,
            tries: 0,
        };
        inner.waiting.insert(key, waiting);
        Entered::New(receiver)
    }

    /// Takes out a proposal that is not to be ordered, and tells those who wait for it.
    pub fn withdraw(&self, proposal: &Proposal, resolution: &Resolution) {
        let taken = self.lock().take(&key_of(proposal));
        if let Some(waiting) = taken {
            waiting.tell(resolution);
        }
    }

    /// A proposal has gone into a batch of this node. Should the node stop to be a validator, it is handed on after
    /// `patience`.
    pub fn sealed(&self, proposal: &Proposal, patience: Duration) {
        if let Some(waiting) = self.lock().waiting.get_mut(&key_of(proposal)) {
            waiting.is_sealed = true;
            waiting.again = Some(Instant::now() + patience);
        }
    }

    /// A proposal was handed on, or could not be: it is handed on again after `pause`, should nothing come of it.
    pub fn handed_on(&self, proposal: &Proposal, pause: Duration) {
        if let Some(waiting) = self.lock().waiting.get_mut(&key_of(proposal)) {
            waiting.is_sealed = false;
            waiting.again = Some(Instant::now() + pause);
        }
    }

    /// Takes up to `limit` proposals to hand on now. Those in batches of this node stay there while it is a validator.
    pub fn take_due(&self, is_validator: bool, limit: usize) -> Vec<Due> {
        let now = Instant::now();
        let mut inner = self.lock();
        let is_due = |waiting: &&mut Waiting| {
            waiting.again.is_some_and(|again| again <= now) && !(is_validator && waiting.is_sealed)
        };
        let take = |waiting: &mut Waiting| {
            waiting.again = None;
            waiting.tries = waiting.tries.saturating_add(1);
            Due { proposal: waiting.proposal.clone(), bytes: waiting.bytes, tries: waiting.tries }
        };
        inner.waiting.values_mut().filter(is_due).take(limit).map(take).collect()
    }

    /// Tells those who wait what became of an executed proposal; the time since its submission if it was one of ours.
    pub fn resolve(&self, receipt: &Receipt, height: Height, certificate: &Arc<Certificate>) -> Option<f64> {
        let mut inner = self.lock();
        let key = (receipt.account, receipt.idempotency_key.clone());
        let waiting = inner.waiting.get(&key)?;
        let resolution = resolution(waiting, receipt, height, certificate)?;
        let waiting = inner.take(&key)?;
        drop(inner);
        Some(waiting.tell(&resolution).as_secs_f64())
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
                waiting.tell(&Resolution::Expired);
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

    /// The waiting proposals that `is_wanted`, at most `limit`.
    pub fn list(
        &self,
        limit: usize,
        is_wanted: impl Fn(&Proposal) -> bool,
    ) -> Vec<(ProposalId, Arc<Proposal>)> {
        let inner = self.lock();
        let wanted = inner.waiting.values().filter(|waiting| is_wanted(&waiting.proposal));
        wanted.take(limit).map(|waiting| (waiting.id, waiting.proposal.clone())).collect()
    }
}

fn key_of(proposal: &Proposal) -> (AccountId, String) {
    (proposal.account, proposal.idempotency_key.clone())
}

/// What an executed proposal means for one that waits under the same account and key; none when that is still open.
fn resolution(
    waiting: &Waiting,
    receipt: &Receipt,
    height: Height,
    certificate: &Arc<Certificate>,
) -> Option<Resolution> {
    let (request, resolved) = match &receipt.outcome {
        Outcome::Duplicate { first } => {
            let resolved = Resolved {
                id: first.id,
                height: first.height,
                position: first.position,
                outcome: first.outcome.clone(),
                certificate: None,
                is_duplicate: true,
            };
            (first.request, resolved)
        }
        // Such a rejection leaves no trace: it says nothing about another envelope under the key.
        Outcome::Rejected { code, .. } if !code.is_remembered() && receipt.id != waiting.id => return None,
        outcome => {
            let resolved = Resolved {
                id: receipt.id,
                height,
                position: receipt.position,
                outcome: outcome.clone(),
                certificate: Some(certificate.clone()),
                is_duplicate: false,
            };
            (receipt.request, resolved)
        }
    };
    let is_same = request == waiting.request;
    Some(if is_same { Resolution::Executed(Box::new(resolved)) } else { Resolution::Conflict })
}

impl Waiting {
    /// Tells all who wait, and returns how long this one has waited.
    fn tell(self, resolution: &Resolution) -> Duration {
        for client in self.clients {
            // A client that has gone away needs no answer.
            let _ = client.send(resolution.clone());
        }
        self.since.elapsed()
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

#[cfg(test)]
mod tests {
    use aegis_ledger::{FirstResult, RejectCode};
    use aegis_types::{Domain, Epoch, Keypair, ProposalBody, View, VoteContent, VoteKind};

    use super::*;

    fn put(key: &str, value: &str, expires_at_ms: u64) -> Arc<Proposal> {
        let domain = Domain::new("test".parse().unwrap(), Hash::ZERO);
        let body = ProposalBody::KvPut { key: "a".into(), value: value.into() };
        Arc::new(Proposal::sign(body, expires_at_ms, key, &Keypair::from_seed(&[1; 32]), &domain).unwrap())
    }

    fn receipt(proposal: &Proposal, outcome: Outcome) -> Receipt {
        Receipt {
            id: proposal.id(),
            account: proposal.account,
            kind: proposal.kind(),
            idempotency_key: proposal.idempotency_key.clone(),
            position: 0,
            outcome,
            request: proposal.request_hash(),
            events: 0..0,
        }
    }

    fn resolve(pool: &Mempool, receipt: &Receipt) -> bool {
        let content = VoteContent {
            kind: VoteKind::Commit,
            epoch: Epoch(0),
            view: View(0),
            height: Height(1),
            digest: Hash::ZERO,
        };
        let certificate = Arc::new(Certificate { content, signatures: Vec::new() });
        pool.resolve(receipt, Height(1), &certificate).is_some()
    }

    fn enter(pool: &Mempool, proposal: &Arc<Proposal>) -> oneshot::Receiver<Resolution> {
        match pool.enter(proposal, proposal.id(), 1) {
            Entered::New(receiver) | Entered::Joined(_, receiver) => receiver,
            refused => panic!("{refused:?}"),
        }
    }

    #[test]
    fn a_client_is_never_told_the_outcome_of_another_request_under_its_key() {
        let pool = Mempool::new(9, 9);
        let (mine, others) = (put("k", "mine", 9), put("k", "other", 9));
        let mut told = enter(&pool, &mine);
        assert!(resolve(&pool, &receipt(&others, Outcome::applied())));
        assert!(matches!(told.try_recv().unwrap(), Resolution::Conflict));

        let mut told = enter(&pool, &mine);
        let first = FirstResult {
            id: others.id(),
            height: Height(1),
            position: 0,
            outcome: Outcome::applied(),
            request: others.request_hash(),
        };
        assert!(resolve(&pool, &receipt(&mine, Outcome::Duplicate { first: Box::new(first) })));
        assert!(matches!(told.try_recv().unwrap(), Resolution::Conflict));
    }

    #[test]
    fn an_expired_copy_of_a_request_does_not_end_the_wait_for_a_fresh_one() {
        let pool = Mempool::new(9, 9);
        let (fresh, stale) = (put("k", "same", 9), put("k", "same", 1));
        let mut told = enter(&pool, &fresh);
        let expired = Outcome::rejected(RejectCode::Expired);
        assert!(!resolve(&pool, &receipt(&stale, expired.clone())));
        assert!(told.try_recv().is_err());
        assert!(resolve(&pool, &receipt(&stale, Outcome::applied())), "the same request took effect");
        assert!(matches!(told.try_recv().unwrap(), Resolution::Executed(_)));
        let mut told = enter(&pool, &stale);
        assert!(resolve(&pool, &receipt(&stale, expired)));
        assert!(matches!(told.try_recv().unwrap(), Resolution::Executed(_)));
    }

    #[test]
    fn what_was_handed_on_without_a_result_is_handed_on_again() {
        let pool = Mempool::new(9, 9);
        let one = put("k", "v", 9);
        drop(enter(&pool, &one));
        assert!(pool.take_due(false, 9).is_empty(), "it is being handed on");
        pool.handed_on(&one, Duration::ZERO);
        assert_eq!(pool.take_due(false, 9).len(), 1);
        assert!(pool.take_due(false, 9).is_empty(), "it is being handed on again");
        pool.handed_on(&one, Duration::from_secs(600));
        assert!(pool.take_due(false, 9).is_empty());
        drop(enter(&pool, &one));
        assert_eq!(pool.take_due(false, 9)[0].tries, 2, "a client that tries again need not wait as long");

        pool.sealed(&one, Duration::ZERO);
        assert!(pool.take_due(true, 9).is_empty(), "its batch is announced");
        assert_eq!(pool.take_due(false, 9).len(), 1, "nobody orders batches of who is no validator");
    }

    #[test]
    fn a_withdrawn_proposal_tells_all_who_wait() {
        let pool = Mempool::new(9, 9);
        let one = put("k", "v", 9);
        let mut clients = [enter(&pool, &one), enter(&pool, &one)];
        pool.withdraw(&one, &Resolution::Expired);
        assert!(clients.iter_mut().all(|client| matches!(client.try_recv(), Ok(Resolution::Expired))));
        assert_eq!(pool.size(), (0, 0));
    }
}
