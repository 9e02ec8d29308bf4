//! `aegis store restore`

use std::path::PathBuf;

use clap::Args;
use serde::Serialize;

use crate::cli::{Failure, Global};
use crate::node::restore::restore;

use super::{Opened, bar, blocking, open};

/// Fill a new home's data from a backup, verifying all of it from the genesis on
///
/// The restored node has no votes: it follows blocks, and votes again from the epoch after the first block that it has
/// itself contributed to.
#[derive(Debug, Args)]
pub struct Restore {
    /// The backup's folder; it is not changed
    #[arg(long, value_name = "DIR")]
    from: PathBuf,
}

#[derive(Serialize)]
struct Restored {
    height: u64,
}

impl Restore {
    /// Restores, and prints how far.
    ///
    /// # Errors
    /// When the home has data, or the backup does not hold; the home is then as it was.
    pub async fn run(self, global: &Global) -> Result<(), Failure> {
        let Opened { home, genesis, store } = open(global)?;
        let bar = bar("restoring blocks");
        let shown = bar.clone();
        let height = blocking(move || {
            restore(&home, &genesis, &self.from, &store, &mut |done, total| {
                shown.set_length(total);
                shown.set_position(done);
            })
        })
        .await?;
        bar.finish_and_clear();
        global.output().document(&Restored { height: height.0 }, |restored| {
            format!(
                "restored up to block {}; start the node, it fetches what came after and votes when it is safe",
                restored.height
            )
        })
    }
}
