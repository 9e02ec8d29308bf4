//! `--consistency`: how fresh the answer to a read must be.

use aegis_rpc::Consistency;
use clap::{Args, ValueEnum};

/// The option of commands that read agreed state.
#[derive(Debug, Args)]
pub struct Freshness {
    /// How fresh the answer must be
    #[arg(long, value_enum, default_value_t = Level::Linearizable)]
    consistency: Level,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Level {
    /// Misses nothing that was acknowledged before: asks a quorum of the validators
    Linearizable,
    /// The newest state that a quorum has certified, a few blocks old
    Certified,
    /// What this node has executed, however far it is behind
    Local,
}

impl Freshness {
    /// As the interface calls it.
    pub fn consistency(&self) -> Consistency {
        match self.consistency {
            Level::Linearizable => Consistency::Linearizable,
            Level::Certified => Consistency::Certified,
            Level::Local => Consistency::Local,
        }
    }
}
