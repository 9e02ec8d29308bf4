//! Voting weights as the interface shows them.

use std::collections::BTreeMap;

use aegis_ledger::weights;
use aegis_metrics::weights::{NodeExplanation, Standing};
use aegis_metrics::{Micro, Trade, WeightOutcome};
use aegis_rpc::api::{
    ApiError, EncodedBytes, EpochRange, LevelInfo, PolicyInfo, TradeInfo, WeightExplanation, WeightMember,
    WeightTerms, Weights, WeightsExplained,
};
use aegis_types::{Canonical, Epoch, Parameter, ValidatorId, ValidatorSet};

use super::internal;
use crate::node::context::NodeContext;
use crate::node::state::StateView;

/// The current epoch's weights. `names` are those that the genesis gives to validators.
pub fn current(node: &NodeContext, names: &BTreeMap<ValidatorId, String>) -> Result<Weights, ApiError> {
    let state = StateView(node.kv.as_ref());
    let epoch = node.standing.borrow().epoch.clone();
    let set = &epoch.validators;
    let seats = weights::seats(&state).map_err(internal)?;
    let seats: BTreeMap<ValidatorId, weights::Seat> =
        seats.into_iter().map(|seat| (seat.validator, seat)).collect();
    let leaders: Vec<ValidatorId> = set.leaders().collect();
    let total = set.total().0.max(1);
    let members = set.members().iter().map(|member| {
        let rank = leaders.iter().position(|leader| *leader == member.validator);
        let seat = seats.get(&member.validator);
        WeightMember {
            id: member.validator,
            name: names.get(&member.validator).cloned(),
            weight: member.weight,
            share: share(member.weight.0, total),
            in_core: seat.map(|seat| seat.in_core),
            clean_epochs: seat.map(|seat| seat.clean_epochs),
            leader_rank: rank.map(count),
        }
    });
    let kept = weights::weights_kept(&state).map_err(internal)?;
    let text = |parameter: Parameter| parameter.value_text(epoch.parameters.get(parameter));
    Ok(Weights {
        epoch: set.epoch(),
        mode: text(Parameter::WeightsMode),
        fault_tolerance: text(Parameter::FaultTolerance),
        members: members.collect(),
        trade: trade_info(&trade_of(node, set)?),
        on_record: kept.map(|(oldest, newest)| EpochRange { oldest, newest }),
    })
}

/// What the weights in force trade: as the rule says where it gave them, and from the weights alone otherwise.
fn trade_of(node: &NodeContext, set: &ValidatorSet) -> Result<Trade, ApiError> {
    let on_record = weights::weights(&StateView(node.kv.as_ref()), set.epoch()).map_err(internal)?;
    if let Some(on_record) = on_record.filter(|on_record| on_record.validators == *set) {
        return Ok(on_record.recompute().trade);
    }
    let standings: Vec<Standing> = set
        .members()
        .iter()
        .map(|member| Standing { weight: member.weight, level: Micro::ZERO, eligible: true, was_core: false })
        .collect();
    let policy = None;
    Ok(Trade::of(policy, &standings))
}

/// How the weights of an epoch came about.
pub fn explained(node: &NodeContext, epoch: Epoch) -> Result<WeightsExplained, ApiError> {
    let on_record = weights::weights(&StateView(node.kv.as_ref()), epoch).map_err(internal)?;
    let on_record = on_record.ok_or_else(|| {
        ApiError::not_found(format_args!(
            "a record of the weights of epoch {epoch} (they are measured from the epoch after the first one with \
             `weights_mode` measured on, and kept for `weights_history_epochs`)"
        ))
    })?;
    let outcome = on_record.recompute();
    Ok(WeightsExplained {
        epoch,
        is_confirmed: on_record.is_result_of(&outcome),
        explanation: explanation(&outcome, &on_record.validators)?,
        input_base64: EncodedBytes(on_record.input.encode()),
        validators_base64: EncodedBytes(on_record.validators.encode()),
    })
}

/// `set` is the one on record: who leads stands there, since under equal weights, and when those whom the rule names hold too
/// little, all lead.
fn explanation(outcome: &WeightOutcome, set: &ValidatorSet) -> Result<WeightExplanation, ApiError> {
    Ok(WeightExplanation {
        policy: outcome.policy.map(|policy| PolicyInfo {
            fault_tolerance: u32::try_from(policy.fault_tolerance()).unwrap_or(u32::MAX),
            core_size: u32::try_from(policy.core_size()).unwrap_or(u32::MAX),
        }),
        fallback: outcome.fallback.map(serde_json::to_value).transpose().map_err(internal)?,
        median_rtt_us: outcome.median_rtt_us,
        commit_latency_us: outcome.commit_latency_us,
        cap: outcome.cap,
        nodes: outcome.nodes.iter().map(terms).collect::<Result<_, _>>()?,
        core: outcome.core.clone(),
        leaders: set.leaders().collect(),
        trade: trade_info(&outcome.trade),
    })
}

fn terms(node: &NodeExplanation) -> Result<WeightTerms, ApiError> {
    let ineligible = serde_json::to_value(&node.ineligible).map_err(internal)?;
    Ok(WeightTerms {
        validator: node.validator,
        terms: LevelInfo {
            participation: node.terms.participation.get(),
            coherence: node.terms.coherence.get(),
            stability: node.terms.stability.map(Micro::get),
            divergence: node.terms.divergence.map(Micro::get),
            typicality: node.terms.typicality.map(Micro::get),
        },
        reported: node.reported,
        level: node.level.get(),
        hysteresis: node.hysteresis.get(),
        ineligible: serde_json::from_value(ineligible).map_err(internal)?,
        rank: node.rank.map(count),
        in_core: node.in_core,
        before: node.before,
        target: node.target,
        grown: node.grown,
        growth_limited: node.growth_limited,
        capped: node.capped,
        after: node.after,
        clean_epochs_after: node.clean_epochs_after,
    })
}

fn trade_info(trade: &Trade) -> TradeInfo {
    TradeInfo {
        members: count(trade.members),
        total: trade.total,
        quorum: trade.quorum,
        arbitrary_faults: count(trade.arbitrary_faults),
        arbitrary_faults_equal: count(trade.arbitrary_faults_equal),
        weight_may_fail: trade.weight_may_fail,
        simultaneous_crashes: count(trade.simultaneous_crashes),
        simultaneous_crashes_lightest: count(trade.simultaneous_crashes_lightest),
        sequential_crashes: count(trade.sequential_crashes),
    }
}

fn count(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

#[allow(clippy::cast_precision_loss, reason = "a share is for display")]
fn share(part: u64, total: u64) -> f64 {
    part as f64 / total as f64
}

#[cfg(test)]
mod tests {
    use aegis_metrics::{Candidate, FaultTolerance, WeightInput};
    use aegis_types::Weight;

    use super::*;

    #[test]
    fn an_explanation_is_shown_name_by_name_as_the_rule_says_it() {
        let candidate = |byte: u8| Candidate {
            validator: ValidatorId([byte; 32]),
            weight: Weight(1_000),
            was_core: byte == 1,
            participation: Micro::new(if byte == 2 { 0 } else { 1_000_000 }),
            clean_epochs: 10,
            equivocated: byte == 3,
            recently_absent: false,
            report: None,
        };
        let input =
            WeightInput::new(Epoch(4), FaultTolerance::Fast, (0..4).map(candidate).collect()).unwrap();
        let outcome = input.outcome();
        let set = outcome.validator_set().unwrap();
        let shown = serde_json::to_value(explanation(&outcome, &set).unwrap()).unwrap();
        assert_eq!(shown["leaders"], serde_json::json!([]), "under equal weights all lead");
        let leading = set.with_leaders(&outcome.leaders).unwrap();
        let shown = serde_json::to_value(explanation(&outcome, &leading).unwrap()).unwrap();
        let mut rule = serde_json::to_value(&outcome).unwrap();
        let rule = rule.as_object_mut().unwrap();
        assert_eq!(rule.remove("epoch"), Some(5.into()));
        rule.remove("latency");
        assert_eq!(shown, serde_json::Value::Object(rule.clone()));
        assert_eq!(shown["fallback"]["reason"], "too_few_reports");
        assert_eq!(shown["nodes"][3]["ineligible"], serde_json::json!(["equivocated"]));
    }
}
