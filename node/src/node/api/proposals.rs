//! Reads of proposals.

use std::ops::ControlFlow;

use aegis_ledger::query::{self, VotedFilter};
use aegis_ledger::{OpenedAt, VoteStatus, VotedProposal};
use aegis_rpc::api::{
    ApiError, CastVote, HistoryEntry, Page, PageRequest, ProposalBodyJson, ProposalDetail, ProposalFilter,
    ProposalState, ProposalSummary, Tally,
};
use aegis_store::{KvStore, Table};
use aegis_types::{Height, Proposal, ProposalId, ValidatorSet};
use prost::Message as _;

use super::{blocks, internal};
use crate::node::closings::{self, ClosedVote};
use crate::node::context::NodeContext;
use crate::node::state::{self, IndexedProposal, StateView};
use crate::node::watch::{closed_outcome, outcome_of, subject};

/// Index rows that one page may look at when a filter passes over most of them.
const ROWS_MAX: usize = 5_000;

pub fn detail(node: &NodeContext, id: ProposalId) -> Result<ProposalDetail, ApiError> {
    let Some((height, position)) = state::place_of(node.kv.as_ref(), &id).map_err(internal)? else {
        return match node.mempool.get(&id) {
            Some(proposal) => Ok(waiting_detail(id, &proposal)),
            None => Err(unknown(node, id)),
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
    let row = closings::load_row(node.kv.as_ref(), OpenedAt { height, position }).map_err(internal)?;
    let outcome = outcome_of(&row);
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
        deadline_ms: Some(row.deadline_ms).filter(|_| row.outcome == 2),
        ..waiting_detail(id, proposal)
    };
    add_vote(node, &mut detail, row.closed.as_ref())?;
    Ok(detail)
}

/// What to say of a proposal without a place: this node may not have the history in which it stands.
fn unknown(node: &NodeContext, id: ProposalId) -> ApiError {
    match node.log.first().filter(|first| *first > Height(1)) {
        Some(first) => ApiError::not_found(format_args!(
            "proposal {id}; this node has no history before block {first}: ask an archive node: proposal {id}"
        )),
        None => ApiError::not_found(format_args!("proposal {id}")),
    }
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

/// Adds what is known of the vote on a proposal, if there was one. The ledger forgets a closed one after a while; its end
/// stays in the index.
fn add_vote(
    node: &NodeContext,
    detail: &mut ProposalDetail,
    closed: Option<&ClosedVote>,
) -> Result<(), ApiError> {
    let state = StateView(node.kv.as_ref());
    if let Some(voted) = query::vote_record(&state, &detail.id).map_err(internal)? {
        let validators = counted_by(node, &voted)?;
        detail.tally = Some(open_tally(&voted, &validators));
        detail.deadline_ms = Some(voted.deadline_ms);
        for vote in query::votes(&state, &detail.id).map_err(internal)? {
            let word = if vote.approve { "yes" } else { "no" };
            detail.history.push(HistoryEntry {
                height: vote.height,
                timestamp_ms: vote.timestamp_ms,
                event: format!("validator {} voted {word}", vote.validator.short()),
            });
            detail.votes.push(CastVote {
                validator: vote.validator,
                weight: validators.weight_of(&vote.validator),
                approve: vote.approve,
                height: vote.height,
            });
        }
    }
    if let Some(closed) = closed {
        let outcome = closed_outcome(closed).map_err(internal)?;
        detail.state = outcome.state;
        detail.tally = Some(closed.tally());
        detail.history.push(HistoryEntry {
            height: closed.height(),
            timestamp_ms: closed.timestamp_ms,
            event: outcome.message.clone(),
        });
        detail.outcome = Some(outcome);
    }
    detail.history.sort_by_key(|entry| entry.height);
    Ok(())
}

/// The validators whose weights count in a vote: today's while it is open, then those of the epoch that decided it.
fn counted_by(node: &NodeContext, voted: &VotedProposal) -> Result<ValidatorSet, ApiError> {
    let today = || node.standing.borrow().epoch.validators.clone();
    match voted.status {
        VoteStatus::Open => Ok(today()),
        VoteStatus::Passed | VoteStatus::Failed | VoteStatus::Lapsed => {
            blocks::validators_of(node, voted.tally.epoch)
        }
    }
}

fn open_tally(voted: &VotedProposal, validators: &ValidatorSet) -> Tally {
    Tally {
        yes: voted.tally.yes,
        no: voted.tally.no,
        total: validators.total(),
        needed: validators.two_thirds_majority(),
    }
}

/// Lists proposals, newest first: those that wait, then the log's from the top.
pub fn list(
    node: &NodeContext,
    filter: &ProposalFilter,
    page: &PageRequest,
) -> Result<Page<ProposalSummary>, ApiError> {
    let limit = usize::try_from(page.limit).unwrap_or(usize::MAX);
    let cursor = page.cursor.as_deref().map(parse_cursor).transpose()?;
    if filter.state == Some(ProposalState::Open) && filter.height.is_none() {
        return list_open(node, filter, cursor, limit);
    }
    let top = (filter.height.map_or(Height(u64::MAX), Height::next), 0);
    let before = cursor.unwrap_or(top);
    let mut items = match (cursor, filter.height) {
        (None, None) => waiting(node, filter, limit),
        (Some(_), _) | (_, Some(_)) => Vec::new(),
    };
    if items.len() >= limit {
        return Ok(Page { items, next_cursor: Some(format_cursor(top)) });
    }
    let found =
        rows_before(node.kv.as_ref(), filter, before, limit.saturating_sub(items.len())).map_err(internal)?;
    for (height, position, row) in &found.rows {
        items.push(summary(node, *height, *position, row)?);
    }
    Ok(Page { items, next_cursor: found.next.map(format_cursor) })
}

/// Rows of the log's proposals that pass a filter.
struct RowPage {
    rows: Vec<(Height, u32, IndexedProposal)>,
    /// The last row looked at, if there may be more.
    next: Option<(Height, u32)>,
}

/// The rows below `before` that pass the filter, newest first: at most `limit`, of at most [`ROWS_MAX`] looked at.
fn rows_before(
    kv: &dyn KvStore,
    filter: &ProposalFilter,
    before: (Height, u32),
    limit: usize,
) -> anyhow::Result<RowPage> {
    let mut found = RowPage { rows: Vec::new(), next: None };
    let mut looked = 0;
    let mut last = None;
    let mut failure = None;
    let mut visit = |key: &[u8], value: &[u8]| {
        let Some((height, position)) = state::parse_proposal_key(key) else {
            return ControlFlow::Break(());
        };
        if filter.height.is_some_and(|wanted| wanted != height) {
            return ControlFlow::Break(());
        }
        if found.rows.len() >= limit || looked >= ROWS_MAX {
            found.next = last;
            return ControlFlow::Break(());
        }
        looked += 1;
        last = Some((height, position));
        match wanted_row(filter, value) {
            Ok(Some(row)) => found.rows.push((height, position, row)),
            Ok(None) => {}
            Err(error) => {
                failure = Some(error);
                return ControlFlow::Break(());
            }
        }
        ControlFlow::Continue(())
    };
    kv.scan_back(Table::Index, &state::proposal_key(before.0, before.1), &mut visit)?;
    failure.map_or(Ok(found), Err)
}

/// A row, if it passes the filter.
fn wanted_row(filter: &ProposalFilter, value: &[u8]) -> anyhow::Result<Option<IndexedProposal>> {
    let row = IndexedProposal::decode(value)?;
    let (kind, account, state) = (row.kind()?, row.account()?, state_of(&row)?);
    let is_wanted = filter.kind.is_none_or(|wanted| wanted == kind)
        && filter.account.is_none_or(|wanted| wanted == account)
        && filter.state.is_none_or(|wanted| wanted == state);
    Ok(is_wanted.then_some(row))
}

/// Where the proposal of a row is in its life.
fn state_of(row: &IndexedProposal) -> anyhow::Result<ProposalState> {
    Ok(match &row.closed {
        Some(closed) => closed_outcome(closed)?.state,
        None => outcome_of(row).state,
    })
}

/// Open votes are few among all proposals, so the ledger's list of votes finds them sooner than the log.
fn list_open(
    node: &NodeContext,
    filter: &ProposalFilter,
    cursor: Option<(Height, u32)>,
    limit: usize,
) -> Result<Page<ProposalSummary>, ApiError> {
    let open = VotedFilter { status: Some(VoteStatus::Open), kind: filter.kind, account: filter.account };
    let after = cursor.map(|(height, position)| OpenedAt { height, position });
    let found = query::voted_list(&StateView(node.kv.as_ref()), &open, after, limit).map_err(internal)?;
    let mut items = Vec::with_capacity(found.items.len());
    for vote in found.items {
        let row = closings::load_row(node.kv.as_ref(), vote.opened).map_err(internal)?;
        // It may have ended since.
        if row.closed.is_none() {
            items.push(summary(node, vote.opened.height, vote.opened.position, &row)?);
        }
    }
    let next = found.next.map(|place| format_cursor((place.height, place.position)));
    Ok(Page { items, next_cursor: next })
}

/// A cursor names the row above the next page.
fn format_cursor((height, position): (Height, u32)) -> String {
    format!("{height}-{position}")
}

fn parse_cursor(cursor: &str) -> Result<(Height, u32), ApiError> {
    let bad = || ApiError::invalid("cursor", "use the `next_cursor` of the page before");
    let (height, position) = cursor.split_once('-').ok_or_else(bad)?;
    Ok((Height(height.parse().map_err(|_| bad())?), position.parse().map_err(|_| bad())?))
}

fn waiting(node: &NodeContext, filter: &ProposalFilter, limit: usize) -> Vec<ProposalSummary> {
    let is_wanted = |proposal: &Proposal| {
        filter.state.is_none_or(|wanted| wanted == ProposalState::Admitted)
            && filter.kind.is_none_or(|wanted| wanted == proposal.kind())
            && filter.account.is_none_or(|wanted| wanted == proposal.account)
    };
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
    node.mempool.list(limit, is_wanted).into_iter().map(summary).collect()
}

fn summary(
    node: &NodeContext,
    height: Height,
    position: u32,
    row: &IndexedProposal,
) -> Result<ProposalSummary, ApiError> {
    let id = row.id().map_err(internal)?;
    let state = state_of(row).map_err(internal)?;
    let tally = match &row.closed {
        Some(closed) => Some(closed.tally()),
        None if state == ProposalState::Open => {
            let voted = query::vote_record(&StateView(node.kv.as_ref()), &id).map_err(internal)?;
            voted.map(|voted| open_tally(&voted, &node.standing.borrow().epoch.validators))
        }
        None => None,
    };
    Ok(ProposalSummary {
        id,
        account: row.account().map_err(internal)?,
        kind: row.kind().map_err(internal)?,
        state,
        subject: row.subject.clone(),
        height: Some(height),
        position: Some(position),
        tally,
        deadline_ms: Some(row.deadline_ms).filter(|_| row.outcome == 2),
    })
}

#[cfg(test)]
mod tests {
    use aegis_types::ProposalBody;

    use super::*;
    use crate::node::testing::{Chain, put};

    const MONTH_MS: u64 = 31 * 24 * 60 * 60 * 1_000;

    #[test]
    fn pages_go_on_where_the_last_one_ended() {
        let mut chain = Chain::new();
        let mut execution = chain.execution();
        for key in ["a", "b", "c"] {
            let proposal = chain.proposal(put(key));
            execution.execute(&chain.add(10, vec![proposal])).unwrap();
        }
        let kv = execution.kv.as_ref();
        let all = ProposalFilter::default();
        let heights = |page: &RowPage| page.rows.iter().map(|(height, _, _)| height.0).collect::<Vec<_>>();
        let first = rows_before(kv, &all, (Height(u64::MAX), 0), 2).unwrap();
        assert_eq!((heights(&first), first.next), (vec![3, 2], Some((Height(2), 0))));
        let second =
            rows_before(kv, &all, parse_cursor(&format_cursor(first.next.unwrap())).unwrap(), 2).unwrap();
        assert_eq!((heights(&second), second.next), (vec![1], None));
        let none = ProposalFilter { state: Some(ProposalState::Failed), ..all };
        assert!(rows_before(kv, &none, (Height(u64::MAX), 0), 2).unwrap().rows.is_empty());
    }

    #[test]
    fn a_vote_that_the_ledger_has_forgotten_is_still_listed_as_it_ended() {
        let mut chain = Chain::new();
        let mut execution = chain.execution();
        let proposal = chain.proposal(ProposalBody::Text { title: "t".into(), text: "x".into() });
        execution.execute(&chain.add(10, vec![proposal.clone()])).unwrap();
        for _ in 0..3 {
            execution.execute(&chain.add(MONTH_MS, Vec::new())).unwrap();
        }
        let kv = execution.kv.as_ref();
        assert_eq!(query::vote_record(&StateView(kv), &proposal.id()).unwrap(), None, "it is forgotten");
        let failed = ProposalFilter { state: Some(ProposalState::Failed), ..ProposalFilter::default() };
        let found = rows_before(kv, &failed, (Height(u64::MAX), 0), 9).unwrap();
        assert_eq!(found.rows.len(), 1);
        assert_eq!(found.rows[0].2.id().unwrap(), proposal.id());
    }
}
