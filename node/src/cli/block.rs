//! `aegis block`

use std::str::FromStr;

use aegis_rpc::api::BlockDetail;
use aegis_types::Height;
use clap::Subcommand;

use super::session::Session;
use super::table::{Fields, Table};
use super::{Failure, Global};
use crate::calendar::time;

/// Show committed blocks
#[derive(Debug, Subcommand)]
pub enum Block {
    /// A block with its certificate and proposals
    Show {
        /// The height, or `latest`
        #[arg(default_value = "latest")]
        height: Which,
    },
}

/// Which block is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// The newest committed one.
    Latest,
    /// The one at a height.
    At(Height),
}

impl FromStr for Which {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "latest" => Ok(Self::Latest),
            _ => text
                .parse()
                .map(|height| Self::At(Height(height)))
                .map_err(|_| "give a height, such as 12, or `latest`".to_owned()),
        }
    }
}

impl Block {
    /// Prints it.
    ///
    /// # Errors
    /// When no node answers or the block is not there.
    pub async fn run(self, global: &Global) -> Result<(), Failure> {
        let Self::Show { height } = self;
        let session = Session::open(global)?;
        let height = match height {
            Which::Latest => None,
            Which::At(height) => Some(height),
        };
        let block = session.client.block(height).await.map_err(|error| session.failure(error))?;
        session.output.document(&block, text)
    }
}

fn text(block: &BlockDetail) -> String {
    let (header, certificate) = (&block.header, &block.certificate);
    let fields = Fields::new()
        .field("height", header.height)
        .field("digest", block.digest)
        .field("kind", &header.kind)
        .field("epoch", header.epoch)
        .field("time", time(header.timestamp_ms))
        .field("parent", header.parent)
        .field("proposer", header.proposer)
        .field(
            "executed",
            format!("height {}, state root {}", header.executed_height, header.executed_state_root),
        )
        .field("validators", header.validators_hash)
        .optional("next validators", header.next_validators_hash)
        .field("payload", format!("{} bytes in {} batches", header.payload_bytes, header.batches))
        .field(
            "certificate",
            format!(
                "weight {} of {} (quorum {}) by {} signers in view {}",
                certificate.weight,
                certificate.total_weight,
                certificate.quorum,
                certificate.signers.len(),
                certificate.view
            ),
        )
        .field("proposals", block.proposals_total);
    if block.proposals.is_empty() {
        return fields.render();
    }
    let mut table = Table::new(["POSITION", "ID", "KIND", "ACCOUNT", "OUTCOME"]);
    for proposal in &block.proposals {
        let outcome = proposal.outcome.as_ref();
        table.row([
            proposal.position.to_string(),
            proposal.id.short(),
            proposal.kind.to_string(),
            proposal.account.short(),
            outcome.map_or_else(
                || "not executed yet".to_owned(),
                |outcome| format!("{}: {}", outcome.state.name(), outcome.message),
            ),
        ]);
    }
    format!("{}\n{}", fields.render(), table.render())
}
