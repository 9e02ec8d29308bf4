//! `aegis weights`

mod current;
mod explain;
mod fallback;
mod recompute;
mod replay;

use aegis_rpc::api::TradeInfo;
use clap::{Args, Subcommand};

use super::table::Fields;
use super::{Failure, Global};

/// The epoch's weights and what they trade; how an epoch's came about
#[derive(Debug, Args)]
pub struct WeightsCommand {
    #[command(subcommand)]
    which: Option<Which>,
}

#[derive(Debug, Subcommand)]
enum Which {
    /// How the weights of an epoch came about: each term of each member, and where each limit bit
    Explain(explain::Explain),
    /// Compute the weights of epochs again, here, and compare them with what was handed over
    Recompute(recompute::Recompute),
}

impl WeightsCommand {
    /// Carries the command out.
    ///
    /// # Errors
    /// When no node answers, or weights are not what they should be.
    pub async fn run(self, global: &Global) -> Result<(), Failure> {
        match self.which {
            None => current::run(global).await,
            Some(Which::Explain(explain)) => explain.run(global).await,
            Some(Which::Recompute(recompute)) => recompute.run(global).await,
        }
    }
}

/// What weights trade, wherever weights are shown.
pub fn trade_text(trade: &TradeInfo) -> String {
    let lightest = trade.simultaneous_crashes_lightest;
    Fields::new()
        .field(
            "arbitrary faults",
            format!(
                "any {} of {} members (any {} with equal weights)",
                trade.arbitrary_faults, trade.members, trade.arbitrary_faults_equal
            ),
        )
        .field(
            "weight that may fail",
            format!("{} of {}, quorum {}", trade.weight_may_fail, trade.total, trade.quorum),
        )
        .field("crashes at one time", format!("any {}; the lightest {lightest}", trade.simultaneous_crashes))
        .field("crashes, one per epoch", format!("{}, the heaviest each time", trade.sequential_crashes))
        .render()
}
