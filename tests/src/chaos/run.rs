//! One run: start, load, crashes, judgement.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde::Serialize;
use tokio::task::JoinHandle;

use super::power::PowerDisk;
use super::writers::Writers;
use crate::network::Network;

/// Validators: one may be down.
const VALIDATORS: usize = 4;
const WRITERS: usize = 16;
/// Most puts that are acknowledged between two crashes; how many is drawn.
const PUTS_BETWEEN: u64 = 60;
/// How long they may take, view changes after a crash included. Longer means that the network does not come back.
const PUTS_PATIENCE: Duration = Duration::from_secs(120);
const POLL: Duration = Duration::from_millis(5);

/// What is to happen.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The binary under test.
    pub binary: PathBuf,
    /// Single nodes killed.
    pub kills: u64,
    /// Times that all nodes are killed at once.
    pub all_kills: u64,
    /// Times that the power of all nodes goes at once.
    pub power_cuts: u64,
    /// No crash begins later; what is left of the plan is then left out.
    pub time_limit: Duration,
    /// Draws nodes and times; the rest is the machine's.
    pub seed: u64,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Single nodes killed.
    pub kills: u64,
    /// Times that all nodes were killed at once.
    pub all_kills: u64,
    /// Times that the power of all nodes went.
    pub power_cuts: u64,
    /// Puts that were acknowledged; each was found on every node, once.
    pub acknowledged: u64,
    /// Puts whose outcome was unknown at first.
    pub unknown: u64,
    /// How long the load lasted.
    pub seconds: u64,
}

#[derive(Debug, Clone, Copy)]
enum Crash {
    One,
    All,
    Power,
}

/// Carries a plan out.
///
/// # Errors
/// When something acknowledged is missing or there twice, a node does not start again or ends by itself, or the machine does
/// not allow power cuts that are asked for.
pub async fn run(plan: &Plan, mut progress: impl FnMut(u64, u64)) -> anyhow::Result<Report> {
    let folder = tempfile::TempDir::new()?;
    let mut disk = if plan.power_cuts > 0 { Some(PowerDisk::new(folder.path())?) } else { None };
    let homes = disk.as_ref().map_or_else(|| folder.path().to_owned(), |disk| disk.path().to_owned());
    let mut network = Network::start(&plan.binary, VALIDATORS, &homes, folder.path())?;
    let writers = Writers::new(network.clients()?, WRITERS).await?;
    let mut rng = StdRng::seed_from_u64(plan.seed);
    let mut crashes = Vec::new();
    crashes.extend((0..plan.kills).map(|_| Crash::One));
    crashes.extend((0..plan.all_kills).map(|_| Crash::All));
    crashes.extend((0..plan.power_cuts).map(|_| Crash::Power));
    shuffle(&mut crashes, &mut rng);

    let begun = Instant::now();
    let mut tasks = writers.start();
    let mut report =
        Report { kills: 0, all_kills: 0, power_cuts: 0, acknowledged: 0, unknown: 0, seconds: 0 };
    let total = crashes.len() as u64;
    for (done, crash) in (1_u64..).zip(crashes) {
        if begun.elapsed() > plan.time_limit {
            break;
        }
        load_goes_on(&writers, rng.random_range(1..=PUTS_BETWEEN)).await?;
        match crash {
            Crash::One => {
                network.kill(rng.random_range(0..network.len()))?;
                report.kills += 1;
            }
            Crash::All => {
                network.kill_all()?;
                report.all_kills += 1;
            }
            Crash::Power => {
                let disk = disk.as_mut().context("there is no disk to cut off")?;
                disk.cut()?;
                network.kill_all()?;
                disk.restore()?;
                report.power_cuts += 1;
            }
        }
        network = start_again(network).await?;
        progress(done, total);
        if let Some(ended) = tasks.iter().position(JoinHandle::is_finished) {
            tasks.swap_remove(ended).await?.context("a writer ended early")?;
        }
    }
    writers.stop();
    for task in tasks {
        task.await??;
    }
    report.seconds = begun.elapsed().as_secs();
    writers.judge().await?;
    report.acknowledged = writers.total();
    report.unknown = writers.unknown.load(std::sync::atomic::Ordering::Relaxed);
    drop(network);
    Ok(report)
}

/// Waits until so many more puts were acknowledged.
async fn load_goes_on(writers: &Writers, puts: u64) -> anyhow::Result<()> {
    let target = writers.total().saturating_add(puts);
    let deadline = Instant::now() + PUTS_PATIENCE;
    while writers.total() < target {
        ensure!(Instant::now() < deadline, "nothing more was acknowledged within {PUTS_PATIENCE:?}");
        tokio::time::sleep(POLL).await;
    }
    Ok(())
}

/// Starting waits for the processes, which must not keep the writers from writing.
async fn start_again(mut network: Network) -> anyhow::Result<Network> {
    let started = tokio::task::spawn_blocking(move || network.start_all().map(|()| network));
    started.await?
}

fn shuffle(crashes: &mut [Crash], rng: &mut StdRng) {
    for last in (1..crashes.len()).rev() {
        crashes.swap(last, rng.random_range(0..=last));
    }
}
