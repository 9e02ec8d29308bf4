//! `aegis proposal`

mod list;
mod reference;
mod show;
mod submit;
mod vote;
mod watch;

use clap::Subcommand;

use super::{Failure, Global};

/// Submit, list, show, vote on and watch proposals
#[derive(Debug, Subcommand)]
pub enum ProposalCommand {
    /// Sign a proposal with the account key and submit it
    Submit(submit::Submit),
    /// Proposals, newest first
    List(list::List),
    /// Everything that is known about a proposal
    Show(show::Show),
    /// Vote on an open proposal with the key of the home's node
    Vote(vote::Vote),
    /// Changes of proposals as they happen
    Watch(watch::Watch),
}

impl ProposalCommand {
    /// Carries it out.
    ///
    /// # Errors
    /// When no node answers or the request is refused.
    pub async fn run(self, global: &Global) -> Result<(), Failure> {
        match self {
            Self::Submit(submit) => submit.run(global).await,
            Self::List(list) => list.run(global).await,
            Self::Show(show) => show.run(global).await,
            Self::Vote(vote) => vote.run(global).await,
            Self::Watch(watch) => watch.run(global).await,
        }
    }
}
