//! The weights that the rule comes to when a deployment has been measured for some epochs.

use std::collections::BTreeSet;

use aegis_metrics::matrix::MISSING_RTT_US;
use aegis_metrics::weights::CandidateReport;
use aegis_metrics::{Candidate, FaultTolerance, Micro, WeightInput, WeightOutcome};
use aegis_types::{Epoch, Weight};

use super::deployment::Deployment;
use super::lies::Lie;

/// Weights double at most from one epoch to the next: from 1,000 to the highest takes four epochs; some more, so that the core
/// has settled too.
const EPOCHS_TO_SETTLE: u64 = 8;
/// The weight of everybody at the start.
const EQUAL: Weight = Weight(1_000);
/// Clean epochs of everybody: nobody has just joined.
const CLEAN_EPOCHS: u32 = 100;

/// How a deployment's weights came about.
#[derive(Debug, Clone)]
pub struct Weigher<'a> {
    deployment: &'a Deployment,
    tolerance: usize,
    lie: Option<Lie>,
    outcome: Option<WeightOutcome>,
}

impl<'a> Weigher<'a> {
    /// Equal weights, before anything was measured. With a lie, `tolerance` validators lie.
    pub fn new(deployment: &'a Deployment, tolerance: usize, lie: Option<Lie>) -> Self {
        Self { deployment, tolerance, lie, outcome: None }
    }

    /// Lets epochs pass until the weights have settled.
    #[must_use]
    pub fn settled(mut self) -> Self {
        for _ in 0..EPOCHS_TO_SETTLE {
            self.end_epoch(&BTreeSet::new());
        }
        self
    }

    /// An epoch ends in which these were down all the time.
    pub fn end_epoch(&mut self, down: &BTreeSet<usize>) {
        let tolerance = FaultTolerance::Fixed(u32::try_from(self.tolerance).unwrap_or(u32::MAX));
        let candidates = (0..self.deployment.size()).map(|node| self.candidate(node, down)).collect();
        let epoch = self.outcome.as_ref().map_or(Epoch::ZERO, |outcome| outcome.epoch);
        let input =
            WeightInput::new(epoch, tolerance, candidates).expect("rows fit the number of validators");
        self.outcome = Some(input.outcome());
    }

    /// The last outcome; none before the first epoch has ended.
    pub fn outcome(&self) -> Option<&WeightOutcome> {
        self.outcome.as_ref()
    }

    /// The weights.
    pub fn weights(&self) -> Vec<Weight> {
        let measured = |outcome: &WeightOutcome| outcome.nodes.iter().map(|node| node.after).collect();
        self.outcome.as_ref().map_or_else(|| vec![EQUAL; self.deployment.size()], measured)
    }

    /// The core; nobody before the first epoch has ended.
    pub fn core(&self) -> BTreeSet<usize> {
        let nodes = self.outcome.iter().flat_map(|outcome| outcome.nodes.iter().enumerate());
        nodes.filter(|(_, node)| node.in_core).map(|(node, _)| node).collect()
    }

    /// Who may lead, best first: the core's present members, or everybody.
    pub fn leaders(&self) -> Vec<usize> {
        let position = |id| (0..self.deployment.size()).find(|node| self.deployment.id(*node) == id);
        let leaders: Vec<usize> = self
            .outcome
            .as_ref()
            .map(|outcome| outcome.leaders.iter().filter_map(|id| position(*id)).collect())
            .unwrap_or_default();
        if leaders.is_empty() { (0..self.deployment.size()).collect() } else { leaders }
    }

    fn candidate(&self, node: usize, down: &BTreeSet<usize>) -> Candidate {
        let before = self.outcome.as_ref().map(|outcome| &outcome.nodes[node]);
        let is_down = down.contains(&node);
        Candidate {
            validator: self.deployment.id(node),
            weight: before.map_or(EQUAL, |before| before.after),
            was_core: before.is_some_and(|before| before.in_core),
            participation: if is_down { Micro::ZERO } else { Micro::ONE },
            clean_epochs: CLEAN_EPOCHS,
            equivocated: false,
            recently_absent: is_down,
            report: (!is_down).then(|| self.report(node, down)),
        }
    }

    fn report(&self, node: usize, down: &BTreeSet<usize>) -> CandidateReport {
        let lie = self.lie.filter(|lie| lie.liars(self.deployment, self.tolerance).contains(&node));
        let to = |other: usize| {
            let claim = lie.and_then(|lie| lie.claim(self.deployment, self.tolerance, other));
            match claim {
                _ if other == node => 0,
                Some(claim) => claim,
                None if down.contains(&other) => MISSING_RTT_US,
                None => u32::try_from(self.deployment.round_trip(node, other)).unwrap_or(u32::MAX),
            }
        };
        CandidateReport { rtt_us: (0..self.deployment.size()).map(to).collect(), ..Default::default() }
    }
}
