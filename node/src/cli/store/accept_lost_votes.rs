//! `aegis store accept-lost-votes`

use clap::Args;
use serde::Serialize;

use crate::cli::{Exit, Failure, Global};
use crate::node::lost_votes::{Cause, NothingLost, accept_lost_votes};

use super::{Opened, blocking, open};

/// Go on without the vote journal: the node does not vote until it is safe
///
/// For a home whose vote journal is lost, damaged, or an older copy, or whose key has voted elsewhere. A new journal is made that knows that votes are lost.
/// The node then follows blocks without voting, has a block ordered that could not exist before, and votes again from the
/// epoch after that block's on. Whatever it signed before cannot be contradicted: votes of different epochs never do.
#[derive(Debug, Args)]
pub struct AcceptLostVotes {
    /// The journal can be read and is this home's own, but comes from a backup or a snapshot of the disk
    #[arg(long)]
    older_copy: bool,
    /// The key of this home has voted elsewhere: on another machine, or in a home that was lost
    #[arg(long, conflicts_with = "older_copy")]
    key_was_used: bool,
}

#[derive(Serialize)]
struct Done {
    aside: Option<String>,
}

impl AcceptLostVotes {
    /// Makes the new journal.
    ///
    /// # Errors
    /// When the node runs, or nothing is lost.
    pub async fn run(self, global: &Global) -> Result<(), Failure> {
        let Opened { home, store, .. } = open(global)?;
        let cause = match self {
            Self { key_was_used: true, .. } => Cause::KeyWasUsed,
            Self { older_copy: true, .. } => Cause::OlderCopy,
            Self { .. } => Cause::Unusable,
        };
        let accepted = blocking(move || {
            let accepted = accept_lost_votes(&home, store.journal_segment.bytes(), cause);
            accepted.map(Ok).or_else(|error| error.downcast::<NothingLost>().map(Err))
        });
        let accepted =
            accepted.await?.map_err(|refusal| Failure::new(refusal.to_string()).exit(Exit::Refused))?;
        let done = Done { aside: accepted.aside.map(|path| path.display().to_string()) };
        global.output().document(&done, |done| {
            let aside = done.aside.as_ref().map(|path| format!("the journal of before is in {path}; "));
            format!(
                "{}the node does not vote until it has found out from which epoch on it may; start it, and see `aegis status`",
                aside.unwrap_or_default()
            )
        })
    }
}
