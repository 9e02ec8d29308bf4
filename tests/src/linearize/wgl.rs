//! The search for an order that explains a history: Wing and Gong's algorithm with Lowe's memory of what was tried.
//!
//! J. Wing, C. Gong, "Testing and Verifying Concurrent Objects", JPDC 17 (1993); G. Lowe, "Testing for linearizability",
//! CCPE 29(4) (2017); in the form of A. Horn, D. Kroening, "Faster linearizability checking via P-compositionality" (2015).
//!
//! Operations are taken one by one among those that no other, still to be taken, ended before; a point at which the same
//! operations were taken and left the same content is searched once. Operations with unknown outcomes never end: they may
//! be taken at any later point or not at all.
//!
//! Versions keep the search short. They only grow, so a point is given up when an operation is left that needs a lower one. A
//! write with an unknown outcome whose value some read has seen stands at the version that the read names. The others can
//! only account for versions that nobody else accounts for, and any of them will do that began in time: of those the one
//! that can least be used later is taken. Each of these rules leaves ways out; none adds one, so none can hide a
//! contradiction.
//!
//! Written here because the crates that exist have no operations without an end (todc-utils) or test a program in the same
//! process (lincheck, stateright's testers).

use std::collections::{HashMap, HashSet};

use super::operation::{Call, Content, Operation, Outcome};
use super::register::apply;

/// Whether some order of the operations on one key, which began without content, explains what the clients were told.
///
/// Every value is to be written once. Exponential at worst; a thousand operations, many of them without an answer, take
/// milliseconds.
pub fn is_linearizable(history: &[Operation]) -> bool {
    let mut operations: Vec<&Operation> = history.iter().collect();
    operations.sort_by_key(|operation| operation.invoked_ns);
    Search::new(operations).run()
}

/// A point of the search: which operations were taken, and the content that they left.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Point {
    taken: Vec<u64>,
    content: Content,
}

impl Point {
    fn has(&self, index: usize) -> bool {
        self.taken[index / 64] & (1 << (index % 64)) != 0
    }

    fn with(&self, index: usize, content: Content) -> Self {
        let mut taken = self.taken.clone();
        taken[index / 64] |= 1 << (index % 64);
        Self { taken, content }
    }
}

struct Search<'a> {
    /// In order of invocation.
    operations: Vec<&'a Operation>,
    /// The version that a read saw each value at.
    seen_at: HashMap<u64, u64>,
    /// Versions whose writers are known: by their own answer, or because a read saw their value.
    explained: HashSet<u64>,
    tried: HashSet<Point>,
}

impl<'a> Search<'a> {
    fn new(operations: Vec<&'a Operation>) -> Self {
        let mut search =
            Self { operations, seen_at: HashMap::new(), explained: HashSet::new(), tried: HashSet::new() };
        for operation in &search.operations {
            match operation.outcome {
                Outcome::Found(Content { version, value: Some(value) }) => {
                    search.seen_at.insert(value, version);
                    search.explained.insert(version);
                }
                Outcome::Written { version } => {
                    search.explained.insert(version);
                }
                Outcome::Found(_) | Outcome::Mismatch | Outcome::Unknown => {}
            }
        }
        search
    }

    fn run(&mut self) -> bool {
        let start = Point { taken: vec![0; self.operations.len().div_ceil(64)], content: Content::default() };
        let mut stack = vec![start];
        while let Some(point) = stack.pop() {
            let Some(limit) = self.first_end(&point) else { return true };
            if self.is_too_late(&point) {
                continue;
            }
            // The last one pushed is tried first: those that ended come before the open ones, the earliest end first.
            let mut next = self.candidates(&point, limit);
            next.sort_by_key(|index| std::cmp::Reverse(self.operations[*index].end_ns()));
            for index in next {
                let Some(content) = apply(point.content, self.operations[index]) else { continue };
                let next = point.with(index, content);
                if self.tried.insert(next.clone()) {
                    stack.push(next);
                }
            }
        }
        false
    }

    fn left(&self, point: &Point) -> impl Iterator<Item = &Operation> {
        let indices = (0..self.operations.len()).filter(|index| !point.has(*index));
        indices.map(|index| self.operations[index])
    }

    /// The earliest end among the operations that ended and are not taken; none when all are.
    fn first_end(&self, point: &Point) -> Option<u64> {
        self.left(point).map(Operation::end_ns).min().filter(|end| *end != u64::MAX)
    }

    /// Whether an operation is left that happened at a lower version.
    fn is_too_late(&self, point: &Point) -> bool {
        self.left(point).any(|operation| match operation.outcome {
            Outcome::Found(found) => found.version < point.content.version,
            Outcome::Written { version } => version <= point.content.version,
            Outcome::Mismatch | Outcome::Unknown => false,
        })
    }

    /// What may come next, of the operations that began before any that is left had ended.
    fn candidates(&self, point: &Point, limit: u64) -> Vec<usize> {
        let next_version = point.content.version + 1;
        let begun = self.operations.partition_point(|operation| operation.invoked_ns <= limit);
        let mut candidates = Vec::new();
        let mut filler = None;
        for index in (0..begun).filter(|index| !point.has(*index)) {
            let operation = self.operations[index];
            let is_conditional = match (operation.call, operation.outcome) {
                (Call::Put { .. }, Outcome::Unknown) => false,
                // At another version it changes nothing, so it may as well not be taken.
                (Call::Cas { expected, .. }, Outcome::Unknown) if expected == point.content.version => true,
                (_, Outcome::Unknown) => continue,
                _ => {
                    candidates.push(index);
                    continue;
                }
            };
            let (Call::Put { value } | Call::Cas { value, .. }) = operation.call else { continue };
            match self.seen_at.get(&value) {
                Some(version) if *version == next_version => candidates.push(index),
                Some(_) => {}
                // A compare-and-set can be used now or never, a put later, too.
                None if is_conditional || filler.is_none() => filler = Some(index),
                None => {}
            }
        }
        candidates.extend(filler.filter(|_| !self.explained.contains(&next_version)));
        candidates
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn operation(invoked: u64, returned: u64, call: Call, outcome: Outcome) -> Operation {
        Operation { client: 0, node: 0, call, invoked_ns: invoked, outcome, returned_ns: returned }
    }

    fn put(invoked: u64, returned: u64, value: u64, version: u64) -> Operation {
        operation(invoked, returned, Call::Put { value }, Outcome::Written { version })
    }

    fn lost_put(invoked: u64, value: u64) -> Operation {
        operation(invoked, invoked + 1, Call::Put { value }, Outcome::Unknown)
    }

    fn lost_cas(invoked: u64, expected: u64, value: u64) -> Operation {
        operation(invoked, invoked + 1, Call::Cas { expected, value }, Outcome::Unknown)
    }

    fn cas(invoked: u64, returned: u64, expected: u64, value: u64) -> Operation {
        let outcome = Outcome::Written { version: expected + 1 };
        operation(invoked, returned, Call::Cas { expected, value }, outcome)
    }

    fn refused_cas(invoked: u64, returned: u64, expected: u64) -> Operation {
        operation(invoked, returned, Call::Cas { expected, value: 999 }, Outcome::Mismatch)
    }

    fn read(invoked: u64, returned: u64, version: u64, value: u64) -> Operation {
        let found = Content { version, value: Some(value) };
        operation(invoked, returned, Call::Read, Outcome::Found(found))
    }

    fn read_nothing(invoked: u64, returned: u64) -> Operation {
        operation(invoked, returned, Call::Read, Outcome::Found(Content::default()))
    }

    #[test]
    fn one_after_the_other_is_linearizable() {
        assert!(is_linearizable(&[]));
        assert!(is_linearizable(&[
            read_nothing(0, 1),
            put(2, 3, 7, 1),
            read(4, 5, 1, 7),
            cas(6, 7, 1, 8),
            refused_cas(8, 9, 1),
            read(10, 11, 2, 8),
        ]));
    }

    #[test]
    fn a_stale_read_is_not() {
        assert!(!is_linearizable(&[put(0, 1, 7, 1), read_nothing(2, 3)]));
        assert!(!is_linearizable(&[put(0, 1, 7, 1), put(2, 3, 8, 2), read(4, 5, 1, 7)]));
    }

    #[test]
    fn a_read_beside_a_write_may_see_either_but_not_go_back() {
        assert!(is_linearizable(&[put(0, 10, 7, 1), read_nothing(1, 2), read(3, 4, 1, 7)]));
        assert!(!is_linearizable(&[put(0, 10, 7, 1), read(1, 2, 1, 7), read_nothing(3, 4)]));
    }

    #[test]
    fn a_write_without_an_answer_may_take_effect_late_or_never() {
        assert!(is_linearizable(&[lost_put(0, 7), read_nothing(5, 6), read(900, 901, 1, 7)]));
        assert!(is_linearizable(&[lost_put(0, 7), read_nothing(5, 6), read_nothing(900, 901)]));
        assert!(!is_linearizable(&[lost_put(0, 7), read(5, 6, 1, 7), read_nothing(900, 901)]));
        assert!(!is_linearizable(&[read(5, 6, 1, 7), lost_put(10, 7)]), "not before it was asked for");
    }

    #[test]
    fn a_write_that_took_effect_twice_is_not() {
        let twice = [put(0, 1, 7, 1), read(2, 3, 1, 7), put(4, 5, 8, 2), read(6, 7, 3, 7)];
        assert!(!is_linearizable(&twice));
        let twice_without_answer = [lost_put(0, 7), read(2, 3, 1, 7), put(4, 5, 8, 2), read(6, 7, 3, 7)];
        assert!(!is_linearizable(&twice_without_answer));
    }

    #[test]
    fn a_lost_write_is_not() {
        assert!(!is_linearizable(&[put(0, 1, 7, 1), put(2, 3, 8, 1)]), "two writers got one version");
        assert!(!is_linearizable(&[put(0, 1, 7, 1), cas(2, 3, 0, 8)]), "it had version 1");
        assert!(!is_linearizable(&[put(0, 1, 7, 1), refused_cas(2, 3, 1)]), "it had the right one");
    }

    #[test]
    fn of_two_that_compare_one_version_one_wins() {
        let first = put(0, 1, 7, 1);
        assert!(is_linearizable(&[first, cas(2, 9, 1, 8), refused_cas(3, 8, 1), read(10, 11, 2, 8)]));
        assert!(!is_linearizable(&[first, cas(2, 9, 1, 8), cas(3, 8, 1, 9)]));
    }

    #[test]
    fn many_open_writes_do_not_make_the_search_endless() {
        let mut history: Vec<Operation> = (0..60).map(|number| lost_put(number, 1_000 + number)).collect();
        let mut version = 0;
        for number in 0..200 {
            version += 1;
            let at = 100 + number * 10;
            history.push(put(at, at + 3, number, version));
            history.push(read(at + 4, at + 5, version, number));
        }
        assert!(is_linearizable(&history));
        history.push(read(9_000, 9_001, version - 1, 198));
        assert!(!is_linearizable(&history));
    }

    /// Against all orders of small random histories.
    #[test]
    fn the_search_agrees_with_trying_every_order() {
        let mut seed = 7_u64;
        let mut draw = |bound: u64| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (seed >> 33) % bound
        };
        let mut verdicts = [0; 2];
        for _ in 0..20_000 {
            let history: Vec<Operation> = (0..5)
                .map(|number| {
                    let invoked = draw(12);
                    let returned = invoked + 1 + draw(6);
                    match draw(7) {
                        0 => lost_put(invoked, number),
                        6 => lost_cas(invoked, draw(2), number),
                        1 | 2 => put(invoked, returned, number, 1 + draw(2)),
                        3 => cas(invoked, returned, draw(2), number),
                        4 => refused_cas(invoked, returned, draw(2)),
                        _ if draw(3) == 0 => read_nothing(invoked, returned),
                        _ => read(invoked, returned, 1 + draw(2), draw(5)),
                    }
                })
                .collect();
            let expected = try_every_order(&history, &mut Vec::new(), Content::default());
            assert_eq!(is_linearizable(&history), expected, "{history:#?}");
            verdicts[usize::from(expected)] += 1;
        }
        assert!(verdicts[0] > 1_000 && verdicts[1] > 1_000, "{verdicts:?}");
    }

    fn try_every_order(history: &[Operation], order: &mut Vec<usize>, content: Content) -> bool {
        let left: Vec<usize> = (0..history.len()).filter(|index| !order.contains(index)).collect();
        if left.iter().all(|index| history[*index].outcome == Outcome::Unknown) {
            return true;
        }
        left.iter().any(|index| {
            let is_first = left.iter().all(|other| history[*other].end_ns() >= history[*index].invoked_ns);
            let Some(content) = apply(content, &history[*index]).filter(|_| is_first) else { return false };
            order.push(*index);
            let found = try_every_order(history, order, content);
            order.pop();
            found
        })
    }
}
