//! What the node does by itself: fetches for the engine, follows the validator set, reports evidence, and votes as its
//! operator has said.

use std::collections::BTreeSet;
use std::sync::Arc;

use aegis_ledger::LedgerEvent;
use aegis_types::{Kind, Proposal, ProposalBody, ProposalId, ValidatorId, Vote};
use tokio::sync::mpsc;
use tracing::{info, warn};

use super::batches::Offer;
use super::clock::unix_ms;
use super::context::NodeContext;
use super::driver::{DriverRequest, gauge_value};
use super::events::fetch_batches;

/// How long a proposal of the node itself may take to be ordered.
const LIFETIME_MS: u64 = 10 * 60 * 1_000;

/// Carries out what the driver asks for, until it stops.
pub async fn serve_driver(node: Arc<NodeContext>, mut requests: mpsc::Receiver<DriverRequest>) {
    follow_validators(&node);
    while let Some(request) = requests.recv().await {
        match request {
            DriverRequest::FetchBatches { digests, from } => {
                tokio::spawn(fetch_batches(node.clone(), digests, from, Offer::Named));
            }
            DriverRequest::FetchBlocks { last, from } => node.sync.want(last, from),
            DriverRequest::Evidence(first, second) => {
                tokio::spawn(submit_evidence(node.clone(), first, second));
            }
            DriverRequest::EpochEntered => follow_validators(&node),
        }
    }
}

/// Keeps direct streams to exactly the validators, if this node is one.
fn follow_validators(node: &NodeContext) {
    let me = node.node_key.validator_id();
    let agreement = node.agreement.borrow();
    node.telemetry.weight.set(gauge_value(agreement.validators.weight_of(&me).0));
    let direct: BTreeSet<ValidatorId> = if agreement.is_member {
        agreement.validators.members().iter().map(|member| member.validator).filter(|id| *id != me).collect()
    } else {
        BTreeSet::new()
    };
    node.network.set_direct_peers(direct);
}

/// Reacts to what blocks did, until the executor stops.
pub async fn react(
    node: Arc<NodeContext>,
    auto_vote: Vec<Kind>,
    mut events: mpsc::Receiver<Vec<LedgerEvent>>,
) {
    while let Some(events) = events.recv().await {
        for event in events {
            if let LedgerEvent::VoteOpened { proposal, kind, .. } = event
                && auto_vote.contains(&kind)
                && node.is_validator()
            {
                info!(%proposal, %kind, "voting yes, as configured");
                tokio::spawn(vote_yes(node.clone(), proposal));
            }
        }
    }
}

async fn vote_yes(node: Arc<NodeContext>, proposal: ProposalId) {
    let body = ProposalBody::ProposalVote { proposal, approve: true };
    submit_own(&node, body, format!("auto-vote-{}", proposal.short())).await;
}

async fn submit_evidence(node: Arc<NodeContext>, first: Box<Vote>, second: Box<Vote>) {
    let key = format!("evidence-{}-{}", first.content.epoch, first.validator.short());
    submit_own(&node, ProposalBody::Evidence { first, second }, key).await;
}

/// Submits a proposal in the node's own name.
async fn submit_own(node: &Arc<NodeContext>, body: ProposalBody, idempotency_key: String) {
    let kind = body.kind();
    let signed = Proposal::sign(body, unix_ms() + LIFETIME_MS, idempotency_key, &node.node_key, &node.domain);
    let submitted = match signed {
        Ok(proposal) => node.admit(proposal).await.map(drop).map_err(|error| error.to_string()),
        Err(error) => Err(error.to_string()),
    };
    if let Err(error) = submitted {
        warn!(%kind, error, "a proposal of this node itself was refused");
    }
}
