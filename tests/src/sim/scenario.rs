//! What the seed decides before the run begins.

use std::collections::{BTreeMap, BTreeSet};

use aegis_types::{
    AccountId, Domain, Epoch, Genesis, Keypair, Member, Parameter, Parameters, ValidatorId, ValidatorSet,
    Weight,
};

use super::actors::ActorKind;
use super::clock::{GENESIS_UNIX_MS, MILLI, Micros, SECOND};
use super::faults::{FaultKind, FaultProfile};
use super::network::{LinkProfile, Spread};
use super::options::Options;
use super::plots::Plot;
use super::rng::Rng;

/// A node's number in a run.
pub type NodeIndex = usize;

/// Clients' accounts.
const ACCOUNTS: usize = 3;
/// Longest safety phase; it ends earlier when most of the decisions are made.
const SAFETY_MAX: Micros = 36 * SECOND;
/// The journal is rewritten after so many bytes, where it is not rewritten often on purpose.
const CHECKPOINT_BYTES: u64 = 40 * 1024;

/// A run's setting.
#[derive(Debug, Clone)]
pub struct Scenario {
    /// The seed that decides everything.
    pub seed: u64,
    /// What the run is about.
    pub plot: Plot,
    /// What the nodes start from.
    pub genesis: Genesis,
    /// The keys of all nodes: the validators of the genesis first, then nodes that may be added, then twins.
    pub keypairs: Vec<Keypair>,
    /// The clients' keys.
    pub accounts: Vec<Keypair>,
    /// Which nodes are Byzantine, and how: at most `f` of the genesis's weight, the unreliable nodes included.
    pub byzantine: BTreeMap<NodeIndex, Vec<ActorKind>>,
    /// Nodes that follow the protocol and may lose their disk or their clock for good.
    pub unreliable: BTreeSet<NodeIndex>,
    /// Where the nodes stand.
    pub spread: Spread,
    /// The network in the safety phase.
    pub links: LinkProfile,
    /// The network after healing.
    pub healed_links: LinkProfile,
    /// What breaks, and how often.
    pub faults: FaultProfile,
    /// When the safety phase ends at the latest.
    pub safety: Micros,
    /// Executed height at which it ends even before.
    pub safety_height: u64,
    /// Heights that every correct node must commit after healing, at least.
    pub heights_after_healing: u64,
    /// Height at which the run ends, once everybody has recovered.
    pub final_height: u64,
    /// Virtual time that those heights after healing may take.
    pub patience: Micros,
    /// View changes that a correct node may start from healing until then.
    pub view_changes_max: u64,
    /// Mean time between two proposals of the client.
    pub proposal_interval: Micros,
    /// Whether the client changes the validator set.
    pub changes_validators: bool,
    /// Longest time that executing a block takes.
    pub execution_max: Micros,
    /// Longest time that a flush takes.
    pub flush_max: Micros,
    /// The journal is rewritten with what still binds once it has grown by so much, in bytes.
    pub checkpoint_bytes: u64,
    /// Whether the report has the latency of each decision.
    pub measures_latency: bool,
    names: BTreeMap<ValidatorId, Vec<NodeIndex>>,
}

impl Scenario {
    /// The setting of a seed.
    pub fn new(seed: u64, options: &Options) -> Self {
        let mut rng = Rng::new(seed, "scenario");
        let drawn = validator_count(&mut rng);
        let without_plot = options.trim.without.contains(&FaultKind::Plot);
        let plot = if without_plot { Plot::Chance } else { Plot::of(seed) };
        let count = options.trim.nodes.or(plot.validators()).unwrap_or(drawn).max(1);
        let spares = rng.index(3);
        let mut keys = Rng::new(seed, "keys");
        let keypairs: Vec<Keypair> =
            (0..count + spares).map(|_| Keypair::from_seed(&keys.bytes32())).collect();
        let validators = if plot == Plot::Chance {
            validators(&keypairs[..count], &mut Rng::new(seed, "weights"))
        } else {
            equal_validators(&keypairs[..count])
        };
        let mut parameters = parameters(&mut rng);
        set_parameters(&mut parameters, &plot.parameters());
        let mut scenario = Self::quiet(seed, validators, parameters, keypairs);
        scenario.plot = plot;
        scenario.draw_faults(&mut rng);
        scenario.choose_faulty(&mut Rng::new(seed, "faulty"));
        scenario.stage(&mut Rng::new(seed, "stage"));
        scenario.apply_trim(options);
        let height = options.decisions;
        scenario.final_height = height;
        scenario.safety_height = height.saturating_sub(scenario.heights_after_healing.max(height / 8));
        scenario.add_twins();
        scenario
    }

    /// A setting in which nothing goes wrong.
    pub fn quiet(
        seed: u64,
        validators: ValidatorSet,
        parameters: Parameters,
        keypairs: Vec<Keypair>,
    ) -> Self {
        let view_timeout = parameters.get(Parameter::ViewTimeoutMs) * MILLI;
        let mut rng = Rng::new(seed, "accounts");
        let members = validators.len() as u64;
        let genesis = Genesis {
            chain: "simulated".parse().expect("a plain name"),
            timestamp_ms: GENESIS_UNIX_MS,
            validators,
            parameters,
        };
        let mut scenario = Self {
            seed,
            plot: Plot::Chance,
            genesis,
            keypairs,
            accounts: (0..ACCOUNTS).map(|_| Keypair::from_seed(&rng.bytes32())).collect(),
            byzantine: BTreeMap::new(),
            unreliable: BTreeSet::new(),
            spread: Spread::World,
            links: LinkProfile::perfect(),
            healed_links: LinkProfile::perfect(),
            faults: FaultProfile::none(),
            safety: SAFETY_MAX,
            safety_height: 1,
            heights_after_healing: 6,
            final_height: super::options::DECISIONS,
            patience: view_timeout * 200,
            view_changes_max: 20 + 4 * members,
            proposal_interval: 50 * MILLI,
            changes_validators: false,
            execution_max: 2 * MILLI,
            flush_max: 2 * MILLI,
            checkpoint_bytes: CHECKPOINT_BYTES,
            measures_latency: false,
            names: BTreeMap::new(),
        };
        scenario.name_nodes();
        scenario
    }

    fn draw_faults(&mut self, rng: &mut Rng) {
        self.spread = [Spread::World, Spread::OneSite][rng.index(2)];
        self.links = LinkProfile::faulty(rng);
        self.healed_links = LinkProfile::healed(rng);
        self.faults = FaultProfile::new(rng);
        self.proposal_interval = rng.within(30..=400) * MILLI;
        self.changes_validators = rng.chance(500);
        self.execution_max = [2_000, 20_000, 300_000][rng.index(3)];
        self.flush_max = [1_000, 5_000, 30_000][rng.index(3)];
        self.checkpoint_bytes = [CHECKPOINT_BYTES / 10, CHECKPOINT_BYTES][rng.index(2)];
    }

    /// In half of the runs, validators of at most `f` weight are Byzantine or unreliable.
    fn choose_faulty(&mut self, rng: &mut Rng) {
        if !rng.chance(550) {
            return;
        }
        let set = &self.genesis.validators;
        let mut allowance = (set.members().iter().map(|member| member.weight.0).sum::<u64>() - 1) / 3;
        let mut order: Vec<NodeIndex> = (0..set.len()).collect();
        rng.shuffle(&mut order);
        for node in order {
            let weight = set.weight_of(&self.keypairs[node].validator_id()).0;
            if weight > allowance {
                continue;
            }
            allowance -= weight;
            if rng.chance(150) {
                self.unreliable.insert(node);
                continue;
            }
            let mut kinds = vec![ActorKind::ALL[rng.index(ActorKind::ALL.len())]];
            if rng.chance(300) {
                kinds.push(ActorKind::ALL[rng.index(ActorKind::ALL.len())]);
            }
            kinds.sort();
            kinds.dedup();
            self.byzantine.insert(node, kinds);
        }
    }

    fn apply_trim(&mut self, options: &Options) {
        let trim = &options.trim;
        for kind in &trim.without {
            self.faults.remove(*kind);
            self.links.remove(*kind);
        }
        if trim.without.contains(&FaultKind::SetChange) {
            self.changes_validators = false;
        }
        if trim.without.contains(&FaultKind::Byzantine) {
            self.byzantine.clear();
        }
        self.byzantine.retain(|node, _| !trim.honest.contains(node));
        if let Some(at) = trim.heal_at {
            self.safety = at;
        }
    }

    /// A twin is one more node with the key of another.
    fn add_twins(&mut self) {
        let doubled: Vec<NodeIndex> = self
            .byzantine
            .iter()
            .filter(|(_, kinds)| kinds.contains(&ActorKind::Twins))
            .map(|(node, _)| *node)
            .collect();
        for node in doubled {
            let twin = self.keypairs.len();
            self.keypairs.push(self.keypairs[node].clone());
            self.byzantine.insert(twin, vec![ActorKind::Twins]);
        }
        self.name_nodes();
    }

    fn name_nodes(&mut self) {
        self.names.clear();
        for (node, keypair) in self.keypairs.iter().enumerate() {
            self.names.entry(keypair.validator_id()).or_default().push(node);
        }
    }

    /// The domain of all signatures.
    pub fn domain(&self) -> Domain {
        self.genesis.domain()
    }

    /// A node's name on the log.
    pub fn validator(&self, node: NodeIndex) -> ValidatorId {
        self.keypairs[node].validator_id()
    }

    /// The nodes of a name: one, or with a twin two; none for a stranger.
    pub fn nodes_of(&self, validator: &ValidatorId) -> &[NodeIndex] {
        self.names.get(validator).map_or(&[], Vec::as_slice)
    }

    /// Whether a node follows the protocol.
    pub fn is_correct(&self, node: NodeIndex) -> bool {
        !self.byzantine.contains_key(&node)
    }

    /// Whether a validator follows the protocol; false for a stranger.
    pub fn is_correct_validator(&self, validator: &ValidatorId) -> bool {
        self.nodes_of(validator).first().is_some_and(|node| self.is_correct(*node))
    }

    /// Whether correct validators vote for what an account proposes: they do for the clients, not for Byzantine nodes, whose
    /// weight must not grow.
    pub fn approves(&self, account: &AccountId) -> bool {
        self.accounts.iter().any(|keypair| keypair.account_id() == *account)
    }

    /// One line about the setting.
    pub fn describe(&self) -> String {
        let weights: Vec<u64> =
            self.keypairs.iter().map(|k| self.genesis.validators.weight_of(&k.validator_id()).0).collect();
        let parameter = |parameter| self.genesis.parameters.get(parameter);
        format!(
            "seed {} {:?} weights {weights:?} byzantine {:?} unreliable {:?} timeout {} idle {} epoch {} window {} {:?} links {:?} faults {:?}",
            self.seed,
            self.plot,
            self.byzantine,
            self.unreliable,
            parameter(Parameter::ViewTimeoutMs),
            parameter(Parameter::IdleIntervalMs),
            parameter(Parameter::EpochLengthMs),
            parameter(Parameter::Window),
            self.spread,
            self.links,
            self.faults,
        )
    }
}

/// Mostly the smallest set that tolerates a fault, at times every size from 1 to 13.
fn validator_count(rng: &mut Rng) -> usize {
    match rng.index(100) {
        0..3 => 1,
        3..6 => 2,
        6..10 => 3,
        10..66 => 4,
        66..80 => 5,
        80..86 => 6,
        86..96 => 7,
        96..99 => 8 + rng.index(2),
        _ => 10 + rng.index(4),
    }
}

fn validators(keypairs: &[Keypair], rng: &mut Rng) -> ValidatorSet {
    /// So many random vectors are tried before equal weights are taken.
    const TRIES: usize = 20;
    let set = |weights: &mut dyn FnMut() -> u64| {
        let members = keypairs
            .iter()
            .map(|keypair| Member { validator: keypair.validator_id(), weight: Weight(weights()) });
        ValidatorSet::new(Epoch::ZERO, members.collect())
    };
    let heaviest = [1, 5, 1_000][rng.index(3)];
    for _ in 0..TRIES {
        if let Ok(set) = set(&mut || rng.within(1..=heaviest)) {
            return set;
        }
    }
    equal_validators(keypairs)
}

fn equal_validators(keypairs: &[Keypair]) -> ValidatorSet {
    let member = |keypair: &Keypair| Member { validator: keypair.validator_id(), weight: Weight(1) };
    let members = keypairs.iter().map(member).collect();
    ValidatorSet::new(Epoch::ZERO, members).expect("equal weights are always valid")
}

fn parameters(rng: &mut Rng) -> Parameters {
    let choices = [
        (Parameter::ClockDriftMaxMs, 2_000),
        (Parameter::IdleIntervalMs, [100, 400, 1_000][rng.index(3)]),
        (Parameter::ViewTimeoutMs, [1_000, 1_500, 2_000][rng.index(3)]),
        (Parameter::EpochLengthMs, [2_000, 5_000, 60_000][rng.index(3)]),
        (Parameter::VotingPeriodMs, 20_000),
        (Parameter::Window, [1, 2, 4, 8][rng.index(4)]),
    ];
    parameters_with(&choices)
}

/// The default parameters with other values for some.
///
/// # Panics
/// When a value is out of its parameter's range.
pub fn parameters_with(choices: &[(Parameter, u64)]) -> Parameters {
    let mut parameters = Parameters::default();
    set_parameters(&mut parameters, choices);
    parameters
}

fn set_parameters(parameters: &mut Parameters, choices: &[(Parameter, u64)]) {
    for (parameter, value) in choices {
        parameters.set(*parameter, *value).expect("the value is within the parameter's range");
    }
}
