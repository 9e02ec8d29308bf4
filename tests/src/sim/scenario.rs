//! What the seed decides before the run begins.

use std::collections::BTreeMap;

use aegis_types::{
    Domain, Epoch, Genesis, Keypair, Member, Parameter, Parameters, ValidatorId, ValidatorSet, Weight,
};

use super::actors::ActorKind;
use super::clock::{GENESIS_UNIX_MS, Micros, SECOND};
use super::faults::FaultProfile;
use super::network::LinkProfile;
use super::rng::Rng;

/// A node's number in a run.
pub type NodeIndex = usize;

/// A run's setting.
#[derive(Debug, Clone)]
pub struct Scenario {
    /// The seed that decides everything.
    pub seed: u64,
    /// What the nodes start from.
    pub genesis: Genesis,
    /// The keys of all nodes: the validators of the genesis first, then nodes that may be added.
    pub keypairs: Vec<Keypair>,
    /// Which nodes are Byzantine, and how.
    pub byzantine: BTreeMap<NodeIndex, ActorKind>,
    /// The network in the safety phase.
    pub links: LinkProfile,
    /// The network after healing.
    pub healed_links: LinkProfile,
    /// What breaks, and how often.
    pub faults: FaultProfile,
    /// Length of the safety phase.
    pub safety: Micros,
    /// Heights that every correct node must commit after healing.
    pub heights_after_healing: u64,
    /// Virtual time within which it must.
    pub patience: Micros,
    /// Mean time between two proposals of the client.
    pub proposal_interval: Micros,
    /// Whether the client changes the validator set.
    pub changes_validators: bool,
    /// Longest time that executing a block takes.
    pub execution_max: Micros,
    /// Longest time that a flush takes.
    pub flush_max: Micros,
}

impl Scenario {
    /// The setting of a seed.
    pub fn new(seed: u64) -> Self {
        let mut rng = Rng::new(seed, "scenario");
        let count = validator_count(&mut rng);
        let spares = rng.index(3);
        let keypairs: Vec<Keypair> =
            (0..count + spares).map(|_| Keypair::from_seed(&rng.bytes32())).collect();
        let validators = validators(&keypairs[..count], &mut rng);
        let parameters = parameters(&mut rng);
        let byzantine = byzantine(&validators, &keypairs, &mut rng);
        let view_timeout = parameters.get(Parameter::ViewTimeoutMs) * 1_000;
        let genesis = Genesis {
            chain: "simulated".parse().expect("a plain name"),
            timestamp_ms: GENESIS_UNIX_MS,
            validators,
            parameters,
        };
        Self {
            seed,
            genesis,
            keypairs,
            byzantine,
            links: LinkProfile::faulty(&mut rng),
            healed_links: LinkProfile::healed(&mut rng),
            faults: FaultProfile::new(&mut rng),
            safety: rng.within(8..=16) * SECOND,
            heights_after_healing: 6,
            patience: view_timeout * 200,
            proposal_interval: rng.within(40..=400) * 1_000,
            changes_validators: rng.chance(500),
            execution_max: [2_000, 20_000, 300_000][rng.index(3)],
            flush_max: [1_000, 5_000, 30_000][rng.index(3)],
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

    /// The node of a name.
    pub fn node_of(&self, validator: &ValidatorId) -> Option<NodeIndex> {
        self.keypairs.iter().position(|keypair| keypair.validator_id() == *validator)
    }

    /// Whether a node follows the protocol.
    pub fn is_correct(&self, node: NodeIndex) -> bool {
        !self.byzantine.contains_key(&node)
    }

    /// One line about the setting.
    pub fn describe(&self) -> String {
        let weights: Vec<u64> =
            self.keypairs.iter().map(|k| self.genesis.validators.weight_of(&k.validator_id()).0).collect();
        let parameter = |parameter| self.genesis.parameters.get(parameter);
        format!(
            "seed {} weights {weights:?} byzantine {:?} timeout {} idle {} epoch {} window {} links {:?} faults {:?}",
            self.seed,
            self.byzantine,
            parameter(Parameter::ViewTimeoutMs),
            parameter(Parameter::IdleIntervalMs),
            parameter(Parameter::EpochLengthMs),
            parameter(Parameter::Window),
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
        10..58 => 4,
        58..72 => 5,
        72..80 => 6,
        80..93 => 7,
        93..98 => 8 + rng.index(3),
        _ => 11 + rng.index(3),
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
    set(&mut || 1).expect("equal weights are always valid")
}

fn parameters(rng: &mut Rng) -> Parameters {
    let mut parameters = Parameters::default();
    let choices = [
        (Parameter::ClockDriftMaxMs, 2_000),
        (Parameter::IdleIntervalMs, [100, 400, 1_000][rng.index(3)]),
        (Parameter::ViewTimeoutMs, [600, 1_000, 2_000][rng.index(3)]),
        (Parameter::EpochLengthMs, [2_000, 5_000, 60_000][rng.index(3)]),
        (Parameter::VotingPeriodMs, 20_000),
        (Parameter::Window, [1, 2, 4, 8][rng.index(4)]),
    ];
    for (parameter, value) in choices {
        parameters.set(parameter, value).expect("the value is within the parameter's range");
    }
    parameters
}

/// In two runs of five, validators of at most `f` weight.
fn byzantine(set: &ValidatorSet, keypairs: &[Keypair], rng: &mut Rng) -> BTreeMap<NodeIndex, ActorKind> {
    let mut chosen = BTreeMap::new();
    if !rng.chance(400) {
        return chosen;
    }
    let total: u64 = set.members().iter().map(|member| member.weight.0).sum();
    let mut allowance = (total - 1) / 3;
    let mut order: Vec<NodeIndex> = (0..set.len()).collect();
    rng.shuffle(&mut order);
    for node in order {
        let weight = set.weight_of(&keypairs[node].validator_id()).0;
        if weight <= allowance {
            allowance -= weight;
            chosen.insert(node, ActorKind::ALL[rng.index(ActorKind::ALL.len())]);
        }
    }
    chosen
}
