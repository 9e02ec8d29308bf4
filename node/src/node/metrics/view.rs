//! The values of nodes and network as this node sees them now: from its own votes and the newest reports.

use std::collections::{BTreeMap, BTreeSet};

use aegis_metrics::level::{LevelTerms, typicality};
use aegis_metrics::network::{collective_awareness, system_health};
use aegis_metrics::sampling::IntegrationMetrics;
use aegis_metrics::sampling::view::NetworkValues;
use aegis_metrics::{Micro, ObservationMatrix, Report};
use aegis_types::{ValidatorId, ValidatorSet, Weight};

use super::observer_sample::Kept;
use crate::node::clock::unix_ms;
use crate::node::context::NodeContext;

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
}

impl NetworkLook {
    /// What follows from the members' newest reports and what was seen of votes. Where no votes are seen, as at an observer,
    /// those who report are alive.
    pub fn new(set: ValidatorSet, reports: BTreeMap<ValidatorId, Kept>, seen: Seen) -> Self {
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
        let system_health = live_weight(&set, &reports, &seen.alive).map(|live| system_health(&set, live));
        Self {
            coherence,
            levels,
            network_coherence: seen.network_coherence,
            collective_awareness,
            system_health,
            attested_by,
            set,
            reports,
        }
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
        let set = self.standing.borrow().epoch.validators.clone();
        // Between two epochs the votes that are watched may be of other members than `set`.
        let is_watched = self.observation.rows(&set).is_some() && self.is_validator();
        let seen = if is_watched {
            Seen {
                participation: self.observation.participation(),
                alive: self.observation.alive(),
                network_coherence: self.observation.network_coherence(),
            }
        } else {
            Seen::default()
        };
        NetworkLook::new(set, self.live_members(), seen)
    }

    /// This node's values and those of the network.
    pub fn integration_metrics(&self) -> IntegrationMetrics {
        let me = self.node_key.validator_id();
        let values = self.look().values_of(&me);
        IntegrationMetrics::new(unix_ms(), me.to_string(), &self.measured.statistics(), values)
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
        let look = NetworkLook::new(set(), reports(), Seen::default());
        assert_eq!(look.system_health, Some(Micro::ONE));
        assert_eq!(look.levels, [None; 4]);
        assert!(look.coherence[0].is_some());
    }
}
