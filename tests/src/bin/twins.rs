//! Runs Twins scenarios: a validator that runs twice under one key, through sequences of partitions.

use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use aegis_tests::model::twins::{self, Counts, Space};
use aegis_types::simulation::remember;
use clap::Parser;

/// A simulation makes and drops some millions of small values a second: the system's allocator took a sixth of its time.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Runs Twins scenarios; exits with 0 only if nothing was broken in any of them.
#[derive(Debug, Parser)]
#[command(name = "twins")]
struct Arguments {
    /// Number of scenarios; at most all of them.
    #[arg(long, default_value_t = 5_000)]
    scenarios: u64,
    /// The first scenario's number; the others follow it.
    #[arg(long, default_value_t = 0)]
    first: u64,
    /// Only scenarios in which all messages within a group arrive.
    #[arg(long)]
    without_losses: bool,
    /// Threads; all processors by default.
    #[arg(long)]
    threads: Option<usize>,
}

/// So many scenarios share one memory of checked signatures.
const CHUNK: u64 = 250;
/// A line of progress after so many scenarios.
const REPORT_EVERY: u64 = 50_000;

fn main() -> anyhow::Result<ExitCode> {
    let arguments = Arguments::parse();
    let started = Instant::now();
    let space = if arguments.without_losses { Space::without_losses() } else { Space::with_losses() };
    let end = arguments.first.saturating_add(arguments.scenarios).min(space.size());
    let next = AtomicU64::new(arguments.first);
    let results: Mutex<(Counts, Vec<(u64, String)>)> = Mutex::new((Counts::default(), Vec::new()));
    let instance = twins::instance()?;
    let threads = arguments
        .threads
        .unwrap_or_else(|| std::thread::available_parallelism().map_or(1, std::num::NonZero::get))
        .max(1);
    let work = || {
        loop {
            let first = next.fetch_add(CHUNK, Ordering::Relaxed);
            if first >= end {
                return;
            }
            let ran = remember(|| {
                (first..end.min(first + CHUNK))
                    .map(|number| (number, twins::run(&instance, &space.scenario(number))))
                    .collect::<Vec<_>>()
            });
            let mut results = results.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            for (number, result) in ran {
                match result {
                    Ok(counts) => results.0.add(&counts),
                    Err(reason) => {
                        results.0.scenarios += 1;
                        results.1.push((number, reason));
                    }
                }
            }
            let done = results.0.scenarios;
            if done / REPORT_EVERY != done.saturating_sub(CHUNK) / REPORT_EVERY {
                eprintln!("{done} scenarios, {} violations", results.1.len());
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(work);
        }
    });
    let (counts, mut failures) = results.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    failures.sort();
    report(&arguments, &space, &counts, &failures, started.elapsed().as_secs_f64());
    Ok(if failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn report(arguments: &Arguments, space: &Space, counts: &Counts, failures: &[(u64, String)], seconds: f64) {
    /// So many failures are described.
    const DESCRIBED: usize = 5;
    let losses = if arguments.without_losses { " --without-losses" } else { "" };
    for (number, reason) in failures.iter().take(DESCRIBED) {
        println!("scenario {number} breaks: {reason}");
        println!("  {:?}", space.scenario(*number));
        println!("reproduce: twins --first {number} --scenarios 1{losses}");
    }
    println!(
        "{} of {} scenarios, {} violations, {} decisions, {} views entered, {} deliveries, {} proofs of equivocation, \
         longest healing {} deadlines, {seconds:.1} seconds",
        counts.scenarios,
        space.size(),
        failures.len(),
        counts.decisions,
        counts.views,
        counts.deliveries,
        counts.evidence,
        counts.healing_max,
    );
}
