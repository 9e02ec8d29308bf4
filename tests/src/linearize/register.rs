//! What a key does when operations come one after the other.

use super::operation::{Call, Content, Operation, Outcome};

/// The content after an operation, if it can have happened at this point with the outcome that its client was told.
pub fn apply(content: Content, operation: &Operation) -> Option<Content> {
    let written = |value| Content { version: content.version + 1, value: Some(value) };
    match (operation.call, operation.outcome) {
        (Call::Read, Outcome::Found(found)) => (found == content).then_some(content),
        (Call::Put { value }, Outcome::Written { version }) => {
            (version == content.version + 1).then_some(written(value))
        }
        (Call::Put { value }, Outcome::Unknown) => Some(written(value)),
        (Call::Cas { expected, value }, Outcome::Written { version }) => {
            (expected == content.version && version == expected + 1).then_some(written(value))
        }
        (Call::Cas { expected, .. }, Outcome::Mismatch) => (expected != content.version).then_some(content),
        (Call::Cas { expected, value }, Outcome::Unknown) => {
            Some(if expected == content.version { written(value) } else { content })
        }
        // A read whose answer is unknown says nothing; the others are answers to something else.
        (Call::Read, Outcome::Unknown) => Some(content),
        (Call::Read, Outcome::Written { .. } | Outcome::Mismatch)
        | (Call::Put { .. }, Outcome::Found(_) | Outcome::Mismatch)
        | (Call::Cas { .. }, Outcome::Found(_)) => None,
    }
}
