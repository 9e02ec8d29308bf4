//! Whether the committed log shows votes of this node that its journal does not know.
//!
//! # Why a block tells
//! A block's certificate names who signed Commit for it. A Commit leaves a node only after it is in the journal, and a
//! checkpoint of the journal drops none but those for executed blocks, and says up to which block. So above that floor,
//! each block with this node's signature has its Commit in the journal: the same view's, or that of a later view, which
//! replaces it. When it is not there, the journal has lost what came after some moment, and with it perhaps votes for blocks
//! that are not decided yet.
//!
//! What this cannot see: votes for blocks that the log does not have, and those that others left out of a certificate.

use std::collections::BTreeMap;

use aegis_consensus::{Record, VoteFloor};
use aegis_store::{CommittedLog, KvStore, StoreError};
use aegis_types::{Canonical as _, CommittedBlock, Epoch, Height, ValidatorId, View};
use anyhow::Context as _;

use super::state;

/// Newest blocks that are looked at. What a journal loses it loses from its end, so the newest blocks show it; a validator
/// has votes underway for at most some windows of blocks, far fewer than these.
const BLOCKS: u64 = 1_024;

/// The newest block that this node has signed by a vote which its journal should have and has not.
///
/// # Errors
/// When log or store cannot be read.
pub fn forgotten_vote(
    log: &CommittedLog,
    kv: &dyn KvStore,
    records: &[Record],
    floor: &VoteFloor,
    me: &ValidatorId,
) -> anyhow::Result<Option<Height>> {
    let (Some(first), Some(last)) = (log.first(), log.last()) else { return Ok(None) };
    let mut known: BTreeMap<(Epoch, Height), View> = BTreeMap::new();
    for record in records {
        if let Record::Committing { vote, .. } = record {
            let view = known.entry((vote.content.epoch, vote.content.height)).or_insert(vote.content.view);
            *view = vote.content.view.max(*view);
        }
    }
    let lowest = first.max(floor.height.next()).max(Height(last.0.saturating_sub(BLOCKS)));
    let reader = log.reader();
    let mut sets = BTreeMap::new();
    for height in (lowest.0..=last.0).rev().map(Height) {
        let block = match reader.read(height) {
            // It tells nothing; the log has noted it, and the next start mends it.
            Err(StoreError::Damaged { .. }) => continue,
            block => block?.with_context(|| format!("block {height} is not in the committed log"))?,
        };
        let CommittedBlock { header, certificate, .. } = CommittedBlock::decode(&block)?;
        if header.epoch < floor.epoch {
            break;
        }
        if let std::collections::btree_map::Entry::Vacant(vacant) = sets.entry(header.epoch) {
            vacant.insert(state::load_validators(kv, header.epoch)?);
        }
        let Some(Some(set)) = sets.get(&header.epoch) else { break };
        let is_signed = certificate.signers(set).any(|(signer, _)| signer == *me);
        let is_known =
            known.get(&(header.epoch, height)).is_some_and(|view| *view >= certificate.content.view);
        if is_signed && !is_known {
            return Ok(Some(height));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use aegis_store::SegmentOptions;
    use aegis_types::{Vote, VoteContent};

    use super::*;
    use crate::node::testing::{Chain, put};

    const BLOCKS: u64 = 5;

    /// A chain that its one validator has signed, as a log, and the Commits that are in that validator's journal.
    fn setting() -> (tempfile::TempDir, Chain, CommittedLog, crate::node::executor::Execution, Vec<Record>) {
        let mut chain = Chain::new();
        let mut execution = chain.execution();
        let folder = tempfile::tempdir().unwrap();
        let mut log = CommittedLog::open(folder.path(), SegmentOptions::default()).unwrap();
        for number in 0..BLOCKS {
            let proposal = chain.proposal(put(&format!("k{number}")));
            let block = chain.decide(&mut execution, vec![proposal]);
            log.append(block.header.height, &block.encode()).unwrap();
        }
        log.flush().unwrap();
        let records =
            chain.blocks.iter().map(|block| commit(&chain, block, block.certificate.content)).collect();
        (folder, chain, log, execution, records)
    }

    fn commit(chain: &Chain, block: &CommittedBlock, content: VoteContent) -> Record {
        let vote = Vote::sign(content, &chain.key, &chain.genesis.domain());
        Record::Committing { header: block.header.clone(), certificate: block.certificate.clone(), vote }
    }

    #[test]
    fn a_signed_block_without_its_commit_in_the_journal_shows_and_nothing_else_does() {
        let (_folder, chain, log, execution, records) = setting();
        let me = chain.key.validator_id();
        let find = |records: &[Record], floor| {
            forgotten_vote(&log, execution.kv.as_ref(), records, &floor, &me).unwrap()
        };
        assert_eq!(find(&records, VoteFloor::NONE), None);
        assert_eq!(find(&records[..4], VoteFloor::NONE), Some(Height(5)), "the journal was cut");
        assert_eq!(find(&[], VoteFloor::NONE), Some(Height(5)));
        assert_eq!(find(&records[4..], VoteFloor::NONE), Some(Height(4)));
        let dropped = |height| VoteFloor { height: Height(height), ..VoteFloor::NONE };
        assert_eq!(find(&records[3..], dropped(3)), None, "a checkpoint has dropped the others");
        assert_eq!(find(&[], dropped(5)), None);
        assert_eq!(find(&[], VoteFloor::UNKNOWN), None, "it is known already that votes are lost");
        let later = VoteFloor { epoch: Epoch(1), ..VoteFloor::NONE };
        assert_eq!(find(&[], later), None, "votes of earlier epochs do not count any more");
        let other = forgotten_vote(
            &log,
            execution.kv.as_ref(),
            &[],
            &VoteFloor::NONE,
            &aegis_types::Keypair::from_seed(&[9; 32]).validator_id(),
        );
        assert_eq!(other.unwrap(), None, "others' signatures are none of this node's");
    }

    #[test]
    fn the_commit_of_a_later_view_counts_and_that_of_an_earlier_one_does_not() {
        let (_folder, chain, log, execution, mut records) = setting();
        let me = chain.key.validator_id();
        let block = chain.blocks[4].clone();
        let content = block.certificate.content;
        records[4] = commit(&chain, &block, VoteContent { view: View(3), ..content });
        assert_eq!(
            forgotten_vote(&log, execution.kv.as_ref(), &records, &VoteFloor::NONE, &me).unwrap(),
            None
        );

        // The log has the block with a certificate of view 2; the journal knows only of view 0.
        let folder = tempfile::tempdir().unwrap();
        let mut later = CommittedLog::open(folder.path(), SegmentOptions::default()).unwrap();
        for (block, view) in chain.blocks.iter().zip([0, 0, 0, 0, 2]) {
            let mut block = block.clone();
            block.certificate.content.view = View(view);
            later.append(block.header.height, &block.encode()).unwrap();
        }
        later.flush().unwrap();
        records[4] = commit(&chain, &block, content);
        let found = forgotten_vote(&later, execution.kv.as_ref(), &records, &VoteFloor::NONE, &me).unwrap();
        assert_eq!(found, Some(Height(5)));
    }
}
