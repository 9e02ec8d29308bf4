//! What an operator decides when a vote journal is lost: that the validator goes on without it.
//!
//! The decision stands in a new journal, as its first entries: its name, and that votes of any epoch may be lost. From then
//! on the node follows blocks without voting, until [`super::regain`] has found the epoch from which on it may vote.

use std::path::{Path, PathBuf};
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
    pub aside: Option<PathBuf>,
}

/// Why a journal must be replaced, in the operator's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// It is missing, damaged, or another one's.
    Unusable,
    /// It is this home's own and can be read, and yet it may lack votes: it is an older copy.
    OlderCopy,
    /// Its key has voted elsewhere.
    KeyWasUsed,
}

/// Why nothing was done: no votes are lost that way.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NothingLost {
    /// No node has ever run on the home.
    #[error(
        "no node has run on {}, so no votes are lost there and nothing was changed; if its key has voted elsewhere, on another \
         machine or in a home that was lost, say so with --key-was-used",
        home.display()
    )]
    NeverRan {
        /// The home.
        home: PathBuf,
    },
    /// The journal is this home's own, can be read and is as long as it was.
    #[error(
        "the vote journal in {} is this home's own and whole, so nothing is lost and nothing was changed. If it is an older \
         copy, from a backup or a snapshot of the disk, say so with --older-copy; if its key has voted elsewhere, with \
         --key-was-used",
        journal.display()
    )]
    Whole {
        /// The journal's folder.
        journal: PathBuf,
    },
}

/// Replaces a lost journal by one that says so. No node may run on the home.
///
/// # Errors
/// [`NothingLost`]; when a node runs, or the disk fails.
pub fn accept_lost_votes(home: &Home, segment_bytes: u64, cause: Cause) -> anyhow::Result<Accepted> {
    // Of a key that was used elsewhere no journal of this home says enough, whether a node has run on it or not.
    if cause != Cause::KeyWasUsed && !home.has_run() {
        return Err(NothingLost::NeverRan { home: home.path().to_owned() }.into());
    }
    let data_dir = DataDir::open(&home.data_path())?;
    let options = SegmentOptions { segment_bytes };
    if cause == Cause::Unusable && is_whole(home, &data_dir, options)? {
        return Err(NothingLost::Whole { journal: data_dir.journal_dir() }.into());
    }
    let aside = set_aside(&data_dir.journal_dir())?;
    found_without_votes(home, &data_dir, options)?;
    Ok(Accepted { aside })
}

/// Whether the journal says nothing but that votes may be lost: a restore that failed leaves such a one.
///
/// # Errors
/// When it cannot be read.
pub fn knows_of_no_vote(folder: &Path, options: SegmentOptions) -> anyhow::Result<bool> {
    let journal = FoundJournal::read(folder, options)?;
    let mut is_unknown = false;
    for entry in journal.records() {
        match Entry::decode(entry)? {
            Entry::Founded(_) => {}
            Entry::Floor(floor) => is_unknown = floor.is_unknown(),
            Entry::Record(_) | Entry::Batch(_) => return Ok(false),
        }
    }
    Ok(is_unknown)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_home_that_never_ran_has_lost_nothing_unless_its_key_was_used_elsewhere() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::new(folder.path());
        let segment_bytes = SegmentOptions::default().segment_bytes;
        for cause in [Cause::Unusable, Cause::OlderCopy] {
            let refused = accept_lost_votes(&home, segment_bytes, cause).unwrap_err();
            assert!(matches!(refused.downcast_ref(), Some(NothingLost::NeverRan { .. })), "{refused:#}");
            assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "it makes nothing");
        }
        accept_lost_votes(&home, segment_bytes, Cause::KeyWasUsed).unwrap();
        let again = accept_lost_votes(&home, segment_bytes, Cause::KeyWasUsed).unwrap();
        assert!(again.aside.is_some(), "the journal of before is set aside, and votes stay unknown");
        let refused = accept_lost_votes(&home, segment_bytes, Cause::Unusable).unwrap_err();
        assert!(matches!(refused.downcast_ref(), Some(NothingLost::Whole { .. })), "{refused:#}");
    }
}
