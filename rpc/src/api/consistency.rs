//! How fresh the answer to a read must be.

use std::fmt;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// How fresh the answer to a read must be, and what it costs. `docs/guarantees.md` says how each is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Consistency {
    /// Nothing is missing that was acknowledged, to anybody, before the read began. Costs a round trip to a quorum of the
    /// validators; refused as `unavailable` while none answers.
    #[default]
    Linearizable,
    /// The newest state that a quorum has certified, a few blocks old. Answered by the node alone.
    Certified,
    /// What the node has executed, however far it is behind. Answered by the node alone.
    Local,
}

impl Consistency {
    /// The name in queries and options.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Linearizable => "linearizable",
            Self::Certified => "certified",
            Self::Local => "local",
        }
    }
}

impl fmt::Display for Consistency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
