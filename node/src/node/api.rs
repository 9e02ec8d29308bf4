//! The node's side of the programming interface.
//!
//! Reads come from agreed state and the indexes as they were after the newest executed block; what they cost is bounded by
//! their page.

mod blocks;
mod kv;
mod proposals;
mod standing;
mod submit;
mod watch;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use aegis_rpc::api::{
    ApiError, BlockDetail, ErrorCode, KvEntry, NetworkStatus, NodeApi, Page, PageRequest, Peer,
    ProposalDetail, ProposalFilter, ProposalSummary, Readiness, Status, Submission, Submit, Validators, Wait,
    WatchRequest, WatchStream,
};
use aegis_types::{Height, ProposalId, ValidatorId};
use async_trait::async_trait;

use super::context::NodeContext;

/// The interface of a running node.
pub struct Api {
    node: Arc<NodeContext>,
    started: Instant,
    /// Names that the genesis file gives to validators; decoration.
    names: BTreeMap<ValidatorId, String>,
    /// Where the interface is served; known once it is.
    endpoint: Arc<OnceLock<Endpoint>>,
    data: std::path::PathBuf,
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
        Self { node, started: Instant::now(), names, endpoint, data }
    }

    /// Runs a read of the stores where it may block.
    async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&NodeContext) -> Result<T, ApiError> + Send + 'static,
    ) -> Result<T, ApiError> {
        let node = self.node.clone();
        tokio::task::spawn_blocking(move || read(&node)).await.map_err(internal)?
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
        Ok(self.current_validators())
    }

    async fn submit(&self, request: Submit) -> Result<Submission, ApiError> {
        submit::submit(&self.node, request).await
    }

    async fn vote(
        &self,
        id: ProposalId,
        approve: bool,
        wait: Wait,
        timeout_ms: u64,
    ) -> Result<Submission, ApiError> {
        submit::vote(&self.node, id, approve, wait, timeout_ms).await
    }

    async fn proposal(&self, id: ProposalId) -> Result<ProposalDetail, ApiError> {
        self.read(move |node| proposals::detail(node, id)).await
    }

    async fn proposals(
        &self,
        filter: ProposalFilter,
        page: PageRequest,
    ) -> Result<Page<ProposalSummary>, ApiError> {
        self.read(move |node| proposals::list(node, &filter, &page)).await
    }

    async fn kv_get(&self, key: &str) -> Result<KvEntry, ApiError> {
        let key = key.to_owned();
        self.read(move |node| kv::get(node, &key)).await
    }

    async fn kv_list(&self, prefix: &str, page: PageRequest) -> Result<Page<KvEntry>, ApiError> {
        let prefix = prefix.to_owned();
        self.read(move |node| kv::list(node, &prefix, &page)).await
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
}
