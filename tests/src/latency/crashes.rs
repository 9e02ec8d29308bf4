//! How many crashes a network survives at one per epoch: the heaviest validator dies, the rest must commit, the rule weighs
//! again, and so on.

use std::collections::BTreeSet;

use super::deployment::Deployment;
use super::engine::Course;
use super::weighing::Weigher;

/// Blocks that must be committed after each crash.
const BLOCKS: u64 = 4;
/// Epochs from one crash to the next: the time in which those who are promoted reach their full weight.
const EPOCHS_BETWEEN: u64 = 5;

/// Whose weights count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weights {
    /// All the same, for ever.
    Equal,
    /// The rule's.
    Measured,
}

/// Crashes after each of which the engine went on to commit.
pub fn survived(deployment: &Deployment, tolerance: usize, weights: Weights) -> usize {
    let mut weigher = Weigher::new(deployment, tolerance, None);
    if weights == Weights::Measured {
        weigher = weigher.settled();
    }
    let mut down = BTreeSet::new();
    loop {
        let current = weigher.weights();
        let alive = (0..deployment.size()).filter(|node| !down.contains(node));
        let Some(heaviest) = alive.max_by_key(|node| (current[*node], std::cmp::Reverse(*node))) else {
            return down.len();
        };
        // An epoch begins under somebody who was there at its beginning; the one that crashes now may be that leader.
        let (absent, present): (Vec<usize>, Vec<usize>) =
            weigher.leaders().into_iter().partition(|leader| down.contains(leader));
        let leaders = [present, absent].concat();
        down.insert(heaviest);
        let course =
            Course { deployment, weights: &current, leaders: &leaders, down: down.clone(), blocks: BLOCKS };
        if course.run().is_none() {
            return down.len() - 1;
        }
        if weights == Weights::Measured {
            for _ in 0..EPOCHS_BETWEEN {
                weigher.end_epoch(&down);
            }
        }
    }
}
