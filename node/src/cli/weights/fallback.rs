//! Why weights are equal although a rule was to decide.

use serde_json::Value;

/// The reason in words, from the object that names it: `reason` and the figures that belong to it.
pub fn in_words(fallback: &Value) -> String {
    let figure = |name: &str| fallback.get(name).and_then(Value::as_u64).unwrap_or_default();
    match fallback.get("reason").and_then(Value::as_str) {
        Some("too_few_reports") => format!(
            "members with the weight {} reported measurements, and a quorum of {} is needed",
            figure("reporting"),
            figure("quorum")
        ),
        Some("policy_does_not_fit") => {
            format!("the fault tolerance does not fit {} members", figure("members"))
        }
        Some("decided") => "the members have decided so".to_owned(),
        Some("slow_commits") => format!(
            "commits took much longer than the {:.1} ms under equal weights, two epochs in a row",
            figure_ms(figure("baseline_us"))
        ),
        Some("failed_check") => "the rule's result failed its own check; please report this".to_owned(),
        // A newer node may know more reasons.
        Some(other) => other.replace('_', " "),
        None => "the node does not say why".to_owned(),
    }
}

#[allow(clippy::cast_precision_loss, reason = "it is shown with one digit after the point")]
fn figure_ms(us: u64) -> f64 {
    us as f64 / 1_000.0
}

#[cfg(test)]
mod tests {
    use aegis_metrics::weights::Fallback;
    use aegis_types::Weight;

    use super::*;

    #[test]
    fn every_reason_of_the_rule_has_words_and_its_figures() {
        let words = |fallback: Fallback| in_words(&serde_json::to_value(fallback).unwrap());
        for (fallback, expected) in [
            (
                Fallback::TooFewReports { reporting: Weight(5), quorum: Weight(9) },
                "members with the weight 5 reported measurements, and a quorum of 9 is needed",
            ),
            (Fallback::PolicyDoesNotFit { members: 3 }, "the fault tolerance does not fit 3 members"),
            (Fallback::Decided, "the members have decided so"),
            (
                Fallback::SlowCommits { baseline_us: 12_345 },
                "commits took much longer than the 12.3 ms under equal weights, two epochs in a row",
            ),
            (Fallback::FailedCheck, "the rule's result failed its own check; please report this"),
        ] {
            assert_eq!(words(fallback), expected);
        }
        assert_eq!(in_words(&serde_json::json!({"reason": "moon_phase"})), "moon phase");
    }
}
