//! The trait that a node implements.

use aegis_types::{Epoch, Height, ProposalId};
use async_trait::async_trait;
use futures::stream::BoxStream;

use super::agreed::{EvidenceInfo, ParameterInfo};
use super::block::BlockDetail;
use super::consistency::Consistency;
use super::error::ApiError;
use super::health::{NetworkStatus, Readiness};
use super::kv::KvEntry;
use super::metrics::{IntegrationMetrics, NetworkMetrics};
use super::page::{Page, PageRequest};
use super::peer::Peer;
use super::proof::{Handovers, KvProof};
use super::proposal::{ProposalDetail, ProposalFilter, ProposalSummary};
use super::status::Status;
use super::submit::{Submission, Submit, Wait};
use super::validators::Validators;
use super::watch::{WatchEvent, WatchRequest};
use super::weights::{Weights, WeightsExplained};

/// Events in ascending order of height. An error is the last item.
pub type WatchStream = BoxStream<'static, Result<WatchEvent, ApiError>>;

/// What a node can be asked.
///
/// # What an implementation may rely on
/// The surfaces have checked, before they call: the caller's right to the call (token, origin), page limits, bounds of
/// times, keys, and bodies that the node is to sign. Signed proposals arrive as the client sent them. A call whose client
/// has gone is dropped at its next await point; a proposal that was admitted by then stays admitted. The surfaces bound how
/// many calls wait, not what a call leaves behind: work that goes on after its call is the implementation's to bound.
///
/// # What an implementation owes
/// Bounded work and memory per call (a page may have fewer items than its limit), [`ErrorCode::Busy`](super::ErrorCode::Busy) instead of queues that grow, and
/// [`ErrorCode::OutcomeUnknown`](super::ErrorCode::OutcomeUnknown) when `timeout_ms` passes before the awaited state is reached.
#[async_trait]
pub trait NodeApi: Send + Sync + 'static {
    /// Where the node stands.
    ///
    /// # Errors
    /// `unavailable` while the node starts or stops.
    async fn status(&self) -> Result<Status, ApiError>;

    /// The connected peers.
    ///
    /// # Errors
    /// `unavailable` while the node starts or stops.
    async fn peers(&self) -> Result<Vec<Peer>, ApiError>;

    /// The epoch's validators, as this node sees them.
    ///
    /// # Errors
    /// `unavailable` while the node starts or stops.
    async fn validators(&self) -> Result<Validators, ApiError>;

    /// The agreed parameters, in order of name.
    ///
    /// # Errors
    /// `unavailable` while the node starts or stops, and as [`NodeApi::kv_get`] for the consistency.
    async fn parameters(&self, consistency: Consistency) -> Result<Vec<ParameterInfo>, ApiError>;

    /// The evidence on record, in order of epoch and validator. `page.limit` has been checked.
    ///
    /// # Errors
    /// `invalid_argument` for a cursor that this node did not issue.
    async fn evidence(&self, page: PageRequest) -> Result<Page<EvidenceInfo>, ApiError>;

    /// Submits a proposal, and waits as asked. The same account and idempotency key give the first submission's result.
    ///
    /// # Errors
    /// `invalid_argument`, `unknown_kind`, `bad_signature`, `too_large`, `expired`: the proposal can never take
    /// effect. `expiry_too_far`: sign it again to expire sooner. `conflict`: the key was used for another request. `busy`, `not_ready`: it was not admitted, try later.
    /// `outcome_unknown`: the time was up.
    async fn submit(&self, request: Submit) -> Result<Submission, ApiError>;

    /// Votes on an open proposal with the node's own key.
    ///
    /// # Errors
    /// `conflict`: it is no longer open.
    /// `not_ready`: the node is no validator. And those of [`NodeApi::submit`].
    async fn vote(
        &self,
        id: ProposalId,
        approve: bool,
        wait: Wait,
        timeout_ms: u64,
    ) -> Result<Submission, ApiError>;

    /// Everything that is known about a proposal.
    ///
    /// # Errors
    /// `not_found`, or `pruned` when it was dropped from this node's history. `invalid_argument` for certified state, which
    /// proposals are no part of; `unavailable` as for [`NodeApi::kv_get`].
    async fn proposal(&self, id: ProposalId, consistency: Consistency) -> Result<ProposalDetail, ApiError>;

    /// Proposals that pass the filter, newest first. `page.limit` has been checked.
    ///
    /// # Errors
    /// `invalid_argument` for a cursor that this node did not issue.
    async fn proposals(
        &self,
        filter: ProposalFilter,
        page: PageRequest,
    ) -> Result<Page<ProposalSummary>, ApiError>;

    /// A replicated value.
    ///
    /// # Errors
    /// `not_found`, or `invalid_argument` for a key that cannot exist. `unavailable`: no quorum confirmed a linearizable
    /// read, or nothing has been certified since the node started.
    async fn kv_get(&self, key: &str, consistency: Consistency) -> Result<KvEntry, ApiError>;

    /// Replicated values whose keys start with `prefix`, in ascending order of key. `page.limit` has been checked.
    ///
    /// # Errors
    /// `invalid_argument` for a cursor that this node did not issue; `unavailable` as for [`NodeApi::kv_get`].
    async fn kv_list(
        &self,
        prefix: &str,
        page: PageRequest,
        consistency: Consistency,
    ) -> Result<Page<KvEntry>, ApiError>;

    /// What a key has in a certified state, with the proof of it; also of a key that does not exist. A linearizable one
    /// proves nothing that a change acknowledged before the call has replaced: it waits until that is certified.
    ///
    /// # Errors
    /// `not_ready` while no state is certified, or none that is new enough; `too_large` for a key whose proof would be;
    /// `invalid_argument` for one that cannot exist, and for what is only local; `unavailable` as for [`NodeApi::kv_get`].
    async fn kv_proof(&self, key: &str, consistency: Consistency) -> Result<KvProof, ApiError>;

    /// How `from` and the epochs after it ended, at most [`Handover::PAGE_MAX`](aegis_types::Handover::PAGE_MAX) of them;
    /// none when `from` has not ended.
    ///
    /// # Errors
    /// `unavailable` while the node starts or stops.
    async fn handovers(&self, from: Epoch) -> Result<Handovers, ApiError>;

    /// A committed block; the newest one for `None`.
    ///
    /// # Errors
    /// `not_found` for a height that is not committed yet or is 0, `pruned` for one that this node no longer holds.
    async fn block(&self, height: Option<Height>) -> Result<BlockDetail, ApiError>;

    /// Changes as they are executed, in ascending order of height.
    ///
    /// With `from_height` the stream starts with everything of that height, without it at the next block. The stream is
    /// read at the client's pace; an implementation that cannot hold back ends it with
    /// [`ApiError::slow_reader`], which carries the height to resume from.
    ///
    /// # Errors
    /// `pruned` when `from_height` lies before what this node holds, `invalid_argument` when it lies ahead of the chain.
    async fn watch(&self, request: WatchRequest) -> Result<WatchStream, ApiError>;

    /// Whether the node can serve reads and take proposals now. Cheap: it is asked every second.
    async fn readiness(&self) -> Readiness;

    /// Telemetry in the Prometheus text format.
    fn telemetry(&self) -> String;

    /// The network in a few figures.
    ///
    /// # Errors
    /// `unavailable` while the node starts or stops.
    async fn network_status(&self) -> Result<NetworkStatus, ApiError>;

    /// This node's statistics and those of the network as it sees them.
    ///
    /// # Errors
    /// `unavailable` while the node starts or stops.
    async fn node_metrics(&self) -> Result<IntegrationMetrics, ApiError>;

    /// The values of all nodes, from their newest signed reports. `liars` is the share of observers that the bounds on the
    /// observers' values allow to lie; it has been checked.
    ///
    /// # Errors
    /// `unavailable` while the node starts or stops.
    async fn network_metrics(&self, liars: f64) -> Result<NetworkMetrics, ApiError>;

    /// The current epoch's weights and what they trade.
    ///
    /// # Errors
    /// `unavailable` while the node starts or stops.
    async fn weights(&self) -> Result<Weights, ApiError>;

    /// How the weights of an epoch came about.
    ///
    /// # Errors
    /// `not_found` for an epoch whose weights were not measured or are no longer kept.
    async fn explain_weights(&self, epoch: Epoch) -> Result<WeightsExplained, ApiError>;
}
