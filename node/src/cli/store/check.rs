//! `aegis store check`

use clap::Args;

use crate::cli::table::Fields;
use crate::cli::{Failure, Global};
use crate::node::check::{CheckReport, check};

use super::{Opened, bar, blocking, open_data};

/// Verify every checksum, certificate and root of a stopped node's data
#[derive(Debug, Args)]
pub struct Check {}

impl Check {
    /// Checks, and prints what was found.
    ///
    /// # Errors
    /// When something is damaged, or the data cannot be opened.
    pub async fn run(self, global: &Global) -> Result<(), Failure> {
        let Opened { home, genesis, store } = open_data(global)?;
        let bar = bar("checking blocks");
        let shown = bar.clone();
        let report = blocking(move || {
            check(&home, &genesis, &store, &mut |done, total| {
                shown.set_length(total);
                shown.set_position(done);
            })
        })
        .await?;
        bar.finish_and_clear();
        global.output().document(&report, text)?;
        if report.faults_total == 0 {
            return Ok(());
        }
        Err(Failure::new(match report.faults_total {
            1 => "1 fault was found".to_owned(),
            several => format!("{several} faults were found"),
        }).help(
            "a node that is started mends what other nodes can give back: damaged blocks and state; the vote journal it \
             cannot: see `aegis store accept-lost-votes --help`",
        ))
    }
}

fn text(report: &CheckReport) -> String {
    let number = |height: Option<u64>| height.map_or_else(|| "none".to_owned(), |height| height.to_string());
    let mut fields = Fields::new()
        .field("format", report.format)
        .field("blocks", format!("{} to {}", number(report.first_height), number(report.last_height)))
        .field("verified", format!("{} blocks with their certificates", report.blocks))
        .field("state after", number(report.executed_height))
        .field("state root", report.state_root.as_deref().unwrap_or("none"))
        .field("entries", report.entries)
        .field(
            "votes from",
            report
                .votes_from_epoch
                .map_or_else(|| "not known yet".to_owned(), |epoch| format!("epoch {epoch}")),
        );
    if let Some(from) = report.unjudged_from {
        fields = fields.field(
            "not verified",
            format!("blocks from {from} on, which the node executes and verifies when it starts"),
        );
    }
    for fault in &report.faults {
        fields = fields.field("fault", fault);
    }
    fields.render()
}
