//! Crashes real processes under load and checks that nothing acknowledged is lost or happens twice.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use aegis_tests::chaos::run::{Plan, run};
use anyhow::bail;
use clap::Parser;
use indicatif::ProgressBar;

/// Runs four validators under load and crashes them; exits with 0 only if every acknowledged put is there, once, on all.
#[derive(Debug, Parser)]
#[command(name = "chaos")]
struct Arguments {
    /// Single nodes killed with SIGKILL, at random times.
    #[arg(long, default_value_t = 200)]
    kills: u64,
    /// Times that all nodes are killed at once.
    #[arg(long, default_value_t = 20)]
    all_kills: u64,
    /// Times that the power of all nodes goes: whatever they did not make durable is dropped. Takes root and loop devices.
    #[arg(long, default_value_t = 0)]
    power_cuts: u64,
    /// No crash begins later than after so many seconds.
    #[arg(long, default_value_t = 3_600)]
    seconds: u64,
    /// Draws nodes and times.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The binary under test [default: `aegis` beside this one]
    #[arg(long)]
    binary: Option<PathBuf>,
}

fn main() -> anyhow::Result<ExitCode> {
    let arguments = Arguments::parse();
    let binary = match arguments.binary {
        Some(binary) => binary,
        None => std::env::current_exe()?.with_file_name("aegis"),
    };
    if !binary.is_file() {
        bail!("{} does not exist; build it: cargo build -p aegis-node", binary.display());
    }
    let plan = Plan {
        binary,
        kills: arguments.kills,
        all_kills: arguments.all_kills,
        power_cuts: arguments.power_cuts,
        time_limit: Duration::from_secs(arguments.seconds),
        seed: arguments.seed,
    };
    let bar = ProgressBar::new(0);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let shown = bar.clone();
    let report = runtime.block_on(run(&plan, move |done, total| {
        shown.set_length(total);
        shown.set_position(done);
    }))?;
    bar.finish_and_clear();
    println!("{}", serde_json::to_string_pretty(&report)?);
    Ok(ExitCode::SUCCESS)
}
