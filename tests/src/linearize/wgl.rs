//! The search for an order that explains a history: Wing and Gong's algorithm with Lowe's memory of what was tried.
//!
//! J. Wing, C. Gong, "Testing and Verifying Concurrent Objects", JPDC 17 (1993); G. Lowe, "Testing for linearizability",
//! CCPE 29(4) (2017); in the form of A. Horn, D. Kroening, "Faster linearizability checking via P-compositionality" (2015).
//!
//! Operations are taken one by one among those that no other, still to be taken, ended before; a point at which the same
//! operations were taken and left the same content is searched once. Operations with unknown outcomes never end: they may
//! be taken at any later point or not at all.
//!
//! Written here because the crates that exist have no operations without an end (todc-utils) or test a program in the same
//! process (lincheck, stateright's testers).

use std::collections::HashSet;

use super::operation::{Content, Operation};
use super::register::apply;

/// Whether some order of the operations on one key, which began without content, explains what the clients were told.
///
/// Exponential at worst; histories of some hundred operations with a few open at a time take milliseconds.
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
    seen: HashSet<Point>,
}

impl<'a> Search<'a> {
    fn new(operations: Vec<&'a Operation>) -> Self {
        Self { operations, seen: HashSet::new() }
    }

    fn run(&mut self) -> bool {
        let start = Point { taken: vec![0; self.operations.len().div_ceil(64)], content: Content::default() };
        let mut stack = vec![start];
        while let Some(point) = stack.pop() {
            let Some(limit) = self.first_end(&point) else { return true };
            // The last one pushed is tried first: those that ended come before the open ones, the earliest end first.
            let mut next: Vec<usize> = self.candidates(&point, limit).collect();
            next.sort_by_key(|index| std::cmp::Reverse(self.operations[*index].end_ns()));
            for index in next {
                let Some(content) = apply(point.content, self.operations[index]) else { continue };
                let next = point.with(index, content);
                if self.seen.insert(next.clone()) {
                    stack.push(next);
                }
            }
        }
        false
    }

    /// The earliest end among the operations that ended and are not taken; none when all are.
    fn first_end(&self, point: &Point) -> Option<u64> {
        let left = (0..self.operations.len()).filter(|index| !point.has(*index));
        left.map(|index| self.operations[index].end_ns()).min().filter(|end| *end != u64::MAX)
    }

    /// What may come next: the operations that began before any that is left had ended.
    fn candidates(&self, point: &Point, limit: u64) -> impl Iterator<Item = usize> {
        let begun = self.operations.partition_point(|operation| operation.invoked_ns <= limit);
        (0..begun).filter(|index| !point.has(*index))
    }
}

#[cfg(test)]
mod tests {
    use super::super::operation::{Call, Outcome};
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
                    match draw(6) {
                        0 => lost_put(invoked, number),
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
