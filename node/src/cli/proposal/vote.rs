//! `aegis proposal vote`

use std::path::PathBuf;

use aegis_types::{ProposalBody, ProposalId};
use clap::{Args, ValueEnum};

use super::reference::resolve;
use super::submit::{Delivery, describe};
use crate::cli::session::Session;
use crate::cli::{Failure, Global};

/// Vote on an open proposal with the key of the home's node
#[derive(Debug, Args)]
pub struct Vote {
    /// The proposal's id, or the first digits of it
    id: String,
    /// The vote
    #[arg(value_enum)]
    choice: Choice,
    /// Node key file to sign with [default: the node key of the home; without one, the node signs, given its token]
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    #[command(flatten)]
    delivery: Delivery,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Choice {
    /// For it
    Yes,
    /// Against it
    No,
}

impl Vote {
    /// Signs the vote and submits it.
    ///
    /// # Errors
    /// When it was refused, or its outcome is unknown.
    pub async fn run(self, global: &Global) -> Result<(), Failure> {
        let session = Session::open(global)?;
        let proposal = resolve(&session, &self.id).await?;
        match session.node_key(self.key.as_deref())? {
            Some(key) => {
                let body = ProposalBody::ProposalVote { proposal, approve: self.choice == Choice::Yes };
                let domain = session.domain().await?;
                self.delivery.deliver(&session, body, &key, &domain).await?.report(&session)
            }
            None => self.ask_node(&session, proposal).await,
        }
    }

    async fn ask_node(&self, session: &Session, proposal: ProposalId) -> Result<(), Failure> {
        session.output.note("note: no node key at hand; asking the node to vote with its own");
        let (wait, timeout_ms) = self.delivery.wait();
        let vote = session.client.vote(proposal, self.choice == Choice::Yes, wait, timeout_ms).await;
        let submission = vote.map_err(|error| session.failure(error))?;
        session.output.document(&submission, describe)
    }
}
