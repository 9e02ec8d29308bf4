//! Agreed parameters: numbers on which all nodes must agree, so they live in the genesis and in agreed state, never in a
//! node's configuration. A `param.set` proposal changes one.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use crate::error::TypesError;
use crate::hash::serde_as_text;

/// An agreed parameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Parameter {
    /// Largest distance of a block's timestamp ahead of a voter's clock.
    ClockDriftMaxMs,
    /// Length of an epoch in agreed time.
    EpochLengthMs,
    /// How long the first result under an idempotency key is remembered.
    IdempotencyRetentionMs,
    /// How long a leader without proposals waits before it proposes an empty block.
    IdleIntervalMs,
    /// Most voted proposals that may be open at once.
    OpenVotesMax,
    /// How far in the future a proposal's expiry may lie.
    ProposalLifetimeMaxMs,
    /// How long the first view without progress lasts before a view change; doubles with each further one.
    ViewTimeoutMs,
    /// How long a voted proposal stays open.
    VotingPeriodMs,
    /// How many blocks above the last committed one may be in agreement at once.
    Window,
}

/// Default and range of a parameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ParameterRange {
    /// Value when the genesis does not say.
    pub default: u64,
    /// Smallest value.
    pub min: u64,
    /// Largest value.
    pub max: u64,
}

const SECOND: u64 = 1_000;
const HOUR: u64 = 3_600 * SECOND;
const DAY: u64 = 24 * HOUR;

impl Parameter {
    /// All parameters, in order of name.
    pub const ALL: [Self; 9] = [
        Self::ClockDriftMaxMs,
        Self::EpochLengthMs,
        Self::IdempotencyRetentionMs,
        Self::IdleIntervalMs,
        Self::OpenVotesMax,
        Self::ProposalLifetimeMaxMs,
        Self::ViewTimeoutMs,
        Self::VotingPeriodMs,
        Self::Window,
    ];

    /// The name in files and proposals.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ClockDriftMaxMs => "clock_drift_max_ms",
            Self::EpochLengthMs => "epoch_length_ms",
            Self::IdempotencyRetentionMs => "idempotency_retention_ms",
            Self::IdleIntervalMs => "idle_interval_ms",
            Self::OpenVotesMax => "open_votes_max",
            Self::ProposalLifetimeMaxMs => "proposal_lifetime_max_ms",
            Self::ViewTimeoutMs => "view_timeout_ms",
            Self::VotingPeriodMs => "voting_period_ms",
            Self::Window => "window",
        }
    }

    /// What the parameter means, for people.
    pub const fn description(self) -> &'static str {
        match self {
            Self::ClockDriftMaxMs => "largest distance of a block's timestamp ahead of a voter's clock",
            Self::EpochLengthMs => "length of an epoch in agreed time",
            Self::IdempotencyRetentionMs => {
                "how long the first result under an idempotency key is remembered"
            }
            Self::IdleIntervalMs => {
                "how long a leader without proposals waits before it proposes an empty block"
            }
            Self::OpenVotesMax => "most voted proposals that may be open at once",
            Self::ProposalLifetimeMaxMs => "how far in the future a proposal's expiry may lie",
            Self::ViewTimeoutMs => "how long the first view without progress lasts before a view change",
            Self::VotingPeriodMs => "how long a voted proposal stays open",
            Self::Window => "how many blocks above the last committed one may be in agreement at once",
        }
    }

    /// Default and range.
    pub const fn range(self) -> ParameterRange {
        let (default, min, max) = match self {
            Self::ClockDriftMaxMs => (5 * SECOND, 100, HOUR),
            Self::EpochLengthMs => (60 * SECOND, SECOND, 7 * DAY),
            // At least the longest lifetime, or an expired key could come back to life: the two ranges meet at one hour.
            Self::IdempotencyRetentionMs => (DAY, HOUR, 30 * DAY),
            Self::IdleIntervalMs => (SECOND, 20, 60 * SECOND),
            Self::OpenVotesMax => (1_000, 1, 100_000),
            Self::ProposalLifetimeMaxMs => (HOUR, SECOND, HOUR),
            Self::ViewTimeoutMs => (2 * SECOND, 50, 10 * 60 * SECOND),
            Self::VotingPeriodMs => (HOUR, SECOND, 30 * DAY),
            Self::Window => (8, 1, 32),
        };
        ParameterRange { default, min, max }
    }
}

impl fmt::Display for Parameter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Parameter {
    type Err = TypesError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|parameter| parameter.name() == text).ok_or_else(|| {
            TypesError::invalid(
                "parameter",
                format!(
                    "`{}` is not known; known are {}",
                    text.chars().take(64).collect::<String>(),
                    Self::ALL.map(Self::name).join(", ")
                ),
            )
        })
    }
}

serde_as_text!(Parameter);

/// A value for every parameter, each within its range.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Parameters {
    changed: BTreeMap<Parameter, u64>,
}

impl Parameters {
    /// A parameter's value.
    pub fn get(&self, parameter: Parameter) -> u64 {
        self.changed.get(&parameter).copied().unwrap_or(parameter.range().default)
    }

    /// Sets a parameter.
    ///
    /// # Errors
    /// `Invalid` when the value lies outside the parameter's range.
    pub fn set(&mut self, parameter: Parameter, value: u64) -> Result<(), TypesError> {
        let ParameterRange { default, min, max } = parameter.range();
        if value < min || value > max {
            return Err(TypesError::invalid(
                "parameter value",
                format!("{parameter} must be between {min} and {max}, not {value}"),
            ));
        }
        if value == default {
            self.changed.remove(&parameter);
        } else {
            self.changed.insert(parameter, value);
        }
        Ok(())
    }

    /// Sets a parameter from text, as it stands in a `param.set` proposal.
    ///
    /// # Errors
    /// `Invalid` for an unknown name, a value that is no number, or one outside the range.
    pub fn set_text(&mut self, name: &str, value: &str) -> Result<Parameter, TypesError> {
        let parameter: Parameter = name.parse()?;
        let number: Option<u64> = value.parse().ok();
        let number = number.filter(|number| number.to_string() == value).ok_or_else(|| {
            TypesError::invalid("parameter value", format!("{parameter} takes a whole number, such as 1000"))
        })?;
        self.set(parameter, number)?;
        Ok(parameter)
    }

    /// The parameters that differ from their defaults, in order of name.
    pub fn changed(&self) -> impl Iterator<Item = (Parameter, u64)> + '_ {
        self.changed.iter().map(|(parameter, value)| (*parameter, *value))
    }

    /// Every parameter with its value, in order of name.
    pub fn all(&self) -> impl Iterator<Item = (Parameter, u64)> + '_ {
        Parameter::ALL.into_iter().map(|parameter| (parameter, self.get(parameter)))
    }
}
