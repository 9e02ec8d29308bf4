//! The search for one planted bug: seeds of the simulator, a few at a time, until an invariant breaks or time is up.

use std::process::{Child, Output};
use std::time::{Duration, Instant};

use anyhow::bail;
use serde::{Deserialize, Serialize};

use super::planted::{Evidence, Planted};
use super::scratch::Scratch;

/// Seeds of one run of the simulator: each kind of plot once, and as many left to chance.
const SEEDS: u64 = 14;
/// How often a running process is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// How to search.
#[derive(Debug, Clone, Copy)]
pub struct Search {
    /// The longest search for a bug, builds not counted.
    pub longest: Duration,
    /// Threads of the simulator.
    pub threads: usize,
}

/// A seed that broke an invariant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Broken {
    /// The seed.
    pub seed: u64,
    /// The invariant.
    pub invariant: String,
    /// What broke it.
    pub detail: String,
}

/// What came of the search for a bug.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Hunt {
    /// The bug.
    pub bug: String,
    /// What is wrong with it.
    pub what: String,
    /// What else finds it, in words; empty where nothing was recorded.
    pub also: String,
    /// The first seed that broke an invariant; none when the bug was missed.
    pub found: Option<Broken>,
    /// Seeds that were run, from 1 on, those after the first that broke included.
    pub seeds: u64,
    /// How many of them broke an invariant.
    pub broken: u64,
    /// Seconds that the runs took.
    pub seconds: f64,
    /// Seconds that the build took.
    pub build_seconds: f64,
}

impl Hunt {
    /// Plants a bug in the copy and searches for it with the simulator.
    ///
    /// # Errors
    /// When the bug does not fit, does not compile, or the simulator ends without a verdict.
    pub fn run(bug: &Planted, scratch: &Scratch, search: Search) -> anyhow::Result<Self> {
        scratch.with_bug(bug, || {
            let started = Instant::now();
            scratch.build(&["build", "-q", "--release", "-p", "aegis-tests", "--bin", "sim"])?;
            let mut hunt = Self {
                bug: bug.name.to_owned(),
                what: bug.what.to_owned(),
                also: bug.evidence.to_string(),
                found: None,
                seeds: 0,
                broken: 0,
                seconds: 0.0,
                build_seconds: started.elapsed().as_secs_f64(),
            };
            let started = Instant::now();
            while hunt.found.is_none() && hunt.look_further(scratch, search, started)? {}
            hunt.seconds = started.elapsed().as_secs_f64();
            Ok(hunt)
        })
    }

    /// Runs some more seeds; false when time is up.
    fn look_further(&mut self, scratch: &Scratch, search: Search, started: Instant) -> anyhow::Result<bool> {
        let (first, threads) = ((self.seeds + 1).to_string(), search.threads.to_string());
        let mut command = scratch.binary("sim");
        command.args(["--seeds", &SEEDS.to_string(), "--first-seed", &first, "--threads", &threads]);
        command.arg("--trace").arg(scratch.trace());
        let left = search.longest.saturating_sub(started.elapsed());
        let Some(output) = run(command.arg("--no-shrinking").spawn()?, left)? else { return Ok(false) };
        self.seeds += SEEDS;
        if output.status.success() {
            return Ok(true);
        }
        let text = String::from_utf8_lossy(&output.stdout);
        let mut broken: Vec<Broken> = text.lines().filter_map(broken).collect();
        broken.sort_by_key(|broken| broken.seed);
        if broken.is_empty() {
            bail!("the simulator failed and broke no invariant (seeds from {first}): {text}");
        }
        self.broken = broken.len() as u64;
        self.found = broken.into_iter().next();
        Ok(true)
    }

    /// The head of a table of hunts.
    pub const TABLE_HEAD: &str =
        "| planted bug | found by | first seed | seeds | time | also found by |\n|---|---|---|---|---|---|";

    /// The hunt as a row of that table.
    pub fn row(&self) -> String {
        let (invariant, seed) = match &self.found {
            Some(found) => (found.invariant.clone(), found.seed.to_string()),
            None => ("MISSED".to_owned(), String::new()),
        };
        let Self { bug, seeds, broken, seconds, also, .. } = self;
        format!("| {bug} | {invariant} | {seed} | {broken} of {seeds} | {seconds:.1} s | {also} |")
    }
}

/// What the other evidence said: whether it failed as it should, how long it ran, and its last word; none when there is none.
///
/// # Errors
/// When the bug does not fit or does not compile.
pub fn try_other_evidence(
    bug: &Planted,
    scratch: &Scratch,
    search: Search,
) -> anyhow::Result<Option<(bool, Duration, String)>> {
    let tests = ["test", "-q", "-p", "aegis-consensus", "--test", "engine"];
    let release = |name| vec!["build", "-q", "--release", "-p", "aegis-tests", "--bin", name];
    let (build, mut command) = match bug.evidence {
        Evidence::SimulatorOnly => return Ok(None),
        Evidence::Tests(name) => {
            ([&tests[..], &["--no-run"]].concat(), scratch.cargo(&[&tests[..], &[name]].concat()))
        }
        Evidence::Twins => (release("twins"), with(scratch.binary("twins"), ["--scenarios", "5000"])),
        Evidence::Model => (release("model"), with(scratch.binary("model"), ["--seconds", "120"])),
    };
    scratch.with_bug(bug, || {
        scratch.build(&build)?;
        let started = Instant::now();
        let output = run(command.spawn()?, search.longest)?;
        let is_found = output.as_ref().is_some_and(|output| !output.status.success());
        let text =
            output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
        let telling = |line: &&str| line.contains(" breaks: ") || line.contains("panicked at");
        let line = text.lines().find(telling).or_else(|| text.lines().last()).unwrap_or_default();
        Ok(Some((is_found, started.elapsed(), line.replace('|', "/"))))
    })
}

fn with<const N: usize>(mut command: std::process::Command, arguments: [&str; N]) -> std::process::Command {
    command.args(arguments);
    command
}

/// Waits for a process; none when it took too long and was ended.
fn run(mut child: Child, longest: Duration) -> anyhow::Result<Option<Output>> {
    let started = Instant::now();
    while child.try_wait()?.is_none() {
        if started.elapsed() > longest {
            child.kill()?;
            child.wait()?;
            return Ok(None);
        }
        std::thread::sleep(LOOK_EVERY);
    }
    Ok(Some(child.wait_with_output()?))
}

/// Reads a line of the simulator: `seed N breaks INVARIANT at T s: DETAIL`.
fn broken(line: &str) -> Option<Broken> {
    let (seed, rest) = line.strip_prefix("seed ")?.split_once(" breaks ")?;
    let (invariant, rest) = rest.split_once(" at ")?;
    let (_, detail) = rest.split_once(": ")?;
    Some(Broken { seed: seed.parse().ok()?, invariant: invariant.to_owned(), detail: detail.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::report::Violation;

    #[test]
    fn a_violation_is_read_as_the_simulator_writes_it() {
        let violation =
            Violation { invariant: "one vote".into(), detail: "node 1: twice at 3".into(), at: 2_000 };
        let read = broken(&format!("seed 17 breaks {violation}"));
        let expected = Broken { seed: 17, invariant: "one vote".into(), detail: "node 1: twice at 3".into() };
        assert_eq!(read, Some(expected));
        assert_eq!(broken("14 seeds, 0 violations"), None);
    }
}
