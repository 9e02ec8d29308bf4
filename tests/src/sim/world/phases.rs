//! The end of the safety phase, and what the liveness phase waits for.
//!
//! After healing every correct node that still has its disk must first commit a few more heights and every batch of a
//! correct author that some correct node held, within a bounded time and a bounded number of view changes. Then the run goes on until somebody has its last height.

use std::collections::BTreeSet;

use aegis_types::Hash;

use super::{CHECK_EVERY, World};
use crate::sim::clock::Micros;
use crate::sim::invariants::Observation;
use crate::sim::scenario::NodeIndex;

/// What the liveness phase waits for.
pub(super) struct Goal {
    pub(super) since: Micros,
    pub(super) height: u64,
    pub(super) batches: BTreeSet<Hash>,
    /// View changes of each node since healing.
    pub(super) view_changes: Vec<u64>,
    /// Whether height and batches are reached, and only the rest of the way is left.
    pub(super) is_recovered: bool,
    /// The lowest height of a correct node, and when it was first seen.
    progress: (u64, Micros),
}

/// How often sizes are measured, in checks.
const MEASURE_EVERY_CHECKS: u64 = 5;

impl World {
    /// Correct nodes that still have their disk.
    fn survivors(&self) -> Vec<NodeIndex> {
        (0..self.nodes.len())
            .filter(|node| self.scenario.is_correct(*node) && !self.nodes[*node].is_gone)
            .collect()
    }

    /// Looks whether a phase is over; true at the end of the run.
    pub(super) fn check_phase(&mut self) -> bool {
        if (self.at / CHECK_EVERY).is_multiple_of(MEASURE_EVERY_CHECKS) {
            self.measure();
        }
        if self.goal.is_some() {
            return self.is_done();
        }
        let highest =
            self.survivors().iter().map(|node| self.nodes[*node].executed_height().0).max().unwrap_or(0);
        if self.at >= self.scenario.safety || highest >= self.scenario.safety_height {
            self.heal();
        }
        false
    }

    /// The end of the safety phase: everybody is up, and the network delivers.
    fn heal(&mut self) {
        self.trace.add(self.at, &[3], || "all faults end".to_owned());
        self.network.heal(self.scenario.healed_links);
        for node in 0..self.nodes.len() {
            let state = &mut self.nodes[node];
            state.paused_until = 0;
            state.disk.repair();
            let bound = self.scenario.faults.skew_max_ms as i64;
            state.clock.skew_ms = state.clock.skew_ms.clamp(-bound, bound);
            if state.is_gone {
                continue;
            }
            if state.process.is_none() {
                self.restart(node);
            } else if !self.nodes[node].is_flushing {
                self.wake(node, self.at);
            }
        }
        let survivors = self.survivors();
        let highest = survivors.iter().map(|node| self.nodes[*node].executed_height().0).max().unwrap_or(0);
        let processes = survivors.iter().filter_map(|node| self.nodes[*node].process.as_ref());
        // A faulty author may have sent a batch to so few that no leader needs to hear of it.
        let authors: BTreeSet<_> = survivors.iter().map(|node| self.scenario.validator(*node)).collect();
        let unordered = processes
            .flat_map(|process| process.pool().unordered())
            .filter(|(_, batch)| authors.contains(&batch.reference.author));
        self.goal = Some(Goal {
            since: self.at,
            height: highest + self.scenario.heights_after_healing,
            batches: unordered.map(|(digest, _)| digest).collect(),
            view_changes: vec![0; self.nodes.len()],
            is_recovered: false,
            progress: (0, self.at),
        });
    }

    /// Whether every correct node has reached the end; a violation if time is up.
    fn is_done(&mut self) -> bool {
        let survivors = self.survivors();
        let heights: Vec<u64> = survivors.iter().map(|node| self.nodes[*node].executed_height().0).collect();
        let lowest = heights.iter().copied().min().unwrap_or(u64::MAX);
        let highest = heights.iter().copied().max().unwrap_or(0);
        let Some(goal) = &mut self.goal else { return false };
        if lowest > goal.progress.0 {
            goal.progress = (lowest, self.at);
        }
        if !goal.is_recovered {
            let nodes = &self.nodes;
            let is_reached = lowest >= goal.height
                && survivors
                    .iter()
                    .all(|node| goal.batches.iter().all(|digest| nodes[*node].has_ordered(digest)));
            if is_reached {
                goal.is_recovered = true;
                self.network.heal(self.scenario.healed_links);
                self.network.come_near();
                goal.progress = (lowest, self.at);
                self.counts.recovery = self.at - goal.since;
                self.counts.recovery_view_changes = goal.view_changes.iter().copied().max().unwrap_or(0);
            } else if self.at - goal.since > self.scenario.patience {
                let (height, missing) = (goal.height, goal.batches.len());
                self.violate(
                    "liveness",
                    format!("not everybody has height {height} and {missing} batches in time: {heights:?}"),
                );
            }
            return false;
        }
        if self.at - goal.progress.1 > self.scenario.patience {
            self.violate("liveness", format!("nothing goes on after recovery: {heights:?}"));
        }
        highest >= self.scenario.final_height
    }

    /// Takes note of a view change after healing.
    pub(super) fn count_view_change(&mut self, node: NodeIndex) {
        let max = self.scenario.view_changes_max;
        let Some(goal) = &mut self.goal else { return };
        if goal.is_recovered {
            return;
        }
        goal.view_changes[node] += 1;
        if goal.view_changes[node] > max {
            self.violate("bounded view changes", format!("node {node} wants a {max}th view after healing"));
        }
    }

    /// Observes how much every correct node holds.
    fn measure(&mut self) {
        for node in self.survivors() {
            let Some(process) = &self.nodes[node].process else { continue };
            let status = process.engine().status();
            let members = status.validators.len() as u64;
            let window = process.engine().window();
            let committing = process.engine().committing();
            self.counts.votes_max = self.counts.votes_max.max(status.votes as u64);
            self.counts.kept_max = self.counts.kept_max.max(status.kept_messages as u64);
            self.watch(Observation::Measured {
                node,
                members,
                strangers: (self.nodes.len() as u64).saturating_sub(members),
                window,
                votes: status.votes as u64,
                vote_sets: status.vote_sets as u64,
                kept: status.kept_messages as u64,
            });
            if let Some(height) = committing {
                self.watch(Observation::ReadIndex { node, height });
            }
        }
    }
}
