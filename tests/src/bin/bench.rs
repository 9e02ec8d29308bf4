//! Measures networks of real processes on this machine.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use aegis_tests::bench::cluster::{self, Plan};
use aegis_tests::bench::compare::compare;
use aegis_tests::bench::report::Report;
use anyhow::{Context as _, bail};
use clap::{Parser, Subcommand};

/// Measures networks of real processes on this machine.
#[derive(Debug, Parser)]
#[command(name = "bench")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Validators on loopback under an open-loop load of signed puts: throughput, latency, and what it costs.
    Cluster(Cluster),
}

#[derive(Debug, clap::Args)]
struct Cluster {
    /// Validators, of equal weight.
    #[arg(long, default_value_t = 4)]
    validators: usize,
    /// Bytes of a value.
    #[arg(long, value_delimiter = ',', default_values_t = [128, 512, 4096])]
    payload: Vec<usize>,
    /// Puts a second that are measured in any case.
    #[arg(long, value_delimiter = ',', default_values_t = [100])]
    rate: Vec<u64>,
    /// Does not look for the highest rate.
    #[arg(long)]
    rates_only: bool,
    /// The highest rate is one whose p99 stays within so many milliseconds.
    #[arg(long, default_value_t = 100.0)]
    p99: f64,
    /// Seconds of each rate that count.
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// Writes the report here, as JSON.
    #[arg(long)]
    report: Option<PathBuf>,
    /// Compares with a report that was written earlier.
    #[arg(long)]
    against: Option<PathBuf>,
    /// The binary under test [default: `aegis` beside this one]
    #[arg(long)]
    binary: Option<PathBuf>,
}

fn main() -> anyhow::Result<ExitCode> {
    match Arguments::parse().command {
        Command::Cluster(arguments) => run_cluster(arguments),
    }
}

fn run_cluster(arguments: Cluster) -> anyhow::Result<ExitCode> {
    let binary = match arguments.binary {
        Some(binary) => binary,
        None => std::env::current_exe()?.with_file_name("aegis"),
    };
    if !binary.is_file() {
        bail!("{} does not exist; build it: cargo build --release -p aegis-node", binary.display());
    }
    let earlier = arguments.against.map(|path| read(&path)).transpose()?;
    let mut rates = arguments.rate;
    rates.sort_unstable();
    let plan = Plan {
        binary,
        validators: arguments.validators,
        payloads: arguments.payload,
        rates,
        find_highest: !arguments.rates_only,
        p99_limit_ms: arguments.p99,
        duration: Duration::from_secs(arguments.seconds),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let report = runtime.block_on(cluster::run(&plan, |payload, step| {
        eprintln!(
            "{payload} bytes at {}/s: {:.0}/s committed, p50 {:.1} ms, p99 {:.1} ms, {} failed",
            step.offered,
            step.committed,
            step.p50_ms,
            step.p99_ms,
            step.errors.values().sum::<u64>()
        );
    }))?;
    print!("{}", report.table());
    if let Some(earlier) = earlier {
        print!("\n{}", compare(&earlier, &report));
    }
    if let Some(path) = arguments.report {
        std::fs::write(&path, serde_json::to_string_pretty(&report)?)
            .with_context(|| format!("{} cannot be written", path.display()))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn read(path: &std::path::Path) -> anyhow::Result<Report> {
    let text = std::fs::read_to_string(path).with_context(|| format!("{} cannot be read", path.display()))?;
    serde_json::from_str(&text).with_context(|| format!("{} is no report of this program", path.display()))
}
