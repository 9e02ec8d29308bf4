//! `aegis weights`

use aegis_rpc::api::Weights;

use super::trade_text;
use crate::cli::session::Session;
use crate::cli::table::Table;
use crate::cli::{Failure, Global};

/// Prints the weights in force.
///
/// # Errors
/// When no node answers.
pub async fn run(global: &Global) -> Result<(), Failure> {
    let session = Session::open(global)?;
    let weights = session.client.weights().await.map_err(|error| session.failure(error))?;
    session.output.document(&weights, text)
}

fn text(weights: &Weights) -> String {
    let mut table = Table::new(["ID", "NAME", "WEIGHT", "SHARE", "CORE", "LEADS", "CLEAN EPOCHS"]);
    let absent = || "-".to_owned();
    for member in &weights.members {
        let in_core = member.in_core.map_or_else(absent, |is| if is { "yes" } else { "no" }.to_owned());
        table.row([
            member.id.short(),
            member.name.clone().unwrap_or_else(absent),
            member.weight.to_string(),
            format!("{:.1} %", member.share * 100.0),
            in_core,
            member.leader_rank.map_or_else(absent, |rank| (rank + 1).to_string()),
            member.clean_epochs.map_or_else(absent, |epochs| epochs.to_string()),
        ]);
    }
    let all_lead = weights.members.iter().all(|member| member.leader_rank.is_none());
    let leading = if all_lead { "all lead in turn\n" } else { "" };
    let on_record = weights.on_record.map_or_else(
        || "no weights on record to explain\n".to_owned(),
        |range| format!("`aegis weights explain EPOCH` for epochs {} to {}\n", range.oldest, range.newest),
    );
    format!(
        "epoch {}: weights are {}, fault tolerance {}\n{}{leading}\nwhat they trade\n{}{on_record}",
        weights.epoch,
        weights.mode,
        weights.fault_tolerance,
        table.render(),
        trade_text(&weights.trade),
    )
}
