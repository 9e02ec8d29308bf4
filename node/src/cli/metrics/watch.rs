//! `aegis metrics watch`

use std::time::Duration;

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

/// Least time between two tables: each asks the node for the values of all.
const INTERVAL_MIN: Duration = Duration::from_millis(100);

/// The values of all nodes, again and again until Ctrl-C
#[derive(Debug, Args)]
pub struct Watch {
    /// Time between two tables, at least 100ms; nodes report every three seconds
    #[arg(long, value_name = "TIME", default_value = "3s", value_parser = interval)]
    interval: Period,
    /// End after so many tables, at least 1
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
}

fn interval(text: &str) -> Result<Period, String> {
    let interval: Period = text.parse()?;
    if interval.get() < INTERVAL_MIN {
        return Err(format!("at least {} ms are needed between two tables", INTERVAL_MIN.as_millis()));
    }
    Ok(interval)
}

impl Watch {
    /// Prints a table, or a line of JSON, at each interval.
    ///
    /// # Errors
    /// When the node does not answer any more.
    pub async fn run(self, global: &Global) -> Result<(), Failure> {
        let session = Session::open(global)?;
        let mut signals = StopSignals::listen()?;
        let mut interval = tokio::time::interval(self.interval.get());
        interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut shown, no_liars) = (0_u64, 0.0);
        while self.count.is_none_or(|count| shown < count) {
            tokio::select! {
                _ = interval.tick() => {}
                _ = signals.next() => return Ok(()),
            }
            let metrics =
                session.client.network_metrics(no_liars).await.map_err(|error| session.failure(error))?;
            let silent = network::silent(&session).await?;
            session.output.line(&metrics, |metrics| {
                let clear = if is_terminal() { CLEAR } else { "" };
                format!("{clear}{}\n", network::text(metrics, &silent))
            })?;
            shown += 1;
        }
        Ok(())
    }
}
