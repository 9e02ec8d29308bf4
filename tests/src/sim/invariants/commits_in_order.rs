//! A correct validator that casts Commit at a height has cast it at the height below in the same view, or has decided that height.
//!
//! Votes are judged when they leave: by then all that they rest on has been observed.

use std::collections::{BTreeMap, BTreeSet};

use aegis_consensus::Message;
use aegis_types::{Epoch, Height, View, VoteKind};

use super::{Invariant, Observation};
use crate::sim::scenario::NodeIndex;

/// Commits that left, and the newest height that each node ever decided.
#[derive(Debug, Default)]
pub struct CommitsInOrder {
    sent: BTreeSet<(NodeIndex, Epoch, View, Height)>,
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
            Observation::Started { node, tip } => self.decide(*node, tip.0),
            Observation::Decided { node, block } => self.decide(*node, block.0.height),
            Observation::Sent { node, message } => {
                let Message::Vote(vote) = &**message else { return Ok(()) };
                let content = &vote.content;
                if content.kind != VoteKind::Commit {
                    return Ok(());
                }
                let place = |height| (*node, content.epoch, content.view, height);
                self.sent.insert(place(content.height));
                let below = Height(content.height.0.saturating_sub(1));
                let newest = self.decided.get(node).copied().unwrap_or_default();
                if below > newest && !self.sent.contains(&place(below)) {
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
