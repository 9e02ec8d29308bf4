//! `aegis kv watch`

use std::collections::BTreeSet;

use aegis_rpc::api::{Change, Topic, WatchRequest};
use aegis_types::Height;
use clap::Args;

use super::glimpse;
use crate::cli::output::printable;
use crate::cli::session::Session;
use crate::cli::watch::follow;
use crate::cli::{Failure, Global};

/// Changes of values as they happen
#[derive(Debug, Args)]
pub struct Watch {
    /// Only keys that start with this
    #[arg(default_value = "")]
    prefix: String,
    /// Start with everything of this height instead of the next block
    #[arg(long, value_name = "HEIGHT")]
    from_height: Option<u64>,
}

impl Watch {
    /// Prints changes until it is interrupted.
    ///
    /// # Errors
    /// When no node answers or the connection breaks.
    pub async fn run(self, global: &Global) -> Result<(), Failure> {
        let session = Session::open(global)?;
        let request = WatchRequest {
            topics: BTreeSet::from([Topic::Kv]),
            from_height: self.from_height.map(Height),
            key_prefix: Some(self.prefix).filter(|prefix| !prefix.is_empty()),
        };
        follow(&session, request, |event| {
            let Change::Kv(change) = &event.change else { return Ok(true) };
            session.output.line(event, |event| {
                let what = match &change.value_base64 {
                    Some(value) => glimpse(&value.0),
                    None => "(deleted)".to_owned(),
                };
                format!("{}  {}  v{}  {what}", event.height, printable(&change.key), change.version)
            })?;
            Ok(true)
        })
        .await
    }
}
