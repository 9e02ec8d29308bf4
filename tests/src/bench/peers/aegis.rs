//! Validators of this project.

use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aegis_rpc::proto;
use aegis_rpc::proto::node_client::NodeClient;
use aegis_rpc::{Client, ClientConfig};
use aegis_types::{Canonical as _, Domain, Keypair, Proposal, ProposalBody};
use anyhow::{Context as _, ensure};
use tonic::transport::Channel;

use super::Plan;
use super::round::{self, Putter, Round};
use crate::network::Network;

/// How long proposals stay valid.
const LIFETIME: Duration = Duration::from_secs(120);
/// How long a node may take with one put.
const TIMEOUT: Duration = Duration::from_secs(20);

struct Account {
    client: NodeClient<Channel>,
    domain: Domain,
    keypair: Keypair,
    name: String,
    value: Vec<u8>,
}

impl Putter for Account {
    async fn put(&mut self, number: u64) -> anyhow::Result<()> {
        let body =
            ProposalBody::KvPut { key: format!("bench/{}/{number}", self.name), value: self.value.clone() };
        let expires = SystemTime::now().duration_since(UNIX_EPOCH)? + LIFETIME;
        let expires = u64::try_from(expires.as_millis())?;
        let proposal = Proposal::sign(body, expires, number.to_string(), &self.keypair, &self.domain)?;
        let request = proto::SubmitRequest {
            payload: Some(proto::submit_request::Payload::Signed(proposal.encode())),
            wait: proto::Wait::Commit.into(),
            timeout_ms: u64::try_from(TIMEOUT.as_millis())?,
        };
        let submission = self.client.submit(request).await?.into_inner();
        ensure!(submission.certificate.is_some(), "a committed put came without certificate");
        Ok(())
    }
}

pub(super) async fn measure(plan: &Plan, folder: &Path) -> anyhow::Result<Round> {
    let (binary, validators, homes) = (plan.binary.clone(), plan.validators, folder.to_owned());
    let network =
        tokio::task::spawn_blocking(move || Network::start(&binary, validators, &homes, &homes)).await??;
    let endpoints = network.endpoints();
    let first = endpoints.first().context("there is no node")?;
    let status = Client::connect(ClientConfig::new(first.clone()))?.status().await?;
    let domain = Domain::new(status.chain_id, status.genesis);
    let mut clients = Vec::with_capacity(plan.clients);
    for (index, endpoint) in (0..plan.clients).zip(endpoints.iter().cycle()) {
        let client = NodeClient::connect(endpoint.clone()).await;
        clients.push(Account {
            client: client.with_context(|| format!("{endpoint} cannot be reached"))?,
            domain: domain.clone(),
            keypair: Keypair::from_seed(&rand::random()),
            name: index.to_string(),
            value: vec![0x5A; plan.payload],
        });
    }
    round::run(plan, "aegis", clients, &network.process_ids()).await
}
