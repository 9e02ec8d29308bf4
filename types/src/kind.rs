//! The kinds of proposals, by name.

use std::fmt;
use std::str::FromStr;

use crate::error::TypesError;
use crate::hash::serde_as_text;

/// When a proposal of a kind takes effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// In the block that orders it.
    Immediate,
    /// When validators with more than two thirds of the weight have voted yes.
    Voted,
}

/// The kinds of proposals.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// `kv.put`: sets a key.
    KvPut,
    /// `kv.delete`: removes a key.
    KvDelete,
    /// `kv.cas`: sets a key if its version is the expected one.
    KvCas,
    /// `text`: puts a decision on record.
    Text,
    /// `param.set`: sets an agreed parameter.
    ParamSet,
    /// `validator.add`: adds a validator or changes its weight.
    ValidatorAdd,
    /// `validator.remove`: removes a validator.
    ValidatorRemove,
    /// `proposal.vote`: a validator's vote on a voted proposal.
    ProposalVote,
    /// `evidence`: proof that a validator voted for two blocks at once.
    Evidence,
    /// `metrics.report`: a validator's measurements of the epoch.
    MetricsReport,
    /// `metrics.evidence`: proof that a validator reported two things at once.
    MetricsEvidence,
}

impl Kind {
    /// All kinds, in the order of the documentation.
    pub const ALL: [Self; 11] = [
        Self::KvPut,
        Self::KvDelete,
        Self::KvCas,
        Self::Text,
        Self::ParamSet,
        Self::ValidatorAdd,
        Self::ValidatorRemove,
        Self::ProposalVote,
        Self::Evidence,
        Self::MetricsReport,
        Self::MetricsEvidence,
    ];

    /// The name in envelopes, commands and documents.
    pub const fn name(self) -> &'static str {
        match self {
            Self::KvPut => "kv.put",
            Self::KvDelete => "kv.delete",
            Self::KvCas => "kv.cas",
            Self::Text => "text",
            Self::ParamSet => "param.set",
            Self::ValidatorAdd => "validator.add",
            Self::ValidatorRemove => "validator.remove",
            Self::ProposalVote => "proposal.vote",
            Self::Evidence => "evidence",
            Self::MetricsReport => "metrics.report",
            Self::MetricsEvidence => "metrics.evidence",
        }
    }

    /// When it takes effect.
    pub const fn rule(self) -> Rule {
        match self {
            Self::Text | Self::ParamSet | Self::ValidatorAdd | Self::ValidatorRemove => Rule::Voted,
            Self::KvPut
            | Self::KvDelete
            | Self::KvCas
            | Self::ProposalVote
            | Self::Evidence
            | Self::MetricsReport
            | Self::MetricsEvidence => Rule::Immediate,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Kind {
    type Err = TypesError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|kind| kind.name() == text).ok_or_else(|| TypesError::UnknownKind {
            kind: text.chars().take(64).collect(),
            known: Self::ALL.map(Self::name).join(", "),
        })
    }
}

serde_as_text!(Kind);
