//! What the weight rule reads at the end of an epoch, all of it agreed state, and how it gets from there to an
//! outcome.

use std::collections::BTreeSet;

use aegis_types::{Epoch, TypesError, ValidatorId, ValidatorSet, Weight};

use crate::error::MetricsError;
use crate::level::{LevelTerms, typicality};
use crate::matrix::{MISSING_RTT_US, ObservationMatrix};
use crate::median::weighted_lower_median;
use crate::micro::Micro;
use crate::reports::Report;
use crate::weights::explain::{Fallback, Ineligible, NodeExplanation, WeightOutcome};
use crate::weights::latency::LatencyGuard;
use crate::weights::leaders::{leaders, present_leaders};
use crate::weights::rule::{BASE, HYSTERESIS, Standing, Weighing, is_capped, weigh};
use crate::weights::thresholds::Thresholds;
use crate::weights::trade::Trade;
use crate::weights::{FaultTolerance, WeightPolicy};

/// Smallest participation with which a member may be in the core.
pub const PARTICIPATION_MIN: Micro = Micro::new(800_000);

/// Epochs of membership without proof of equivocation after which a member may be in the core, unless it was agreed
/// otherwise. Members of the genesis start with as many, or the first epochs could not tell anybody apart.
pub const CLEAN_EPOCHS_MIN: u32 = 10;

/// Who decides the weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mode {
    /// The rule.
    #[default]
    Rule,
    /// The members, for equal weights.
    Equal,
}

/// The part of an agreed report that enters the rule.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CandidateReport {
    /// Round-trip times to the candidates in their order.
    pub rtt_us: Vec<u32>,
    /// Its phi; its own word.
    pub phi: Option<Micro>,
    /// Its stability; its own word.
    pub stability: Option<Micro>,
    /// Its divergence; its own word.
    pub divergence: Option<Micro>,
    /// Its median commit latency.
    pub commit_latency_us: Option<u32>,
}

impl CandidateReport {
    /// Takes from a report, made in the epoch of `set`, what concerns the `candidates` of the next.
    pub fn project(report: &Report, set: &ValidatorSet, candidates: &[ValidatorId]) -> Self {
        let rtt_us = candidates.iter().map(|candidate| {
            let position = set.index_of(candidate);
            position.and_then(|position| report.rtt_us.get(position)).copied().unwrap_or(MISSING_RTT_US)
        });
        Self {
            rtt_us: rtt_us.collect(),
            phi: report.values.phi,
            stability: report.values.stability,
            divergence: report.values.divergence,
            commit_latency_us: report.values.commit_latency_us,
        }
    }
}

/// A member of the set that the weights are for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// Who.
    pub validator: ValidatorId,
    /// Its weight in the epoch that ends; [`BASE`] for one that joins.
    pub weight: Weight,
    /// Whether it was in the core of that epoch.
    pub was_core: bool,
    /// Its participation.
    pub participation: Micro,
    /// Epochs of membership without proof of equivocation; see [`CLEAN_EPOCHS_MIN`].
    pub clean_epochs: u32,
    /// Whether such a proof was agreed in the epoch that ends.
    pub equivocated: bool,
    /// Whether the last certificates lack its vote.
    pub recently_absent: bool,
    /// Its agreed report, if it made one.
    pub report: Option<CandidateReport>,
}

/// Everything that the rule reads. Two nodes with equal inputs have equal weights.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WeightInput {
    /// The epoch that ends.
    pub epoch: Epoch,
    /// How many members may fail in any way.
    pub tolerance: FaultTolerance,
    /// Size of the core, where it is not the profile's. 0 stands for the profile's too.
    pub core_size: Option<u32>,
    /// Who decides.
    pub mode: Mode,
    /// The guard against slow weights, as the last outcome left it.
    pub latency: LatencyGuard,
    /// Epochs of membership without proof of equivocation after which a member may be in the core.
    pub clean_epochs_min: u32,
    candidates: Vec<Candidate>,
}

impl WeightInput {
    /// Brings the candidates into order. Core size, mode, guard and clean epochs are as in a new network; set them as
    /// needed.
    ///
    /// # Errors
    /// `BadRow` when a report's row does not fit the number of candidates, `BadValidatorSet` for a candidate that
    /// appears twice.
    pub fn new(
        epoch: Epoch,
        tolerance: FaultTolerance,
        mut candidates: Vec<Candidate>,
    ) -> Result<Self, MetricsError> {
        candidates.sort_by_key(|candidate| candidate.validator);
        if !candidates.is_sorted_by(|a, b| a.validator < b.validator) {
            return Err(TypesError::BadValidatorSet { reason: "it names a candidate twice".into() }.into());
        }
        let expected = candidates.len();
        let mut rows = candidates
            .iter()
            .filter_map(|candidate| candidate.report.as_ref())
            .map(|report| report.rtt_us.len());
        match rows.find(|actual| *actual != expected) {
            Some(actual) => Err(MetricsError::BadRow { expected, actual }),
            None => Ok(Self {
                epoch,
                tolerance,
                core_size: None,
                mode: Mode::Rule,
                latency: LatencyGuard::default(),
                clean_epochs_min: CLEAN_EPOCHS_MIN,
                candidates,
            }),
        }
    }

    /// The candidates in ascending order of validator.
    pub fn candidates(&self) -> &[Candidate] {
        &self.candidates
    }

    /// The weights of the next epoch, with all that led to them. Has an answer for every input.
    pub fn outcome(&self) -> WeightOutcome {
        let weights: Vec<Weight> = self.candidates.iter().map(|candidate| candidate.weight).collect();
        let matrix = self.matrix();
        let terms = self.terms(&matrix, &weights);
        let ineligible = self.ineligible(&matrix, &weights);
        let standings: Vec<Standing> = self
            .candidates
            .iter()
            .zip(terms.iter().zip(&ineligible))
            .map(|(candidate, (terms, reasons))| Standing {
                weight: candidate.weight,
                level: terms.level(),
                eligible: reasons.is_empty(),
                was_core: candidate.was_core,
            })
            .collect();
        let commit_latency_us = self.median_commit_latency();
        let latency = if weights.windows(2).all(|pair| pair.first() == pair.last()) {
            self.latency.after_equal_weights(commit_latency_us)
        } else {
            self.latency.after_unequal_weights(commit_latency_us)
        };
        let policy =
            self.tolerance.policy(self.candidates.len(), self.core_size.filter(|size| *size > 0)).ok();
        let decided = self.decide(policy, latency, &weights, &standings);
        let median_rtt_us = matrix.median_rtt_us();
        let nodes = self.explain(&terms, &ineligible, &standings, &decided.weighing);
        self.assemble(decided, nodes, Measured { median_rtt_us, commit_latency_us, latency })
    }

    fn matrix(&self) -> ObservationMatrix {
        let row = |candidate: &Candidate| candidate.report.as_ref().map(|report| report.rtt_us.clone());
        // `new` and the decoder have checked the lengths; a matrix without rows is the answer if a caller gets around
        // them.
        let rows: Vec<_> = self.candidates.iter().map(row).collect();
        let empty = vec![None; rows.len()];
        ObservationMatrix::new(rows).or_else(|_| ObservationMatrix::new(empty)).unwrap_or_default()
    }

    fn terms(&self, matrix: &ObservationMatrix, weights: &[Weight]) -> Vec<LevelTerms> {
        let report = |candidate: &Candidate| candidate.report.clone().unwrap_or_default();
        let phi: Vec<_> =
            self.candidates.iter().map(|candidate| (report(candidate).phi, candidate.weight)).collect();
        self.candidates
            .iter()
            .zip(matrix.coherence(weights).into_iter().zip(typicality(&phi)))
            .map(|(candidate, (coherence, typicality))| {
                let CandidateReport { stability, divergence, .. } = report(candidate);
                LevelTerms {
                    participation: candidate.participation,
                    coherence,
                    stability,
                    divergence,
                    typicality,
                }
            })
            .collect()
    }

    fn ineligible(&self, matrix: &ObservationMatrix, weights: &[Weight]) -> Vec<Vec<Ineligible>> {
        let flagged = matrix.contradicting(weights);
        let reasons = |(position, candidate): (usize, &Candidate)| {
            let checks = [
                (candidate.participation < PARTICIPATION_MIN, Ineligible::LowParticipation),
                (candidate.equivocated, Ineligible::Equivocated),
                (candidate.clean_epochs < self.clean_epochs_min, Ineligible::Joining),
                (flagged.contains(&position), Ineligible::Contradicted),
            ];
            checks.into_iter().filter_map(|(applies, reason)| applies.then_some(reason)).collect()
        };
        self.candidates.iter().enumerate().map(reasons).collect()
    }

    fn median_commit_latency(&self) -> Option<u32> {
        let reported =
            |candidate: &Candidate| Some((candidate.report.as_ref()?.commit_latency_us?, candidate.weight));
        weighted_lower_median(self.candidates.iter().filter_map(reported))
    }

    fn decide(
        &self,
        policy: Option<WeightPolicy>,
        latency: LatencyGuard,
        weights: &[Weight],
        standings: &[Standing],
    ) -> Decided {
        let quorum = Thresholds::of(weights).quorum;
        let reporting = self
            .candidates
            .iter()
            .filter(|candidate| candidate.report.is_some())
            .fold(Weight::ZERO, |sum, candidate| sum.plus(candidate.weight));
        let fallback = match (self.mode, policy) {
            (Mode::Equal, _) => Fallback::Decided,
            (Mode::Rule, None) => Fallback::PolicyDoesNotFit { members: standings.len() },
            (Mode::Rule, Some(_)) if reporting < quorum => Fallback::TooFewReports { reporting, quorum },
            (Mode::Rule, Some(_)) if latency.is_tripped() => {
                Fallback::SlowCommits { baseline_us: latency.baseline_us.unwrap_or_default() }
            }
            (Mode::Rule, Some(policy)) => {
                let weighing = weigh(policy, standings);
                let in_range = |weight: &Weight| (BASE..=Weight::MAX).contains(weight);
                if weighing.weights.iter().all(in_range)
                    && is_capped(&weighing.weights, policy.fault_tolerance())
                {
                    return Decided { policy: Some(policy), fallback: None, weighing };
                }
                Fallback::FailedCheck
            }
        };
        Decided { policy, fallback: Some(fallback), weighing: equal_weights(standings.len()) }
    }

    fn explain(
        &self,
        terms: &[LevelTerms],
        ineligible: &[Vec<Ineligible>],
        standings: &[Standing],
        weighing: &Weighing,
    ) -> Vec<NodeExplanation> {
        let weight = |weights: &[Weight], position: usize| weights.get(position).copied().unwrap_or(BASE);
        self.candidates
            .iter()
            .zip(terms.iter().zip(ineligible).zip(standings))
            .enumerate()
            .map(|(position, (candidate, ((terms, ineligible), standing)))| {
                let (target, grown) =
                    (weight(&weighing.targets, position), weight(&weighing.grown, position));
                let after = weight(&weighing.weights, position);
                NodeExplanation {
                    validator: candidate.validator,
                    terms: *terms,
                    reported: candidate.report.is_some(),
                    level: standing.level,
                    hysteresis: if standing.was_core { Micro::new(HYSTERESIS) } else { Micro::ZERO },
                    ineligible: ineligible.clone(),
                    rank: weighing.ranking.iter().position(|ranked| *ranked == position),
                    in_core: weighing.core.contains(&position),
                    before: candidate.weight,
                    target,
                    grown,
                    growth_limited: grown < target,
                    capped: after < grown,
                    after,
                    clean_epochs_after: if candidate.equivocated {
                        0
                    } else {
                        candidate.clean_epochs.saturating_add(1)
                    },
                }
            })
            .collect()
    }

    fn assemble(&self, decided: Decided, nodes: Vec<NodeExplanation>, measured: Measured) -> WeightOutcome {
        let members: Vec<ValidatorId> = nodes.iter().map(|node| node.validator).collect();
        let core: Vec<ValidatorId> =
            decided.weighing.core.iter().filter_map(|position| members.get(*position)).copied().collect();
        let absent: BTreeSet<ValidatorId> = self
            .candidates
            .iter()
            .filter(|candidate| candidate.recently_absent)
            .map(|candidate| candidate.validator)
            .collect();
        let tolerance =
            decided.policy.map_or_else(|| members.len().saturating_sub(1) / 3, WeightPolicy::fault_tolerance);
        let ruling = decided.policy.filter(|_| decided.fallback.is_none());
        let after: Vec<Standing> = nodes
            .iter()
            .map(|node| Standing {
                weight: node.after,
                level: node.level,
                eligible: node.ineligible.is_empty(),
                was_core: node.in_core,
            })
            .collect();
        WeightOutcome {
            epoch: self.epoch.next(),
            policy: decided.policy,
            fallback: decided.fallback,
            median_rtt_us: measured.median_rtt_us,
            commit_latency_us: measured.commit_latency_us,
            latency: measured.latency,
            cap: decided.weighing.cap,
            leaders: present_leaders(&leaders(ruling, &core, &members), &absent, tolerance),
            core,
            trade: Trade::of(ruling, &after),
            nodes,
        }
    }
}

struct Decided {
    policy: Option<WeightPolicy>,
    fallback: Option<Fallback>,
    weighing: Weighing,
}

struct Measured {
    median_rtt_us: u32,
    commit_latency_us: Option<u32>,
    latency: LatencyGuard,
}

fn equal_weights(members: usize) -> Weighing {
    let base = vec![BASE; members];
    Weighing {
        core: Vec::new(),
        ranking: Vec::new(),
        targets: base.clone(),
        grown: base.clone(),
        cap: BASE,
        weights: base,
    }
}
