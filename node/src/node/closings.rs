//! Votes that end in a block, in the index.
//!
//! The ledger forgets a closed vote after a while. So the block that ends a vote writes the end into the row of the proposal
//! that opened it, where it stays, and a row of its own that says that this block ended it, from which the block's events
//! can be derived again.

use aegis_ledger::{LedgerEvent, OpenedAt, Receipt, RejectCode, Tally, VoteStatus, VotedProposal};
use aegis_store::{KvStore, Op, Table};
use aegis_types::{CommittedBlock, Height, ValidatorSet, Weight};
use anyhow::Context as _;
use prost::Message as _;

use super::state::{self, IndexedProposal};

/// How a vote ended, in the row of its proposal.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ClosedVote {
    /// The status's name.
    #[prost(string, tag = "1")]
    status: String,
    /// The block that ended it.
    #[prost(uint64, tag = "2")]
    height: u64,
    /// That block's agreed time, in milliseconds of the Unix epoch.
    #[prost(uint64, tag = "3")]
    pub timestamp_ms: u64,
    #[prost(uint64, tag = "4")]
    yes: u64,
    #[prost(uint64, tag = "5")]
    no: u64,
    #[prost(uint64, tag = "6")]
    total: u64,
    /// The smallest weight of yes that would have passed.
    #[prost(uint64, tag = "7")]
    needed: u64,
    /// Why a passed one could not be carried out: a reject code's name; empty when it was.
    #[prost(string, tag = "8")]
    refusal: String,
}

impl ClosedVote {
    /// The end of a vote that agreed state still knows; none while it is open. `validators` are those of the epoch whose
    /// weights decided it.
    pub fn of(vote: &VotedProposal, validators: &ValidatorSet) -> Option<Self> {
        let closed = vote.closed.as_ref()?;
        let refusal = match &closed.enactment {
            Some(aegis_ledger::Enactment::Refused { code, .. }) => code.name().to_owned(),
            Some(aegis_ledger::Enactment::Done) | None => String::new(),
        };
        Some(Self {
            status: vote.status.name().to_owned(),
            height: closed.height.0,
            timestamp_ms: closed.timestamp_ms,
            yes: vote.tally.yes.0,
            no: vote.tally.no.0,
            total: vote.tally.total.0,
            needed: validators.two_thirds_majority().0,
            refusal,
        })
    }

    /// How it ended.
    ///
    /// # Errors
    /// When the row is damaged.
    pub fn status(&self) -> anyhow::Result<VoteStatus> {
        let status = VoteStatus::ALL.into_iter().find(|status| status.name() == self.status);
        status.context("a row of the proposal index is damaged: its vote has no known status")
    }

    /// The block that ended it.
    pub fn height(&self) -> Height {
        Height(self.height)
    }

    /// Why a passed one could not be carried out.
    pub fn refusal(&self) -> Option<RejectCode> {
        RejectCode::ALL.into_iter().find(|code| code.name() == self.refusal)
    }

    /// The final weights: for, against, of all, and the smallest that would have passed.
    pub fn tally(&self) -> aegis_rpc::api::Tally {
        aegis_rpc::api::Tally {
            yes: Weight(self.yes),
            no: Weight(self.no),
            total: Weight(self.total),
            needed: Weight(self.needed),
        }
    }
}

#[derive(Clone, PartialEq, prost::Message)]
struct ClosingRow {
    #[prost(uint64, tag = "1")]
    opened_height: u64,
    #[prost(uint32, tag = "2")]
    opened_position: u32,
    /// Position of the proposal that ended it, plus 1; 0 when agreed time did.
    #[prost(uint32, tag = "3")]
    by_plus_one: u32,
}

/// A vote that ended in a block.
#[derive(Debug, Clone, PartialEq)]
pub struct Closing {
    opened: OpenedAt,
    /// Position of the proposal that ended it; none when agreed time did, before the block's proposals.
    pub by: Option<u32>,
    /// The row of the proposal that opened it, with its end.
    pub row: IndexedProposal,
}

/// Finds the votes that end in a block, and writes their ends into the block's own rows. The rest is for [`ops`].
///
/// # Errors
/// When the store fails, or a row that must be there is missing or damaged.
pub fn record(
    kv: &dyn KvStore,
    block: &CommittedBlock,
    validators: &ValidatorSet,
    (receipts, events): (&[Receipt], &[LedgerEvent]),
    rows: &mut [IndexedProposal],
) -> anyhow::Result<Vec<Closing>> {
    let header = &block.header;
    let mut closings = Vec::new();
    for (number, event) in events.iter().enumerate() {
        let LedgerEvent::ProposalClosed { opened, status, tally, enactment, .. } = event else { continue };
        let Tally { yes, no, total, .. } = *tally;
        let refusal = match enactment {
            Some(aegis_ledger::Enactment::Refused { code, .. }) => code.name().to_owned(),
            Some(aegis_ledger::Enactment::Done) | None => String::new(),
        };
        let closed = ClosedVote {
            status: status.name().to_owned(),
            height: header.height.0,
            timestamp_ms: header.timestamp_ms,
            yes: yes.0,
            no: no.0,
            total: total.0,
            needed: validators.two_thirds_majority().0,
            refusal,
        };
        let of_block = usize::try_from(opened.position).ok().filter(|_| opened.height == header.height);
        let row = match of_block.and_then(|position| rows.get_mut(position)) {
            Some(row) => {
                row.closed = Some(closed);
                row.clone()
            }
            None => IndexedProposal { closed: Some(closed), ..load_row(kv, *opened)? },
        };
        // Receipts are in the order of their events.
        let later = receipts.partition_point(|receipt| receipt.events.end <= number);
        let by = receipts.get(later).filter(|receipt| receipt.events.contains(&number));
        closings.push(Closing { opened: *opened, by: by.map(|receipt| receipt.position), row });
    }
    Ok(closings)
}

/// What to write for the votes that end at a height, besides the block's own rows.
pub fn ops(height: Height, closings: &[Closing]) -> Vec<Op> {
    let mut ops = Vec::with_capacity(closings.len().saturating_mul(2));
    for (number, closing) in (0_u32..).zip(closings) {
        let OpenedAt { height: opened_height, position: opened_position } = closing.opened;
        let mut put = |key, value| ops.push(Op::Put { table: Table::Index, key, value });
        if opened_height != height {
            put(state::proposal_key(opened_height, opened_position), closing.row.encode_to_vec());
        }
        let by_plus_one = closing.by.map_or(0, |position| position.saturating_add(1));
        let row = ClosingRow { opened_height: opened_height.0, opened_position, by_plus_one };
        put(state::closing_key(height, number), row.encode_to_vec());
    }
    ops
}

/// The votes that ended at a height.
///
/// # Errors
/// When the store fails or a row is missing or damaged.
pub fn load(kv: &dyn KvStore, height: Height) -> anyhow::Result<Vec<Closing>> {
    let closing = |row: Vec<u8>| {
        let row = ClosingRow::decode(row.as_slice()).context("a row of ended votes is damaged")?;
        let opened = OpenedAt { height: Height(row.opened_height), position: row.opened_position };
        Ok(Closing { opened, by: row.by_plus_one.checked_sub(1), row: load_row(kv, opened)? })
    };
    state::closing_rows(kv, height)?.into_iter().map(closing).collect()
}

/// The row of the proposal that opened a vote.
///
/// # Errors
/// When the store fails or the row is missing or damaged.
pub fn load_row(kv: &dyn KvStore, opened: OpenedAt) -> anyhow::Result<IndexedProposal> {
    let row = kv.get(Table::Index, &state::proposal_key(opened.height, opened.position))?;
    let row = row.context("a row of the proposal index is missing")?;
    IndexedProposal::decode(row.as_slice()).context("a row of the proposal index is damaged")
}

#[cfg(test)]
mod tests {
    use aegis_rpc::api::{Change, ProposalState, WatchEvent};
    use aegis_types::{Proposal, ProposalBody};

    use super::*;
    use crate::node::executor::Execution;
    use crate::node::testing::{Chain, put};
    use crate::node::watch::{block_events, rows_of};

    const DAY_MS: u64 = 24 * 60 * 60 * 1_000;

    fn sign(chain: &Chain, key: &str, body: ProposalBody) -> Proposal {
        Proposal::sign(body, chain.now_ms() + 60_000, key, &chain.key, &chain.genesis.domain()).unwrap()
    }

    fn text(title: &str) -> ProposalBody {
        ProposalBody::Text { title: title.into(), text: "x".into() }
    }

    fn yes(proposal: &Proposal) -> ProposalBody {
        ProposalBody::ProposalVote { proposal: proposal.id(), approve: true }
    }

    /// What the events say, in few words; and that the past tells the same as was told live.
    fn told(execution: &mut Execution, block: &CommittedBlock) -> Vec<String> {
        let live = execution.execute(block).unwrap().watch_events;
        let (kv, height) = (execution.kv.as_ref(), block.header.height);
        let root = execution.standing.executed.state_root;
        let past = block_events(block, &rows_of(kv, height).unwrap(), root, &load(kv, height).unwrap());
        assert_eq!(past.unwrap(), live);
        live.iter().map(in_words).collect()
    }

    fn in_words(event: &WatchEvent) -> String {
        match &event.change {
            Change::Blocks(_) => "block".to_owned(),
            Change::Proposals(proposal) => format!("{} {}", proposal.kind, proposal.state.name()),
            Change::Kv(kv) => format!("{} {} {}", kv.key, kv.version, kv.value_base64.is_some()),
            Change::Status(_) => "status".to_owned(),
            Change::Metrics(_) => "metrics".to_owned(),
        }
    }

    #[test]
    fn events_come_in_the_order_in_which_things_happened() {
        let mut chain = Chain::new();
        let mut execution = chain.execution();
        let (passes, lapses) = (sign(&chain, "1", text("passes")), sign(&chain, "2", text("lapses")));
        let value = sign(&chain, "3", put("k"));
        let first = chain.add(10, vec![passes.clone(), lapses.clone(), value]);
        assert_eq!(
            told(&mut execution, &first),
            ["block", "text open", "text open", "kv.put applied", "k 1 true"]
        );
        let vote = sign(&chain, "4", yes(&passes));
        let removal = sign(&chain, "5", ProposalBody::KvDelete { key: "k".into() });
        let second = chain.add(10, vec![vote, removal]);
        let expected = ["block", "proposal.vote applied", "text passed", "kv.delete applied", "k 2 false"];
        assert_eq!(told(&mut execution, &second), expected, "a removal counts as a version");
        let value = sign(&chain, "6", put("k"));
        let third = chain.add(DAY_MS, vec![value]);
        assert_eq!(
            told(&mut execution, &third)[..2],
            ["block", "text failed"],
            "time comes before proposals"
        );
        let row = load_row(execution.kv.as_ref(), OpenedAt { height: Height(1), position: 1 }).unwrap();
        assert_eq!(row.id().unwrap(), lapses.id());
        assert_eq!(row.closed.unwrap().status().unwrap(), VoteStatus::Lapsed);
    }

    #[test]
    fn a_vote_may_end_in_the_block_that_opens_it() {
        let mut chain = Chain::new();
        let mut execution = chain.execution();
        let opens = sign(&chain, "1", text("short"));
        let vote = sign(&chain, "2", yes(&opens));
        let block = chain.add(10, vec![opens, vote]);
        assert_eq!(
            told(&mut execution, &block),
            ["block", "text open", "proposal.vote applied", "text passed"]
        );
        let row = load_row(execution.kv.as_ref(), OpenedAt { height: Height(1), position: 0 }).unwrap();
        let closed = row.closed.unwrap();
        assert_eq!((closed.height(), closed.tally().needed), (Height(1), Weight(1)));
        assert_eq!(crate::node::watch::closed_outcome(&closed).unwrap().state, ProposalState::Passed);
    }
}
