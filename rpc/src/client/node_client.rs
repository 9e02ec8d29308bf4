//! One method per operation.

use std::fmt;

use aegis_types::{Epoch, Height, ProposalId};

use super::config::ClientConfig;
use super::error::ClientError;
use super::transport::Transport;
use super::watch::{self, ClientWatch};
use crate::api::{
    ApiError, BlockDetail, Consistency, ErrorCode, EvidenceInfo, Handovers, Health, IntegrationMetrics,
    KvEntry, KvProof, NetworkMetrics, NetworkStatus, Page, PageRequest, ParameterInfo, Payload, Peer,
    ProposalDetail, ProposalFilter, ProposalSummary, Readiness, Status, Submission, Submit, SubmitJson,
    Validators, VoteRequest, Wait, WatchRequest, Weights, WeightsExplained,
};

/// A client of one node. Keeps connections between calls.
pub struct Client {
    transport: Transport,
    consistency: Consistency,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Client({})", self.transport.url())
    }
}

impl Client {
    /// Prepares to talk to a node; the first call makes the connection.
    ///
    /// # Errors
    /// `BadUrl`, `BadToken`, `Authority`, `Tls`.
    pub fn connect(config: ClientConfig) -> Result<Self, ClientError> {
        Ok(Self { transport: Transport::new(config)?, consistency: Consistency::default() })
    }

    /// The same client, whose reads of values, proposals and parameters are so fresh from now on.
    #[must_use]
    pub fn reading(self, consistency: Consistency) -> Self {
        Self { consistency, ..self }
    }

    /// What a read adds to its query: nothing for what a node does unasked.
    fn consistency_query(&self) -> Vec<(&'static str, String)> {
        match self.consistency {
            Consistency::Linearizable => Vec::new(),
            consistency => vec![("consistency", consistency.to_string())],
        }
    }

    /// The node's address.
    pub fn url(&self) -> String {
        self.transport.url()
    }

    /// Where the node stands.
    ///
    /// # Errors
    /// As all calls: [`ClientError`].
    pub async fn status(&self) -> Result<Status, ClientError> {
        self.transport.get(&["v1", "status"], &[]).await
    }

    /// The connected peers.
    ///
    /// # Errors
    /// As all calls.
    pub async fn peers(&self) -> Result<Vec<Peer>, ClientError> {
        self.transport.get(&["v1", "peers"], &[]).await
    }

    /// The epoch's validators.
    ///
    /// # Errors
    /// As all calls.
    pub async fn validators(&self) -> Result<Validators, ClientError> {
        self.transport.get(&["v1", "validators"], &[]).await
    }

    /// The agreed parameters, in order of name.
    ///
    /// # Errors
    /// As all calls.
    pub async fn parameters(&self) -> Result<Vec<ParameterInfo>, ClientError> {
        self.transport.get(&["v1", "parameters"], &self.consistency_query()).await
    }

    /// The evidence on record, in order of epoch and validator.
    ///
    /// # Errors
    /// As all calls.
    pub async fn evidence(&self, page: PageRequest) -> Result<Page<EvidenceInfo>, ClientError> {
        self.transport.get(&["v1", "evidence"], &page_query(page)).await
    }

    /// Submits a proposal and waits as asked. A node-signed one without idempotency key gets a random one here, so that the
    /// error `outcome_unknown` can name it.
    ///
    /// # Errors
    /// As all calls. When the connection breaks after the request has left, the error is `outcome_unknown`.
    pub async fn submit(&self, mut submit: Submit) -> Result<Submission, ClientError> {
        let mut key_for_retry = None;
        if let Payload::ByNode { idempotency_key, .. } = &mut submit.payload {
            let key = idempotency_key.get_or_insert_with(|| hex::encode(rand::random::<[u8; 16]>()));
            key_for_retry = Some(key.clone());
        }
        let timeout_ms = submit.timeout_ms;
        let result = self.transport.post(&["v1", "proposals"], &SubmitJson::from(submit), timeout_ms).await;
        match (result, key_for_retry) {
            (Err(ClientError::Api(error)), Some(key))
                if error.code == ErrorCode::OutcomeUnknown && !error.message.contains(&key) =>
            {
                let message = format!("{} (the idempotency key is `{key}`)", error.message);
                Err(ApiError { message, ..error }.into())
            }
            (result, _) => result,
        }
    }

    /// Votes with the node's key; needs the token.
    ///
    /// # Errors
    /// As [`Client::submit`].
    pub async fn vote(
        &self,
        id: ProposalId,
        approve: bool,
        wait: Wait,
        timeout_ms: u64,
    ) -> Result<Submission, ClientError> {
        let request = VoteRequest { approve, wait, timeout_ms };
        self.transport.post(&["v1", "proposals", &id.to_string(), "votes"], &request, timeout_ms).await
    }

    /// Everything that is known about a proposal.
    ///
    /// # Errors
    /// As all calls.
    pub async fn proposal(&self, id: ProposalId) -> Result<ProposalDetail, ClientError> {
        self.transport.get(&["v1", "proposals", &id.to_string()], &self.consistency_query()).await
    }

    /// Proposals, newest first.
    ///
    /// # Errors
    /// As all calls.
    pub async fn proposals(
        &self,
        filter: ProposalFilter,
        page: PageRequest,
    ) -> Result<Page<ProposalSummary>, ClientError> {
        let mut query = page_query(page);
        let fields = [
            ("kind", filter.kind.map(|kind| kind.to_string())),
            ("state", filter.state.map(|state| state.name().to_owned())),
            ("account", filter.account.map(|account| account.to_string())),
            ("height", filter.height.map(|height| height.to_string())),
        ];
        query.extend(fields.into_iter().filter_map(|(name, value)| Some((name, value?))));
        self.transport.get(&["v1", "proposals"], &query).await
    }

    /// A replicated value.
    ///
    /// # Errors
    /// As all calls.
    pub async fn kv_get(&self, key: &str) -> Result<KvEntry, ClientError> {
        // URLs cannot carry these two as a path segment, encoded or not; as a prefix they find themselves first.
        if matches!(key, "." | "..") {
            let page = PageRequest { limit: 1, ..PageRequest::default() };
            let first = self.kv_list(key, page).await?.items.into_iter().next();
            return first
                .filter(|entry| entry.key == key)
                .ok_or_else(|| ClientError::Api(ApiError::not_found(format_args!("key `{key}`"))));
        }
        self.transport.get(&["v1", "kv", key], &self.consistency_query()).await
    }

    /// Replicated values in ascending order of key.
    ///
    /// # Errors
    /// As all calls.
    pub async fn kv_list(&self, prefix: &str, page: PageRequest) -> Result<Page<KvEntry>, ClientError> {
        let mut query = page_query(page);
        query.push(("prefix", prefix.to_owned()));
        query.extend(self.consistency_query());
        self.transport.get(&["v1", "kv"], &query).await
    }

    /// What a key has in a certified state, with the proof of it, which is not checked here.
    ///
    /// # Errors
    /// As all calls; `not_ready` while no state is certified that is new enough.
    pub async fn kv_proof(&self, key: &str) -> Result<KvProof, ClientError> {
        let mut query = self.consistency_query();
        query.push(("key", key.to_owned()));
        self.transport.get(&["v1", "proofs", "kv"], &query).await
    }

    /// How `from` and the epochs after it ended; not checked here.
    ///
    /// # Errors
    /// As all calls.
    pub async fn handovers(&self, from: Epoch) -> Result<Handovers, ClientError> {
        self.transport.get(&["v1", "handovers"], &[("from_epoch", from.to_string())]).await
    }

    /// A committed block; the newest one for `None`.
    ///
    /// # Errors
    /// As all calls.
    pub async fn block(&self, height: Option<Height>) -> Result<BlockDetail, ClientError> {
        let which = height.map_or_else(|| "latest".to_owned(), |height| height.to_string());
        self.transport.get(&["v1", "blocks", &which], &[]).await
    }

    /// The node's statistics and those of the network as it sees them.
    ///
    /// # Errors
    /// As all calls.
    pub async fn node_metrics(&self) -> Result<IntegrationMetrics, ClientError> {
        self.transport.get(&["v1", "metrics", "node"], &[]).await
    }

    /// The values of all nodes, from their newest signed reports. `liars` is the share of observers that the bounds on the
    /// observers' values allow to lie.
    ///
    /// # Errors
    /// As all calls.
    pub async fn network_metrics(&self, liars: f64) -> Result<NetworkMetrics, ClientError> {
        self.transport.get(&["v1", "metrics", "network"], &[("liars", liars.to_string())]).await
    }

    /// The current epoch's weights and what they trade.
    ///
    /// # Errors
    /// As all calls.
    pub async fn weights(&self) -> Result<Weights, ClientError> {
        self.transport.get(&["v1", "weights"], &[]).await
    }

    /// How the weights of an epoch came about; not checked here.
    ///
    /// # Errors
    /// As all calls.
    pub async fn explain_weights(&self, epoch: Epoch) -> Result<WeightsExplained, ClientError> {
        self.transport.get(&["v1", "weights", &epoch.to_string()], &[]).await
    }

    /// Changes in ascending order of height.
    ///
    /// # Errors
    /// As all calls; later errors are the stream's last item.
    pub async fn watch(&self, request: WatchRequest) -> Result<ClientWatch, ClientError> {
        watch::open(&self.transport, request).await
    }

    /// Whether the node can serve reads and take proposals now.
    ///
    /// # Errors
    /// As all calls.
    pub async fn readiness(&self) -> Result<Readiness, ClientError> {
        // `/readyz` tells by its status; `/api/health` carries the same in its body.
        let health: Health = self.transport.get(&["api", "health"], &[]).await?;
        Ok(health.readiness)
    }

    /// Telemetry in the Prometheus text format.
    ///
    /// # Errors
    /// As all calls.
    pub async fn telemetry(&self) -> Result<String, ClientError> {
        let text = self.transport.get_text(&["metrics"], &[]).await?;
        String::from_utf8(text).map_err(|error| self.transport.unexpected(error.to_string()))
    }

    /// The network in a few figures.
    ///
    /// # Errors
    /// As all calls.
    pub async fn network_status(&self) -> Result<NetworkStatus, ClientError> {
        self.transport.get(&["api", "network", "status"], &[]).await
    }
}

fn page_query(page: PageRequest) -> Vec<(&'static str, String)> {
    let cursor = page.cursor.map(|cursor| ("cursor", cursor));
    std::iter::once(("limit", page.limit.to_string())).chain(cursor).collect()
}
