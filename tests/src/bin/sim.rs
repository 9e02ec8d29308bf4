//! Runs the seeded simulation over many seeds.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use aegis_tests::sim::campaign::{Campaign, Plan};
use aegis_tests::sim::clock::Micros;
use aegis_tests::sim::delays::DelayTable;
use aegis_tests::sim::faults::FaultKind;
use aegis_tests::sim::options::{DECISIONS, Trim};
use aegis_tests::sim::{Options, Recording, costs, run, shrink};
use clap::Parser;

/// A simulation makes and drops some millions of small values a second: the system's allocator took a sixth of its time.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Simulates whole clusters in virtual time; exits with 0 only if no invariant was broken.
#[derive(Debug, Parser)]
#[command(name = "sim")]
struct Arguments {
    /// Number of seeds to run.
    #[arg(long, default_value_t = 1_000)]
    seeds: u64,
    /// The first seed; the others follow it.
    #[arg(long, default_value_t = 1)]
    first_seed: u64,
    /// Height that each run goes to.
    #[arg(long, default_value_t = DECISIONS)]
    decisions: u64,
    /// Threads; all processors by default.
    #[arg(long)]
    threads: Option<usize>,
    /// Keeps state and report in this file, as JSON; a campaign that was interrupted goes on from it.
    #[arg(long)]
    report: Option<PathBuf>,
    /// Writes the readable trace of the first seed, or of the first that fails, to this file.
    #[arg(long)]
    trace: Option<PathBuf>,
    /// Takes round-trip times between places from this file (milliseconds, a square of comma-separated numbers) and not from
    /// the coordinates of cities.
    #[arg(long)]
    round_trips: Option<PathBuf>,
    /// Does not try to make the first failing run smaller.
    #[arg(long)]
    no_shrinking: bool,
    /// Prints what a block costs for several numbers of validators, and runs no seeds.
    #[arg(long)]
    costs: bool,
    /// Leaves kinds of faults out.
    #[arg(long, value_delimiter = ',')]
    without: Vec<FaultKind>,
    /// Leaves single timed faults out, by their numbers in the trace.
    #[arg(long, value_delimiter = ',')]
    skip: Vec<u64>,
    /// Lets these nodes be correct, whatever the seed says.
    #[arg(long, value_delimiter = ',')]
    honest: Vec<usize>,
    /// Number of validators of the genesis, whatever the seed says.
    #[arg(long)]
    nodes: Option<usize>,
    /// Ends the faults at this virtual time, in microseconds.
    #[arg(long)]
    heal_at_us: Option<Micros>,
}

impl Arguments {
    fn options(&self) -> anyhow::Result<Options> {
        let delays = match &self.round_trips {
            Some(path) => DelayTable::from_round_trips(path)?,
            None => DelayTable::of_cities(),
        };
        let trim = Trim {
            without: self.without.iter().copied().collect(),
            skip: self.skip.iter().copied().collect(),
            honest: self.honest.iter().copied().collect(),
            nodes: self.nodes,
            heal_at: self.heal_at_us,
        };
        Ok(Options { decisions: self.decisions, delays: Arc::new(delays), trim })
    }
}

fn main() -> anyhow::Result<ExitCode> {
    let arguments = Arguments::parse();
    if arguments.costs {
        let rows: Vec<costs::CostRow> = costs::SIZES.iter().map(|size| costs::measure(*size, 100)).collect();
        println!("{}", costs::table(&rows));
        return Ok(ExitCode::SUCCESS);
    }
    let options = arguments.options()?;
    let available = || std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let plan = Plan {
        first_seed: arguments.first_seed,
        seeds: arguments.seeds,
        threads: arguments.threads.unwrap_or_else(available),
        state: arguments.report.clone(),
        options: options.clone(),
    };
    let campaign = Campaign::run(&plan)?;
    for failure in &campaign.failures {
        println!("seed {} breaks {}", failure.seed, failure.violation);
    }
    match campaign.failures.first() {
        Some(failure) => explain(&arguments, &options, failure.seed)?,
        None => {
            if let Some(path) = &arguments.trace {
                let report = run(arguments.first_seed, &options, Recording::Text);
                std::fs::write(path, report.trace.join("\n"))?;
                println!("trace of seed {}: {}", report.seed, path.display());
            }
        }
    }
    println!("{}", campaign.summary());
    Ok(if campaign.failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Shrinks a failing run, writes its trace, and says how to run it again.
fn explain(arguments: &Arguments, options: &Options, seed: u64) -> anyhow::Result<()> {
    let shrunk = if arguments.no_shrinking { None } else { shrink::shrink(seed, options) };
    let (options, report) = match shrunk {
        Some(shrunk) => {
            println!("shrunk in {} runs", shrunk.runs);
            (shrunk.options, shrunk.report)
        }
        None => (options.clone(), run(seed, options, Recording::Text)),
    };
    let path = arguments
        .trace
        .clone()
        .unwrap_or_else(|| std::env::temp_dir().join(format!("aegis-sim-{seed}.trace")));
    std::fs::write(&path, report.trace.join("\n"))?;
    println!("trace of seed {seed}: {} ({} lines)", path.display(), report.trace.len());
    let decisions = if options.decisions == DECISIONS {
        String::new()
    } else {
        format!(" --decisions {}", options.decisions)
    };
    println!("reproduce: sim --seeds 1 --first-seed {seed}{decisions}{}", options.trim.flags());
    Ok(())
}
