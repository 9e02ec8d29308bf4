//! The study: several deployments of each size, weights equal and measured, leaders best and rotating, with liars and without.

use std::collections::BTreeSet;

use aegis_types::Weight;

use super::crashes::{self, Weights};
use super::deployment::Deployment;
use super::engine::Course;
use super::lies::Lie;
use super::prediction;
use super::samples::Samples;
use super::weighing::Weigher;
use crate::sim::delays::DelayTable;

/// Leaders that stand for all when the leader rotates: the engine changes its leader only when one fails or an epoch ends, so
/// each is run by itself.
const ROTATION_SAMPLE: usize = 4;

/// What to study.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Numbers of validators.
    pub sizes: Vec<usize>,
    /// Deployments of each size.
    pub deployments: u64,
    /// Deployments of each size in which validators crash one after the other.
    pub crashing: u64,
    /// Blocks of a run.
    pub blocks: u64,
    /// Where validators may stand.
    pub table: DelayTable,
}

/// Latencies of one kind of weights.
#[derive(Debug, Clone, Default)]
pub struct Measured {
    /// Under the best leader.
    pub best: Samples,
    /// Under leaders in turn.
    pub rotating: Samples,
    /// The prediction's means under the best leader, in microseconds, one per deployment.
    pub predicted: Vec<f64>,
}

/// What came of one kind of lie.
#[derive(Debug, Clone)]
pub struct Lied {
    /// The lie.
    pub lie: Lie,
    /// Latencies.
    pub samples: Samples,
    /// Seats in the core that the liars have, over all deployments: when they tell the truth, and when they lie.
    pub liars_seats: (usize, usize),
    /// Honest members of the honest network's core that are not in it when the others lie, over all deployments.
    pub honest_losses: usize,
}

impl Lied {
    fn new(lie: Lie) -> Self {
        Self { lie, samples: Samples::default(), liars_seats: (0, 0), honest_losses: 0 }
    }

    fn count_seats(&mut self, liars: &[usize], honest: &BTreeSet<usize>, lied: &BTreeSet<usize>) {
        let seats = |core: &BTreeSet<usize>| liars.iter().filter(|liar| core.contains(liar)).count();
        self.liars_seats.0 += seats(honest);
        self.liars_seats.1 += seats(lied);
        self.honest_losses += honest.difference(lied).filter(|member| !liars.contains(member)).count();
    }
}

/// What came of one size.
#[derive(Debug, Clone)]
pub struct Row {
    /// Validators.
    pub validators: usize,
    /// Deployments that were studied.
    pub deployments: u64,
    /// How many of them may fail in any way with measured weights.
    pub tolerance: usize,
    /// Equal weights.
    pub equal: Measured,
    /// Measured weights.
    pub measured: Measured,
    /// Measured weights when `tolerance` validators lie, under the best leader.
    pub lies: Vec<Lied>,
    /// The worst-placed boast and then fall silent: what equal weights make of the same silence, and measured ones.
    pub silence: (Samples, Samples),
    /// Crashes survived at one per epoch, fewest and most over the deployments: with equal weights, and measured ones.
    pub crashes: [Option<(usize, usize)>; 2],
}

/// The fault tolerance of the profile `fast`.
pub fn fast_tolerance(validators: usize) -> usize {
    (validators.saturating_sub(1) / 6).max(1)
}

impl Plan {
    /// Studies one size; `done` hears of each deployment that is finished.
    pub fn study(&self, validators: usize, mut done: impl FnMut(u64)) -> Row {
        let tolerance = fast_tolerance(validators);
        let mut row = Row {
            validators,
            deployments: self.deployments,
            tolerance,
            equal: Measured::default(),
            measured: Measured::default(),
            lies: Lie::ALL.map(Lied::new).to_vec(),
            silence: Default::default(),
            crashes: [None, None],
        };
        for number in 0..self.deployments {
            let deployment = Deployment::draw(validators, &self.table, number);
            self.add(&mut row, &deployment);
            if number < self.crashing {
                for (range, weights) in row.crashes.iter_mut().zip([Weights::Equal, Weights::Measured]) {
                    let count = crashes::survived(&deployment, tolerance, weights);
                    let (least, most) = range.unwrap_or((count, count));
                    *range = Some((least.min(count), most.max(count)));
                }
            }
            done(number);
        }
        row
    }

    fn add(&self, row: &mut Row, deployment: &Deployment) {
        let tolerance = row.tolerance;
        let equal = Weigher::new(deployment, tolerance, None);
        let honest = equal.clone().settled();
        for (weigher, measured) in [(&equal, &mut row.equal), (&honest, &mut row.measured)] {
            self.measure(deployment, weigher, measured);
        }
        for lied in &mut row.lies {
            let weigher = Weigher::new(deployment, tolerance, Some(lied.lie)).settled();
            lied.samples.extend(&self.best(deployment, &weigher, &BTreeSet::new()));
            let liars = lied.lie.liars(deployment, tolerance);
            lied.count_seats(&liars, &honest.core(), &weigher.core());
        }
        let silent: BTreeSet<usize> = Lie::Boast.liars(deployment, tolerance).into_iter().collect();
        let boasted = Weigher::new(deployment, tolerance, Some(Lie::Boast)).settled();
        row.silence.0.extend(&self.best(deployment, &equal, &silent));
        row.silence.1.extend(&self.best(deployment, &boasted, &silent));
    }

    fn measure(&self, deployment: &Deployment, weigher: &Weigher<'_>, measured: &mut Measured) {
        let (weights, leaders) = (weigher.weights(), weigher.leaders());
        let best = prediction::best_leader(deployment, &weights, &leaders);
        measured.predicted.push(prediction::mean(deployment, &weights, best));
        measured.best.extend(&self.best(deployment, weigher, &BTreeSet::new()));
        let step = leaders.len().div_ceil(ROTATION_SAMPLE).max(1);
        for leader in leaders.iter().step_by(step) {
            let none = BTreeSet::new();
            measured.rotating.extend(&self.under(deployment, &weights, &leaders, *leader, &none));
        }
    }

    fn best(&self, deployment: &Deployment, weigher: &Weigher<'_>, down: &BTreeSet<usize>) -> Samples {
        let (weights, leaders) = (weigher.weights(), weigher.leaders());
        let present: Vec<usize> = leaders.iter().copied().filter(|leader| !down.contains(leader)).collect();
        let best = prediction::best_leader(deployment, &weights, &present);
        self.under(deployment, &weights, &leaders, best, down)
    }

    fn under(
        &self,
        deployment: &Deployment,
        weights: &[Weight],
        leaders: &[usize],
        first: usize,
        down: &BTreeSet<usize>,
    ) -> Samples {
        let others = leaders.iter().copied().filter(|leader| *leader != first);
        let leaders: Vec<usize> = std::iter::once(first).chain(others).collect();
        let course =
            Course { deployment, weights, leaders: &leaders, down: down.clone(), blocks: self.blocks };
        course.run().expect("at most as many are down as the weights allow")
    }
}
