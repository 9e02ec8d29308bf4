//! `aegis kv get`

use clap::Args;

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
}

impl Get {
    /// Prints it.
    ///
    /// # Errors
    /// When no node answers or there is no such key.
    pub async fn run(self, global: &Global) -> Result<(), Failure> {
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
