//! Runs the seeded simulation over many seeds.

use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use aegis_tests::sim::report::Counts;
use aegis_tests::sim::{Recording, Report, run};
use clap::Parser;

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
    /// Threads; all processors by default.
    #[arg(long)]
    threads: Option<usize>,
    /// Writes the readable trace of the first seed, or of the first that fails, to this file.
    #[arg(long)]
    trace: Option<std::path::PathBuf>,
}

struct Progress {
    next: AtomicU64,
    done: AtomicU64,
    results: Mutex<(Counts, Vec<Report>)>,
}

fn main() -> anyhow::Result<ExitCode> {
    let arguments = Arguments::parse();
    let started = Instant::now();
    let threads = arguments
        .threads
        .unwrap_or_else(|| std::thread::available_parallelism().map_or(1, std::num::NonZero::get))
        .max(1);
    let progress = Progress {
        next: AtomicU64::new(0),
        done: AtomicU64::new(0),
        results: Mutex::new((Counts::default(), Vec::new())),
    };
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| work(&arguments, &progress));
        }
    });
    let (counts, mut failures) =
        progress.results.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    failures.sort_by_key(|report| report.seed);
    for report in &failures {
        if let Some(violation) = &report.violation {
            println!("seed {} breaks {violation}", report.seed);
        }
    }
    let to_trace = failures.first().map(|report| report.seed);
    let path = arguments
        .trace
        .clone()
        .or_else(|| to_trace.map(|seed| std::env::temp_dir().join(format!("aegis-sim-{seed}.trace"))));
    if let Some(path) = path {
        let report = run(to_trace.unwrap_or(arguments.first_seed), Recording::Text);
        std::fs::write(&path, report.trace.join("\n"))?;
        println!("trace of seed {}: {}", report.seed, path.display());
    }
    if let Some(seed) = to_trace {
        println!("reproduce: sim --seeds 1 --first-seed {seed}");
    }
    println!("{}", summary(&arguments, &counts, failures.len(), started.elapsed().as_secs_f64()));
    Ok(if failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn work(arguments: &Arguments, progress: &Progress) {
    /// A line of progress after so many seeds.
    const REPORT_EVERY: u64 = 100;
    loop {
        let number = progress.next.fetch_add(1, Ordering::Relaxed);
        if number >= arguments.seeds {
            return;
        }
        let report = run(arguments.first_seed.wrapping_add(number), Recording::HashOnly);
        let done = progress.done.fetch_add(1, Ordering::Relaxed) + 1;
        let mut results = progress.results.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        results.0.add(&report.counts);
        if report.violation.is_some() {
            results.1.push(report);
        }
        if done.is_multiple_of(REPORT_EVERY) {
            eprintln!("{done} of {} seeds, {} violations", arguments.seeds, results.1.len());
        }
    }
}

fn summary(arguments: &Arguments, counts: &Counts, violations: usize, seconds: f64) -> String {
    format!(
        "{} seeds, {violations} violations, {} decisions, {} proposals, {} epochs, {} crashes, {} view changes \
         ({} views entered), {} messages ({} lost), {} accusations, longest recovery {:.1} s, {seconds:.1} seconds",
        arguments.seeds,
        counts.decisions,
        counts.proposals,
        counts.epochs,
        counts.crashes,
        counts.view_changes,
        counts.views_entered,
        counts.sent,
        counts.lost,
        counts.accusations,
        counts.recovery as f64 / 1e6,
    )
}
