//! Measures networks of real processes on this machine.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use aegis_tests::bench::cluster::{self, Plan};
use aegis_tests::bench::compare::compare;
use aegis_tests::bench::peers::{self, Kind};
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
    /// The same puts on other systems, in turns: throughput and latency of clients that wait for each acknowledgement.
    Peers(Peers),
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

#[derive(Debug, clap::Args)]
struct Peers {
    /// Aegis' validators, of equal weight.
    #[arg(long, default_value_t = 4)]
    validators: usize,
    /// Which of the known systems: `etcd` and `nats`, of Debian's packages `etcd-server` and `nats-server`.
    #[arg(long, value_delimiter = ',', default_values_t = ["etcd".to_owned(), "nats".to_owned()])]
    with: Vec<String>,
    /// One more system, as NAME=COMMAND. The shell runs the command with BENCH_CLIENTS, BENCH_PAYLOAD and BENCH_SECONDS set; its last
    /// line is {"per_second": 1.0, "p50_ms": 1.0, "p99_ms": 1.0}.
    #[arg(long)]
    command: Vec<peers::Command>,
    /// Clients, each with one put under way.
    #[arg(long, default_value_t = 64)]
    clients: usize,
    /// Bytes of a value.
    #[arg(long, default_value_t = 512)]
    payload: usize,
    /// How often each system is measured.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Seconds of each measurement that count.
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// Writes what was found here, as JSON.
    #[arg(long)]
    report: Option<PathBuf>,
    /// The binary under test [default: `aegis` beside this one]
    #[arg(long)]
    binary: Option<PathBuf>,
}

fn main() -> anyhow::Result<ExitCode> {
    match Arguments::parse().command {
        Command::Cluster(arguments) => run_cluster(arguments),
        Command::Peers(arguments) => run_peers(arguments),
    }
}

fn binary_or_default(binary: Option<PathBuf>) -> anyhow::Result<PathBuf> {
    let binary = match binary {
        Some(binary) => binary,
        None => std::env::current_exe()?.with_file_name("aegis"),
    };
    if !binary.is_file() {
        bail!("{} does not exist; build it: cargo build --release -p aegis-node", binary.display());
    }
    Ok(binary)
}

fn run_peers(arguments: Peers) -> anyhow::Result<ExitCode> {
    let mut systems = vec![Kind::Aegis];
    for name in &arguments.with {
        systems.push(match name.as_str() {
            "etcd" => Kind::Etcd,
            "nats" => Kind::Nats,
            other => bail!("`{other}` is not known; there are etcd and nats, and --command for others"),
        });
    }
    systems.extend(arguments.command.into_iter().map(Kind::Command));
    let plan = peers::Plan {
        binary: binary_or_default(arguments.binary)?,
        validators: arguments.validators,
        systems,
        clients: arguments.clients,
        payload: arguments.payload,
        rounds: arguments.rounds,
        duration: Duration::from_secs(arguments.seconds),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let report = runtime.block_on(peers::run(&plan, |round| {
        eprintln!(
            "{}: {:.0}/s, p50 {:.2} ms, p99 {:.2} ms, {} failed",
            round.system, round.per_second, round.p50_ms, round.p99_ms, round.failed
        );
    }))?;
    print!("{}", report.table(&plan.systems));
    if let Some(path) = arguments.report {
        std::fs::write(&path, serde_json::to_string_pretty(&report)?)
            .with_context(|| format!("{} cannot be written", path.display()))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn run_cluster(arguments: Cluster) -> anyhow::Result<ExitCode> {
    let binary = binary_or_default(arguments.binary)?;
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
