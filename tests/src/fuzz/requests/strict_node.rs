//! A node that knows nothing and insists that every request is within its bounds.

use std::collections::BTreeSet;
use std::sync::Mutex;

use aegis_rpc::{
    ApiError, BlockDetail, Consistency, ErrorCode, EvidenceInfo, Handovers, IntegrationMetrics, KvEntry,
    KvProof, NetworkMetrics, NetworkStatus, NodeApi, Page, PageRequest, ParameterInfo, Payload, Peer,
    ProposalDetail, ProposalFilter, ProposalSummary, Readiness, Status, Submission, Submit, Validators, Wait,
    WatchRequest, WatchStream, Weights, WeightsExplained,
};
use aegis_types::{Epoch, Height, Limits, ProposalId};
use async_trait::async_trait;

/// See the module.
#[derive(Debug, Default)]
pub struct StrictNode {
    reached: Mutex<BTreeSet<&'static str>>,
}

impl StrictNode {
    /// The operations that were asked for.
    #[cfg(test)]
    pub fn reached(&self) -> Vec<&'static str> {
        self.reached.lock().expect("nobody panics with the lock").iter().copied().collect()
    }

    fn note(&self, operation: &'static str) {
        self.reached.lock().expect("nobody panics with the lock").insert(operation);
    }
}

fn nothing<T>() -> Result<T, ApiError> {
    Err(ApiError::new(ErrorCode::NotFound, "this node knows nothing"))
}

fn check_page(page: &PageRequest) {
    assert!((1..=PageRequest::LIMIT_MAX).contains(&page.limit), "{page:?}");
    assert!(page.cursor.as_ref().is_none_or(|cursor| cursor.len() <= PageRequest::CURSOR_BYTES_MAX));
}

fn check_timeout(timeout_ms: u64) {
    assert!((1..=Submit::TIMEOUT_MS_MAX).contains(&timeout_ms), "{timeout_ms}");
}

#[async_trait]
impl NodeApi for StrictNode {
    async fn status(&self) -> Result<Status, ApiError> {
        self.note("status");
        nothing()
    }

    async fn peers(&self) -> Result<Vec<Peer>, ApiError> {
        self.note("peers");
        nothing()
    }

    async fn validators(&self) -> Result<Validators, ApiError> {
        self.note("validators");
        nothing()
    }

    async fn parameters(&self, _consistency: Consistency) -> Result<Vec<ParameterInfo>, ApiError> {
        self.note("parameters");
        nothing()
    }

    async fn evidence(&self, page: PageRequest) -> Result<Page<EvidenceInfo>, ApiError> {
        self.note("evidence");
        check_page(&page);
        nothing()
    }

    async fn submit(&self, request: Submit) -> Result<Submission, ApiError> {
        self.note("submit");
        check_timeout(request.timeout_ms);
        match request.payload {
            Payload::Signed(encoding) => assert!(encoding.len() <= 256 * 1024),
            Payload::ByNode { body, idempotency_key, expires_in_ms } => {
                assert_eq!(body.check(), Ok(()), "a body reaches the node unchecked");
                assert!(idempotency_key.is_some(), "a node always gets an idempotency key");
                assert!(expires_in_ms.is_none_or(|chosen| (1..=Submit::EXPIRY_MS_MAX).contains(&chosen)));
            }
        }
        nothing()
    }

    async fn vote(
        &self,
        _id: ProposalId,
        _approve: bool,
        _wait: Wait,
        timeout_ms: u64,
    ) -> Result<Submission, ApiError> {
        self.note("vote");
        check_timeout(timeout_ms);
        nothing()
    }

    async fn proposal(&self, _id: ProposalId, _consistency: Consistency) -> Result<ProposalDetail, ApiError> {
        self.note("proposal");
        nothing()
    }

    async fn proposals(
        &self,
        _filter: ProposalFilter,
        page: PageRequest,
    ) -> Result<Page<ProposalSummary>, ApiError> {
        self.note("proposals");
        check_page(&page);
        nothing()
    }

    async fn kv_get(&self, key: &str, _consistency: Consistency) -> Result<KvEntry, ApiError> {
        self.note("kv_get");
        assert!((1..=Limits::KEY_BYTES).contains(&key.len()), "{key}");
        nothing()
    }

    async fn kv_list(
        &self,
        prefix: &str,
        page: PageRequest,
        _consistency: Consistency,
    ) -> Result<Page<KvEntry>, ApiError> {
        self.note("kv_list");
        assert!(prefix.len() <= Limits::KEY_BYTES, "{prefix}");
        check_page(&page);
        nothing()
    }

    async fn kv_proof(&self, key: &str, _consistency: Consistency) -> Result<KvProof, ApiError> {
        self.note("kv_proof");
        assert!((1..=Limits::KEY_BYTES).contains(&key.len()), "{key}");
        nothing()
    }

    async fn handovers(&self, _from: Epoch) -> Result<Handovers, ApiError> {
        self.note("handovers");
        nothing()
    }

    async fn block(&self, _height: Option<Height>) -> Result<BlockDetail, ApiError> {
        self.note("block");
        nothing()
    }

    async fn watch(&self, request: WatchRequest) -> Result<WatchStream, ApiError> {
        self.note("watch");
        assert!(!request.topics.is_empty());
        assert!(request.key_prefix.is_none_or(|prefix| prefix.len() <= Limits::KEY_BYTES));
        nothing()
    }

    async fn readiness(&self) -> Readiness {
        self.note("readiness");
        Readiness::ready()
    }

    fn telemetry(&self) -> String {
        self.note("telemetry");
        String::new()
    }

    async fn network_status(&self) -> Result<NetworkStatus, ApiError> {
        self.note("network_status");
        nothing()
    }

    async fn node_metrics(&self) -> Result<IntegrationMetrics, ApiError> {
        self.note("node_metrics");
        nothing()
    }

    async fn network_metrics(&self, liars: f64) -> Result<NetworkMetrics, ApiError> {
        self.note("network_metrics");
        assert!((0.0..1.0).contains(&liars), "{liars}");
        nothing()
    }

    async fn weights(&self) -> Result<Weights, ApiError> {
        self.note("weights");
        nothing()
    }

    async fn explain_weights(&self, _epoch: Epoch) -> Result<WeightsExplained, ApiError> {
        self.note("explain_weights");
        nothing()
    }
}
