//! The canonical encoding of the rule's input, so that a ledger can keep it and anyone can recompute an epoch from
//! it.

use aegis_types::{Canonical, Epoch, Limits, TypesError, ValidatorId, Weight};

use crate::micro::Micro;
use crate::proto;
use crate::reports::encoding::{checked_rtt, share, shares_to_proto};
use crate::weights::FaultTolerance;
use crate::weights::input::{Candidate, CandidateReport, Mode, WeightInput};
use crate::weights::latency::LatencyGuard;

impl Canonical for WeightInput {
    type Proto = proto::WeightInput;
    const NAME: &'static str = "weight input";
    /// Each candidate has at most four bytes per round-trip time and some hundred besides.
    const MAX_BYTES: usize = 64 + Limits::VALIDATORS * (128 + 4 * Limits::VALIDATORS);

    fn to_proto(&self) -> Self::Proto {
        let (tolerance, fixed_tolerance) = match self.tolerance {
            FaultTolerance::Safe => (0, 0),
            FaultTolerance::Fast => (1, 0),
            FaultTolerance::Fixed(number) => (2, number),
        };
        proto::WeightInput {
            epoch: self.epoch.0,
            tolerance,
            fixed_tolerance,
            core_size: self.core_size.unwrap_or_default(),
            mode: match self.mode {
                Mode::Rule => 0,
                Mode::Equal => 1,
            },
            latency: Some(proto::LatencyGuard {
                baseline_us: self.latency.baseline_us,
                slow_epochs: self.latency.slow_epochs,
            }),
            candidates: self.candidates().iter().map(candidate_to_proto).collect(),
            clean_epochs_min: self.clean_epochs_min,
        }
    }

    fn from_proto(proto: Self::Proto) -> Result<Self, TypesError> {
        let (actual, limit) = (proto.candidates.len(), Limits::VALIDATORS);
        if actual > limit {
            return Err(TypesError::TooMany { what: "candidates", actual, limit });
        }
        let tolerance = match (proto.tolerance, proto.fixed_tolerance) {
            (0, 0) => FaultTolerance::Safe,
            (1, 0) => FaultTolerance::Fast,
            (2, number) if number > 0 => FaultTolerance::Fixed(number),
            _ => return Err(TypesError::invalid("fault tolerance", "it is neither a profile nor a number")),
        };
        let mode = match proto.mode {
            0 => Mode::Rule,
            1 => Mode::Equal,
            other => return Err(TypesError::invalid("mode", format!("{other} is neither 0 nor 1"))),
        };
        let latency = proto.latency.ok_or_else(|| TypesError::invalid("latency guard", "it is missing"))?;
        let candidates: Vec<Candidate> =
            proto.candidates.into_iter().map(candidate_from_proto).collect::<Result<_, _>>()?;
        if !candidates.is_sorted_by(|a, b| a.validator < b.validator) {
            return Err(TypesError::invalid("candidates", "they are not in order, or one appears twice"));
        }
        let mut input = Self::new(Epoch(proto.epoch), tolerance, candidates)
            .map_err(|error| TypesError::invalid("candidates", error.to_string()))?;
        input.core_size = (proto.core_size > 0).then_some(proto.core_size);
        input.mode = mode;
        input.clean_epochs_min = proto.clean_epochs_min;
        input.latency = LatencyGuard { baseline_us: latency.baseline_us, slow_epochs: latency.slow_epochs };
        Ok(input)
    }
}

fn candidate_to_proto(candidate: &Candidate) -> proto::Candidate {
    proto::Candidate {
        validator: candidate.validator.0.to_vec(),
        weight: candidate.weight.0,
        was_core: candidate.was_core.into(),
        participation: candidate.participation.get(),
        clean_epochs: candidate.clean_epochs,
        equivocated: candidate.equivocated.into(),
        recently_absent: candidate.recently_absent.into(),
        report: candidate.report.as_ref().map(|report| proto::CandidateReport {
            rtt_us: report.rtt_us.clone(),
            phi: shares_to_proto(report.phi),
            stability: shares_to_proto(report.stability),
            divergence: shares_to_proto(report.divergence),
            commit_latency_us: report.commit_latency_us,
        }),
    }
}

fn candidate_from_proto(proto: proto::Candidate) -> Result<Candidate, TypesError> {
    if !(1..=Weight::MAX.0).contains(&proto.weight) {
        return Err(TypesError::invalid(
            "weight",
            format!("{} lies outside 1 to {}", proto.weight, Weight::MAX),
        ));
    }
    let report = proto.report.map(|report| {
        Ok::<_, TypesError>(CandidateReport {
            rtt_us: checked_rtt(report.rtt_us)?,
            phi: share("phi", report.phi)?,
            stability: share("stability", report.stability)?,
            divergence: share("divergence", report.divergence)?,
            commit_latency_us: report.commit_latency_us,
        })
    });
    Ok(Candidate {
        validator: ValidatorId::from_slice(&proto.validator)?,
        weight: Weight(proto.weight),
        was_core: flag("was_core", proto.was_core)?,
        participation: Micro::checked(proto.participation)
            .ok_or_else(|| TypesError::invalid("participation", "it is more than 1,000,000"))?,
        clean_epochs: proto.clean_epochs,
        equivocated: flag("equivocated", proto.equivocated)?,
        recently_absent: flag("recently_absent", proto.recently_absent)?,
        report: report.transpose()?,
    })
}

fn flag(field: &'static str, number: u32) -> Result<bool, TypesError> {
    match number {
        0 => Ok(false),
        1 => Ok(true),
        other => Err(TypesError::invalid(field, format!("{other} is neither 0 nor 1"))),
    }
}
