//! `aegis proposal watch`

use std::collections::BTreeSet;

use aegis_rpc::api::{Change, ProposalEvent, ProposalState, Topic, WatchEvent, WatchRequest};
use aegis_types::{Height, ProposalId};
use clap::Args;

use super::reference::resolve;
use crate::cli::output::printable;
use crate::cli::session::Session;
use crate::cli::watch::follow;
use crate::cli::{Failure, Global};

/// Changes of proposals as they happen; with an id, ends when that proposal is decided
#[derive(Debug, Args)]
pub struct Watch {
    /// Only the proposal with this id, or these first digits
    id: Option<String>,
    /// Start with everything of this height instead of the next block
    #[arg(long, value_name = "HEIGHT")]
    from_height: Option<u64>,
}

impl Watch {
    /// Prints changes until it is interrupted, or the one proposal is decided.
    ///
    /// # Errors
    /// When no node answers or the connection breaks.
    pub async fn run(self, global: &Global) -> Result<(), Failure> {
        let session = Session::open(global)?;
        let only = match &self.id {
            Some(id) => Some(resolve(&session, id).await?),
            None => None,
        };
        let from_height = match (self.from_height, only) {
            (Some(height), _) => Some(Height(height)),
            // From its own block on, so that nothing of it is missed.
            (None, Some(id)) => {
                session.client.proposal(id).await.map_err(|error| session.failure(error))?.height
            }
            (None, None) => None,
        };
        let request =
            WatchRequest { topics: BTreeSet::from([Topic::Proposals]), from_height, key_prefix: None };
        follow(&session, request, |event| {
            let Change::Proposals(proposal) = &event.change else { return Ok(true) };
            if only.is_some_and(|id| id != proposal.id) {
                return Ok(true);
            }
            session.output.line(event, |event| text(event, proposal))?;
            Ok(!is_decided(only, proposal))
        })
        .await
    }
}

fn is_decided(only: Option<ProposalId>, proposal: &ProposalEvent) -> bool {
    let is_final = match proposal.state {
        ProposalState::Applied | ProposalState::Rejected | ProposalState::Passed | ProposalState::Failed => {
            true
        }
        ProposalState::Admitted | ProposalState::Open => false,
    };
    only.is_some() && is_final
}

fn text(event: &WatchEvent, proposal: &ProposalEvent) -> String {
    let outcome = proposal.outcome.as_ref().map(|outcome| printable(&outcome.message)).unwrap_or_default();
    format!(
        "{}  {}  {:16}  {:8}  {outcome}",
        event.height,
        proposal.id.short(),
        proposal.kind.to_string(),
        proposal.state.name()
    )
}
