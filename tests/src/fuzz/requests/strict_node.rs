//! A node that knows nothing and insists that every request is within its bounds.

use aegis_rpc::{
    ApiError, BlockDetail, Consistency, ErrorCode, EvidenceInfo, Handovers, KvEntry, KvProof, NetworkStatus,
    NodeApi, Page, PageRequest, ParameterInfo, Payload, Peer, ProposalDetail, ProposalFilter,
    ProposalSummary, Readiness, Status, Submission, Submit, Validators, Wait, WatchRequest, WatchStream,
};
use aegis_types::{Epoch, Height, Limits, ProposalId};
use async_trait::async_trait;

/// See the module.
#[derive(Debug)]
pub struct StrictNode;

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
        nothing()
    }

    async fn peers(&self) -> Result<Vec<Peer>, ApiError> {
        nothing()
    }

    async fn validators(&self) -> Result<Validators, ApiError> {
        nothing()
    }

    async fn parameters(&self, _consistency: Consistency) -> Result<Vec<ParameterInfo>, ApiError> {
        nothing()
    }

    async fn evidence(&self, page: PageRequest) -> Result<Page<EvidenceInfo>, ApiError> {
        check_page(&page);
        nothing()
    }

    async fn submit(&self, request: Submit) -> Result<Submission, ApiError> {
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
        check_timeout(timeout_ms);
        nothing()
    }

    async fn proposal(&self, _id: ProposalId, _consistency: Consistency) -> Result<ProposalDetail, ApiError> {
        nothing()
    }

    async fn proposals(
        &self,
        _filter: ProposalFilter,
        page: PageRequest,
    ) -> Result<Page<ProposalSummary>, ApiError> {
        check_page(&page);
        nothing()
    }

    async fn kv_get(&self, key: &str, _consistency: Consistency) -> Result<KvEntry, ApiError> {
        assert!((1..=Limits::KEY_BYTES).contains(&key.len()), "{key}");
        nothing()
    }

    async fn kv_list(
        &self,
        prefix: &str,
        page: PageRequest,
        _consistency: Consistency,
    ) -> Result<Page<KvEntry>, ApiError> {
        assert!(prefix.len() <= Limits::KEY_BYTES, "{prefix}");
        check_page(&page);
        nothing()
    }

    async fn kv_proof(&self, key: &str) -> Result<KvProof, ApiError> {
        assert!((1..=Limits::KEY_BYTES).contains(&key.len()), "{key}");
        nothing()
    }

    async fn handovers(&self, _from: Epoch) -> Result<Handovers, ApiError> {
        nothing()
    }

    async fn block(&self, _height: Option<Height>) -> Result<BlockDetail, ApiError> {
        nothing()
    }

    async fn watch(&self, request: WatchRequest) -> Result<WatchStream, ApiError> {
        assert!(!request.topics.is_empty());
        assert!(request.key_prefix.is_none_or(|prefix| prefix.len() <= Limits::KEY_BYTES));
        nothing()
    }

    async fn readiness(&self) -> Readiness {
        Readiness::ready()
    }

    fn telemetry(&self) -> String {
        String::new()
    }

    async fn network_status(&self) -> Result<NetworkStatus, ApiError> {
        nothing()
    }
}
