//! `aegis validators`

use aegis_rpc::api::{Validators, Weights};
use clap::Args;

use super::session::Session;
use super::table::Table;
use super::weights::trade_text;
use super::{Failure, Global};

/// The epoch's validators with their weights
#[derive(Debug, Args)]
pub struct ValidatorsCommand {}

impl ValidatorsCommand {
    /// Prints them.
    ///
    /// # Errors
    /// When no node answers.
    pub async fn run(self, global: &Global) -> Result<(), Failure> {
        let session = Session::open(global)?;
        let validators = session.client.validators().await.map_err(|error| session.failure(error))?;
        let weights = session.client.weights().await.map_err(|error| session.failure(error))?;
        session.output.document(&validators, |validators| text(validators, &weights))
    }
}

fn text(validators: &Validators, weights: &Weights) -> String {
    let mut table = Table::new(["ID", "NAME", "WEIGHT", "SHARE", "STATE", "VOTED", "NOTE"]);
    for member in &validators.members {
        let state = match (member.alive, member.connected || member.is_self) {
            (true, _) => "voting",
            (false, true) => "connected",
            (false, false) => "silent",
        };
        let note = match (member.is_leader, member.is_self) {
            (true, true) => "leader, this node",
            (true, false) => "leader",
            (false, true) => "this node",
            (false, false) => "",
        };
        table.row([
            member.id.short(),
            member.name.clone().unwrap_or_else(|| "-".to_owned()),
            member.weight.to_string(),
            format!("{:.1} %", member.share * 100.0),
            state.to_owned(),
            member.last_voted_height.map_or_else(|| "-".to_owned(), |height| height.to_string()),
            note.to_owned(),
        ]);
    }
    format!(
        "epoch {}: total weight {}, quorum {}, weight {} may fail\n{}\nwhat these weights trade\n{}",
        validators.epoch,
        validators.total_weight,
        validators.quorum,
        validators.max_faulty,
        table.render(),
        trade_text(&weights.trade)
    )
}
