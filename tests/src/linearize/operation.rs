//! What is recorded of an operation.

use serde::Serialize;

/// A key's version and value; version 0 and no value where the key does not exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize)]
pub struct Content {
    /// One more with each change.
    pub version: u64,
    /// Every value is written once, so that it names its writer.
    pub value: Option<u64>,
}

/// What a client asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Call {
    /// The key's content.
    Read,
    /// Set the key.
    Put {
        /// To this value.
        value: u64,
    },
    /// Set the key if it has a version.
    Cas {
        /// The version.
        expected: u64,
        /// The value.
        value: u64,
    },
}

/// What a client was told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The read's answer.
    Found(Content),
    /// The write took effect and gave the key this version.
    Written {
        /// The version.
        version: u64,
    },
    /// The compare-and-set found another version.
    Mismatch,
    /// Nothing that tells whether a write took effect, or will.
    Unknown,
}

/// An operation on one key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Operation {
    /// Who asked.
    pub client: usize,
    /// Through which node, at last.
    pub node: usize,
    /// What was asked.
    pub call: Call,
    /// When, in nanoseconds from the start of the run.
    pub invoked_ns: u64,
    /// What was answered.
    pub outcome: Outcome,
    /// When. For an unknown outcome it says when the client gave up, which binds nothing: the operation stays open.
    pub returned_ns: u64,
}

impl Operation {
    /// When the operation was over; never, for one whose outcome is unknown.
    pub fn end_ns(&self) -> u64 {
        match self.outcome {
            Outcome::Unknown => u64::MAX,
            Outcome::Found(_) | Outcome::Written { .. } | Outcome::Mismatch => self.returned_ns,
        }
    }
}
