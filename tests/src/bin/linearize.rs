//! Checks from outside whether a network of real processes is linearizable while it is hurt.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use aegis_rpc::Consistency;
use aegis_tests::linearize::campaign::{Plan, run};
use aegis_tests::linearize::nemesis::FaultKind;
use anyhow::{Context as _, bail};
use clap::{Parser, ValueEnum};

/// Runs clients and faults against four validators; exits with 0 only if the history is linearizable and every kind of fault
/// was proven to have happened.
#[derive(Debug, Parser)]
#[command(name = "linearize")]
struct Arguments {
    /// How long clients and faults go on.
    #[arg(long, default_value_t = 240)]
    seconds: u64,
    /// Kinds of faults, by turns.
    #[arg(long, value_delimiter = ',', default_values_t = FaultKind::ALL)]
    faults: Vec<FaultKind>,
    /// Clients, each with one operation at a time.
    #[arg(long, default_value_t = 8)]
    clients: usize,
    /// Keys in use at a time.
    #[arg(long, default_value_t = 6)]
    keys: u64,
    /// Validators.
    #[arg(long, default_value_t = 4)]
    nodes: usize,
    /// Draws faults and operations; their times are the machine's.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How fresh reads are asked to be. With `local` the checker must find anomalies: it shows that it can.
    #[arg(long, value_enum, default_value_t = Reads::Linearizable)]
    reads: Reads,
    /// The binary under test [default: `aegis` beside this one]
    #[arg(long)]
    binary: Option<PathBuf>,
    /// Writes the report to this file too, as JSON.
    #[arg(long)]
    report: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Reads {
    Linearizable,
    Certified,
    Local,
}

fn binary(given: Option<PathBuf>) -> anyhow::Result<PathBuf> {
    let binary = match given {
        Some(binary) => binary,
        None => std::env::current_exe()?.with_file_name("aegis"),
    };
    if !binary.is_file() {
        bail!("{} does not exist; build it: cargo build --release -p aegis-node", binary.display());
    }
    Ok(binary)
}

fn main() -> anyhow::Result<ExitCode> {
    let arguments = Arguments::parse();
    let reads = match arguments.reads {
        Reads::Linearizable => Consistency::Linearizable,
        Reads::Certified => Consistency::Certified,
        Reads::Local => Consistency::Local,
    };
    let plan = Plan {
        duration: Duration::from_secs(arguments.seconds),
        faults: arguments.faults,
        clients: arguments.clients,
        keys: arguments.keys,
        nodes: arguments.nodes,
        seed: arguments.seed,
        reads,
    };
    let binary = binary(arguments.binary)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let report = runtime.block_on(run(&binary, &plan))?;
    println!("{report}");
    if let Some(file) = arguments.report {
        let text = serde_json::to_vec_pretty(&report)?;
        std::fs::write(&file, text).with_context(|| format!("{} cannot be written", file.display()))?;
    }
    let unproven = report.unproven(&plan.faults);
    for kind in &unproven {
        println!("not proven to have happened: {kind}");
    }
    let is_good = report.anomalies.is_empty() && unproven.is_empty();
    Ok(if is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
