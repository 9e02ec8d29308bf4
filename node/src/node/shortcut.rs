//! The way past blocks: a snapshot, when so many are missing that it is worthwhile, or when nobody has them any more.
//!
//! It is tried beside the fetching of blocks. At the first attempt blocks wait a little, so that a node with good peers does
//! not fetch both; after that nobody who offers a snapshot and does not send it costs a single block. Once a snapshot is whole and
//! verified, blocks wait again until the state is built from it: that is this machine's own work, and it ends.

use std::sync::Arc;
use std::time::Duration;

use aegis_config::{SyncMode, SyncSection};
use aegis_types::Height;
use tracing::{debug, info, warn};

use super::context::NodeContext;
use super::state_sync::SyncFailure;

/// Between two looks for a snapshot.
const PAUSE: Duration = Duration::from_secs(10);
/// How long blocks wait for the first attempt to end: a state of some hundred megabytes is there by then.
const HEAD_START: Duration = Duration::from_secs(10);

/// Looks for a snapshot whenever one would help, for as long as the node runs.
pub async fn take_snapshots(node: Arc<NodeContext>) {
    let mut wanted = node.sync.wanted();
    while wanted.changed().await.is_ok() {
        let tip = node.agreement.borrow().tip.0;
        let starved = || node.sync.is_starved(tip).then(|| tip.next());
        let Some(least) = least_far_ahead(&node).or_else(starved) else { continue };
        if node.sync_rule.mode == SyncMode::Blocks {
            warn!(
                next = %tip.next(),
                "no peer has the next block any more, and this node syncs by blocks only; join by an archive node, or set \
                 sync.mode to \"snapshot\""
            );
        } else {
            attempt(&node, least).await;
        }
        node.sync.note_attempt();
        tokio::time::sleep(PAUSE).await;
        wanted.mark_changed();
    }
}

/// Lets the first attempt go ahead of the blocks, if a snapshot is worthwhile. True when it was, and its time is over.
pub async fn give_head_start(node: &NodeContext) -> bool {
    if least_far_ahead(node).is_none() {
        return false;
    }
    // Whether it has ended or is slow, blocks go on.
    let _ = tokio::time::timeout(HEAD_START, node.sync.first_attempt()).await;
    true
}

async fn attempt(node: &NodeContext, least: Height) {
    match node.state_sync.run(least).await {
        Ok(height) if node.agreement.borrow().tip.0 >= height => node.state_sync.discard().await,
        Ok(height) => {
            info!(%height, "the state of a snapshot is ready; the node goes on from there");
            node.restart.request();
            std::future::pending::<()>().await;
        }
        Err(SyncFailure::NoOffer) => debug!("no peer offers a snapshot that would help"),
        Err(error) => warn!(%error, "no snapshot was taken over; trying again"),
    }
}

fn least_far_ahead(node: &NodeContext) -> Option<Height> {
    let (tip, believed) = {
        let agreement = node.agreement.borrow();
        (agreement.tip.0, node.sync.believed(agreement.tip.0, &agreement.validators))
    };
    least_snapshot(&node.sync_rule, tip, believed)
}

/// The lowest height of a snapshot that would help a node at `tip` when there are blocks up to `highest`; none when blocks
/// are the better way.
fn least_snapshot(rule: &SyncSection, tip: Height, highest: Height) -> Option<Height> {
    let distance = u64::try_from(rule.snapshot_distance).unwrap_or(u64::MAX);
    let is_far = rule.mode == SyncMode::Snapshot && highest.distance_above(tip) > distance;
    is_far.then(|| tip.plus((distance / 2).max(1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshot_is_looked_for_when_many_blocks_are_missing() {
        let rule = |mode| SyncSection { mode, snapshot_distance: 100 };
        let (tip, near, far) = (Height(10), Height(110), Height(111));
        let snapshot = rule(SyncMode::Snapshot);
        assert_eq!(least_snapshot(&snapshot, tip, near), None);
        assert_eq!(least_snapshot(&snapshot, tip, far), Some(Height(60)));
        assert_eq!(least_snapshot(&rule(SyncMode::Blocks), tip, far), None);
    }
}
