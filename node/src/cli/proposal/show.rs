//! `aegis proposal show`

use aegis_rpc::api::ProposalDetail;
use clap::Args;

use super::reference::resolve;
use crate::calendar::time;
use crate::cli::freshness::Freshness;
use crate::cli::session::Session;
use crate::cli::table::{Fields, Table};
use crate::cli::{Failure, Global};

/// Everything that is known about a proposal
#[derive(Debug, Args)]
pub struct Show {
    /// Its id, or the first digits of it
    id: String,
    #[command(flatten)]
    freshness: Freshness,
}

impl Show {
    /// Prints it.
    ///
    /// # Errors
    /// When no node answers or there is no such proposal.
    pub async fn run(self, global: &Global) -> Result<(), Failure> {
        let session = Session::open(global)?.reading(self.freshness.consistency());
        let id = resolve(&session, &self.id).await?;
        let detail = session.client.proposal(id).await.map_err(|error| session.failure(error))?;
        session.output.document(&detail, text)
    }
}

fn text(detail: &ProposalDetail) -> String {
    let tally = detail.tally.map(|tally| {
        format!("yes {}, no {} of weight {}; passes with {}", tally.yes, tally.no, tally.total, tally.needed)
    });
    let outcome = detail.outcome.as_ref();
    let mut text = Fields::new()
        .field("proposal", detail.id)
        .field("kind", &detail.body.kind)
        .field("body", &detail.body.body)
        .field("account", detail.account)
        .field("key", &detail.idempotency_key)
        .field("expires", time(detail.expires_at_ms))
        .field("state", detail.state.name())
        .optional("height", detail.height)
        .optional("position", detail.position)
        .optional("outcome", outcome.map(|outcome| outcome.message.clone()))
        .optional("code", outcome.and_then(|outcome| outcome.code.clone()))
        .optional("version", outcome.and_then(|outcome| outcome.version))
        .optional("tally", tally)
        .optional("deadline", detail.deadline_ms.map(time))
        .render();
    if !detail.votes.is_empty() {
        let mut table = Table::new(["VALIDATOR", "WEIGHT", "VOTE", "HEIGHT"]);
        for vote in &detail.votes {
            let choice = if vote.approve { "yes" } else { "no" };
            let id = vote.validator.to_string();
            table.row([id, vote.weight.to_string(), choice.to_owned(), vote.height.to_string()]);
        }
        text.push_str(&format!("\n{}", table.render()));
    }
    if !detail.history.is_empty() {
        let mut table = Table::new(["HEIGHT", "TIME", "EVENT"]);
        for entry in &detail.history {
            table.row([entry.height.to_string(), time(entry.timestamp_ms), entry.event.clone()]);
        }
        text.push_str(&format!("\n{}", table.render()));
    }
    text
}
