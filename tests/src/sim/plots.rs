//! What a run is about. Half of the seeds leave everything to chance; the others set the stage for one kind of trouble that
//! chance seldom makes, with validators of equal weight.

use std::collections::BTreeMap;

use aegis_consensus::LeaderSchedule;
use aegis_types::{Parameter, View};

use super::actors::ActorKind;
use super::clock::{MILLI, Micros, SECOND};
use super::faults::{FaultKind, FaultProfile};
use super::network::{LinkProfile, Spread};
use super::rng::Rng;
use super::scenario::{NodeIndex, Scenario};

/// Kinds of runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Plot {
    /// Faults and Byzantine validators of any kind.
    Chance,
    /// Blocks that one node prepares and another view replaces.
    TornViews,
    /// Crashes right after votes, and a leader that changes its mind.
    Restarts,
    /// Crashes while epochs turn, and leaders that turn them at the wrong time.
    Turns,
    /// Leaders that name batches, parents and states wrongly, and open blocks above each other.
    Misnaming,
    /// A node that misses the end of an epoch and then hears a Byzantine validator only.
    Eclipse,
    /// Nodes that alone wish for a view and crash.
    DeafOnce,
    /// A network that is slower than the first timeout, also after healing.
    Distant,
}

/// Validators of a run with a purpose: the smallest set that tolerates a fault, so that a quorum is all but one.
const VALIDATORS: usize = 4;
/// The shortest epochs, so that all validators come to lead.
const EPOCH_MS: u64 = 2_000;
const TIMEOUT_MS: u64 = 1_000;
/// The first timeout of a network that is slower than that: Prepares arrive when it is over, so nobody would ever cast a Commit.
const SHORT_TIMEOUT_MS: u64 = 500;
const DISTANCE: Micros = 600 * MILLI;

impl Plot {
    /// All with a purpose.
    pub const PURPOSEFUL: [Self; 7] = [
        Self::TornViews,
        Self::Restarts,
        Self::Turns,
        Self::Misnaming,
        Self::Eclipse,
        Self::DeafOnce,
        Self::Distant,
    ];

    /// What a seed is about.
    pub fn of(seed: u64) -> Self {
        let count = Self::PURPOSEFUL.len() as u64;
        let index = usize::try_from(seed / 2 % count).unwrap_or_default();
        if seed.is_multiple_of(2) { Self::PURPOSEFUL[index] } else { Self::Chance }
    }

    /// Number of validators; none where chance decides.
    pub fn validators(self) -> Option<usize> {
        (self != Self::Chance).then_some(VALIDATORS)
    }

    /// Parameters that differ from what was drawn.
    pub fn parameters(self) -> Vec<(Parameter, u64)> {
        let window = (Parameter::Window, 4);
        let timeout = (Parameter::ViewTimeoutMs, TIMEOUT_MS);
        let epoch = (Parameter::EpochLengthMs, EPOCH_MS);
        match self {
            Self::Chance => Vec::new(),
            Self::TornViews | Self::DeafOnce => vec![timeout, (Parameter::EpochLengthMs, 60_000)],
            Self::Distant => {
                let timeout = (Parameter::ViewTimeoutMs, SHORT_TIMEOUT_MS);
                vec![timeout, (Parameter::IdleIntervalMs, 400), (Parameter::EpochLengthMs, 60_000)]
            }
            Self::Restarts | Self::Turns | Self::Eclipse => vec![timeout, epoch],
            Self::Misnaming => vec![timeout, epoch, window],
        }
    }
}

impl Scenario {
    /// Sets the stage for the scenario's plot.
    pub(super) fn stage(&mut self, rng: &mut Rng) {
        if self.plot == Plot::Chance {
            return;
        }
        self.faults = FaultProfile::none();
        self.links = LinkProfile { jitter_max: 10 * MILLI, ..LinkProfile::perfect() };
        self.healed_links = LinkProfile::healed(rng);
        self.spread = [Spread::World, Spread::OneSite][rng.index(2)];
        self.changes_validators = false;
        self.byzantine = BTreeMap::new();
        self.unreliable.clear();
        self.proposal_interval = rng.within(50..=200) * MILLI;
        self.execution_max = 20 * MILLI;
        self.flush_max = 5 * MILLI;
        match self.plot {
            Plot::Chance => {}
            Plot::TornViews => self.stage_torn_views(rng),
            Plot::Restarts => {
                self.corrupt_a_leader(vec![ActorKind::WaveringLeader]);
                self.faults.intervals.insert(FaultKind::Crash, SECOND);
                self.faults.downtime_max = 150 * MILLI;
                self.faults.send_crashes_per_mille = 40;
            }
            Plot::Turns => {
                if rng.chance(500) {
                    self.corrupt_a_leader(vec![ActorKind::EarlyHandover]);
                }
                self.faults.downtime_max = 150 * MILLI;
                self.execution_max = 200 * MILLI;
                self.proposal_interval = 40 * MILLI;
            }
            Plot::Misnaming => {
                let mut kinds = match rng.index(4) {
                    0 => vec![ActorKind::WithheldBatches],
                    1 => vec![ActorKind::FalseRoots],
                    _ => vec![ActorKind::DoubleNaming, ActorKind::WrongParent],
                };
                if rng.chance(500) {
                    kinds.push(ActorKind::VoteFlood);
                }
                self.corrupt_a_leader(kinds);
                self.spread = Spread::World;
                self.proposal_interval = 30 * MILLI;
            }
            Plot::Eclipse => {
                self.corrupt_a_leader(vec![ActorKind::HoardedViews, ActorKind::ForgedCertificates]);
            }
            Plot::DeafOnce => {
                // A wish for a view far away makes the lonely one a weak quorum: all must go on by one view only.
                if rng.chance(300) {
                    self.corrupt_a_leader(vec![ActorKind::FarFuture]);
                }
                self.checkpoint_bytes = 2 * 1024;
                self.faults.downtime_max = 150 * MILLI;
            }
            Plot::Distant => {
                self.spread = Spread::Distant(DISTANCE);
                self.safety = 4 * SECOND;
            }
        }
    }

    fn stage_torn_views(&mut self, rng: &mut Rng) {
        let pasts = [ActorKind::ForgedPlans, ActorKind::StaleCertificates, ActorKind::ConflictingViewChanges];
        let noises = [ActorKind::FarFuture, ActorKind::VoteFlood];
        if rng.chance(700) {
            self.corrupt_a_leader(vec![pasts[rng.index(3)], noises[rng.index(2)]]);
        }
    }

    /// Lets the leader of the first view be Byzantine.
    fn corrupt_a_leader(&mut self, kinds: Vec<ActorKind>) {
        let leader = LeaderSchedule::new(&self.genesis.validators).leader(View::ZERO);
        let node: Option<NodeIndex> = self.nodes_of(&leader).first().copied();
        if self.genesis.validators.len() >= VALIDATORS
            && let Some(node) = node
        {
            self.byzantine.insert(node, kinds);
        }
    }
}
