//! Searches all states of a tiny instance of the engine.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use aegis_tests::model::explore::{Bounds, Outcome, ROLES, Role, explore};
use aegis_types::simulation::remember;
use clap::Parser;

/// A simulation makes and drops some millions of small values a second: the system's allocator took a sixth of its time.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Model checks the engine: 4 members, 1 Byzantine, 2 views, first 1 height and then 2; exits with 0 only if no state breaks
/// anything.
#[derive(Debug, Parser)]
#[command(name = "model")]
struct Arguments {
    /// Stop after this time, in seconds.
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Stop after so many states with the Byzantine member in each of its three parts.
    #[arg(long, default_value_t = u64::MAX)]
    states: u64,
    /// Crashes and restarts in one run, over all correct members.
    #[arg(long, default_value_t = 0)]
    crashes: u32,
    /// The last height of the largest instance: 1 or 2. The smaller one is searched before.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..=2))]
    heights: u64,
}

fn main() -> anyhow::Result<ExitCode> {
    let arguments = Arguments::parse();
    let mut until = Instant::now();
    let mut violations = 0;
    for heights in 1..=arguments.heights {
        // What the smaller instance does not need is for the larger one.
        until += Duration::from_secs(arguments.seconds) / u32::try_from(arguments.heights)?;
        let bounds = Bounds { states: arguments.states, until, heights, crashes: arguments.crashes };
        violations += search(bounds)?;
    }
    println!("{violations} violations");
    Ok(if violations == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Searches one instance with the Byzantine member in each of its parts; returns the number of violations.
fn search(bounds: Bounds) -> anyhow::Result<u64> {
    let started = Instant::now();
    let outcomes: Vec<(Role, anyhow::Result<Outcome>)> = std::thread::scope(|scope| {
        let search = |role| scope.spawn(move || remember(|| explore(role, bounds)));
        let searches = ROLES.map(|role| (role, search(role)));
        let joined = searches.into_iter().map(|(role, search)| {
            let outcome = search.join().unwrap_or_else(|_| Err(anyhow::anyhow!("the search panicked")));
            (role, outcome)
        });
        joined.collect()
    });
    let mut total = Outcome { is_complete: true, ..Outcome::default() };
    let mut violations = 0;
    for (role, outcome) in outcomes {
        let outcome = outcome?;
        println!(
            "{role:?}: {} states, {} steps, depth {}, {} states with a block that all decided, exhausted: {}",
            outcome.states,
            outcome.steps,
            outcome.depth,
            outcome.decided,
            yes_or_no(outcome.is_complete)
        );
        if let Some((broken, steps)) = &outcome.violation {
            violations += 1;
            println!("{role:?} breaks: {broken}");
            for (number, step) in steps.iter().enumerate() {
                println!("  {number:3} {step}");
            }
        }
        total.states += outcome.states;
        total.steps += outcome.steps;
        total.is_complete &= outcome.is_complete;
    }
    println!(
        "4 members, 1 Byzantine, 2 views, {} heights, {} crashes: {} states, {} steps, {violations} violations, \
         exhausted: {}, {:.1} seconds",
        bounds.heights,
        bounds.crashes,
        total.states,
        total.steps,
        yes_or_no(total.is_complete),
        started.elapsed().as_secs_f64()
    );
    Ok(violations)
}

fn yes_or_no(is_so: bool) -> &'static str {
    if is_so { "yes" } else { "no" }
}
