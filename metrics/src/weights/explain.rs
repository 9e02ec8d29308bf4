//! Why each member has the weight it has: every term of the rule, and where each limit bit.

use aegis_types::{Epoch, Member, TypesError, ValidatorId, ValidatorSet, Weight};

use crate::level::LevelTerms;
use crate::micro::Micro;
use crate::weights::WeightPolicy;
use crate::weights::latency::LatencyGuard;
use crate::weights::trade::Trade;

/// Why all weights are equal although the rule was to decide.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case", tag = "reason")]
pub enum Fallback {
    /// Members of less than a quorum reported.
    TooFewReports {
        /// Weight of the members that reported.
        reporting: Weight,
        /// Weight that must report.
        quorum: Weight,
    },
    /// The fault tolerance and core do not fit the number of members.
    PolicyDoesNotFit {
        /// How many members there are.
        members: usize,
    },
    /// The members decided so.
    Decided,
    /// Commits took more than 1.25 times as long as under equal weights, two epochs in a row.
    SlowCommits {
        /// Median commit latency under equal weights.
        baseline_us: u32,
    },
    /// The rule's result failed its own check. This is a defect of the program; report it.
    FailedCheck,
}

/// Why a member cannot be in the core.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Ineligible {
    /// It voted in too few certificates.
    LowParticipation,
    /// It is proven to have said two things.
    Equivocated,
    /// It is a member for too few epochs without such a proof.
    Joining,
    /// More than a third of the weight contradicts its row.
    Contradicted,
}

/// One member's way from terms to weight.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct NodeExplanation {
    /// Who.
    pub validator: ValidatorId,
    /// The terms of its level.
    pub terms: LevelTerms,
    /// Whether an agreed report of it entered.
    pub reported: bool,
    /// Its level.
    pub level: Micro,
    /// What was added to its level for being in the core already.
    pub hysteresis: Micro,
    /// Why it cannot be in the core; empty when it can.
    pub ineligible: Vec<Ineligible>,
    /// Its place among the eligible, from 0.
    pub rank: Option<usize>,
    /// Whether it is in the core.
    pub in_core: bool,
    /// Its weight before.
    pub before: Weight,
    /// What it aims at.
    pub target: Weight,
    /// Its weight after growth.
    pub grown: Weight,
    /// Whether growth was limited to twofold.
    pub growth_limited: bool,
    /// Whether the cap took something away.
    pub capped: bool,
    /// Its weight.
    pub after: Weight,
    /// Its epochs of membership without proof of equivocation, for the next time.
    pub clean_epochs_after: u32,
}

/// The weights of an epoch, how they came about and what they trade.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct WeightOutcome {
    /// The epoch that the weights are for.
    pub epoch: Epoch,
    /// Fault tolerance and core size; nothing when they do not fit the number of members.
    pub policy: Option<WeightPolicy>,
    /// Why the weights are equal instead of the rule's.
    pub fallback: Option<Fallback>,
    /// `T0`: the median of the sanitised round-trip times.
    pub median_rtt_us: u32,
    /// Agreed median commit latency of the epoch that ended.
    pub commit_latency_us: Option<u32>,
    /// The guard against slow weights, for the next time.
    pub latency: LatencyGuard,
    /// `c*`: nobody has more.
    pub cap: Weight,
    /// The members in ascending order of validator.
    pub nodes: Vec<NodeExplanation>,
    /// The core, best first; empty under a fallback.
    pub core: Vec<ValidatorId>,
    /// Who is to lead, in the order of views; without the recently absent. The validator set has the last word: under
    /// equal weights, and where these do not hold more than `f`, all lead.
    pub leaders: Vec<ValidatorId>,
    /// What the weights trade.
    pub trade: Trade,
}

impl WeightOutcome {
    /// The weights as a validator set of [`WeightOutcome::epoch`].
    ///
    /// # Errors
    /// `BadValidatorSet` when there are no members or more than a set can have.
    pub fn validator_set(&self) -> Result<ValidatorSet, TypesError> {
        let members = self.nodes.iter().map(|node| Member { validator: node.validator, weight: node.after });
        ValidatorSet::new(self.epoch, members.collect())
    }
}
