//! A correct validator that casts Commit at a height has cast it at the height below in the same view, or has decided that height.
//!
//! Votes are judged when they leave: by then all that they rest on has been observed. The Commit below need not have left: a crash may
//! keep it back until it is sent again. A crash may also hide the decision that a durable Commit rests on, so only Commits that were signed since the
//! node's last start are judged.

use std::collections::{BTreeMap, BTreeSet};

use aegis_consensus::Message;
use aegis_types::{Epoch, Height, View, VoteKind};

use super::{Invariant, Observation};
use crate::sim::scenario::NodeIndex;

/// Commits that were signed, and the newest height that each node ever decided.
#[derive(Debug, Default)]
pub struct CommitsInOrder {
    signed: BTreeSet<(NodeIndex, Epoch, View, Height)>,
    /// Those of them that were signed since their node's last start.
    fresh: BTreeSet<(NodeIndex, Epoch, View, Height)>,
    decided: BTreeMap<NodeIndex, Height>,
}

impl CommitsInOrder {
    fn decide(&mut self, node: NodeIndex, height: Height) {
        let newest = self.decided.entry(node).or_default();
        *newest = height.max(*newest);
    }
}

impl Invariant for CommitsInOrder {
    fn name(&self) -> &'static str {
        "commits in order"
    }

    fn observe(&mut self, observation: &Observation) -> Result<(), String> {
        match observation {
            Observation::Started { node, tip } => {
                self.fresh.retain(|(signer, ..)| signer != node);
                self.decide(*node, tip.0);
            }
            Observation::Decided { node, block } => self.decide(*node, block.0.height),
            Observation::Signed { node, vote, .. } if vote.content.kind == VoteKind::Commit => {
                let content = &vote.content;
                let place = (*node, content.epoch, content.view, content.height);
                self.signed.insert(place);
                self.fresh.insert(place);
            }
            Observation::Sent { node, message } => {
                let Message::Vote(vote) = &**message else { return Ok(()) };
                let content = &vote.content;
                if content.kind != VoteKind::Commit {
                    return Ok(());
                }
                let below = Height(content.height.0.saturating_sub(1));
                let newest = self.decided.get(node).copied().unwrap_or_default();
                let place = |height| (*node, content.epoch, content.view, height);
                let is_fresh = self.fresh.contains(&place(content.height));
                if is_fresh && below > newest && !self.signed.contains(&place(below)) {
                    return Err(format!(
                        "node {node} cast Commit at height {} in view {} and none at {below}",
                        content.height, content.view
                    ));
                }
            }
            _ => {}
        }
        Ok(())
    }
}
