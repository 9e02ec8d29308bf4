//! Measures networks of real processes on this machine.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use aegis_tests::bench::cluster::{self, Plan};
use aegis_tests::bench::compare::compare;
use aegis_tests::bench::peers::{self, Kind};
use aegis_tests::bench::report::Report;
use aegis_tests::bench::soak::Growth;
use aegis_tests::bench::{observers, scale};
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
    /// Where the time of a block goes as validators become more, and how a block spreads among many observers.
    Scale(Scale),
    /// One rate for long: what grows that should not. Fails when something did.
    Soak(Soak),
}

#[derive(Debug, clap::Args)]
struct Scale {
    /// Observers.
    #[arg(long, default_value_t = 10_000)]
    observers: usize,
    /// Bytes of a block.
    #[arg(long, value_delimiter = ',', default_values_t = [1_000, 64_000, 512_000])]
    block: Vec<u64>,
    /// Microseconds in which an observer checks a block's certificate.
    #[arg(long, default_value_t = 500)]
    check: u64,
    /// Decides places and meshes.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

#[derive(Debug, clap::Args)]
struct Soak {
    /// Validators, of equal weight.
    #[arg(long, default_value_t = 4)]
    validators: usize,
    /// Bytes of a value.
    #[arg(long, default_value_t = 512)]
    payload: usize,
    /// Puts a second: half the peak that `cluster` finds.
    #[arg(long)]
    rate: u64,
    /// How long.
    #[arg(long, default_value_t = 120)]
    minutes: u64,
    /// Writes the report here, as JSON.
    #[arg(long)]
    report: Option<PathBuf>,
    /// The binary under test [default: `aegis` beside this one]
    #[arg(long)]
    binary: Option<PathBuf>,
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
        Command::Scale(arguments) => run_scale(&arguments),
        Command::Soak(arguments) => run_soak(arguments),
    }
}

fn run_scale(arguments: &Scale) -> anyhow::Result<ExitCode> {
    println!("{}", scale::table(&scale::measure()?));
    let spread =
        |bytes: &u64| observers::spread(arguments.observers, *bytes, arguments.check, arguments.seed);
    print!("{}", observers::table(&arguments.block.iter().map(spread).collect::<Vec<_>>()));
    Ok(ExitCode::SUCCESS)
}

fn run_soak(arguments: Soak) -> anyhow::Result<ExitCode> {
    let steps = usize::try_from(arguments.minutes)?;
    let plan = Plan {
        binary: binary_or_default(arguments.binary)?,
        validators: arguments.validators,
        payloads: vec![arguments.payload],
        rates: vec![arguments.rate; steps.max(4)],
        find_highest: false,
        p99_limit_ms: f64::MAX,
        // A step has a start that does not count and a rest, too.
        duration: Duration::from_secs(57),
    };
    let report = measure(&plan)?;
    write(arguments.report.as_deref(), &report)?;
    let run = report.payloads.first().context("nothing was measured")?;
    let growth = Growth::of(run).context("too short to tell")?;
    print!("{}", growth.text());
    Ok(if growth.faults().is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn measure(plan: &Plan) -> anyhow::Result<Report> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(cluster::run(plan, |payload, step| {
        eprintln!(
            "{payload} bytes at {}/s: {:.0}/s committed, p50 {:.1} ms, p99 {:.1} ms, {} failed, {} MiB",
            step.offered,
            step.committed,
            step.p50_ms,
            step.p99_ms,
            step.errors.values().sum::<u64>(),
            step.resident >> 20
        );
    }))
}

fn write(path: Option<&std::path::Path>, report: &impl serde::Serialize) -> anyhow::Result<()> {
    let Some(path) = path else { return Ok(()) };
    std::fs::write(path, serde_json::to_string_pretty(report)?)
        .with_context(|| format!("{} cannot be written", path.display()))
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
    write(arguments.report.as_deref(), &report)?;
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
    let report = measure(&plan)?;
    print!("{}", report.table());
    if let Some(earlier) = earlier {
        print!("\n{}", compare(&earlier, &report));
    }
    write(arguments.report.as_deref(), &report)?;
    Ok(ExitCode::SUCCESS)
}

fn read(path: &std::path::Path) -> anyhow::Result<Report> {
    let text = std::fs::read_to_string(path).with_context(|| format!("{} cannot be read", path.display()))?;
    serde_json::from_str(&text).with_context(|| format!("{} is no report of this program", path.display()))
}
