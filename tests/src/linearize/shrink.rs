//! From a history without an explanation to the few operations that have none.

use super::operation::{Call, Operation, Outcome};
use super::wgl::is_linearizable;

/// A small part of a history that is not linearizable, for people: each constraint that can be taken back without making
/// the rest explicable is gone.
///
/// Taking back is sound: the part could have happened wherever the whole has. Answers to reads and mismatches change
/// nothing and are dropped; a write is kept, but as one whose outcome nobody knows. Open writes that no operation left over
/// has seen are not shown.
///
/// # Panics
/// When the history is linearizable.
pub fn offending(history: &[Operation]) -> Vec<Operation> {
    assert!(!is_linearizable(history), "there is nothing to blame");
    let mut kept = shortest_prefix(history);
    let mut index = kept.len();
    while index > 0 {
        index -= 1;
        let mut candidate = kept.clone();
        match candidate[index].outcome {
            Outcome::Unknown => continue,
            Outcome::Found(_) | Outcome::Mismatch => drop(candidate.remove(index)),
            Outcome::Written { .. } => candidate[index].outcome = Outcome::Unknown,
        }
        if !is_linearizable(&candidate) {
            kept = candidate;
        }
    }
    let seen: Vec<Option<u64>> = kept
        .iter()
        .filter_map(|operation| match operation.outcome {
            Outcome::Found(content) => Some(content.value),
            Outcome::Written { .. } | Outcome::Mismatch | Outcome::Unknown => None,
        })
        .collect();
    kept.retain(|operation| match (operation.call, operation.outcome) {
        (Call::Put { value } | Call::Cas { value, .. }, Outcome::Unknown) => seen.contains(&Some(value)),
        _ => true,
    });
    kept
}

/// What was known at the first moment at which the history had no explanation: what ended later was open then.
fn shortest_prefix(history: &[Operation]) -> Vec<Operation> {
    let mut ends: Vec<u64> = history.iter().map(Operation::end_ns).filter(|end| *end != u64::MAX).collect();
    ends.sort_unstable();
    let until = |end: u64| -> Vec<Operation> {
        let begun = history.iter().filter(|operation| operation.invoked_ns <= end);
        let cut = |operation: &Operation| {
            let outcome = if operation.end_ns() <= end { operation.outcome } else { Outcome::Unknown };
            Operation { outcome, ..*operation }
        };
        begun.map(cut).collect()
    };
    // Each cut that has no explanation is followed by cuts that have none either.
    let first = ends.partition_point(|end| is_linearizable(&until(*end)));
    let mut prefix = ends.get(first).map_or_else(|| history.to_vec(), |end| until(*end));
    prefix.retain(|operation| operation.call != Call::Read || operation.outcome != Outcome::Unknown);
    prefix
}

#[cfg(test)]
mod tests {
    use super::super::operation::Content;
    use super::*;

    fn operation(at: u64, call: Call, outcome: Outcome) -> Operation {
        Operation { client: 0, node: 0, call, invoked_ns: at, outcome, returned_ns: at + 1 }
    }

    #[test]
    fn a_stale_read_is_blamed_with_the_write_that_it_missed_and_nothing_else() {
        let mut history = Vec::new();
        for number in 1..=50 {
            let at = number * 10;
            history.push(operation(at, Call::Put { value: number }, Outcome::Written { version: number }));
            let content = Content { version: number, value: Some(number) };
            history.push(operation(at + 5, Call::Read, Outcome::Found(content)));
        }
        let stale = Content { version: 30, value: Some(30) };
        history.push(operation(405, Call::Read, Outcome::Found(stale)));
        let blamed = offending(&history);
        assert!(blamed.len() <= 4, "{blamed:#?}");
        assert!(blamed.iter().any(|operation| operation.outcome == Outcome::Found(stale)));
        assert!(blamed.iter().all(|operation| operation.invoked_ns <= 405));
    }
}
