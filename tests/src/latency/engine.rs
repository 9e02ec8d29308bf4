//! The engine's commit latency under given weights and a given leader.

use std::collections::BTreeSet;
use std::sync::Arc;

use aegis_types::{Epoch, Member, Parameter, ValidatorSet, Weight};

use super::deployment::Deployment;
use super::samples::Samples;
use crate::sim::clock::{MILLI, SECOND};
use crate::sim::network::{LinkProfile, Spread};
use crate::sim::scenario::parameters_with;
use crate::sim::{Options, Recording, Scenario, run_scenario};

/// A block is proposed so often: more seldom than the longest decision takes, so that blocks do not wait for each other.
const BLOCK_EVERY_MS: u64 = 1_000;
/// The longest extra delay of a packet, in milliseconds; drawn evenly.
const JITTER_MAX_MS: u64 = 10;
/// The longest flush of a vote journal, in milliseconds; drawn evenly.
const FLUSH_MAX_MS: u64 = 1;
/// A view that commits nothing for so long is left.
const VIEW_TIMEOUT_MS: u64 = 5_000;
/// Nothing arrives from or at a validator that is down: that far away are all others.
const NEVER_MS: u64 = 1_000_000_000;

/// What a run is about.
#[derive(Debug, Clone)]
pub struct Course<'a> {
    /// Where the validators stand.
    pub deployment: &'a Deployment,
    /// Their weights.
    pub weights: &'a [Weight],
    /// Who may lead; the first leads until it fails.
    pub leaders: &'a [usize],
    /// Who is down all the time: at most `f` of weight, or nothing is committed.
    pub down: BTreeSet<usize>,
    /// How many blocks are committed.
    pub blocks: u64,
}

impl Course<'_> {
    /// Commits the blocks: the time from each PrePrepare to each live validator's decision; none when commits stop.
    ///
    /// # Panics
    /// When the weights and leaders are no valid set, which the rule rules out.
    pub fn run(&self) -> Option<Samples> {
        let deployment = self.deployment;
        let members = self.weights.iter().enumerate();
        let members =
            members.map(|(node, weight)| Member { validator: deployment.id(node), weight: *weight });
        let leaders: Vec<_> = self.leaders.iter().map(|node| deployment.id(*node)).collect();
        let set = ValidatorSet::new(Epoch::ZERO, members.collect())
            .and_then(|set| set.with_leaders(&leaders))
            .expect("weights and leaders are the rule's");
        let parameters = parameters_with(&[
            (Parameter::IdleIntervalMs, BLOCK_EVERY_MS),
            (Parameter::ViewTimeoutMs, VIEW_TIMEOUT_MS),
            (Parameter::EpochLengthMs, 3_600_000),
        ]);
        let mut scenario = Scenario::quiet(self.blocks, set, parameters, deployment.keypairs.clone());
        scenario.spread = Spread::InOrder;
        scenario.links = LinkProfile { jitter_max: JITTER_MAX_MS * MILLI, ..LinkProfile::perfect() };
        scenario.healed_links = scenario.links;
        scenario.flush_max = FLUSH_MAX_MS * MILLI;
        scenario.proposal_interval = BLOCK_EVERY_MS * MILLI;
        scenario.final_height = self.blocks;
        scenario.patience = 100 * SECOND;
        scenario.measures_latency = true;
        for node in &self.down {
            scenario.byzantine.insert(*node, Vec::new());
        }
        let delays = deployment.delays.with_distant(&self.down, NEVER_MS * MILLI);
        let options = Options { decisions: self.blocks, delays: Arc::new(delays), ..Options::default() };
        let report = run_scenario(scenario, &options, Recording::HashOnly);
        let mut samples = Samples::default();
        samples.add(&report.latencies);
        report.violation.is_none().then_some(samples)
    }
}
