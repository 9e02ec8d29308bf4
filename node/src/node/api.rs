//! The node's side of the programming interface.
//!
//! Reads come from agreed state and the indexes as they are after the newest executed block; a linearizable one first waits
//! until that block is known to be new enough. Each item is read whole; a page is no snapshot: blocks may be executed while
//! it is read, so its items are of its `read_height` or later. What reads cost is bounded by their page, and by how many go
//! on at once. The validators and all that says where the node stands are as this node sees them.

mod agreed;
mod blocks;
mod fresh;
mod kv;
mod metrics;
mod proofs;
mod proposals;
mod standing;
mod submit;
mod watch;
mod weights;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use aegis_rpc::api::{
    ApiError, BlockDetail, Consistency, ErrorCode, EvidenceInfo, Handovers, IntegrationMetrics, KvEntry,
    KvProof, NetworkMetrics, NetworkStatus, NodeApi, Page, PageRequest, ParameterInfo, Peer, ProposalDetail,
    ProposalFilter, ProposalSummary, Readiness, Status, Submission, Submit, Validators, Wait, WatchRequest,
    WatchStream, Weights, WeightsExplained,
};
use aegis_types::{Epoch, Height, ProposalId, ValidatorId};
use async_trait::async_trait;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::context::NodeContext;
use super::read_index::Unconfirmed;

/// Reads that go on at once. They share their threads with agreement, and a block that is read is decoded as a whole.
const READS_MAX: usize = 16;
/// Proofs that wait for the block that certifies them. Each is a request that is held; more are told to come again.
const WAITING_PROOFS_MAX: usize = 256;
/// How long a read waits for others to end before it is refused.
const READ_PATIENCE: Duration = Duration::from_secs(2);
/// When a reader that found no room should try again.
const READ_RETRY_MS: u64 = 500;

/// The interface of a running node.
#[derive(Clone)]
pub struct Api {
    node: Arc<NodeContext>,
    started: Instant,
    /// Names that the genesis file gives to validators; decoration.
    names: BTreeMap<ValidatorId, String>,
    /// Where the interface is served; known once it is.
    endpoint: Arc<OnceLock<Endpoint>>,
    data: std::path::PathBuf,
    reads: Arc<Semaphore>,
    waiting_proofs: Arc<Semaphore>,
}

/// Where clients find the interface.
#[derive(Debug, Clone)]
pub struct Endpoint {
    /// Address that the server listens on.
    pub address: SocketAddr,
    /// `http` or `https`.
    pub scheme: &'static str,
}

impl Api {
    /// The interface of `node`.
    pub fn new(
        node: Arc<NodeContext>,
        names: BTreeMap<ValidatorId, String>,
        endpoint: Arc<OnceLock<Endpoint>>,
        data: std::path::PathBuf,
    ) -> Self {
        let reads = Arc::new(Semaphore::new(READS_MAX));
        let waiting_proofs = Arc::new(Semaphore::new(WAITING_PROOFS_MAX));
        Self { node, started: Instant::now(), names, endpoint, data, reads, waiting_proofs }
    }

    /// Waits until the executed state is as fresh as a read wants it.
    async fn settle(&self, consistency: Consistency) -> Result<(), ApiError> {
        match consistency {
            Consistency::Linearizable => {
                self.node.reads.confirm().await.map(drop).map_err(|reason| self.unconfirmed(reason))
            }
            Consistency::Certified | Consistency::Local => Ok(()),
        }
    }

    fn unconfirmed(&self, reason: Unconfirmed) -> ApiError {
        match reason {
            Unconfirmed::Busy => ApiError::busy(reason, READ_RETRY_MS),
            Unconfirmed::NoQuorum | Unconfirmed::Apart => {
                self.node.telemetry.reads_unconfirmed.inc();
                let message = format!(
                    "{reason}: try again, or read with consistency `certified` or `local` what may be out of date"
                );
                ApiError::new(ErrorCode::Unavailable, message)
            }
        }
    }

    /// Runs a read of the stores where it may block.
    async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&NodeContext) -> Result<T, ApiError> + Send + 'static,
    ) -> Result<T, ApiError> {
        let permit = tokio::time::timeout(READ_PATIENCE, self.reads.clone().acquire_owned()).await;
        let permit = permit.map_err(|_| ApiError::busy("too many reads are under way", READ_RETRY_MS))?;
        self.read_with(permit.map_err(internal)?, read).await
    }

    /// Like [`read`](Self::read), for callers whose number is bounded otherwise: it waits for its turn.
    async fn read_in_turn<T: Send + 'static>(
        &self,
        read: impl FnOnce(&NodeContext) -> Result<T, ApiError> + Send + 'static,
    ) -> Result<T, ApiError> {
        let permit = self.reads.clone().acquire_owned().await.map_err(internal)?;
        self.read_with(permit, read).await
    }

    /// The permit is given back when the reading ends, which may be after the client has gone.
    async fn read_with<T: Send + 'static>(
        &self,
        permit: OwnedSemaphorePermit,
        read: impl FnOnce(&NodeContext) -> Result<T, ApiError> + Send + 'static,
    ) -> Result<T, ApiError> {
        let node = self.node.clone();
        let reading = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            read(&node)
        });
        reading.await.map_err(internal)?
    }
}

/// A failure of the node itself.
fn internal(error: impl std::fmt::Display) -> ApiError {
    ApiError::new(ErrorCode::Internal, format!("the node failed: {error}; look at its log"))
}

#[async_trait]
impl NodeApi for Api {
    async fn status(&self) -> Result<Status, ApiError> {
        self.own_status().await
    }

    async fn peers(&self) -> Result<Vec<Peer>, ApiError> {
        Ok(self.connected_peers().await)
    }

    async fn validators(&self) -> Result<Validators, ApiError> {
        let pending = self.read(agreed::pending_validators).await?;
        Ok(Validators { pending, ..self.current_validators() })
    }

    async fn parameters(&self, consistency: Consistency) -> Result<Vec<ParameterInfo>, ApiError> {
        self.settle(consistency).await?;
        self.read(move |node| agreed::parameters(node, consistency)).await
    }

    async fn evidence(&self, page: PageRequest) -> Result<Page<EvidenceInfo>, ApiError> {
        self.read(move |node| agreed::evidence(node, &page)).await
    }

    async fn submit(&self, request: Submit) -> Result<Submission, ApiError> {
        self.submit_proposal(request).await
    }

    async fn vote(
        &self,
        id: ProposalId,
        approve: bool,
        wait: Wait,
        timeout_ms: u64,
    ) -> Result<Submission, ApiError> {
        self.submit_vote(id, approve, wait, timeout_ms).await
    }

    async fn proposal(&self, id: ProposalId, consistency: Consistency) -> Result<ProposalDetail, ApiError> {
        if consistency == Consistency::Certified {
            return Err(ApiError::invalid(
                "consistency",
                "what became of a proposal is no part of the certified state; use `linearizable` or `local`",
            ));
        }
        self.settle(consistency).await?;
        self.read(move |node| proposals::detail(node, id)).await
    }

    async fn proposals(
        &self,
        filter: ProposalFilter,
        page: PageRequest,
    ) -> Result<Page<ProposalSummary>, ApiError> {
        self.read(move |node| proposals::list(node, &filter, &page)).await
    }

    async fn kv_get(&self, key: &str, consistency: Consistency) -> Result<KvEntry, ApiError> {
        self.settle(consistency).await?;
        let key = key.to_owned();
        self.read(move |node| kv::get(node, &key, consistency)).await
    }

    async fn kv_list(
        &self,
        prefix: &str,
        page: PageRequest,
        consistency: Consistency,
    ) -> Result<Page<KvEntry>, ApiError> {
        self.settle(consistency).await?;
        let prefix = prefix.to_owned();
        self.read(move |node| kv::list(node, &prefix, &page, consistency)).await
    }

    async fn kv_proof(&self, key: &str, consistency: Consistency) -> Result<KvProof, ApiError> {
        self.proof(key.to_owned(), consistency).await
    }

    async fn handovers(&self, from: Epoch) -> Result<Handovers, ApiError> {
        self.read(move |node| proofs::handovers(node, from)).await
    }

    async fn block(&self, height: Option<Height>) -> Result<BlockDetail, ApiError> {
        self.read(move |node| blocks::detail(node, height)).await
    }

    async fn watch(&self, request: WatchRequest) -> Result<WatchStream, ApiError> {
        self.watch_from(request).await
    }

    async fn readiness(&self) -> Readiness {
        self.current_readiness()
    }

    fn telemetry(&self) -> String {
        self.refresh_telemetry();
        self.node.telemetry.render()
    }

    async fn network_status(&self) -> Result<NetworkStatus, ApiError> {
        Ok(self.current_network_status())
    }

    async fn node_metrics(&self) -> Result<IntegrationMetrics, ApiError> {
        Ok(self.own_metrics())
    }

    async fn network_metrics(&self, liars: f64) -> Result<NetworkMetrics, ApiError> {
        let api = self.clone();
        self.read(move |_| Ok(api.all_metrics(liars))).await
    }

    async fn weights(&self) -> Result<Weights, ApiError> {
        let names = self.names.clone();
        self.read(move |node| weights::current(node, &names)).await
    }

    async fn explain_weights(&self, epoch: Epoch) -> Result<WeightsExplained, ApiError> {
        self.read(move |node| weights::explained(node, epoch)).await
    }
}
