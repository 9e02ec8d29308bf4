//! The values of nodes and network as this node sees them now: from its own votes and the newest reports.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use aegis_metrics::level::{LevelTerms, typicality};
use aegis_metrics::network::{collective_awareness, system_health};
use aegis_metrics::sampling::IntegrationMetrics;
use aegis_metrics::sampling::view::NetworkValues;
use aegis_metrics::{Micro, ObservationMatrix, Report};
use aegis_types::{Parameter, Parameters, ValidatorId, ValidatorSet, Weight};

use super::observer_sample::Kept;
use crate::node::clock::unix_ms;
use crate::node::context::NodeContext;

/// Blocks come once an idle interval at least; when so many have passed, and two views could have failed, they do not come.
const IDLE_INTERVALS: u32 = 5;
const FAILED_VIEWS: u32 = 2;

/// A look at the whole network.
#[derive(Debug, Clone)]
pub struct NetworkLook {
    /// The members of the epoch.
    pub set: ValidatorSet,
    /// Newest reports of members that are not out of date.
    pub reports: BTreeMap<ValidatorId, Kept>,
    /// Coherence of each member, by position.
    pub coherence: Vec<Option<Micro>>,
    /// Level of each member, by position.
    pub levels: Vec<Option<Micro>>,
    /// Round synchrony.
    pub network_coherence: Option<Micro>,
    /// Observability coverage.
    pub collective_awareness: Option<Micro>,
    /// Quorum headroom.
    pub system_health: Option<Micro>,
    /// Members whose rows of round-trip times the coherences rest on.
    pub attested_by: usize,
    /// Whether blocks are decided.
    pub pulse: Pulse,
    /// Whether votes are heard: at those who vote themselves.
    pub hears_votes: bool,
}

/// Whether blocks are decided, as far as this node sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Pulse {
    /// None was since the node's start.
    #[default]
    Unknown,
    /// One was lately.
    Beating,
    /// None was for longer than a sound network takes.
    Stopped,
}

impl Pulse {
    /// From the time since the last decision, and the longest that a sound network takes.
    pub fn new(since_decision: Option<Duration>, longest: Duration) -> Self {
        match since_decision {
            None => Self::Unknown,
            Some(since) if since > longest => Self::Stopped,
            Some(_) => Self::Beating,
        }
    }
}

/// How long a sound network may go without a decision.
fn longest_pause(parameters: &Parameters) -> Duration {
    let of = |parameter| Duration::from_millis(parameters.get(parameter));
    let idle = of(Parameter::IdleIntervalMs).saturating_mul(IDLE_INTERVALS);
    idle.saturating_add(of(Parameter::ViewTimeoutMs).saturating_mul(FAILED_VIEWS))
}

/// What is seen besides reports.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    /// Participation of each member, by position; nothing where no votes are seen.
    pub participation: Vec<Option<Micro>>,
    /// Positions of the members that were seen voting lately.
    pub alive: Vec<usize>,
    /// Round synchrony.
    pub network_coherence: Option<Micro>,
    /// Whether blocks are decided.
    pub pulse: Pulse,
}

impl NetworkLook {
    /// What follows from the members' newest reports and what was seen of votes. Where no votes are seen, as at an observer,
    /// those who report are alive. Where nothing is decided no headroom is left, and what was seen of votes is out of date.
    pub fn new(set: ValidatorSet, reports: BTreeMap<ValidatorId, Kept>, seen: Seen) -> Self {
        let (pulse, hears_votes) = (seen.pulse, !seen.participation.is_empty());
        let seen = if pulse == Pulse::Beating { seen } else { Seen { pulse, ..Seen::default() } };
        let report = |validator: &ValidatorId| reports.get(validator).map(|kept| &kept.signed.report);
        let weights: Vec<Weight> = set.members().iter().map(|member| member.weight).collect();
        let rows = set.members().iter().map(|member| current_row(reports.get(&member.validator)?, set.len()));
        let rows: Vec<Option<Vec<u32>>> = rows.collect();
        let attested_by = rows.iter().flatten().count();
        let reporting = rows.iter().zip(&weights).filter(|(row, _)| row.is_some());
        let reporting = reporting.fold(Weight::ZERO, |sum, (_, weight)| sum.plus(*weight));
        let coherence = match ObservationMatrix::new(rows) {
            Ok(matrix) if reporting >= set.quorum() => {
                matrix.coherence(&weights).into_iter().map(Some).collect()
            }
            Ok(_) | Err(_) => vec![None; set.len()],
        };
        let levels = levels(&set, report, &coherence, &seen.participation);
        let covered = set
            .members()
            .iter()
            .filter_map(|member| Some((member.weight, report(&member.validator)?.covered_weight)));
        let collective_awareness = (!reports.is_empty()).then(|| collective_awareness(&set, covered));
        let system_health = match pulse {
            Pulse::Unknown => None,
            Pulse::Stopped => Some(Micro::ZERO),
            Pulse::Beating => live_weight(&set, &reports, &seen.alive).map(|live| system_health(&set, live)),
        };
        Self {
            coherence,
            levels,
            network_coherence: seen.network_coherence,
            collective_awareness,
            system_health,
            attested_by,
            pulse,
            hears_votes,
            set,
            reports,
        }
    }

    /// Why values of a node and of the network may be missing here: for each name, what holds if it is.
    fn reasons(&self, node: &ValidatorId) -> [(&'static str, &'static str); 4] {
        const STOPPED: &str = "nothing has been decided for several idle intervals";
        const UNKNOWN: &str = "nothing has been decided since this node started";
        let is_member = self.set.contains(node);
        let by_votes = |otherwise| match (self.pulse, self.hears_votes) {
            (_, false) => "only validators that vote in this epoch hear votes, and this node does not",
            (Pulse::Stopped, true) => STOPPED,
            (Pulse::Unknown, true) => UNKNOWN,
            (Pulse::Beating, true) => otherwise,
        };
        let coherence = if is_member {
            "round-trip times of less than a quorum are reported"
        } else {
            "observers have none: it is about round trips between validators"
        };
        let level = match self.values_of(node).coherence {
            _ if !is_member => "observers have none: it ranks validators",
            None => "it needs coherence",
            Some(_) => by_votes("no height of this epoch has settled yet"),
        };
        let health = match self.pulse {
            Pulse::Unknown => UNKNOWN,
            Pulse::Stopped => STOPPED,
            Pulse::Beating => "no validator was heard lately",
        };
        [
            ("coherence", coherence),
            ("consciousness_level", level),
            ("network_coherence", by_votes("too few heights have been voted on")),
            ("system_health", health),
        ]
    }

    /// What is said of one node beside its own statistics.
    pub fn values_of(&self, node: &ValidatorId) -> NetworkValues {
        let at = |values: &[Option<Micro>]| {
            self.set.index_of(node).and_then(|position| values.get(position).copied().flatten())
        };
        NetworkValues {
            coherence: at(&self.coherence),
            level: at(&self.levels),
            network_coherence: self.network_coherence,
            collective_awareness: self.collective_awareness,
            system_health: self.system_health,
            attested_by: self.attested_by,
            epoch: self.set.epoch().0,
        }
    }
}

/// The row of a report about the current members; none where it is about others.
fn current_row(kept: &Kept, members: usize) -> Option<Vec<u32>> {
    let row = &kept.signed.report.rtt_us;
    (kept.has_current_rows && row.len() == members).then(|| row.clone())
}

fn levels<'a>(
    set: &ValidatorSet,
    report: impl Fn(&ValidatorId) -> Option<&'a Report>,
    coherence: &[Option<Micro>],
    participation: &[Option<Micro>],
) -> Vec<Option<Micro>> {
    let values = |validator: &ValidatorId| report(validator).map(|report| report.values).unwrap_or_default();
    let phi: Vec<_> =
        set.members().iter().map(|member| (values(&member.validator).phi, member.weight)).collect();
    let typicality = typicality(&phi);
    let level = |(position, member): (usize, &aegis_types::Member)| {
        let own = values(&member.validator);
        let terms = LevelTerms {
            participation: participation.get(position).copied().flatten()?,
            coherence: coherence.get(position).copied().flatten()?,
            stability: own.stability,
            divergence: own.divergence,
            typicality: typicality.get(position).copied().flatten(),
        };
        Some(terms.level())
    };
    set.members().iter().enumerate().map(level).collect()
}

fn live_weight(
    set: &ValidatorSet,
    reports: &BTreeMap<ValidatorId, Kept>,
    voting: &[usize],
) -> Option<Weight> {
    let voters: BTreeSet<ValidatorId> =
        voting.iter().filter_map(|position| set.get(*position)).map(|member| member.validator).collect();
    let live = if voters.is_empty() { reports.keys().copied().collect() } else { voters };
    let sum = live.iter().fold(Weight::ZERO, |sum, validator| sum.plus(set.weight_of(validator)));
    (!live.is_empty()).then_some(sum)
}

impl NodeContext {
    /// The newest reports of members.
    pub fn live_members(&self) -> BTreeMap<ValidatorId, Kept> {
        self.in_setting(|setting| self.live.members(setting))
    }

    /// The network as this node sees it now.
    pub fn look(&self) -> NetworkLook {
        let epoch = self.standing.borrow().epoch.clone();
        let (set, longest) = (epoch.validators, longest_pause(&epoch.parameters));
        let pulse = Pulse::new(self.observation.since_decision(), longest);
        // Between two epochs the votes that are watched may be of other members than `set`.
        let is_watched = self.observation.rows(&set).is_some() && self.is_validator();
        let seen = if is_watched {
            Seen {
                participation: self.observation.participation(),
                alive: self.observation.alive(longest),
                network_coherence: self.observation.network_coherence(),
                pulse,
            }
        } else {
            Seen { pulse, ..Seen::default() }
        };
        NetworkLook::new(set, self.live_members(), seen)
    }

    /// This node's values and those of the network.
    pub fn integration_metrics(&self) -> IntegrationMetrics {
        let me = self.node_key.validator_id();
        let look = self.look();
        let values = look.values_of(&me);
        let mut metrics =
            IntegrationMetrics::new(unix_ms(), me.to_string(), &self.measured.statistics(), values);
        for (name, reason) in look.reasons(&me) {
            metrics.quality.reasons.entry(name).and_modify(|said| reason.clone_into(said));
        }
        metrics
    }
}

#[cfg(test)]
mod tests {
    use aegis_metrics::SignedReport;
    use aegis_metrics::reports::ReportedValues;
    use aegis_types::{Epoch, Height, Member, Signature};

    use super::*;

    fn id(byte: u8) -> ValidatorId {
        ValidatorId([byte; 32])
    }

    fn set() -> ValidatorSet {
        let members = (0..4).map(|byte| Member { validator: id(byte), weight: Weight(1) }).collect();
        ValidatorSet::new(Epoch(3), members).unwrap()
    }

    fn report(byte: u8, rtt_us: [u32; 4]) -> (ValidatorId, Kept) {
        let values = ReportedValues {
            phi: Some(Micro::new(10_000)),
            stability: Some(Micro::ONE),
            divergence: Some(Micro::ZERO),
            ..ReportedValues::default()
        };
        let report = Report {
            epoch: Epoch(3),
            sequence: 1,
            reporter: id(byte),
            height: Height(1),
            rtt_us: rtt_us.to_vec(),
            votes_in_time: vec![10_000; 4],
            channels: BTreeMap::new(),
            values,
            covered_weight: Weight(if byte == 3 { 2 } else { 4 }),
        };
        (
            id(byte),
            Kept {
                signed: SignedReport { report, signature: Signature([0; 64]) },
                at_us: 0,
                has_current_rows: true,
            },
        )
    }

    fn reports() -> BTreeMap<ValidatorId, Kept> {
        BTreeMap::from([
            report(0, [0, 10_000, 10_000, 90_000]),
            report(1, [10_000, 0, 10_000, 90_000]),
            report(2, [10_000, 10_000, 0, 90_000]),
            report(3, [90_000, 90_000, 90_000, 0]),
        ])
    }

    fn seen() -> Seen {
        Seen {
            participation: vec![Some(Micro::ONE), Some(Micro::ONE), Some(Micro::ZERO), None],
            alive: vec![0, 1, 2],
            network_coherence: Some(Micro::new(900_000)),
            pulse: Pulse::Beating,
        }
    }

    #[test]
    fn coherence_follows_the_rows_and_levels_need_votes() {
        let look = NetworkLook::new(set(), reports(), seen());
        let values: Vec<_> = (0..4).map(|byte| look.values_of(&id(byte))).collect();
        assert!(values[0].coherence.unwrap() > values[3].coherence.unwrap());
        assert!(values[0].level.unwrap() > Micro::new(500_000));
        assert_eq!((values[2].level, values[3].level), (Some(Micro::ZERO), None));
        assert_eq!(values[0].attested_by, 4);
        assert_eq!(look.collective_awareness, Some(Micro::new(750_000)));
        assert_eq!(look.system_health, Some(Micro::new(500_000)), "three of four: one of two");
    }

    #[test]
    fn without_a_quorum_of_rows_there_is_no_coherence_and_strangers_have_no_values() {
        let mut few = reports();
        few.remove(&id(0));
        few.remove(&id(1));
        let look = NetworkLook::new(set(), few, seen());
        assert_eq!(look.coherence, [None; 4]);
        assert_eq!(look.levels, [None; 4]);
        assert_eq!(look.attested_by, 2);
        assert_eq!(look.values_of(&id(9)).coherence, None);
    }

    #[test]
    fn nothing_is_made_up_before_anything_is_known() {
        let look = NetworkLook::new(set(), BTreeMap::new(), Seen::default());
        assert_eq!(
            (look.collective_awareness, look.system_health, look.network_coherence),
            (None, None, None)
        );
    }

    #[test]
    fn an_observer_goes_by_who_reports() {
        let seen = Seen { pulse: Pulse::Beating, ..Seen::default() };
        let look = NetworkLook::new(set(), reports(), seen);
        assert_eq!(look.system_health, Some(Micro::ONE));
        assert_eq!(look.levels, [None; 4]);
        assert!(look.coherence[0].is_some());
    }

    #[test]
    fn a_network_that_decides_nothing_has_no_headroom_although_all_report() {
        let longest = longest_pause(&Parameters::default());
        let after = |since: Duration| Pulse::new(Some(since), longest);
        for (pulse, health) in [
            (after(longest), Some(Micro::new(500_000))),
            (after(longest + Duration::from_millis(1)), Some(Micro::ZERO)),
            (Pulse::new(None, longest), None),
        ] {
            let look = NetworkLook::new(set(), reports(), Seen { pulse, ..seen() });
            assert_eq!(look.system_health, health, "{pulse:?}");
            let is_beating = pulse == Pulse::Beating;
            assert_eq!(look.network_coherence.is_some(), is_beating);
            assert_eq!(look.levels[0].is_some(), is_beating);
        }
    }

    #[test]
    fn what_is_missing_is_explained_by_what_the_node_is() {
        let reasons = |seen: Seen, node: u8| -> BTreeMap<_, _> {
            NetworkLook::new(set(), reports(), seen).reasons(&id(node)).into_iter().collect()
        };
        let observer = reasons(Seen { pulse: Pulse::Beating, ..Seen::default() }, 9);
        assert!(
            observer["coherence"].contains("observers")
                && observer["consciousness_level"].contains("observers")
        );
        assert!(observer["network_coherence"].contains("does not"));
        let silent = reasons(Seen { pulse: Pulse::Beating, ..Seen::default() }, 0);
        assert!(silent["consciousness_level"].contains("does not"), "a validator that may not vote yet");
        let stopped = reasons(Seen { pulse: Pulse::Stopped, ..seen() }, 0);
        assert!(stopped["consciousness_level"].contains("idle intervals"));
        assert!(stopped["network_coherence"].contains("idle intervals"));
        let started = reasons(Seen { pulse: Pulse::Unknown, ..seen() }, 0);
        assert!(started["system_health"].contains("started"));
        let voting = reasons(seen(), 0);
        assert!(voting["network_coherence"].contains("too few"));
    }
}
