//! Many seeds: over threads, with a progress bar, and over interruptions.
//!
//! Seeds are run in groups; after each group the state is written, so that a long campaign that was interrupted goes on where
//! it stood. The state is also the report.

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use anyhow::{Context, ensure};
use indicatif::{ProgressBar, ProgressStyle};
use serde::{Deserialize, Serialize};

use super::options::Options;
use super::report::{Counts, Violation};
use super::trace::Recording;
use super::world::run;

/// Seeds between two writings of the state: some ten seconds of work.
const GROUP: u64 = 200;

/// What to run.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The first seed; the others follow it.
    pub first_seed: u64,
    /// Number of seeds.
    pub seeds: u64,
    /// Threads.
    pub threads: usize,
    /// Where the state is kept; a campaign with the same first seed and decisions goes on from it.
    pub state: Option<PathBuf>,
    /// How each seed is run.
    pub options: Options,
}

/// A seed that broke an invariant.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Failure {
    /// The seed.
    pub seed: u64,
    /// What it broke.
    pub violation: Violation,
}

/// What came of a campaign so far.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Campaign {
    /// The first seed.
    pub first_seed: u64,
    /// Seeds done, from the first on.
    pub done: u64,
    /// Height that every run goes to.
    pub decisions_per_seed: u64,
    /// What happened.
    pub counts: Counts,
    /// Seeds that broke an invariant.
    pub failures: Vec<Failure>,
    /// Time that it took, in seconds, over all its parts.
    pub seconds: f64,
    /// A hash over the traces of all runs, in order of seeds.
    pub trace_hash: u64,
}

impl Campaign {
    fn start(plan: &Plan) -> anyhow::Result<Self> {
        let fresh = Self {
            first_seed: plan.first_seed,
            done: 0,
            decisions_per_seed: plan.options.decisions,
            counts: Counts::default(),
            failures: Vec::new(),
            seconds: 0.0,
            trace_hash: 0,
        };
        let Some(path) = plan.state.as_deref().filter(|path| path.exists()) else { return Ok(fresh) };
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("the campaign's state at {} cannot be read", path.display()))?;
        let known: Self = serde_json::from_str(&text)
            .with_context(|| format!("{} is no campaign's state; name another file", path.display()))?;
        ensure!(
            (known.first_seed, known.decisions_per_seed) == (fresh.first_seed, fresh.decisions_per_seed),
            "{} belongs to a campaign from seed {} with {} decisions a seed; name another file, or run that campaign",
            path.display(),
            known.first_seed,
            known.decisions_per_seed
        );
        Ok(known)
    }

    /// Runs a plan to its end, or goes on with it.
    ///
    /// # Errors
    /// When the state cannot be read or written.
    pub fn run(plan: &Plan) -> anyhow::Result<Self> {
        let mut campaign = Self::start(plan)?;
        let bar = progress_bar(plan.seeds);
        bar.set_position(campaign.done);
        let (started, before) = (Instant::now(), campaign.seconds);
        while campaign.done < plan.seeds {
            let count = GROUP.min(plan.seeds - campaign.done);
            campaign.run_group(plan, count, &bar);
            campaign.seconds = before + started.elapsed().as_secs_f64();
            if let Some(path) = &plan.state {
                campaign.write(path)?;
            }
        }
        bar.finish_and_clear();
        Ok(campaign)
    }

    fn run_group(&mut self, plan: &Plan, count: u64, bar: &ProgressBar) {
        let first = plan.first_seed.wrapping_add(self.done);
        let next = AtomicU64::new(0);
        let results = Mutex::new(Vec::new());
        std::thread::scope(|scope| {
            for _ in 0..plan.threads.max(1) {
                scope.spawn(|| {
                    loop {
                        let number = next.fetch_add(1, Ordering::Relaxed);
                        if number >= count {
                            return;
                        }
                        let report = run(first.wrapping_add(number), &plan.options, Recording::HashOnly);
                        let mut results = results.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                        results.push((number, report));
                        bar.inc(1);
                    }
                });
            }
        });
        let mut results = results.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
        results.sort_by_key(|(number, _)| *number);
        for (_, report) in results {
            self.counts.add(&report.counts);
            self.trace_hash = super::rng::mix(self.trace_hash.rotate_left(7) ^ report.trace_hash);
            if let Some(violation) = report.violation {
                bar.println(format!("seed {} breaks {violation}", report.seed));
                self.failures.push(Failure { seed: report.seed, violation });
            }
        }
        self.done += count;
        bar.set_message(format!("{} decisions, {} violations", self.counts.decisions, self.failures.len()));
    }

    /// Writes the campaign as JSON: to another name first, so that an interruption leaves the old state.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write(&self, path: &Path) -> anyhow::Result<()> {
        let mut next = path.as_os_str().to_owned();
        next.push(".next");
        let text = serde_json::to_string_pretty(self)?;
        std::fs::write(&next, text)
            .and_then(|()| std::fs::rename(&next, path))
            .with_context(|| format!("the report cannot be written to {}", path.display()))
    }

    /// One line about it.
    pub fn summary(&self) -> String {
        let counts = &self.counts;
        format!(
            "{} seeds, {} violations, {} decisions, {} proposals, {} epochs, {} faults, {} crashes, {} disk failures, \
             {} view changes ({} views entered), {} equivocations found, {} messages ({} lost), longest recovery {:.1} s \
             and {} view changes, {:.1} seconds",
            self.done,
            self.failures.len(),
            counts.decisions,
            counts.proposals,
            counts.epochs,
            counts.faults,
            counts.crashes,
            counts.disk_failures,
            counts.view_changes,
            counts.views_entered,
            counts.equivocations,
            counts.sent,
            counts.lost,
            counts.recovery as f64 / 1e6,
            counts.recovery_view_changes,
            self.seconds,
        )
    }
}

fn progress_bar(seeds: u64) -> ProgressBar {
    let bar = ProgressBar::new(seeds);
    let style =
        ProgressStyle::with_template("{elapsed_precise} {wide_bar} {pos}/{len} seeds, {msg}, {eta} left");
    if let Ok(style) = style {
        bar.set_style(style);
    }
    bar
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(seeds: u64, state: &Path) -> Plan {
        let options = Options { decisions: 12, ..Options::default() };
        Plan { first_seed: 40, seeds, threads: 2, state: Some(state.to_owned()), options }
    }

    #[test]
    fn an_interrupted_campaign_ends_as_an_uninterrupted_one() {
        let folder = tempfile::tempdir().unwrap();
        let (interrupted, whole) = (folder.path().join("a.json"), folder.path().join("b.json"));
        Campaign::run(&plan(3, &interrupted)).unwrap();
        let resumed = Campaign::run(&plan(5, &interrupted)).unwrap();
        let whole = Campaign::run(&plan(5, &whole)).unwrap();
        assert_eq!((resumed.done, resumed.counts), (5, whole.counts));
        assert_eq!(resumed.trace_hash, whole.trace_hash, "one seed, one trace, whatever the threads");
        let other = Plan { first_seed: 41, ..plan(5, &interrupted) };
        assert!(Campaign::run(&other).unwrap_err().to_string().contains("from seed 40"));
    }
}
