//! Reads of proposals.

use std::ops::ControlFlow;

use aegis_ledger::{VoteStatus, VotedProposal, query};
use aegis_rpc::api::{
    ApiError, CastVote, HistoryEntry, Page, PageRequest, ProposalBodyJson, ProposalDetail, ProposalFilter,
    ProposalState, ProposalSummary, Tally,
};
use aegis_store::Table;
use aegis_types::{Height, Kind, Proposal, ProposalId, ValidatorSet, Weight};
use prost::Message as _;

use super::{blocks, internal};
use crate::node::context::NodeContext;
use crate::node::state::{self, IndexedProposal, StateView};
use crate::node::watch::{outcome_of, subject, vote_outcome, vote_state};

/// Index rows that one page may look at when a filter passes over most of them.
const ROWS_MAX: usize = 5_000;

pub fn detail(node: &NodeContext, id: ProposalId) -> Result<ProposalDetail, ApiError> {
    let Some((height, position)) = state::place_of(node.kv.as_ref(), &id).map_err(internal)? else {
        return match node.mempool.get(&id) {
            Some(proposal) => Ok(waiting_detail(id, &proposal)),
            None => Err(ApiError::not_found(format_args!("proposal {id}"))),
        };
    };
    let block = blocks::load(node, height)?;
    let index = usize::try_from(position).unwrap_or(usize::MAX);
    let proposal = block
        .batches
        .iter()
        .flat_map(|batch| &batch.proposals)
        .nth(index)
        .ok_or_else(|| internal("the proposal index points beside its block"))?;
    let row = node.kv.get(Table::Index, &state::proposal_key(height, position)).map_err(internal)?;
    let row = row.ok_or_else(|| internal("a row of the proposal index is missing"))?;
    let outcome = outcome_of(&IndexedProposal::decode(row.as_slice()).map_err(internal)?);
    let ordered = HistoryEntry {
        height,
        timestamp_ms: block.header.timestamp_ms,
        event: format!("ordered at position {position}: {}", outcome.message),
    };
    let mut detail = ProposalDetail {
        state: outcome.state,
        height: Some(height),
        position: Some(position),
        outcome: Some(outcome),
        history: vec![ordered],
        ..waiting_detail(id, proposal)
    };
    add_vote(node, &mut detail)?;
    Ok(detail)
}

fn waiting_detail(id: ProposalId, proposal: &Proposal) -> ProposalDetail {
    ProposalDetail {
        id,
        account: proposal.account,
        body: ProposalBodyJson::from(&proposal.body),
        idempotency_key: proposal.idempotency_key.clone(),
        expires_at_ms: proposal.expires_at_ms,
        state: ProposalState::Admitted,
        height: None,
        position: None,
        outcome: None,
        tally: None,
        votes: Vec::new(),
        deadline_ms: None,
        history: Vec::new(),
    }
}

/// Adds what the ledger knows of the vote on a proposal, if there was one.
fn add_vote(node: &NodeContext, detail: &mut ProposalDetail) -> Result<(), ApiError> {
    let state = StateView(node.kv.as_ref());
    let Some(voted) = query::vote_record(&state, &detail.id).map_err(internal)? else { return Ok(()) };
    let validators = node.standing.borrow().epoch.validators.clone();
    let votes = query::votes(&state, &detail.id).map_err(internal)?;
    for vote in &votes {
        let word = if vote.approve { "yes" } else { "no" };
        detail.history.push(HistoryEntry {
            height: vote.height,
            timestamp_ms: vote.timestamp_ms,
            event: format!("validator {} voted {word}", vote.validator.short()),
        });
    }
    detail.votes = votes
        .into_iter()
        .map(|vote| CastVote {
            validator: vote.validator,
            weight: validators.weight_of(&vote.validator),
            approve: vote.approve,
            height: vote.height,
        })
        .collect();
    detail.state = vote_state(voted.status);
    detail.tally = Some(tally(&voted, &validators));
    detail.deadline_ms = Some(voted.deadline_ms);
    if let Some(closed) = &voted.closed {
        let outcome = vote_outcome(voted.status, closed.enactment.as_ref());
        detail.history.push(HistoryEntry {
            height: closed.height,
            timestamp_ms: closed.timestamp_ms,
            event: outcome.message.clone(),
        });
        detail.outcome = Some(outcome);
    }
    detail.history.sort_by_key(|entry| entry.height);
    Ok(())
}

fn tally(voted: &VotedProposal, validators: &ValidatorSet) -> Tally {
    let total = if voted.status == VoteStatus::Open { validators.total() } else { voted.tally.total };
    // More than two thirds: the smallest weight w with 3 w > 2 W.
    let needed = Weight(total.0.saturating_mul(2) / 3 + 1);
    Tally { yes: voted.tally.yes, no: voted.tally.no, total, needed }
}

pub fn list(
    node: &NodeContext,
    filter: &ProposalFilter,
    page: &PageRequest,
) -> Result<Page<ProposalSummary>, ApiError> {
    let before = match &page.cursor {
        Some(cursor) => parse_cursor(cursor)?,
        None => state::proposal_key(filter.height.map_or(Height(u64::MAX), Height::next), 0),
    };
    let limit = usize::try_from(page.limit).unwrap_or(usize::MAX);
    let mut items = Vec::new();
    if page.cursor.is_none() && filter.height.is_none() {
        items.extend(waiting(node, filter, limit));
    }
    let mut looked = 0;
    let mut next = None;
    let mut failure = None;
    node.kv
        .scan_back(Table::Index, &before, &mut |key, value| {
            let Some((height, position)) = state::parse_proposal_key(key) else {
                return ControlFlow::Break(());
            };
            if filter.height.is_some_and(|wanted| wanted != height) {
                return ControlFlow::Break(());
            }
            if items.len() >= limit || looked >= ROWS_MAX {
                return ControlFlow::Break(());
            }
            looked += 1;
            next = Some((height, position));
            match summary(node, height, position, value) {
                Ok(item) if matches(filter, &item) => items.push(item),
                Ok(_) => {}
                Err(error) => {
                    failure = Some(error);
                    return ControlFlow::Break(());
                }
            }
            ControlFlow::Continue(())
        })
        .map_err(internal)?;
    if let Some(failure) = failure {
        return Err(failure);
    }
    let is_full = items.len() >= limit || looked >= ROWS_MAX;
    let next_cursor = next.filter(|_| is_full).map(|(height, position)| format!("{height}-{position}"));
    Ok(Page { items, next_cursor })
}

fn parse_cursor(cursor: &str) -> Result<Vec<u8>, ApiError> {
    let bad = || ApiError::invalid("cursor", "use the `next_cursor` of the page before");
    let (height, position) = cursor.split_once('-').ok_or_else(bad)?;
    let height = height.parse().map_err(|_| bad())?;
    let position = position.parse().map_err(|_| bad())?;
    Ok(state::proposal_key(Height(height), position))
}

fn waiting(node: &NodeContext, filter: &ProposalFilter, limit: usize) -> Vec<ProposalSummary> {
    let summary = |(id, proposal): (ProposalId, std::sync::Arc<Proposal>)| ProposalSummary {
        id,
        account: proposal.account,
        kind: proposal.kind(),
        subject: subject(&proposal.body),
        state: ProposalState::Admitted,
        height: None,
        position: None,
        tally: None,
        deadline_ms: None,
    };
    let waiting = node.mempool.list(limit).into_iter().map(summary);
    waiting.filter(|item| matches(filter, item)).collect()
}

fn matches(filter: &ProposalFilter, item: &ProposalSummary) -> bool {
    filter.kind.is_none_or(|kind| kind == item.kind)
        && filter.state.is_none_or(|state| state == item.state)
        && filter.account.is_none_or(|account| account == item.account)
        && filter.height.is_none_or(|height| Some(height) == item.height)
}

fn summary(
    node: &NodeContext,
    height: Height,
    position: u32,
    row: &[u8],
) -> Result<ProposalSummary, ApiError> {
    let row = IndexedProposal::decode(row).map_err(internal)?;
    let (id, kind): (ProposalId, Kind) = (row.id().map_err(internal)?, row.kind().map_err(internal)?);
    let mut summary = ProposalSummary {
        id,
        account: row.account().map_err(internal)?,
        kind,
        state: outcome_of(&row).state,
        subject: row.subject,
        height: Some(height),
        position: Some(position),
        tally: None,
        deadline_ms: None,
    };
    if summary.state == ProposalState::Open
        && let Some(voted) = query::vote_record(&StateView(node.kv.as_ref()), &id).map_err(internal)?
    {
        let validators = node.standing.borrow().epoch.validators.clone();
        summary.state = vote_state(voted.status);
        summary.tally = Some(tally(&voted, &validators));
        summary.deadline_ms = Some(voted.deadline_ms);
    }
    Ok(summary)
}
