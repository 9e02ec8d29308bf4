//! `aegis metrics watch`

use aegis_config::Period;
use clap::Args;
use tokio::time::MissedTickBehavior;

use super::network;
use crate::cli::lifetime::StopSignals;
use crate::cli::output::is_terminal;
use crate::cli::session::Session;
use crate::cli::{Failure, Global};

/// Clears a terminal and puts the cursor to its top.
const CLEAR: &str = "\x1b[H\x1b[2J\x1b[3J";

/// The values of all nodes, again and again until Ctrl-C
#[derive(Debug, Args)]
pub struct Watch {
    /// Time between two tables; nodes report every three seconds
    #[arg(long, value_name = "TIME", default_value = "3s")]
    interval: Period,
    /// End after so many tables
    #[arg(long, value_name = "N")]
    count: Option<u64>,
}

impl Watch {
    /// Prints a table, or a line of JSON, at each interval.
    ///
    /// # Errors
    /// When the node does not answer any more.
    pub async fn run(self, global: &Global) -> Result<(), Failure> {
        let session = Session::open(global)?;
        let mut signals = StopSignals::listen()?;
        let mut interval =
            tokio::time::interval(self.interval.get().max(std::time::Duration::from_millis(100)));
        interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut shown, no_liars) = (0_u64, 0.0);
        while self.count.is_none_or(|count| shown < count) {
            tokio::select! {
                _ = interval.tick() => {}
                _ = signals.next() => return Ok(()),
            }
            let metrics =
                session.client.network_metrics(no_liars).await.map_err(|error| session.failure(error))?;
            session.output.line(&metrics, |metrics| {
                let clear = if is_terminal() { CLEAR } else { "" };
                format!("{clear}{}\n", network::text(metrics))
            })?;
            shown += 1;
        }
        Ok(())
    }
}
