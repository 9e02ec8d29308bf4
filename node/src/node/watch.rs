//! Watching: what a block changed, as events, live and from the past.
//!
//! Events of the past are derived again from the committed log and the indexes, by the same function that made them when
//! the block was executed, so a watcher that resumes sees what it would have seen live.

use std::ops::ControlFlow;
use std::sync::Arc;

use aegis_ledger::{RejectCode, VoteStatus};
use aegis_metrics::SignedReport;
use aegis_rpc::api::{
    BlockEvent, Change, EncodedBytes, KvEvent, Outcome, ProposalEvent, ProposalState, WatchEvent,
};
use aegis_store::{KvStore, LogReader, Table};
use aegis_types::{Canonical, CommittedBlock, Hash, Height, Proposal, ProposalBody};
use anyhow::Context as _;
use tokio::sync::broadcast;

use super::closings::{self, ClosedVote, Closing};
use super::state::{self, IndexedProposal};
use crate::calendar;

/// Blocks whose events are held for watchers. Few, as a block may have megabytes of them: who falls behind reads the log.
const BLOCKS_HELD: usize = 16;
/// Longest subject of a proposal in lists, in characters.
const SUBJECT_CHARS: usize = 80;

/// The events of one block.
#[derive(Debug)]
pub struct BlockEvents {
    /// The block's height.
    pub height: Height,
    /// Its events, in order.
    pub events: Vec<WatchEvent>,
}

/// Hands the events of executed blocks to all watchers.
#[derive(Debug)]
pub struct WatchHub {
    sender: broadcast::Sender<Arc<BlockEvents>>,
}

impl WatchHub {
    /// A hub without watchers.
    pub fn new() -> Self {
        Self { sender: broadcast::channel(BLOCKS_HELD).0 }
    }

    /// Tells all watchers.
    pub fn publish(&self, height: Height, events: Vec<WatchEvent>) {
        // Nobody watching is no error.
        let _ = self.sender.send(Arc::new(BlockEvents { height, events }));
    }

    /// Starts watching; the first event is that of the next block executed.
    pub fn subscribe(&self) -> broadcast::Receiver<Arc<BlockEvents>> {
        self.sender.subscribe()
    }
}

/// The events of a block, from what was written about it.
pub fn block_events(
    block: &CommittedBlock,
    rows: &[IndexedProposal],
    state_root: Hash,
    closings: &[Closing],
) -> anyhow::Result<Vec<WatchEvent>> {
    let height = block.header.height;
    let event = |change| WatchEvent { height, change };
    let mut events = vec![event(Change::Blocks(BlockEvent {
        digest: block.certificate.content.digest,
        epoch: block.header.epoch,
        view: block.certificate.content.view,
        proposer: block.header.proposer,
        timestamp_ms: block.header.timestamp_ms,
        proposals: u64::try_from(rows.len()).unwrap_or(u64::MAX),
        state_root,
    }))];
    let mut closings = closings.iter().peekable();
    // What agreed time had made due comes before the block's proposals.
    while let Some(closing) = closings.next_if(|closing| closing.by.is_none()) {
        events.push(event(Change::Proposals(closing_event(closing)?)));
    }
    let proposals = block.batches.iter().flat_map(|batch| &batch.proposals);
    for (position, (proposal, row)) in (0_u32..).zip(proposals.zip(rows)) {
        let outcome = outcome_of(row);
        events.push(event(Change::Proposals(ProposalEvent {
            id: proposal.id(),
            account: proposal.account,
            kind: proposal.kind(),
            state: outcome.state,
            outcome: Some(outcome.clone()),
        })));
        if let Some(change) = kv_event(proposal, row) {
            events.push(event(Change::Kv(change)));
        }
        while let Some(closing) = closings.next_if(|closing| closing.by == Some(position)) {
            events.push(event(Change::Proposals(closing_event(closing)?)));
        }
    }
    Ok(events)
}

fn kv_event(proposal: &Proposal, row: &IndexedProposal) -> Option<KvEvent> {
    let outcome = outcome_of(row);
    if outcome.state != ProposalState::Applied {
        return None;
    }
    let version = outcome.version.unwrap_or(row.removal_version);
    match &proposal.body {
        ProposalBody::KvPut { key, value } | ProposalBody::KvCas { key, value, .. } => {
            Some(KvEvent { key: key.clone(), version, value_base64: Some(EncodedBytes(value.clone())) })
        }
        ProposalBody::KvDelete { key } => Some(KvEvent { key: key.clone(), version, value_base64: None }),
        ProposalBody::Text { .. }
        | ProposalBody::ParamSet { .. }
        | ProposalBody::ValidatorAdd { .. }
        | ProposalBody::ValidatorRemove { .. }
        | ProposalBody::ProposalVote { .. }
        | ProposalBody::Evidence { .. }
        | ProposalBody::MetricsReport { .. }
        | ProposalBody::MetricsEvidence { .. } => None,
    }
}

fn closing_event(closing: &Closing) -> anyhow::Result<ProposalEvent> {
    let row = &closing.row;
    let closed = row.closed.as_ref().context("a row of ended votes names a vote that is open")?;
    let outcome = closed_outcome(closed)?;
    Ok(ProposalEvent {
        id: row.id()?,
        account: row.account()?,
        kind: row.kind()?,
        state: outcome.state,
        outcome: Some(outcome),
    })
}

/// How a vote ended, as the interface shows it.
///
/// # Errors
/// When the row is damaged.
pub fn closed_outcome(closed: &ClosedVote) -> anyhow::Result<Outcome> {
    Ok(vote_outcome(closed.status()?, closed.refusal()))
}

/// A vote's status as the interface names it.
fn vote_state(status: VoteStatus) -> ProposalState {
    match status {
        VoteStatus::Open => ProposalState::Open,
        VoteStatus::Passed => ProposalState::Passed,
        VoteStatus::Failed | VoteStatus::Lapsed => ProposalState::Failed,
    }
}

/// A vote's outcome as the interface shows it.
fn vote_outcome(status: VoteStatus, refusal: Option<RejectCode>) -> Outcome {
    let (code, message) = match (status, refusal) {
        (VoteStatus::Open, _) => (None, "the vote is open".to_owned()),
        (VoteStatus::Passed, Some(code)) => {
            (Some(code.name().to_owned()), format!("passed, but could not be carried out: {code}"))
        }
        (VoteStatus::Passed, _) => (None, "passed and carried out".to_owned()),
        (VoteStatus::Failed, _) => (None, "failed: a third of the weight voted no".to_owned()),
        (VoteStatus::Lapsed, _) => (None, "failed: its deadline came first".to_owned()),
    };
    Outcome { state: vote_state(status), code, message, version: None }
}

/// The outcome that an index row records, as the interface shows it.
pub fn outcome_of(row: &IndexedProposal) -> Outcome {
    let version = row.version_plus_one.checked_sub(1);
    let (state, code, message) = match row.outcome {
        1 => (ProposalState::Applied, None, "it took effect".to_owned()),
        2 => {
            (ProposalState::Open, None, format!("the vote is open until {}", calendar::time(row.deadline_ms)))
        }
        4 => {
            let code = Some("duplicate".to_owned());
            (
                ProposalState::Rejected,
                code,
                "its idempotency key had a result already; it had no effect".to_owned(),
            )
        }
        _ => (ProposalState::Rejected, Some(row.code.clone()), row.reason.clone()),
    };
    Outcome { state, code, message, version }
}

/// What a proposal is about, in a few words.
pub fn subject(body: &ProposalBody) -> String {
    let text = match body {
        ProposalBody::KvPut { key, .. }
        | ProposalBody::KvDelete { key }
        | ProposalBody::KvCas { key, .. } => key.clone(),
        ProposalBody::Text { title, .. } => title.clone(),
        ProposalBody::ParamSet { name, value } => format!("{name} = {value}"),
        ProposalBody::ValidatorAdd { validator, weight } => format!("{} weight {weight}", validator.short()),
        ProposalBody::ValidatorRemove { validator } => validator.short(),
        ProposalBody::ProposalVote { proposal, approve } => {
            format!("{} on {}", if *approve { "yes" } else { "no" }, proposal.short())
        }
        ProposalBody::Evidence { first, .. } => format!("against {}", first.validator.short()),
        ProposalBody::MetricsReport { sampled, .. } => format!("on {} sampled heights", sampled.len()),
        ProposalBody::MetricsEvidence { first, .. } => match SignedReport::decode(first) {
            Ok(signed) => format!("against {}", signed.report.reporter.short()),
            Err(_) => "not two reports".to_owned(),
        },
    };
    text.chars().take(SUBJECT_CHARS).collect()
}

/// The events of a block of the past; none when this node does not hold it any more.
///
/// # Errors
/// When a store fails.
pub fn past_events(
    log: &LogReader,
    kv: &dyn KvStore,
    height: Height,
) -> anyhow::Result<Option<Vec<WatchEvent>>> {
    let Some(block) = log.read(height)? else { return Ok(None) };
    let block = CommittedBlock::decode(&block).context("a block of the committed log cannot be read")?;
    let rows = rows_of(kv, height)?;
    if rows.len() != block.batches.iter().map(|batch| batch.proposals.len()).sum::<usize>() {
        // This node did not execute the block: it took over the state after it, and cannot tell what the block did.
        return Ok(None);
    }
    let root =
        kv.get(Table::Index, &state::root_key(height))?.context("a state root is missing from the index")?;
    let closings = closings::load(kv, height)?;
    block_events(&block, &rows, Hash::from_slice("state root", &root)?, &closings).map(Some)
}

/// The index rows of a block's proposals, in order.
///
/// # Errors
/// When the store fails or a row is damaged.
pub fn rows_of(kv: &dyn KvStore, height: Height) -> anyhow::Result<Vec<IndexedProposal>> {
    use prost::Message as _;
    let mut rows = Vec::new();
    let mut damaged = None;
    kv.scan(Table::Index, &state::proposal_key(height, 0), &mut |key, value| {
        if state::parse_proposal_key(key).is_none_or(|(at, _)| at != height) {
            return ControlFlow::Break(());
        }
        match IndexedProposal::decode(value) {
            Ok(row) => {
                rows.push(row);
                ControlFlow::Continue(())
            }
            Err(error) => {
                damaged = Some(error);
                ControlFlow::Break(())
            }
        }
    })?;
    match damaged {
        Some(error) => Err(error).context("a row of the proposal index is damaged"),
        None => Ok(rows),
    }
}
