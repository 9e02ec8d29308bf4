//! `aegis store`

mod accept_lost_votes;
mod backup;
mod check;
mod compact;
mod restore;

use aegis_store::DataDir;
use clap::Subcommand;
use indicatif::{ProgressBar, ProgressStyle};

use super::{Failure, Global};
use crate::home::Home;

/// Check, back up, restore and compact a node's data; go on without a lost vote journal
#[derive(Debug, Subcommand)]
pub enum StoreCommand {
    /// Verify every checksum, certificate and root of a stopped node's data
    Check(check::Check),
    /// Copy all committed blocks of a node, running or stopped, into a folder
    Backup(backup::Backup),
    /// Fill a new home's data from a backup, verifying all of it from the genesis on
    Restore(restore::Restore),
    /// Delete old blocks as configured and write the state store anew; the node must be stopped
    Compact(compact::Compact),
    /// Go on without the vote journal: the node does not vote until it is safe
    AcceptLostVotes(accept_lost_votes::AcceptLostVotes),
}

impl StoreCommand {
    /// Carries it out.
    ///
    /// # Errors
    /// Those of the subcommand.
    pub async fn run(self, global: &Global) -> Result<(), Failure> {
        match self {
            Self::Check(check) => check.run(global).await,
            Self::Backup(backup) => backup.run(global).await,
            Self::Restore(restore) => restore.run(global).await,
            Self::Compact(compact) => compact.run(global).await,
            Self::AcceptLostVotes(accept) => accept.run(global).await,
        }
    }
}

/// The home, with its configuration and genesis.
pub struct Opened {
    /// The home.
    pub home: Home,
    /// What its network starts from.
    pub genesis: aegis_types::Genesis,
    /// How its data is kept.
    pub store: aegis_config::StoreSection,
}

/// Opens the home that the command line names.
///
/// # Errors
/// When there is none, or its configuration or genesis cannot be read.
pub fn open(global: &Global) -> Result<Opened, Failure> {
    let home = global.home();
    if !home.is_initialised() {
        return Err(Failure::new(format!("there is no home at {}", home.path().display()))
            .help(format!("make one: `aegis init --home {}`", home.path().display())));
    }
    let store = home.config_layers()?.resolve()?.config.store;
    Ok(Opened { genesis: home.read_genesis()?.genesis, store, home })
}

/// The same, for what is done with the data of a home: nothing is made where there is none.
///
/// # Errors
/// Those of [`open`]; when no node has run on the home.
pub fn open_data(global: &Global) -> Result<Opened, Failure> {
    let opened = open(global)?;
    let data = opened.home.data_path();
    if DataDir::has_data(&data) {
        return Ok(opened);
    }
    if !matches!(opened.home.read_journal_note(), Ok(None)) {
        return Err(Failure::new(format!(
            "the data folder of this home is gone: there is no data in {}",
            data.display()
        ))
        .help(
            "mount it or move it back, if it is elsewhere; docs/store.md says how a node goes on without it",
        ));
    }
    Err(Failure::new(format!("no node has run on this home: there is no data in {}", data.display())).help(
        "name the home of a node that has run with --home DIR; `aegis run` starts one, `aegis store restore` fills its data \
         from a backup",
    ))
}

/// Runs work that blocks away from the asynchronous threads.
///
/// # Errors
/// Those of the work.
pub async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> anyhow::Result<T> + Send + 'static,
) -> Result<T, Failure> {
    let done = tokio::task::spawn_blocking(work).await;
    Ok(done.map_err(|error| Failure::new(format!("it ended unexpectedly: {error}")))??)
}

/// A bar on standard error, where somebody sees it.
pub fn bar(what: &'static str) -> ProgressBar {
    let bar = ProgressBar::new(0);
    let style = ProgressStyle::with_template("{msg} [{bar:30}] {pos}/{len} ({per_sec}, {eta} left)");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar.set_message(what);
    bar
}
