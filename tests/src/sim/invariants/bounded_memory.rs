//! Whatever arrives, an engine keeps no more than its window and its set's size allow.
//!
//! Votes: none is kept in an empty set; for each of a member's two kinds and of the heights within two windows above the tip and
//! one below, three views. Messages kept for later: of
//! each member 64 of the next epoch, a proposal for each of those heights in one later view, and a wish for a view.

use super::{Invariant, Observation};

const VOTE_WINDOWS: u64 = 2;
const SETTLED_WINDOWS: u64 = 1;
const VIEWS: u64 = 3;
const KINDS: u64 = 2;
const EARLY: u64 = 64;

/// Compares sizes with the bounds.
#[derive(Debug, Default)]
pub struct BoundedMemory;

impl Invariant for BoundedMemory {
    fn name(&self) -> &'static str {
        "bounded memory"
    }

    fn observe(&mut self, observation: &Observation) -> Result<(), String> {
        let Observation::Measured { node, members, strangers, window, votes, vote_sets, kept } = observation
        else {
            return Ok(());
        };
        let heights = window * VOTE_WINDOWS;
        let vote_heights = heights + window * SETTLED_WINDOWS;
        let (votes_max, senders) = (members * vote_heights * VIEWS * KINDS, members + strangers);
        if *votes > votes_max {
            return Err(format!(
                "node {node} keeps {votes} votes of {members} members, more than {votes_max}"
            ));
        }
        if vote_sets > votes {
            return Err(format!("node {node} keeps {vote_sets} sets for {votes} votes"));
        }
        let kept_max = senders * EARLY + members * (heights + 1);
        if *kept > kept_max {
            return Err(format!("node {node} keeps {kept} messages for later, more than {kept_max}"));
        }
        Ok(())
    }
}
