//! Gossiped reports of others: checked before they are kept and passed on.

use std::sync::Arc;

use aegis_metrics::{ReportEvidence, SignedReport};
use aegis_p2p::Verdict;
use aegis_types::{Canonical, ProposalBody, WeightsMode};
use bytes::Bytes;
use tracing::warn;

use super::live_reports::Worth;
use crate::node::context::NodeContext;
use crate::node::reactions::{EVIDENCE_PAUSE, own_key, submit_until_ordered};

/// Checks a report, keeps it if it is new, and says whether it may go on.
pub async fn judge_report(node: &Arc<NodeContext>, message: Bytes) -> Verdict {
    let checking = node.clone();
    let judged = tokio::task::spawn_blocking(move || judge(&checking, &message)).await;
    let Ok((verdict, evidence)) = judged else { return Verdict::Ignore };
    if let Some(evidence) = evidence {
        node.telemetry.evidence.inc();
        warn!(validator = %evidence.reporter(), "a validator reported two things under one number");
        tokio::spawn(accuse(node.clone(), evidence));
    }
    verdict
}

fn judge(node: &NodeContext, message: &[u8]) -> (Verdict, Option<ReportEvidence>) {
    let Ok(signed) = SignedReport::decode(message) else { return (Verdict::Reject, None) };
    match node.in_setting(|setting| node.live.judge(&signed, setting)) {
        Worth::Nothing => (Verdict::Ignore, None),
        Worth::Malformed => (Verdict::Reject, None),
        Worth::New | Worth::Contradiction(_) if !signed.verify(&node.domain) => (Verdict::Reject, None),
        Worth::New => {
            node.in_setting(|setting| node.live.keep(signed, setting));
            (Verdict::Accept, None)
        }
        // It goes on: others must see both to see the contradiction.
        Worth::Contradiction(other) => {
            (Verdict::Accept, node.in_setting(|setting| node.live.accuse(*other, signed, setting)))
        }
    }
}

/// Has the proof ordered, where reports count.
async fn accuse(node: Arc<NodeContext>, evidence: ReportEvidence) {
    let is_measured = {
        let standing = node.standing.borrow();
        standing.epoch.parameters.weights_mode() != WeightsMode::Fixed
    };
    if !is_measured {
        return;
    }
    let [first, second] = evidence.reports();
    let epoch = first.report.epoch;
    let body = ProposalBody::MetricsEvidence { first: first.encode(), second: second.encode() };
    let key = own_key("mevd", epoch, &evidence.reporter().to_string());
    let what = format!("proof of two reports of {}", evidence.reporter());
    submit_until_ordered(&node, body, key, &what, EVIDENCE_PAUSE).await;
}
