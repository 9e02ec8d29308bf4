//! Answers to questions about snapshots.
//!
//! An answer costs one read of a file, of a part at most, or one page of rows; the network bounds how many are under way.

use std::sync::Arc;

use aegis_types::{Handover, Height};
use tracing::warn;

use super::question::{OFFERS_MAX, SnapshotAnswer, SnapshotQuestion};
use crate::node::context::NodeContext;
use crate::node::handovers;

/// The answer; none when this node failed to find one.
pub async fn answer(node: &Arc<NodeContext>, question: SnapshotQuestion) -> Option<SnapshotAnswer> {
    let node = node.clone();
    tokio::task::spawn_blocking(move || find(&node, question)).await.ok().flatten()
}

fn find(node: &NodeContext, question: SnapshotQuestion) -> Option<SnapshotAnswer> {
    match question {
        SnapshotQuestion::Offers => {
            let mut offers = node.shelf.offers();
            offers.truncate(OFFERS_MAX);
            let first_block = node.log.first().unwrap_or(Height(1));
            Some(SnapshotAnswer::Offers { offers, first_block })
        }
        // The shelf has said what is wrong with the disk. Whoever asked is told "later", and not that it is not held.
        SnapshotQuestion::Manifest { offer, offset } => {
            node.shelf.manifest(&offer, offset).ok().map(SnapshotAnswer::Manifest)
        }
        SnapshotQuestion::Part { offer, piece, offset } => {
            node.shelf.part(&offer, piece, offset).ok().map(SnapshotAnswer::Part)
        }
        SnapshotQuestion::Handovers(from) => {
            match handovers::load(node.kv.as_ref(), from, Handover::PAGE_MAX) {
                Ok(rows) => Some(SnapshotAnswer::Handovers(rows.into_iter().map(Into::into).collect())),
                Err(error) => {
                    warn!(%error, "the handovers cannot be read");
                    None
                }
            }
        }
    }
}
