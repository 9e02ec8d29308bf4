//! The operations as both surfaces call them: rights and bounds, then the node.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use aegis_types::{Epoch, Height, Limits, ProposalId};
use tokio::sync::{Semaphore, TryAcquireError, watch};

use super::entry::Caller;
use super::pace::paced;
use crate::api::submit::check_timeout;
use crate::api::{
    ApiError, BlockDetail, Consistency, ErrorCode, EvidenceInfo, Handovers, IntegrationMetrics, KvEntry,
    KvProof, NetworkMetrics, NetworkStatus, NodeApi, Page, PageRequest, ParameterInfo, Payload, Peer,
    ProposalDetail, ProposalFilter, ProposalSummary, Readiness, Status, Submission, Submit, Validators,
    VoteRequest, WatchRequest, WatchStream, Weights, WeightsExplained,
};
use crate::config::RpcLimits;

/// What a node needs, beyond the time that the client asked for, to say itself that the time is up.
const GRACE: Duration = Duration::from_secs(2);

/// When a client that met a limit may try again.
const RETRY_AFTER_MS: u64 = 500;

/// Who may read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reads {
    /// Anyone who reaches the server.
    Open,
    /// Who has the token.
    NeedToken,
}

/// The node behind rights and bounds.
pub(crate) struct Operations {
    api: Arc<dyn NodeApi>,
    reads: Reads,
    limits: RpcLimits,
    submissions: Semaphore,
    watchers: Arc<Semaphore>,
    stopping: watch::Receiver<bool>,
}

impl Operations {
    /// Puts bounds around a node. Watchers end when `stopping` becomes true.
    pub(crate) fn new(
        api: Arc<dyn NodeApi>,
        reads: Reads,
        limits: RpcLimits,
        stopping: watch::Receiver<bool>,
    ) -> Self {
        let submissions = Semaphore::new(limits.submissions.min(Semaphore::MAX_PERMITS));
        let watchers = Arc::new(Semaphore::new(limits.watchers.min(Semaphore::MAX_PERMITS)));
        Self { api, reads, limits, submissions, watchers, stopping }
    }

    pub(crate) fn limits(&self) -> &RpcLimits {
        &self.limits
    }

    pub(crate) async fn status(&self, caller: Caller) -> Result<Status, ApiError> {
        self.read(caller, self.api.status()).await
    }

    pub(crate) async fn peers(&self, caller: Caller) -> Result<Vec<Peer>, ApiError> {
        self.read(caller, self.api.peers()).await
    }

    pub(crate) async fn validators(&self, caller: Caller) -> Result<Validators, ApiError> {
        self.read(caller, self.api.validators()).await
    }

    pub(crate) async fn parameters(
        &self,
        caller: Caller,
        consistency: Consistency,
    ) -> Result<Vec<ParameterInfo>, ApiError> {
        self.read(caller, self.api.parameters(consistency)).await
    }

    pub(crate) async fn evidence(
        &self,
        caller: Caller,
        page: PageRequest,
    ) -> Result<Page<EvidenceInfo>, ApiError> {
        page.check()?;
        self.read(caller, self.api.evidence(page)).await
    }

    pub(crate) async fn node_metrics(&self, caller: Caller) -> Result<IntegrationMetrics, ApiError> {
        self.read(caller, self.api.node_metrics()).await
    }

    pub(crate) async fn network_metrics(
        &self,
        caller: Caller,
        liars: f64,
    ) -> Result<NetworkMetrics, ApiError> {
        if !(0.0..1.0).contains(&liars) {
            return Err(ApiError::invalid("liars", "give a share of at least 0 and below 1, such as 0.1"));
        }
        self.read(caller, self.api.network_metrics(liars)).await
    }

    pub(crate) async fn weights(&self, caller: Caller) -> Result<Weights, ApiError> {
        self.read(caller, self.api.weights()).await
    }

    pub(crate) async fn explain_weights(
        &self,
        caller: Caller,
        epoch: Epoch,
    ) -> Result<WeightsExplained, ApiError> {
        self.read(caller, self.api.explain_weights(epoch)).await
    }

    pub(crate) async fn network_status(&self, caller: Caller) -> Result<NetworkStatus, ApiError> {
        self.read(caller, self.api.network_status()).await
    }

    pub(crate) async fn proposal(
        &self,
        caller: Caller,
        id: ProposalId,
        consistency: Consistency,
    ) -> Result<ProposalDetail, ApiError> {
        self.read(caller, self.api.proposal(id, consistency)).await
    }

    pub(crate) async fn proposals(
        &self,
        caller: Caller,
        filter: ProposalFilter,
        page: PageRequest,
    ) -> Result<Page<ProposalSummary>, ApiError> {
        page.check()?;
        self.read(caller, self.api.proposals(filter, page)).await
    }

    pub(crate) async fn kv_get(
        &self,
        caller: Caller,
        key: &str,
        consistency: Consistency,
    ) -> Result<KvEntry, ApiError> {
        aegis_types::proposal::check_key(key)?;
        self.read(caller, self.api.kv_get(key, consistency)).await
    }

    pub(crate) async fn kv_list(
        &self,
        caller: Caller,
        prefix: &str,
        page: PageRequest,
        consistency: Consistency,
    ) -> Result<Page<KvEntry>, ApiError> {
        page.check()?;
        if prefix.len() > Limits::KEY_BYTES {
            return Err(ApiError::invalid(
                "prefix",
                format_args!("a key has at most {} bytes", Limits::KEY_BYTES),
            ));
        }
        self.read(caller, self.api.kv_list(prefix, page, consistency)).await
    }

    pub(crate) async fn kv_proof(
        &self,
        caller: Caller,
        key: &str,
        consistency: Consistency,
    ) -> Result<KvProof, ApiError> {
        aegis_types::proposal::check_key(key)?;
        if consistency == Consistency::Local {
            let reason = "what only one node has executed has no proof; use `linearizable` or `certified`";
            return Err(ApiError::invalid("consistency", reason));
        }
        self.read(caller, self.api.kv_proof(key, consistency)).await
    }

    pub(crate) async fn handovers(&self, caller: Caller, from: Epoch) -> Result<Handovers, ApiError> {
        self.read(caller, self.api.handovers(from)).await
    }

    pub(crate) async fn block(
        &self,
        caller: Caller,
        height: Option<Height>,
    ) -> Result<BlockDetail, ApiError> {
        self.read(caller, self.api.block(height)).await
    }

    /// A proposal that an account signed is open to all; the node's signature needs the token.
    pub(crate) async fn submit(&self, caller: Caller, mut submit: Submit) -> Result<Submission, ApiError> {
        submit.check()?;
        let mut key_for_retry = None;
        if let Payload::ByNode { idempotency_key, .. } = &mut submit.payload {
            caller.need_token("a proposal that the node signs")?;
            let key = idempotency_key.get_or_insert_with(|| hex::encode(rand::random::<[u8; 16]>()));
            key_for_retry = Some(key.clone());
        }
        let timeout_ms = submit.timeout_ms;
        let result = self.write(timeout_ms, self.api.submit(submit)).await;
        match (result, key_for_retry) {
            (Err(error), Some(key)) if error.code == ErrorCode::OutcomeUnknown => {
                let message = format!("{} (the idempotency key is `{key}`)", error.message);
                Err(ApiError { message, ..error })
            }
            (result, _) => result,
        }
    }

    /// Votes with the node's key, so the token is needed.
    pub(crate) async fn vote(
        &self,
        caller: Caller,
        id: ProposalId,
        request: VoteRequest,
    ) -> Result<Submission, ApiError> {
        let VoteRequest { approve, wait, timeout_ms } = request;
        check_timeout(timeout_ms)?;
        caller.need_token("a vote, which the node signs,")?;
        self.write(timeout_ms, self.api.vote(id, approve, wait, timeout_ms)).await
    }

    pub(crate) async fn watch(&self, caller: Caller, request: WatchRequest) -> Result<WatchStream, ApiError> {
        if request.topics.is_empty() {
            return Err(ApiError::invalid("topics", "name at least one"));
        }
        let slot = Arc::clone(&self.watchers).try_acquire_owned().map_err(|_| busy("too many watchers"))?;
        let events = self.read(caller, self.api.watch(request)).await?;
        Ok(paced(events, self.limits.watch_stall, slot, self.stopping.clone()))
    }

    /// Open to all: load balancers and supervisors have no token.
    pub(crate) async fn readiness(&self) -> Readiness {
        if *self.stopping.borrow() {
            return Readiness::not_ready(vec!["the node is stopping".to_owned()]);
        }
        let limit = self.limits.request_timeout;
        let late = || Readiness::not_ready(vec![format!("the node did not answer within {limit:?}")]);
        tokio::time::timeout(limit, self.api.readiness()).await.unwrap_or_else(|_| late())
    }

    pub(crate) fn telemetry(&self, caller: Caller) -> Result<String, ApiError> {
        self.check_read(caller)?;
        Ok(self.api.telemetry())
    }

    fn check_read(&self, caller: Caller) -> Result<(), ApiError> {
        match self.reads {
            Reads::Open => Ok(()),
            Reads::NeedToken => caller.need_token("reading from another machine"),
        }
    }

    async fn read<T>(
        &self,
        caller: Caller,
        call: impl Future<Output = Result<T, ApiError>>,
    ) -> Result<T, ApiError> {
        self.check_read(caller)?;
        let limit = self.limits.request_timeout;
        tokio::time::timeout(limit, call).await.unwrap_or_else(|_| {
            let message = format!("the node did not answer within {limit:?}; try again");
            Err(ApiError::new(ErrorCode::Unavailable, message))
        })
    }

    async fn write(
        &self,
        timeout_ms: u64,
        call: impl Future<Output = Result<Submission, ApiError>>,
    ) -> Result<Submission, ApiError> {
        let _place = self.submissions.try_acquire().map_err(|error| match error {
            TryAcquireError::NoPermits | TryAcquireError::Closed => busy("too many submissions are waiting"),
        })?;
        let limit = Duration::from_millis(timeout_ms).saturating_add(GRACE);
        tokio::time::timeout(limit, call).await.unwrap_or_else(|_| Err(ApiError::outcome_unknown(timeout_ms)))
    }
}

fn busy(reason: &str) -> ApiError {
    ApiError::busy(reason, RETRY_AFTER_MS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake_node::FakeNode;

    #[tokio::test]
    async fn reads_from_other_machines_need_the_token_and_signed_proposals_do_not() {
        let (_stop, stopping) = watch::channel(false);
        let node: Arc<dyn NodeApi> = Arc::new(FakeNode::new());
        let operations = Operations::new(node, Reads::NeedToken, RpcLimits::default(), stopping);
        let refused = operations.status(Caller::Anonymous).await.unwrap_err();
        assert_eq!(refused.code, ErrorCode::Unauthenticated);
        assert!(operations.telemetry(Caller::Anonymous).is_err());
        operations.status(Caller::TokenHolder).await.unwrap();
        operations.submit(Caller::Anonymous, Submit::signed(vec![1])).await.unwrap();
        assert!(operations.readiness().await.ready);
    }
}
