//! `aegis kv get`

use std::path::PathBuf;

use aegis_types::Epoch;
use clap::Args;

use super::prove;
use crate::cli::freshness::Freshness;
use crate::cli::output::{is_terminal, printable, write_bytes};
use crate::cli::session::Session;
use crate::cli::{Failure, Global};

/// Print a value: its bytes as they are, or with `--output json` with its versions
#[derive(Debug, Args)]
pub struct Get {
    /// The key
    key: String,
    #[command(flatten)]
    freshness: Freshness,
    /// Print the value, or that there is none, with its proof and certificate, and check them. A value that has just
    /// changed can be proved once the next block is there, about a second later; `--consistency certified` does not wait
    #[arg(long)]
    prove: bool,
    /// Also write the proof into a file, for `aegis verify`
    #[arg(long, value_name = "FILE", requires = "prove")]
    file: Option<PathBuf>,
    /// The network's genesis, which the check trusts [default: the home's]
    #[arg(long, value_name = "FILE", requires = "prove")]
    genesis: Option<PathBuf>,
    /// Leave the handovers before this epoch out of the proof: it can then be checked only with a checkpoint. For networks
    /// whose chain of handovers has become too long for one file
    #[arg(long, value_name = "EPOCH", requires = "prove")]
    from_epoch: Option<u64>,
}

impl Get {
    /// Prints it.
    ///
    /// # Errors
    /// When no node answers, there is no such key, or what was to be proved is not.
    pub async fn run(self, global: &Global) -> Result<(), Failure> {
        if self.prove {
            return prove::run(
                global,
                prove::Request {
                    key: &self.key,
                    consistency: self.freshness.consistency(),
                    file: self.file.as_deref(),
                    genesis: self.genesis.as_deref(),
                    from_epoch: self.from_epoch.map(Epoch),
                },
            )
            .await;
        }
        let session = Session::open(global)?.reading(self.freshness.consistency());
        let entry = session.client.kv_get(&self.key).await.map_err(|error| session.failure(error))?;
        if session.output.is_json() {
            return session.output.document(&entry, |_| String::new());
        }
        // A terminal gets a line that cannot steer it; a file or a pipe gets the bytes.
        match std::str::from_utf8(&entry.value) {
            Ok(text) if is_terminal() => {
                let lines: Vec<_> = text.lines().map(printable).collect();
                write_bytes(format!("{}\n", lines.join("\n")).as_bytes())
            }
            Err(_) if is_terminal() => Err(Failure::new(format!(
                "the value has {} bytes that are no text and would garble the terminal",
                entry.value.len()
            ))
            .help("write it into a file: `aegis kv get KEY > FILE`, or use --output json")),
            _ => write_bytes(&entry.value),
        }
    }
}
