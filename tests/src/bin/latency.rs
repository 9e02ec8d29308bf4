//! Measures what measured weights buy in commit latency and cost in crashes survived.

use std::path::PathBuf;

use aegis_tests::latency::study::Plan;
use aegis_tests::latency::{plot, table};
use aegis_tests::sim::delays::DelayTable;
use clap::Parser;
use indicatif::{ProgressBar, ProgressStyle};

/// See the one in `sim`.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Runs the real engine with equal and with measured weights over round-trip times of world cities, and prints tables.
#[derive(Debug, Parser)]
#[command(name = "latency")]
struct Arguments {
    /// Numbers of validators.
    #[arg(long, value_delimiter = ',', default_values_t = [4, 7, 13, 31])]
    sizes: Vec<usize>,
    /// Random deployments of each size; the same in all columns.
    #[arg(long, default_value_t = 10)]
    deployments: u64,
    /// Deployments of each size in which validators crash one after the other.
    #[arg(long, default_value_t = 3)]
    crashing: u64,
    /// Blocks of each run.
    #[arg(long, default_value_t = 30)]
    blocks: u64,
    /// Takes round-trip times between places from this file (milliseconds, a square of comma-separated numbers) and not from
    /// the coordinates of cities.
    #[arg(long)]
    rtt: Option<PathBuf>,
    /// Draws the latencies into this file.
    #[arg(long)]
    svg: Option<PathBuf>,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    anyhow::ensure!(
        arguments.sizes.iter().all(|size| (4..=100).contains(size)),
        "a size is 4 to 100 validators: fewer cannot withstand a fault"
    );
    anyhow::ensure!(
        arguments.blocks >= 5 && arguments.deployments >= 1,
        "take at least 5 blocks and 1 deployment"
    );
    let table_of_places = match &arguments.rtt {
        Some(path) => DelayTable::from_round_trips(path)?,
        None => DelayTable::of_cities(),
    };
    let plan = Plan {
        sizes: arguments.sizes,
        deployments: arguments.deployments,
        crashing: arguments.crashing,
        blocks: arguments.blocks,
        table: table_of_places,
    };
    let style = ProgressStyle::with_template("{msg} {wide_bar} {pos}/{len} {eta}")?;
    let progress = ProgressBar::new(plan.deployments * plan.sizes.len() as u64).with_style(style);
    let study = |size: &usize| {
        progress.set_message(format!("{size} validators"));
        plan.study(*size, |_| progress.inc(1))
    };
    let rows: Vec<_> = plan.sizes.iter().map(study).collect();
    progress.finish_and_clear();
    println!(
        "Commit latency, from the leader's PrePrepare to each validator's decision:\n\n{}\n",
        table::latencies(&rows)
    );
    println!("With liars, as many as may fail, under the best leader:\n\n{}\n", table::liars(&rows));
    println!("Crashes survived, one per epoch, the heaviest first:\n\n{}", table::crashes(&rows));
    if let Some(path) = &arguments.svg {
        std::fs::write(path, plot::svg(&rows))?;
    }
    Ok(())
}
