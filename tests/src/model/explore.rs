//! The search through all states of a tiny instance: 4 members of weight 1, one of them Byzantine, 2 views, 1 or 2 heights.
//!
//! Depth first, each state once (by a 128-bit hash of the engines and of what was said). Bounds: the Byzantine member knows
//! two blocks for height 1 and one on each of them; the correct hold a batch for each height from the start; nobody goes
//! beyond view 1 or the last height; at most the given number of crashes. Symmetry: the two correct members that lead neither view differ in
//! nothing but their names, so the one with the lower position takes the first step of the two.
//!
//! In every state the [`super::judge`] must be content: also about blocks that nobody has decided yet but anyone could,
//! from the votes that were said.

use std::collections::HashSet;
use std::time::Instant;

use aegis_types::View;

use super::actions::{self, Action};
use super::instance::Instance;
use super::state::{Cast, State};

/// Which part the Byzantine member plays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// It leads view 0.
    FirstLeader,
    /// It leads view 1.
    SecondLeader,
    /// It leads neither.
    Follower,
}

/// All parts.
pub const ROLES: [Role; 3] = [Role::FirstLeader, Role::SecondLeader, Role::Follower];

/// How far to search.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Most states to visit.
    pub states: u64,
    /// When to stop.
    pub until: Instant,
    /// The last height: 1 or 2.
    pub heights: u64,
    /// Crashes in one run, over all correct members.
    pub crashes: u32,
}

/// What the search saw.
#[derive(Debug, Clone, Default)]
pub struct Outcome {
    /// Different states.
    pub states: u64,
    /// Steps taken, those to known states included.
    pub steps: u64,
    /// The longest sequence of steps.
    pub depth: usize,
    /// States in which some block is decided by all correct members.
    pub decided: u64,
    /// Whether every state within the model's bounds was visited.
    pub is_complete: bool,
    /// What was broken, and the steps that lead there.
    pub violation: Option<(String, Vec<String>)>,
}

struct Search<'a> {
    cast: &'a Cast,
    bounds: Bounds,
    seen: HashSet<u128>,
    outcome: Outcome,
    /// The two correct members that lead neither view.
    twins: Vec<usize>,
}

struct Frame {
    state: State,
    rest: Vec<Action>,
    step: String,
    /// Whether either of the two interchangeable members has taken a step.
    is_ordered: bool,
}

/// Searches the instance with the Byzantine member in a role.
///
/// # Errors
/// Never, unless the engine's rules about validator sets change.
pub fn explore(role: Role, bounds: Bounds) -> anyhow::Result<Outcome> {
    let instance = Instance::equal(4)?;
    let leaders = [instance.leader(View(0)), instance.leader(View(1))];
    let mut others = (0..4).filter(|member| !leaders.contains(member));
    let byzantine = match role {
        Role::FirstLeader => leaders[0],
        Role::SecondLeader => leaders[1],
        Role::Follower => others.next().unwrap_or_default(),
    };
    let twins = (0..4).filter(|member| *member != byzantine && !leaders.contains(member)).collect();
    let cast = Cast { instance, byzantine, heights: bounds.heights };
    let mut search = Search { cast: &cast, bounds, seen: HashSet::new(), outcome: Outcome::default(), twins };
    search.run();
    Ok(search.outcome)
}

impl Search<'_> {
    fn run(&mut self) {
        let initial = match State::initial(self.cast, self.bounds.crashes) {
            Ok(initial) => initial,
            Err(broken) => {
                self.outcome.violation = Some((broken, Vec::new()));
                return;
            }
        };
        let mut path = Vec::new();
        self.visit(&mut path, initial, "start".to_owned(), self.twins.len() < 2);
        while let Some(frame) = path.last_mut() {
            let Some(action) = frame.rest.pop() else {
                path.pop();
                continue;
            };
            if self.outcome.states >= self.bounds.states || Instant::now() >= self.bounds.until {
                return;
            }
            let is_ordered = frame.is_ordered || self.twins.first() == Some(&action.member());
            let step = actions::describe(&action);
            self.outcome.steps += 1;
            match actions::apply(self.cast, &frame.state, &action) {
                Ok(next) => self.visit(&mut path, next, step, is_ordered),
                Err(broken) => {
                    let mut steps: Vec<String> = path.iter().map(|frame| frame.step.clone()).collect();
                    steps.push(step);
                    self.outcome.violation = Some((broken, steps));
                    return;
                }
            }
        }
        self.outcome.is_complete = true;
    }

    fn visit(&mut self, path: &mut Vec<Frame>, state: State, step: String, is_ordered: bool) {
        let fingerprint = state.fingerprint() ^ u128::from(is_ordered);
        if !self.seen.insert(fingerprint) {
            return;
        }
        self.outcome.states += 1;
        if state.correct.values().all(|correct| correct.engine.height().0 > 0) {
            self.outcome.decided += 1;
        }
        let mut rest = actions::all(self.cast, &state);
        if !is_ordered && let Some(second) = self.twins.get(1) {
            rest.retain(|action| action.member() != *second);
        }
        // A bounded search should not see the same kind of step first everywhere.
        let turn = (fingerprint % rest.len().max(1) as u128) as usize;
        rest.rotate_left(turn);
        path.push(Frame { state, rest, step, is_ordered });
        self.outcome.depth = self.outcome.depth.max(path.len());
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_part_of_the_states_holds_no_violation_and_some_decide() {
        for role in ROLES {
            let until = Instant::now() + Duration::from_secs(60);
            let bounds = Bounds { states: 400, until, heights: 2, crashes: 1 };
            let outcome = explore(role, bounds).unwrap();
            assert_eq!(outcome.violation, None);
            assert_eq!(outcome.states, 400);
            assert!(outcome.depth > 10 && outcome.steps > 400, "{outcome:?}");
        }
    }
}
