//! Agreed parameters: numbers on which all nodes must agree, so they live in the genesis and in agreed state, never in a
//! node's configuration. A `param.set` proposal changes one. Values that are a choice rather than a number are written as words.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use crate::canonical::Limits;
use crate::error::TypesError;
use crate::hash::serde_as_text;
use crate::weight_policy::FaultTolerance;

/// An agreed parameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Parameter {
    /// Epochs without proof of two reports after which a validator that joined may be in the core.
    CleanEpochs,
    /// Largest distance of a block's timestamp ahead of a voter's clock.
    ClockDriftMaxMs,
    /// Size of the core; 0, written `profile`, stands for what the fault tolerance makes it.
    CoreSize,
    /// Length of an epoch in agreed time.
    EpochLengthMs,
    /// How many validators may fail in any way under measured weights: see [`Parameters::fault_tolerance`].
    FaultTolerance,
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
    /// How many epochs' weights are kept with the measurements that they came from.
    WeightsHistoryEpochs,
    /// Who decides the weights: see [`WeightsMode`].
    WeightsMode,
    /// How many blocks above the last committed one may be in agreement at once.
    Window,
}

/// Who decides the weights of the epochs after the genesis.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum WeightsMode {
    /// The genesis and `validator.add`: what was voted stays.
    #[default]
    Fixed,
    /// The rule of `docs/metrics.md`, from agreed measurements. What `validator.add` says of weight is not read.
    Measured,
    /// The members, for equal weights, while measurements go on.
    Equal,
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

/// [`Parameter::FaultTolerance`] for the profile `fast`: one above any number of validators that may fail.
const FAULT_TOLERANCE_FAST: u64 = FaultTolerance::LARGEST as u64 + 1;

const WEIGHTS_FIXED: u64 = 1;
const WEIGHTS_MEASURED: u64 = 2;
const WEIGHTS_EQUAL: u64 = 3;

const SECOND: u64 = 1_000;
const HOUR: u64 = 3_600 * SECOND;
const DAY: u64 = 24 * HOUR;

impl Parameter {
    /// All parameters, in order of name.
    pub const ALL: [Self; 14] = [
        Self::CleanEpochs,
        Self::ClockDriftMaxMs,
        Self::CoreSize,
        Self::EpochLengthMs,
        Self::FaultTolerance,
        Self::IdempotencyRetentionMs,
        Self::IdleIntervalMs,
        Self::OpenVotesMax,
        Self::ProposalLifetimeMaxMs,
        Self::ViewTimeoutMs,
        Self::VotingPeriodMs,
        Self::WeightsHistoryEpochs,
        Self::WeightsMode,
        Self::Window,
    ];

    /// The name in files and proposals.
    pub const fn name(self) -> &'static str {
        match self {
            Self::CleanEpochs => "clean_epochs",
            Self::ClockDriftMaxMs => "clock_drift_max_ms",
            Self::CoreSize => "core_size",
            Self::EpochLengthMs => "epoch_length_ms",
            Self::FaultTolerance => "fault_tolerance",
            Self::IdempotencyRetentionMs => "idempotency_retention_ms",
            Self::IdleIntervalMs => "idle_interval_ms",
            Self::OpenVotesMax => "open_votes_max",
            Self::ProposalLifetimeMaxMs => "proposal_lifetime_max_ms",
            Self::ViewTimeoutMs => "view_timeout_ms",
            Self::VotingPeriodMs => "voting_period_ms",
            Self::WeightsHistoryEpochs => "weights_history_epochs",
            Self::WeightsMode => "weights_mode",
            Self::Window => "window",
        }
    }

    /// What the parameter means, for people.
    pub const fn description(self) -> &'static str {
        match self {
            Self::CleanEpochs => "epochs after which a validator that joined may be in the core",
            Self::ClockDriftMaxMs => "largest distance of a block's timestamp ahead of a voter's clock",
            Self::CoreSize => {
                "how many validators gather weight when it is measured; `profile`: as many as the fault tolerance says"
            }
            Self::EpochLengthMs => "length of an epoch in agreed time",
            Self::FaultTolerance => {
                "how many validators may fail in any way when weights are measured: `safe` is a third, `fast` a sixth"
            }
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
            Self::WeightsHistoryEpochs => {
                "how many epochs' weights are kept with the measurements that they came from"
            }
            Self::WeightsMode => {
                "who decides the weights: `fixed` votes, `measured` reports, or `equal` while reports go on"
            }
            Self::Window => "how many blocks above the last committed one may be in agreement at once",
        }
    }

    /// The values that have words instead of digits, and are written in no other way.
    pub const fn words(self) -> &'static [(&'static str, u64)] {
        match self {
            Self::CoreSize => &[("profile", 0)],
            Self::FaultTolerance => &[("safe", 0), ("fast", FAULT_TOLERANCE_FAST)],
            Self::WeightsMode => {
                &[("fixed", WEIGHTS_FIXED), ("measured", WEIGHTS_MEASURED), ("equal", WEIGHTS_EQUAL)]
            }
            _ => &[],
        }
    }

    /// A value as people write it: its word if it has one.
    pub fn value_text(self, value: u64) -> String {
        let word = self.words().iter().find(|(_, number)| *number == value);
        word.map_or_else(|| value.to_string(), |(word, _)| (*word).to_owned())
    }

    /// Reads a value as [`Parameter::value_text`] writes it. Does not look at the range.
    ///
    /// # Errors
    /// `Invalid` for what is neither a word of the parameter nor a whole number without a word.
    pub fn parse_value(self, text: &str) -> Result<u64, TypesError> {
        if let Some((_, value)) = self.words().iter().find(|(word, _)| *word == text) {
            return Ok(*value);
        }
        let number: Option<u64> = text.parse().ok();
        number.filter(|number| self.value_text(*number) == text).ok_or_else(|| {
            let words: Vec<String> = self.words().iter().map(|(word, _)| format!("`{word}`")).collect();
            let or = if words.is_empty() { "" } else { " or " };
            let reason = format!("{self} takes a whole number, such as 1000{or}{}", words.join(", "));
            TypesError::invalid("parameter value", reason)
        })
    }

    /// Default and range.
    pub const fn range(self) -> ParameterRange {
        let (default, min, max) = match self {
            Self::CleanEpochs => (10, 0, 1_000),
            Self::ClockDriftMaxMs => (5 * SECOND, 100, HOUR),
            Self::CoreSize => (0, 0, Limits::VALIDATORS as u64),
            Self::EpochLengthMs => (60 * SECOND, SECOND, 7 * DAY),
            Self::FaultTolerance => (0, 0, FAULT_TOLERANCE_FAST),
            // At least the longest lifetime, or an expired key could come back to life: the two ranges meet at one hour.
            Self::IdempotencyRetentionMs => (DAY, HOUR, 30 * DAY),
            Self::IdleIntervalMs => (SECOND, 20, 60 * SECOND),
            Self::OpenVotesMax => (1_000, 1, 100_000),
            Self::ProposalLifetimeMaxMs => (HOUR, SECOND, HOUR),
            Self::ViewTimeoutMs => (2 * SECOND, 50, 10 * 60 * SECOND),
            Self::VotingPeriodMs => (HOUR, SECOND, 30 * DAY),
            // One epoch of a hundred validators takes some 50 kB: the default keeps 13 MB of such a network.
            Self::WeightsHistoryEpochs => (256, 1, 10_000),
            Self::WeightsMode => (WEIGHTS_FIXED, WEIGHTS_FIXED, WEIGHTS_EQUAL),
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
    /// `Invalid` for an unknown name, a value that is neither number nor word, or one outside the range.
    pub fn set_text(&mut self, name: &str, value: &str) -> Result<Parameter, TypesError> {
        let parameter: Parameter = name.parse()?;
        self.set(parameter, parameter.parse_value(value)?)?;
        Ok(parameter)
    }

    /// Who decides the weights.
    pub fn weights_mode(&self) -> WeightsMode {
        match self.get(Parameter::WeightsMode) {
            WEIGHTS_MEASURED => WeightsMode::Measured,
            WEIGHTS_EQUAL => WeightsMode::Equal,
            _ => WeightsMode::Fixed,
        }
    }

    /// How many validators may fail in any way, under weights that are not fixed.
    pub fn fault_tolerance(&self) -> FaultTolerance {
        match u32::try_from(self.get(Parameter::FaultTolerance)) {
            Ok(0) => FaultTolerance::Safe,
            Ok(number) if number <= FaultTolerance::LARGEST => FaultTolerance::Fixed(number),
            Ok(_) | Err(_) => FaultTolerance::Fast,
        }
    }

    /// Size of the core, where it is not the one that follows from the fault tolerance.
    pub fn core_size(&self) -> Option<u32> {
        u32::try_from(self.get(Parameter::CoreSize)).ok().filter(|size| *size > 0)
    }

    /// Checks that fault tolerance and core size fit a number of validators, where either is given by number. A profile
    /// fits any: with fewer than four validators its weights are equal.
    ///
    /// # Errors
    /// `TooFewMembers` or `BadCore`.
    pub fn check_weight_policy(&self, members: usize) -> Result<(), TypesError> {
        let (tolerance, core) = (self.fault_tolerance(), self.core_size());
        match tolerance {
            FaultTolerance::Safe | FaultTolerance::Fast if core.is_none() => Ok(()),
            FaultTolerance::Safe | FaultTolerance::Fast | FaultTolerance::Fixed(_) => {
                tolerance.policy(members, core).map(|_| ())
            }
        }
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
