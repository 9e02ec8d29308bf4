//! Plants known bugs in a copy of the engine, one at a time, and shows which evidence finds each.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use aegis_tests::model::planted::{self, Evidence, Planted};
use anyhow::{Context as _, bail};
use clap::Parser;

/// Plants bugs in a scratch copy of the workspace; exits with 0 only if every bug is found by the evidence named for it.
#[derive(Debug, Parser)]
#[command(name = "planted")]
struct Arguments {
    /// Root of the workspace to copy.
    #[arg(long, default_value = ".")]
    workspace: PathBuf,
    /// Where the copy and its build go; kept, so that a second run builds less.
    #[arg(long)]
    scratch: Option<PathBuf>,
    /// Only the bugs whose names contain this.
    #[arg(long, default_value = "")]
    only: String,
    /// Longest run of one piece of evidence, in seconds.
    #[arg(long, default_value_t = 600)]
    seconds: u64,
    /// Lists the bugs and ends.
    #[arg(long)]
    list: bool,
}

fn main() -> anyhow::Result<ExitCode> {
    let arguments = Arguments::parse();
    let chosen: Vec<&Planted> =
        planted::ALL.iter().filter(|bug| bug.name.contains(&arguments.only)).collect();
    if arguments.list {
        for bug in chosen {
            println!("{:34} {:?}: {}", bug.name, bug.evidence, bug.what);
        }
        return Ok(ExitCode::SUCCESS);
    }
    let scratch = arguments.scratch.clone().unwrap_or_else(|| std::env::temp_dir().join("aegis-planted"));
    copy_sources(&arguments.workspace, &scratch)?;
    let mut missed = 0;
    for bug in chosen {
        let path = scratch.join(bug.file);
        let original = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        std::fs::write(&path, plant(bug, &original)?)?;
        let found = search(bug, &scratch, Duration::from_secs(arguments.seconds));
        std::fs::write(&path, original)?;
        let (is_found, seconds, line) = found?;
        missed += u32::from(!is_found);
        let verdict = if is_found { "found" } else { "MISSED" };
        println!("| {} | {:?} | {verdict} | {seconds:.1} s | {line} |", bug.name, bug.evidence);
    }
    println!("{missed} planted bugs were missed");
    Ok(if missed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn copy_sources(from: &Path, to: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(to)?;
    remove_others(from, to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let name = entry.file_name();
        let is_hidden = name.to_string_lossy().starts_with('.') && name != ".cargo";
        if is_hidden || name == "target" {
            continue;
        }
        let target = to.join(&name);
        if entry.file_type()?.is_dir() {
            copy_sources(&entry.path(), &target)?;
        } else if !is_same(&entry.path(), &target) {
            std::fs::copy(entry.path(), &target)?;
        }
    }
    Ok(())
}

/// Removes what an earlier copy had and the workspace has no more.
fn remove_others(from: &Path, to: &Path) -> anyhow::Result<()> {
    for entry in std::fs::read_dir(to)? {
        let entry = entry?;
        if entry.file_name() == "target" || from.join(entry.file_name()).exists() {
            continue;
        }
        if entry.file_type()?.is_dir() {
            std::fs::remove_dir_all(entry.path())?;
        } else {
            std::fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// Files that are the same are left alone, so that a second run builds only what changed.
fn is_same(one: &Path, other: &Path) -> bool {
    matches!((std::fs::read(one), std::fs::read(other)), (Ok(one), Ok(other)) if one == other)
}

fn plant(bug: &Planted, original: &str) -> anyhow::Result<String> {
    let places = original.matches(bug.right).count();
    if places != 1 {
        bail!(
            "`{}`: its text stands {places} times in {}; the source has changed, so change the bug in tests/src/model/planted.rs",
            bug.name,
            bug.file
        );
    }
    Ok(original.replace(bug.right, bug.wrong))
}

/// Builds and runs the evidence: whether it failed as it should, how long it ran, and what it said.
fn search(bug: &Planted, scratch: &Path, longest: Duration) -> anyhow::Result<(bool, f64, String)> {
    let target = scratch.join("target");
    let cargo = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO"));
        command.current_dir(scratch).env("CARGO_TARGET_DIR", &target).args(arguments);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    };
    let (build, run): (Vec<&str>, Vec<&str>) = match bug.evidence {
        Evidence::Tests(name) => (
            vec!["test", "-q", "-p", "aegis-consensus", "--test", "engine", "--no-run"],
            vec!["test", "-q", "-p", "aegis-consensus", "--test", "engine", name],
        ),
        Evidence::Twins => (
            vec!["build", "-q", "--release", "-p", "aegis-tests", "--bin", "twins"],
            vec![
                "run",
                "-q",
                "--release",
                "-p",
                "aegis-tests",
                "--bin",
                "twins",
                "--",
                "--scenarios",
                "5000",
            ],
        ),
        Evidence::Model => (
            vec!["build", "-q", "--release", "-p", "aegis-tests", "--bin", "model"],
            vec!["run", "-q", "--release", "-p", "aegis-tests", "--bin", "model", "--", "--seconds", "120"],
        ),
    };
    let built = cargo(&build).output()?;
    if !built.status.success() {
        bail!("`{}` does not compile: {}", bug.name, String::from_utf8_lossy(&built.stderr));
    }
    let started = Instant::now();
    let mut child = cargo(&run).spawn()?;
    let mut status = child.try_wait()?;
    while status.is_none() && started.elapsed() < longest {
        std::thread::sleep(Duration::from_millis(50));
        status = child.try_wait()?;
    }
    if status.is_none() {
        child.kill()?;
    }
    let output = child.wait_with_output()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let telling = |line: &&str| line.contains(" breaks: ") || line.contains("panicked at");
    let line = text.lines().find(telling).or_else(|| text.lines().last()).unwrap_or_default();
    let is_found = status.is_some_and(|status| !status.success());
    Ok((is_found, started.elapsed().as_secs_f64(), line.replace('|', "/")))
}
