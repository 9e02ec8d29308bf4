//! Index rows of votes that agreed state remembers, for a node that has not executed the blocks that opened them.
//!
//! A vote that is open when a state is taken over ends in a later block, which completes the row of the proposal that opened
//! it. So that row has to be there; agreed state knows all that stands in it.

use aegis_ledger::query::{self, VotedFilter};
use aegis_ledger::{VoteStatus, VotedProposal};
use aegis_store::{KvStore, Op, Table};
use anyhow::Context as _;
use prost::Message as _;

use super::closings::ClosedVote;
use super::state::{self, IndexedProposal, StateView};
use super::watch::subject;

/// Votes read at a time.
const PAGE: usize = 500;
/// The outcome of a row whose proposal opened a vote.
const OPENED: u32 = 2;

/// Writes the rows of all votes in the state that is there.
///
/// # Errors
/// When the store fails, or its state or validator sets are not complete.
pub fn write_rows(kv: &dyn KvStore) -> anyhow::Result<()> {
    let mut after = None;
    loop {
        let page = query::voted_list(&StateView(kv), &VotedFilter::default(), after, PAGE)?;
        let mut ops = Vec::with_capacity(page.items.len() * 2);
        for vote in &page.items {
            let (height, position) = (vote.opened.height, vote.opened.position);
            let row = row_of(kv, vote)?.encode_to_vec();
            for (key, value) in [
                (state::proposal_key(height, position), row),
                (state::place_key(&vote.id), state::place_value(height, position)),
            ] {
                ops.push(Op::Put { table: Table::Index, key, value });
            }
        }
        kv.commit(&ops)?;
        after = page.next;
        if after.is_none() {
            return Ok(());
        }
    }
}

fn row_of(kv: &dyn KvStore, vote: &VotedProposal) -> anyhow::Result<IndexedProposal> {
    let closed = match vote.status {
        VoteStatus::Open => None,
        VoteStatus::Passed | VoteStatus::Failed | VoteStatus::Lapsed => {
            let epoch = vote.tally.epoch;
            let validators = state::load_validators(kv, epoch)?;
            let validators =
                validators.with_context(|| format!("the validators of epoch {epoch} are missing"))?;
            ClosedVote::of(vote, &validators)
        }
    };
    Ok(IndexedProposal {
        id: vote.id.0.to_vec(),
        account: vote.account.0.to_vec(),
        kind: vote.kind().name().to_owned(),
        subject: subject(&vote.body),
        outcome: OPENED,
        deadline_ms: vote.deadline_ms,
        closed,
        ..IndexedProposal::default()
    })
}

#[cfg(test)]
mod tests {
    use aegis_ledger::OpenedAt;
    use aegis_types::{Proposal, ProposalBody};

    use super::*;
    use crate::node::closings::load_row;
    use crate::node::testing::Chain;

    const DAY_MS: u64 = 24 * 60 * 60 * 1_000;

    #[test]
    fn the_rows_made_from_the_state_are_those_that_execution_wrote() {
        let mut chain = Chain::new();
        let mut execution = chain.execution();
        let sign = |chain: &Chain, key: &str, body| {
            Proposal::sign(body, chain.now_ms() + 60_000, key, &chain.key, &chain.genesis.domain()).unwrap()
        };
        let text = |title: &str| ProposalBody::Text { title: title.into(), text: "x".into() };
        let (passes, lapses) = (sign(&chain, "1", text("passes")), sign(&chain, "2", text("lapses")));
        let yes = ProposalBody::ProposalVote { proposal: passes.id(), approve: true };
        let vote = sign(&chain, "3", yes);
        execution.execute(&chain.add(10, vec![passes, lapses])).unwrap();
        execution.execute(&chain.add(10, vec![vote])).unwrap();
        let open = sign(&chain, "4", text("open"));
        execution.execute(&chain.add(DAY_MS, Vec::new())).unwrap();
        let open =
            Proposal::sign(text("open"), chain.now_ms() + 60_000, "4", &chain.key, &chain.genesis.domain())
                .unwrap_or(open);
        execution.execute(&chain.add(10, vec![open])).unwrap();
        let kv = execution.kv.as_ref();
        let places = [(1, 0), (1, 1), (4, 0)];
        let rows = || {
            places.map(|(height, position)| {
                load_row(kv, OpenedAt { height: aegis_types::Height(height), position }).unwrap()
            })
        };
        let written = rows();
        let open_ones = written.iter().filter(|row| row.closed.is_none()).count();
        assert_eq!(open_ones, 1, "{written:#?}");
        let keys =
            places.map(|(height, position)| state::proposal_key(aegis_types::Height(height), position));
        let forget: Vec<Op> = keys.map(|key| Op::Delete { table: Table::Index, key }).into();
        kv.commit(&forget).unwrap();
        write_rows(kv).unwrap();
        assert_eq!(rows(), written);
    }
}
