//! Whoever sends a correct node two contradicting votes that count for it is found out there and then.
//!
//! A vote counts for a node when it is of the node's epoch, of the view that the node is in, and of a height within its
//! window. Two such votes with valid signatures for one kind, view and height have to yield evidence by the time the second
//! is handled; one piece per offender and epoch is enough. A restart forgets the votes of others, and who votes in more than
//! three views at a height pushes out its own older votes there: an engine's memory is bounded. Who delivers a vote with a
//! wrong signature is not heard again about that round, so that forgeries cost one check: what it says there later is no evidence.

use std::collections::{BTreeMap, BTreeSet};

use aegis_types::{Domain, Epoch, Hash, Height, ValidatorId, View, VoteKind};

use super::{Invariant, Observation};
use crate::sim::scenario::{NodeIndex, Scenario};

/// Views at a height in which one member's votes are kept.
const VIEWS_KEPT: usize = 3;

type Round = (NodeIndex, ValidatorId, Epoch, View, Height, VoteKind);

/// Votes heard, evidence found, and evidence that is due.
#[derive(Debug)]
pub struct Evidence {
    domain: Domain,
    heard: BTreeMap<Round, Hash>,
    forged: BTreeSet<Round>,
    views: BTreeMap<(NodeIndex, ValidatorId, Epoch, Height, VoteKind), BTreeSet<View>>,
    found: BTreeSet<(NodeIndex, ValidatorId, Epoch)>,
    due: Option<(NodeIndex, ValidatorId, Epoch, Height)>,
}

impl Evidence {
    /// For the chain of a scenario.
    pub fn new(scenario: &Scenario) -> Self {
        Self {
            domain: scenario.domain(),
            heard: BTreeMap::new(),
            forged: BTreeSet::new(),
            views: BTreeMap::new(),
            found: BTreeSet::new(),
            due: None,
        }
    }

    fn settle(&mut self) -> Result<(), String> {
        match self.due.take() {
            Some((node, peer, epoch, height)) if !self.found.contains(&(node, peer, epoch)) => Err(format!(
                "node {node} saw {} vote twice at height {height} of epoch {epoch} and kept silent",
                peer.short()
            )),
            Some(_) | None => Ok(()),
        }
    }
}

impl Invariant for Evidence {
    fn name(&self) -> &'static str {
        "evidence"
    }

    fn observe(&mut self, observation: &Observation) -> Result<(), String> {
        match observation {
            Observation::Heard { node, vote, engaged, .. } => {
                self.settle()?;
                let content = &vote.content;
                let place = (*node, vote.validator, content.epoch, content.height, content.kind);
                let views = self.views.entry(place).or_default();
                views.insert(content.view);
                let counts = content.epoch == engaged.epoch
                    && content.view == engaged.view
                    && content.height > engaged.height
                    && content.height.0 <= engaged.height.0 + engaged.window
                    && views.len() <= VIEWS_KEPT
                    && engaged.members.contains(&vote.validator);
                let peer = vote.validator;
                let round = (*node, peer, content.epoch, content.view, content.height, content.kind);
                if !vote.verify(&self.domain) {
                    self.forged.insert(round);
                } else if counts && !self.forged.contains(&round) {
                    let first = *self.heard.entry(round).or_insert(content.digest);
                    if first != content.digest {
                        self.due = Some((*node, peer, content.epoch, content.height));
                    }
                }
                Ok(())
            }
            Observation::Evidence { node, peer, epoch } => {
                self.found.insert((*node, *peer, *epoch));
                Ok(())
            }
            Observation::Started { node, .. } => {
                if self.due.is_some_and(|(due, ..)| due == *node) {
                    self.due = None;
                }
                self.heard.retain(|(heard_by, ..), _| heard_by != node);
                self.forged.retain(|(heard_by, ..)| heard_by != node);
                self.views.retain(|(heard_by, ..), _| heard_by != node);
                self.found.retain(|(found_by, ..)| found_by != node);
                Ok(())
            }
            _ => Ok(()),
        }
    }
}
