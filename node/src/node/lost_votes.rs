//! What an operator decides when a vote journal is lost: that the validator goes on without it.
//!
//! The decision stands in a new journal, as its first entries: its name, and that votes of any epoch may be lost. From then
//! on the node follows blocks without voting, until [`super::regain`] has found the epoch from which on it may vote.

use std::sync::Arc;

use aegis_consensus::VoteFloor;
use aegis_store::{DataDir, FoundJournal, Journal, SegmentOptions, set_aside};
use anyhow::{Context as _, bail};

use super::journal::{Entry, HomeMilestones, JournalId};
use crate::home::Home;

/// What was done with a home's journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accepted {
    /// Where the journal of before is now, if there was one.
    pub aside: Option<std::path::PathBuf>,
}

/// Why a journal must be replaced, in the operator's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// It is missing, damaged, or another one's.
    Unusable,
    /// It is this home's own and can be read, and yet it may lack votes: it is an older copy.
    OlderCopy,
}

/// Replaces a lost journal by one that says so. No node may run on the home.
///
/// # Errors
/// When a node runs, the journal is whole and not said to be an older copy, or the disk fails.
pub fn accept_lost_votes(home: &Home, segment_bytes: u64, cause: Cause) -> anyhow::Result<Accepted> {
    let data_dir = DataDir::open(&home.data_path())?;
    let options = SegmentOptions { segment_bytes };
    if cause == Cause::Unusable && is_whole(home, &data_dir, options)? {
        bail!(
            "the vote journal in {} is this home's own and whole, so nothing is lost and nothing was changed. If it is an \
             older copy, from a backup or a snapshot of the disk, say so with --older-copy",
            data_dir.journal_dir().display()
        );
    }
    let aside = set_aside(&data_dir.journal_dir())?;
    found_without_votes(home, &data_dir, options)?;
    Ok(Accepted { aside })
}

/// Founds a journal that knows that votes may be lost. The folder must be empty or absent.
///
/// # Errors
/// When the disk fails.
pub fn found_without_votes(home: &Home, data_dir: &DataDir, options: SegmentOptions) -> anyhow::Result<()> {
    let (mut journal, entries) = Journal::open(&data_dir.journal_dir(), options)?;
    if !entries.is_empty() {
        bail!("there is a vote journal in {} already", data_dir.journal_dir().display());
    }
    let id = JournalId(rand::random());
    journal.append(&Entry::Founded(id).encode());
    journal.append(&Entry::Floor(VoteFloor::UNKNOWN).encode());
    journal.flush()?;
    // A crash before this leaves a journal that the home does not know, and so a node that does not start.
    let noted = journal.keep_milestones(Arc::new(HomeMilestones::new(home.clone(), id)));
    noted.context("the new journal is not known to the home; run the command again")
}

/// Whether the journal can be read, and is the one that the home knows and as long as it was.
fn is_whole(home: &Home, data_dir: &DataDir, options: SegmentOptions) -> anyhow::Result<bool> {
    let journal = match FoundJournal::read(&data_dir.journal_dir(), options) {
        Ok(found) => found,
        Err(aegis_store::StoreError::Damaged { .. }) => return Ok(false),
        Err(error) => return Err(error.into()),
    };
    let Some(known) = home.read_journal_note().unwrap_or_default() else { return Ok(false) };
    let mut is_own = false;
    for entry in journal.records() {
        if let Entry::Founded(id) = Entry::decode(entry)? {
            is_own = known.id == id.0;
        }
    }
    Ok(is_own && journal.check_reaches(known.confirmed.unwrap_or_default()).is_ok())
}
