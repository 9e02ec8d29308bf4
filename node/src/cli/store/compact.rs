//! `aegis store compact`

use clap::Args;

use crate::cli::table::Fields;
use crate::cli::{Failure, Global};
use crate::node::compact::{Compacted, Sizes, compact};

use super::{Opened, bar, blocking, open_data};

/// Delete old blocks as configured and write the state store anew; the node must be stopped
#[derive(Debug, Args)]
pub struct Compact {}

impl Compact {
    /// Compacts, and prints what was gained.
    ///
    /// # Errors
    /// When the node runs, or a store fails.
    pub async fn run(self, global: &Global) -> Result<(), Failure> {
        let Opened { home, store, .. } = open_data(global)?;
        let bar = bar("writing entries");
        let shown = bar.clone();
        let compacted =
            blocking(move || compact(&home, &store, &mut |copied| shown.set_position(copied))).await?;
        bar.finish_and_clear();
        global.output().document(&compacted, text)
    }
}

fn text(compacted: &Compacted) -> String {
    let change = |Sizes { before, after }: Sizes| format!("{before} bytes before, {after} now");
    let first = compacted.first_height.map_or_else(|| "none".to_owned(), |first| format!("from {first} on"));
    Fields::new()
        .field("blocks", first)
        .field("log", change(compacted.log_bytes))
        .field("state", change(compacted.kv_bytes))
        .render()
}
