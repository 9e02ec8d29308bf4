//! `aegis testnet`

mod init;
mod nodes;
mod up;

use clap::Subcommand;

use super::{Failure, Global};

pub use up::DEFAULT_HOME;

/// Make or run a test network
#[derive(Debug, Subcommand)]
pub enum Testnet {
    /// Write homes, genesis and bootstrap addresses for a network, to copy to its hosts
    Init(init::Init),
    /// Make a network of processes on this computer, or resume it, and run it until Ctrl-C
    Up(up::Up),
}

impl Testnet {
    /// Carries it out.
    ///
    /// # Errors
    /// When the network cannot be made or run.
    pub async fn run(self, global: &Global) -> Result<(), Failure> {
        match self {
            Self::Init(init) => init.run(global),
            Self::Up(up) => up.run(global).await,
        }
    }
}
