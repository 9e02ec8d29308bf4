//! Tells everybody, every few seconds, what this node has measured.

use std::sync::Arc;
use std::time::Duration;

use aegis_metrics::reports::REPORT_PERIOD_SECONDS;
use aegis_p2p::Topic;
use aegis_types::Canonical;
use tokio::time::MissedTickBehavior;
use tracing::debug;

use super::observer_sample::OBSERVER_PERIOD_SECONDS;
use crate::node::context::NodeContext;

/// An observer is silent in all periods but one of so many.
const OBSERVER_PERIODS: u64 = OBSERVER_PERIOD_SECONDS / REPORT_PERIOD_SECONDS;

/// Gossips reports until the node stops.
pub async fn publish_reports(node: Arc<NodeContext>) {
    let mut interval = tokio::time::interval(Duration::from_secs(REPORT_PERIOD_SECONDS));
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut period: u64 = 0;
    loop {
        interval.tick().await;
        if is_turn(&node, period) {
            publish(&node);
        }
        period = period.wrapping_add(1);
    }
}

fn is_turn(node: &NodeContext, period: u64) -> bool {
    let me = node.node_key.validator_id();
    node.in_setting(|setting| {
        setting.set.contains(&me) || (period.is_multiple_of(OBSERVER_PERIODS) && node.live.is_drawn(setting))
    })
}

fn publish(node: &NodeContext) {
    let Some(signed) = node.own_report() else { return };
    let message = signed.encode();
    node.in_setting(|setting| node.live.keep(signed, setting));
    // Without a peer that listens there is nobody to tell; the next report comes soon.
    if let Err(error) = node.network.publish(Topic::Reports, message.into()) {
        debug!(%error, "a report was not gossiped");
    }
}
