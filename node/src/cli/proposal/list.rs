//! `aegis proposal list`

use aegis_rpc::api::{Page, PageRequest, ProposalFilter, ProposalState, ProposalSummary};
use aegis_types::{AccountId, Height, Kind};
use clap::Args;

use crate::cli::session::Session;
use crate::cli::table::Table;
use crate::cli::{Failure, Global};

/// Proposals, newest first
#[derive(Debug, Args)]
pub struct List {
    /// Only this kind, such as kv.put
    #[arg(long)]
    kind: Option<Kind>,
    /// Only in this state: admitted, applied, rejected, open, passed or failed
    #[arg(long, value_parser = parse_state)]
    state: Option<ProposalState>,
    /// Only by this account
    #[arg(long)]
    account: Option<AccountId>,
    /// Only in the block of this height
    #[arg(long)]
    height: Option<u64>,
    /// Most proposals to print
    #[arg(long, default_value_t = PageRequest::LIMIT_DEFAULT)]
    limit: u32,
    /// Where the page before ended
    #[arg(long)]
    cursor: Option<String>,
}

fn parse_state(text: &str) -> Result<ProposalState, String> {
    let names = || ProposalState::ALL.map(ProposalState::name).join(", ");
    ProposalState::ALL
        .into_iter()
        .find(|state| state.name() == text)
        .ok_or_else(|| format!("states are {}", names()))
}

impl List {
    /// Prints them.
    ///
    /// # Errors
    /// When no node answers.
    pub async fn run(self, global: &Global) -> Result<(), Failure> {
        let session = Session::open(global)?;
        let filter = ProposalFilter {
            kind: self.kind,
            state: self.state,
            account: self.account,
            height: self.height.map(Height),
        };
        let page = PageRequest { cursor: self.cursor, limit: self.limit };
        let page = session.client.proposals(filter, page).await.map_err(|error| session.failure(error))?;
        session.output.document(&page, text)?;
        match &page.next_cursor {
            Some(cursor) if !session.output.is_json() => {
                session.output.note(&format!("note: there are more; add --cursor {cursor}"));
            }
            _ => {}
        }
        Ok(())
    }
}

fn text(page: &Page<ProposalSummary>) -> String {
    if page.items.is_empty() {
        return "no proposals\n".to_owned();
    }
    let mut table = Table::new(["ID", "KIND", "STATE", "HEIGHT", "VOTE", "ACCOUNT", "SUBJECT"]);
    for proposal in &page.items {
        let none = || "-".to_owned();
        table.row([
            proposal.id.short(),
            proposal.kind.to_string(),
            proposal.state.name().to_owned(),
            proposal.height.map_or_else(none, |height| height.to_string()),
            proposal.tally.map_or_else(none, |tally| {
                format!("{} yes, {} no, needs {} of {}", tally.yes, tally.no, tally.needed, tally.total)
            }),
            proposal.account.short(),
            proposal.subject.clone(),
        ]);
    }
    table.render()
}
