//! What the node does by itself: fetches for the engine, follows the validator set, reports evidence, and votes as its
//! operator has said.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use aegis_ledger::query::{self, DeadlineCursor};
use aegis_ledger::{LedgerError, LedgerEvent, Outcome};
use aegis_rpc::api::ApiError;
use aegis_store::KvStore;
use aegis_types::{Epoch, Kind, ProposalBody, ProposalId, ValidatorId, Vote};
use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;
use tracing::{debug, info, warn};

use super::admission::Submitted;
use super::batches::Offer;
use super::context::NodeContext;
use super::driver::{DriverRequest, gauge_value};
use super::events::fetch_batches;
use super::mempool::Resolution;
use super::state::StateView;

/// How often a page of the open votes is looked through for those that this node has not voted on.
const OPEN_VOTES_INTERVAL: Duration = Duration::from_secs(3);
/// Open votes on such a page: some milliseconds of reading.
const OPEN_VOTES_PAGE: usize = 500;
/// How often a proposal of this node itself is submitted.
const SUBMISSION_TRIES: usize = 60;
/// How long to wait between two tries of evidence: a removal takes effect at the epoch's end, so minutes are time enough.
pub const EVIDENCE_PAUSE: Duration = Duration::from_secs(5);
/// Digits of an id in an idempotency key of this node: 160 bits.
const KEY_DIGITS: usize = 40;

/// Carries out what the driver asks for, until it stops.
pub async fn serve_driver(node: Arc<NodeContext>, mut requests: mpsc::Receiver<DriverRequest>) {
    // Whose equivocation is reported already; a report is repeated until it is on record.
    let mut reported = BTreeSet::new();
    while let Some(request) = requests.recv().await {
        match request {
            DriverRequest::FetchBatches { digests, from } => {
                tokio::spawn(fetch_batches(node.clone(), digests, from, Offer::Named));
            }
            DriverRequest::FetchBlocks { last, from } => node.sync.want(last, from),
            DriverRequest::Evidence(first, second) => {
                let epoch = node.agreement.borrow().validators.epoch();
                reported.retain(|(of, _): &(Epoch, ValidatorId)| of.0.saturating_add(1) >= epoch.0);
                if reported.insert((first.content.epoch, first.validator)) {
                    tokio::spawn(submit_evidence(node.clone(), first, second));
                }
            }
        }
    }
}

/// Keeps direct streams to exactly the validators of the current epoch, if this node is one, until the driver stops.
pub async fn follow_validators(node: Arc<NodeContext>) {
    let mut agreement = node.agreement.clone();
    loop {
        let epoch = agreement.borrow_and_update().validators.epoch();
        connect_validators(&node);
        if agreement.wait_for(|status| status.validators.epoch() != epoch).await.is_err() {
            return;
        }
    }
}

fn connect_validators(node: &NodeContext) {
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

/// Votes as the operator has said, until the executor stops: at once on what blocks open, and now and then on whatever is
/// open without this node's vote, for a block's events may be missed and a vote may be refused or lost.
pub async fn react(
    node: Arc<NodeContext>,
    auto_vote: Vec<Kind>,
    mut events: mpsc::Receiver<Vec<LedgerEvent>>,
) {
    let mut interval = tokio::time::interval(OPEN_VOTES_INTERVAL);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut after = None;
    loop {
        let opened = tokio::select! {
            events = events.recv() => match events {
                Some(events) => {
                    let opened = opened_by(&events, &auto_vote);
                    if !opened.is_empty() {
                        info!(count = opened.len(), "votes were opened; voting yes, as configured");
                    }
                    opened
                }
                None => return,
            },
            _ = interval.tick() => {
                let page = unvoted(&node, &auto_vote, after).await;
                after = page.next;
                page.items
            }
        };
        if opened.is_empty() || !node.is_validator() {
            continue;
        }
        for (proposal, kind) in opened {
            vote_yes(&node, proposal, kind).await;
        }
    }
}

fn opened_by(events: &[LedgerEvent], auto_vote: &[Kind]) -> Vec<(ProposalId, Kind)> {
    let opened = |event: &LedgerEvent| match event {
        LedgerEvent::VoteOpened { proposal, kind, .. } if auto_vote.contains(kind) => {
            Some((*proposal, *kind))
        }
        _ => None,
    };
    events.iter().filter_map(opened).collect()
}

/// Open votes of these kinds without this node's vote, from a page of all open ones. A new round begins when there is no
/// next page.
async fn unvoted(
    node: &Arc<NodeContext>,
    auto_vote: &[Kind],
    after: Option<DeadlineCursor>,
) -> query::Page<(ProposalId, Kind), DeadlineCursor> {
    let none = query::Page { items: Vec::new(), next: None };
    if auto_vote.is_empty() || !node.is_validator() {
        return none;
    }
    let (node, auto_vote) = (node.clone(), auto_vote.to_vec());
    let read = tokio::task::spawn_blocking(move || {
        unvoted_in(node.kv.as_ref(), &node.node_key.validator_id(), &auto_vote, after)
    });
    match read.await.map_err(anyhow::Error::from).and_then(|page| Ok(page?)) {
        Ok(page) => page,
        Err(error) => {
            warn!(%error, "the open votes cannot be read");
            none
        }
    }
}

fn unvoted_in(
    kv: &dyn KvStore,
    voter: &ValidatorId,
    auto_vote: &[Kind],
    after: Option<DeadlineCursor>,
) -> Result<query::Page<(ProposalId, Kind), DeadlineCursor>, LedgerError> {
    let state = StateView(kv);
    let page = query::open_votes(&state, after, OPEN_VOTES_PAGE)?;
    let mut items = Vec::new();
    for vote in page.items {
        if auto_vote.contains(&vote.kind()) && query::vote_of(&state, &vote.id, voter)?.is_none() {
            items.push((vote.id, vote.kind()));
        }
    }
    Ok(query::Page { items, next: page.next })
}

async fn vote_yes(node: &Arc<NodeContext>, proposal: ProposalId, kind: Kind) {
    let epoch = node.agreement.borrow().validators.epoch();
    let body = ProposalBody::ProposalVote { proposal, approve: true };
    // What is refused is tried again when the open votes are looked through next time.
    match submit_own(node, body, own_key("vote", epoch, &proposal.to_string())).await {
        Ok(_) => debug!(%proposal, %kind, "voting yes, as configured"),
        Err(error) => warn!(%proposal, %error, "a vote of this node itself was refused"),
    }
}

/// Submits evidence until a block has ordered it, or somebody else's.
async fn submit_evidence(node: Arc<NodeContext>, first: Box<Vote>, second: Box<Vote>) {
    let (validator, epoch) = (first.validator, first.content.epoch);
    let key = own_key("evid", epoch, &validator.to_string());
    let what = format!("evidence against {validator}");
    submit_until_ordered(&node, ProposalBody::Evidence { first, second }, key, &what, EVIDENCE_PAUSE).await;
}

/// Submits a proposal in the node's own name until a block has ordered it, or it is refused for good. Pauses between two tries.
pub async fn submit_until_ordered(
    node: &Arc<NodeContext>,
    body: ProposalBody,
    idempotency_key: String,
    what: &str,
    pause: Duration,
) {
    for _ in 0..SUBMISSION_TRIES {
        let submitted = submit_own(node, body.clone(), idempotency_key.clone()).await;
        let resolution = match submitted {
            Ok(Submitted::Known(_)) => return,
            // The sender goes when the node stops.
            Ok(Submitted::Waiting(_, receiver)) => receiver.await.unwrap_or(Resolution::Conflict),
            Err(error) => Resolution::Refused(Box::new(error)),
        };
        match resolution {
            Resolution::Executed(resolved) => {
                let is_busy =
                    matches!(&resolved.outcome, Outcome::Rejected { code, .. } if !code.is_remembered());
                if !is_busy {
                    return;
                }
            }
            Resolution::Conflict => return,
            Resolution::Expired => {}
            Resolution::Refused(error) if error.code.is_retryable() => {}
            Resolution::Refused(error) => {
                warn!(what, %error, "a proposal of this node itself was refused");
                return;
            }
        }
        tokio::time::sleep(pause).await;
    }
    warn!(what, "a proposal of this node itself was not ordered in time");
}

/// An idempotency key for something that this node does once in an epoch: within the 64 bytes that a key may have, with
/// enough of the name that no two meet.
pub fn own_key(purpose: &str, epoch: Epoch, name: &str) -> String {
    let name: String = name.chars().take(KEY_DIGITS).collect();
    format!("{purpose}{epoch}-{name}")
}

/// Submits a proposal in the node's own name.
async fn submit_own(
    node: &Arc<NodeContext>,
    body: ProposalBody,
    idempotency_key: String,
) -> Result<Submitted, ApiError> {
    let lifetime = None;
    let proposal = node.sign(&node.node_key, body, idempotency_key, lifetime).await?;
    node.admit(proposal).await
}

#[cfg(test)]
mod tests {
    use aegis_types::Proposal;

    use super::*;
    use crate::node::testing::Chain;

    #[test]
    fn own_keys_fit_and_do_not_meet() {
        let (one, other) = ("0".repeat(39) + "1" + &"0".repeat(24), "0".repeat(64));
        for (name, purpose) in [(&one, "vote"), (&other, "evid")] {
            let key = own_key(purpose, Epoch(1_u64 << 50), name);
            assert!(key.len() <= aegis_types::Limits::IDEMPOTENCY_KEY_BYTES, "{key}");
        }
        assert_ne!(own_key("vote", Epoch(1), &one), own_key("vote", Epoch(1), &other));
        assert_ne!(own_key("vote", Epoch(1), &one), own_key("vote", Epoch(2), &one));
    }

    #[test]
    fn open_votes_without_this_nodes_vote_are_found_whenever_they_were_opened() {
        let mut chain = Chain::new();
        let mut execution = chain.execution();
        let sign = |key: &str, body| {
            let expires = chain.now_ms() + 60_000;
            Proposal::sign(body, expires, key, &chain.key, &chain.genesis.domain()).unwrap()
        };
        let text = |title: &str| ProposalBody::Text { title: title.into(), text: "x".into() };
        let (voted, missed) = (sign("1", text("voted")), sign("2", text("missed")));
        let other_kind = sign("3", ProposalBody::ParamSet { name: "window".into(), value: "9".into() });
        let vote = sign("4", ProposalBody::ProposalVote { proposal: voted.id(), approve: false });
        let block = chain.add(10, vec![voted, missed.clone(), other_kind, vote]);
        execution.execute(&block).unwrap();
        let me = chain.key.validator_id();
        let found = unvoted_in(execution.kv.as_ref(), &me, &[Kind::Text], None).unwrap();
        assert_eq!(found.items, [(missed.id(), Kind::Text)]);
    }
}
