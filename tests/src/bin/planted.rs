//! Plants known bugs in a copy of the workspace, one at a time, and lets the simulator find each.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use aegis_tests::model::hunt::{Hunt, Search, try_other_evidence};
use aegis_tests::model::planted::{self, Planted};
use aegis_tests::model::scratch::Scratch;
use anyhow::Context as _;
use clap::Parser;

/// Plants bugs in a scratch copy of the workspace; exits with 0 only if the simulator finds every one in time.
#[derive(Debug, Parser)]
#[command(name = "planted")]
struct Arguments {
    /// Root of the workspace to copy.
    #[arg(long, default_value = ".")]
    workspace: PathBuf,
    /// Where the copy and its build go; kept, so that a second run builds less.
    #[arg(long)]
    scratch: Option<PathBuf>,
    /// Only the bugs whose names contain one of these.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// Longest search for one bug, in minutes, builds not counted.
    #[arg(long, default_value_t = 10.0)]
    minutes: f64,
    /// Threads of the simulator.
    #[arg(long, default_value_t = 2)]
    threads: usize,
    /// Writes the results to this file, as JSON.
    #[arg(long)]
    report: Option<PathBuf>,
    /// Writes the results to this file, as a table in Markdown.
    #[arg(long)]
    table: Option<PathBuf>,
    /// Runs the other evidence on record (engine tests, Twins, model checking) and not the simulator.
    #[arg(long)]
    others: bool,
    /// Lists the bugs and ends.
    #[arg(long)]
    list: bool,
}

fn main() -> anyhow::Result<ExitCode> {
    let arguments = Arguments::parse();
    let is_chosen = |bug: &&Planted| {
        arguments.only.is_empty() || arguments.only.iter().any(|part| bug.name.contains(part.as_str()))
    };
    let chosen: Vec<&Planted> = planted::ALL.iter().filter(is_chosen).collect();
    anyhow::ensure!(!chosen.is_empty(), "no bug has such a name; --list shows all");
    if arguments.list {
        chosen.iter().for_each(|bug| println!("{:34} {} ({})", bug.name, bug.what, bug.evidence));
        return Ok(ExitCode::SUCCESS);
    }
    let longest = Duration::try_from_secs_f64(arguments.minutes * 60.0)
        .context("--minutes takes a number of minutes that is not negative")?;
    let search = Search { longest, threads: arguments.threads };
    let root = arguments.scratch.clone().unwrap_or_else(|| std::env::temp_dir().join("aegis-planted"));
    let scratch = Scratch::new(&arguments.workspace, root)?;
    let missed = if arguments.others {
        run_others(&chosen, &scratch, search)?
    } else {
        run_simulator(&chosen, &scratch, search, &arguments)?
    };
    println!("{missed} of {} planted bugs were missed", chosen.len());
    Ok(if missed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn run_simulator(
    chosen: &[&Planted],
    scratch: &Scratch,
    search: Search,
    arguments: &Arguments,
) -> anyhow::Result<usize> {
    let mut hunts: Vec<Hunt> = Vec::new();
    println!("{}", Hunt::TABLE_HEAD);
    for bug in chosen {
        let hunt = Hunt::run(bug, scratch, search)?;
        println!("{}", hunt.row());
        hunts.push(hunt);
        // After each one: a long run that is interrupted leaves what it found.
        if let Some(path) = &arguments.report {
            write(path, &serde_json::to_string_pretty(&hunts)?)?;
        }
        if let Some(path) = &arguments.table {
            let rows: Vec<String> = hunts.iter().map(Hunt::row).collect();
            write(path, &format!("{}\n{}\n", Hunt::TABLE_HEAD, rows.join("\n")))?;
        }
    }
    Ok(hunts.iter().filter(|hunt| hunt.found.is_none()).count())
}

fn run_others(chosen: &[&Planted], scratch: &Scratch, search: Search) -> anyhow::Result<usize> {
    let mut missed = 0;
    for bug in chosen {
        let Some((is_found, time, line)) = try_other_evidence(bug, scratch, search)? else { continue };
        missed += usize::from(!is_found);
        let verdict = if is_found { "found" } else { "MISSED" };
        println!("| {} | {} | {verdict} | {:.1} s | {line} |", bug.name, bug.evidence, time.as_secs_f64());
    }
    Ok(missed)
}

fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    std::fs::write(path, text).with_context(|| format!("{} cannot be written", path.display()))
}
