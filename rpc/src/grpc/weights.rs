//! Voting weights as gRPC says them.

use std::collections::HashMap;

use super::replies::{id, unusable};
use crate::api::{
    ApiError, EpochRange, LevelInfo, PolicyInfo, TradeInfo, WeightExplanation, WeightMember, WeightTerms,
    Weights, WeightsExplained,
};
use crate::proto;

impl From<Weights> for proto::Weights {
    fn from(weights: Weights) -> Self {
        Self {
            epoch: weights.epoch.0,
            mode: weights.mode,
            fault_tolerance: weights.fault_tolerance,
            members: weights.members.into_iter().map(Into::into).collect(),
            trade: Some(weights.trade.into()),
            on_record: weights.on_record.map(Into::into),
        }
    }
}

impl From<EpochRange> for proto::EpochRange {
    fn from(range: EpochRange) -> Self {
        Self { oldest: range.oldest.0, newest: range.newest.0 }
    }
}

impl From<WeightMember> for proto::WeightMember {
    fn from(member: WeightMember) -> Self {
        Self {
            id: id(member.id),
            name: member.name,
            weight: member.weight.0,
            share: member.share,
            in_core: member.in_core,
            clean_epochs: member.clean_epochs,
            leader_rank: member.leader_rank,
        }
    }
}

impl From<TradeInfo> for proto::Trade {
    fn from(trade: TradeInfo) -> Self {
        Self {
            members: trade.members,
            total: trade.total.0,
            quorum: trade.quorum.0,
            arbitrary_faults: trade.arbitrary_faults,
            arbitrary_faults_equal: trade.arbitrary_faults_equal,
            weight_may_fail: trade.weight_may_fail.0,
            simultaneous_crashes: trade.simultaneous_crashes,
            simultaneous_crashes_lightest: trade.simultaneous_crashes_lightest,
            sequential_crashes: trade.sequential_crashes,
        }
    }
}

impl TryFrom<WeightsExplained> for proto::WeightsExplained {
    type Error = ApiError;

    fn try_from(explained: WeightsExplained) -> Result<Self, ApiError> {
        Ok(Self {
            epoch: explained.epoch.0,
            is_confirmed: explained.is_confirmed,
            explanation: Some(explained.explanation.try_into()?),
            input: explained.input_base64.0,
            validators: explained.validators_base64.0,
        })
    }
}

impl TryFrom<WeightExplanation> for proto::WeightExplanation {
    type Error = ApiError;

    fn try_from(explanation: WeightExplanation) -> Result<Self, ApiError> {
        Ok(Self {
            policy: explanation.policy.map(Into::into),
            fallback: explanation.fallback.map(fallback).transpose()?,
            median_rtt_us: explanation.median_rtt_us,
            commit_latency_us: explanation.commit_latency_us,
            cap: explanation.cap.0,
            nodes: explanation.nodes.into_iter().map(Into::into).collect(),
            core: explanation.core.into_iter().map(id).collect(),
            leaders: explanation.leaders.into_iter().map(id).collect(),
            trade: Some(explanation.trade.into()),
        })
    }
}

/// From an object with `reason` and whole numbers.
fn fallback(value: serde_json::Value) -> Result<proto::WeightFallback, ApiError> {
    let wrong = |what: &str| unusable("fallback", format_args!("{what} in {value}"));
    let fields = value.as_object().ok_or_else(|| wrong("no object"))?;
    let reason = fields.get("reason").and_then(serde_json::Value::as_str);
    let reason = reason.ok_or_else(|| wrong("no `reason`"))?.to_owned();
    let figures = fields.iter().filter(|(name, _)| *name != "reason").map(|(name, figure)| {
        figure.as_u64().map(|figure| (name.clone(), figure)).ok_or_else(|| wrong("no whole number"))
    });
    Ok(proto::WeightFallback { reason, figures: figures.collect::<Result<HashMap<_, _>, _>>()? })
}

impl From<PolicyInfo> for proto::WeightPolicy {
    fn from(policy: PolicyInfo) -> Self {
        let PolicyInfo { fault_tolerance, core_size } = policy;
        Self { fault_tolerance, core_size }
    }
}

impl From<WeightTerms> for proto::WeightTerms {
    fn from(node: WeightTerms) -> Self {
        Self {
            validator: id(node.validator),
            terms: Some(node.terms.into()),
            reported: node.reported,
            level: node.level,
            hysteresis: node.hysteresis,
            ineligible: node.ineligible,
            rank: node.rank,
            in_core: node.in_core,
            before: node.before.0,
            target: node.target.0,
            grown: node.grown.0,
            growth_limited: node.growth_limited,
            capped: node.capped,
            after: node.after.0,
            clean_epochs_after: node.clean_epochs_after,
        }
    }
}

impl From<LevelInfo> for proto::LevelTerms {
    fn from(terms: LevelInfo) -> Self {
        let LevelInfo { participation, coherence, stability, divergence, typicality } = terms;
        Self { participation, coherence, stability, divergence, typicality }
    }
}

#[cfg(test)]
mod tests {
    use aegis_types::Weight;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_fallback_has_its_reason_and_its_figures_apart() {
        let shown =
            fallback(json!({"reason": "too_few_reports", "reporting": Weight(5), "quorum": 9})).unwrap();
        assert_eq!(shown.reason, "too_few_reports");
        assert_eq!(shown.figures, [("reporting".to_owned(), 5), ("quorum".to_owned(), 9)].into());
        for wrong in [json!("decided"), json!({"quorum": 9}), json!({"reason": "decided", "quorum": "many"})]
        {
            assert!(fallback(wrong.clone()).is_err(), "{wrong}");
        }
    }
}
