//! `aegis metrics`

mod network;
mod node;
mod watch;

use clap::{Args, Subcommand};

use super::{Failure, Global};

/// Statistics of telemetry: this node's, all nodes', or a live table
///
/// The names come from the project's source document. They measure no consciousness; docs/metrics.md says what each value
/// tells.
#[derive(Debug, Args)]
pub struct MetricsCommand {
    #[command(subcommand)]
    which: Option<Which>,
}

#[derive(Debug, Subcommand)]
enum Which {
    /// The values of all nodes, from their newest signed reports
    Network(network::NetworkCommand),
    /// The values of all nodes, again and again until Ctrl-C
    Watch(watch::Watch),
}

impl MetricsCommand {
    /// Prints them.
    ///
    /// # Errors
    /// When no node answers.
    pub async fn run(self, global: &Global) -> Result<(), Failure> {
        match self.which {
            None => node::run(global).await,
            Some(Which::Network(network)) => network.run(global).await,
            Some(Which::Watch(watch)) => watch.run(global).await,
        }
    }
}

/// A share as people read it.
fn share(value: Option<f64>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| format!("{value:.3}"))
}
