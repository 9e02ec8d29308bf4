//! `aegis store backup`

use std::path::PathBuf;

use aegis_store::{DataDir, SledKv, StoreError};
use aegis_types::Epoch;
use anyhow::anyhow;
use clap::Args;
use tokio::runtime::Handle;

use crate::cli::session::Session;
use crate::cli::table::Fields;
use crate::cli::{Failure, Global};
use crate::node::backup::{BackupMark, backup};
use crate::node::handovers_of;

use super::{Opened, bar, blocking, open_data};

/// Copy all committed blocks of a node, running or stopped, into a folder
#[derive(Debug, Args)]
pub struct Backup {
    /// An empty or new folder
    #[arg(long, value_name = "DIR")]
    to: PathBuf,
}

impl Backup {
    /// Makes the backup and prints what it is of.
    ///
    /// # Errors
    /// When it cannot be written, or what was copied does not hold; no file of it is left then.
    pub async fn run(self, global: &Global) -> Result<(), Failure> {
        let Opened { home, genesis, store } = open_data(global)?;
        // Whether it is needed is known only later: a stopped node serves nobody.
        let session = Session::open(global);
        let (bar, runtime) = (bar("verifying the copy"), Handle::current());
        let shown = bar.clone();
        let mark = blocking(move || {
            // Only asked when old blocks are gone: from the state store of a stopped node, from a running node itself.
            let mut source = |epoch: u64| -> anyhow::Result<Vec<Vec<u8>>> {
                match DataDir::open(&home.data_path()) {
                    Ok(data_dir) => {
                        let kv = SledKv::open(&data_dir.kv_dir(), store.cache.bytes())?;
                        handovers_of(&kv, Epoch(epoch))
                    }
                    Err(StoreError::InUse { .. }) => {
                        let session = session.as_ref().map_err(|failure| anyhow!("{failure}"))?;
                        let page = runtime.block_on(session.client.handovers(Epoch(epoch)))?;
                        Ok(page.handovers_base64.into_iter().map(|encoded| encoded.0).collect())
                    }
                    Err(error) => Err(error.into()),
                }
            };
            backup(&home, &genesis, &self.to, &mut source, &mut |done, total| {
                shown.set_length(total);
                shown.set_position(done);
            })
        })
        .await?;
        bar.finish_and_clear();
        global.output().document(&mark, text)
    }
}

fn text(mark: &BackupMark) -> String {
    let mut fields = Fields::new()
        .field("chain", &mark.chain)
        .field("genesis", &mark.genesis)
        .field("blocks", format!("{} to {}", mark.first_height, mark.last_height));
    if let Some(height) = mark.snapshot_height {
        fields = fields.field("snapshot", height);
    }
    fields.render()
}
