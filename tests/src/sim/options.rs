//! What a run is given besides its seed. The seed and these decide everything.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::sync::Arc;

use super::clock::Micros;
use super::delays::DelayTable;
use super::faults::FaultKind;

/// Decisions of a run, unless told otherwise.
pub const DECISIONS: u64 = 200;

/// How to run a seed.
#[derive(Debug, Clone)]
pub struct Options {
    /// Height at which the run ends, once everybody has recovered from the faults.
    pub decisions: u64,
    /// Delays between places.
    pub delays: Arc<DelayTable>,
    /// What to leave out.
    pub trim: Trim,
}

impl Default for Options {
    fn default() -> Self {
        Self { decisions: DECISIONS, delays: Arc::new(DelayTable::of_cities()), trim: Trim::default() }
    }
}

/// What a run leaves out of what its seed says, to make a failure easier to read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Trim {
    /// Kinds of faults that do not happen.
    pub without: BTreeSet<FaultKind>,
    /// Numbers of single timed faults that do not happen.
    pub skip: BTreeSet<u64>,
    /// Byzantine nodes that are correct instead.
    pub honest: BTreeSet<usize>,
    /// Number of validators of the genesis.
    pub nodes: Option<usize>,
    /// When the safety phase ends at the latest, in microseconds.
    pub heal_at: Option<Micros>,
}

impl Trim {
    /// The flags of the command line that say the same.
    pub fn flags(&self) -> String {
        let mut flags = String::new();
        let list = |items: Vec<String>| items.join(",");
        if !self.without.is_empty() {
            let _ =
                write!(flags, " --without {}", list(self.without.iter().map(ToString::to_string).collect()));
        }
        if !self.skip.is_empty() {
            let _ = write!(flags, " --skip {}", list(self.skip.iter().map(ToString::to_string).collect()));
        }
        if !self.honest.is_empty() {
            let _ =
                write!(flags, " --honest {}", list(self.honest.iter().map(ToString::to_string).collect()));
        }
        if let Some(nodes) = self.nodes {
            let _ = write!(flags, " --nodes {nodes}");
        }
        if let Some(at) = self.heal_at {
            let _ = write!(flags, " --heal-at-us {at}");
        }
        flags
    }
}
