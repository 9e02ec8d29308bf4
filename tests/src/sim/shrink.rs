//! Makes a failing run smaller: fewer Byzantine nodes, kinds of faults, nodes, single faults, and an earlier end of faults, as
//! long as the same invariant breaks.
//!
//! Every step is a whole run with something left out. Because each purpose has its own stream of numbers, leaving one thing
//! out changes little else; where it does, the step just does not count.

use std::collections::BTreeSet;

use super::faults::FaultKind;
use super::options::{Options, Trim};
use super::report::Report;
use super::scenario::Scenario;
use super::trace::Recording;
use super::world::run;

/// Most runs that shrinking may take.
const RUNS_MAX: usize = 200;

/// What is left of a failing run.
#[derive(Debug)]
pub struct Shrunk {
    /// How to run it.
    pub options: Options,
    /// The run, with its text.
    pub report: Report,
    /// Runs that it took.
    pub runs: usize,
}

struct Search {
    seed: u64,
    invariant: String,
    best: Options,
    faults: u64,
    runs: usize,
}

/// Shrinks the run of a seed; none if it breaks nothing.
pub fn shrink(seed: u64, options: &Options) -> Option<Shrunk> {
    let first = run(seed, options, Recording::HashOnly);
    let invariant = first.violation?.invariant;
    let mut search = Search { seed, invariant, best: options.clone(), faults: first.faults, runs: 1 };
    loop {
        let before = search.best.trim.clone();
        search.drop_kinds();
        search.drop_actors();
        search.drop_nodes();
        search.drop_single_faults();
        search.end_earlier();
        if search.best.trim == before || search.runs >= RUNS_MAX {
            break;
        }
    }
    let Search { best, runs, .. } = search;
    Some(Shrunk { report: run(seed, &best, Recording::Text), options: best, runs })
}

impl Search {
    fn attempt(&mut self, change: impl FnOnce(&mut Trim)) -> bool {
        let mut options = self.best.clone();
        change(&mut options.trim);
        if self.runs >= RUNS_MAX || options.trim == self.best.trim {
            return false;
        }
        self.runs += 1;
        let report = run(self.seed, &options, Recording::HashOnly);
        let is_same = report.violation.is_some_and(|violation| violation.invariant == self.invariant);
        if is_same {
            self.best = options;
            self.faults = report.faults;
        }
        is_same
    }

    fn drop_kinds(&mut self) {
        for kind in FaultKind::ALL {
            self.attempt(|trim| {
                trim.without.insert(kind);
            });
        }
    }

    fn drop_actors(&mut self) {
        let byzantine: Vec<usize> = Scenario::new(self.seed, &self.best).byzantine.keys().copied().collect();
        for node in byzantine {
            self.attempt(|trim| {
                trim.honest.insert(node);
            });
        }
    }

    fn drop_nodes(&mut self) {
        let count = Scenario::new(self.seed, &self.best).genesis.validators.len();
        for fewer in 1..count {
            if self.attempt(|trim| trim.nodes = Some(fewer)) {
                return;
            }
        }
    }

    /// Halves, then quarters, and so on, as delta debugging does.
    fn drop_single_faults(&mut self) {
        let mut length = self.faults;
        while length > 1 {
            length = length.div_ceil(2);
            let mut start = 0;
            while start < self.faults {
                let skip: BTreeSet<u64> = (start..start + length).collect();
                self.attempt(|trim| trim.skip.extend(skip));
                start += length;
            }
        }
    }

    fn end_earlier(&mut self) {
        let safety = Scenario::new(self.seed, &self.best).safety;
        for eighths in 1..8 {
            if self.attempt(|trim| trim.heal_at = Some(safety * eighths / 8)) {
                return;
            }
        }
    }
}
