//! Proposals: the signed envelopes in which everything that changes agreed state arrives.

use prost::Message;

use crate::canonical::{Canonical, Limits, decode_proto, required};
use crate::crypto::{
    AccountSignature, Domain, Keypair, Purpose, Signature, check_validator_key, verify_account,
};
use crate::entries::{Quota, check_entries};
use crate::error::TypesError;
use crate::hash::Hash;
use crate::ids::{AccountId, ProposalId, ValidatorId};
pub use crate::kind::{Kind, Rule};
use crate::proto;
use crate::sampled_votes::SampledVotes;
use crate::validators::Weight;
use crate::vote::Vote;

/// What a proposal asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProposalBody {
    /// Set `key` to `value`.
    KvPut {
        /// The key: 1 to 512 bytes of UTF-8 without control characters.
        key: String,
        /// The value: at most 64 KiB.
        value: Vec<u8>,
    },
    /// Remove `key`.
    KvDelete {
        /// The key.
        key: String,
    },
    /// Set `key` to `value` if its version is `expected_version`.
    KvCas {
        /// The key.
        key: String,
        /// The version that the key must have; 0 when it must not exist.
        expected_version: u64,
        /// The value.
        value: Vec<u8>,
    },
    /// Put a decision on record.
    Text {
        /// One line.
        title: String,
        /// The decision.
        text: String,
    },
    /// Set an agreed parameter.
    ParamSet {
        /// The parameter's name; which there are is the ledger's business.
        name: String,
        /// Its new value as text.
        value: String,
    },
    /// Add a validator or change its weight.
    ValidatorAdd {
        /// The node's key: a canonical curve point, not of small order.
        validator: ValidatorId,
        /// Its weight: 1 to [`Weight::MAX`].
        weight: Weight,
    },
    /// Remove a validator.
    ValidatorRemove {
        /// The node's key.
        validator: ValidatorId,
    },
    /// Vote on a voted proposal.
    ProposalVote {
        /// The proposal.
        proposal: ProposalId,
        /// Yes or no.
        approve: bool,
    },
    /// Two contradictory votes of one validator.
    Evidence {
        /// One vote.
        first: Box<Vote>,
        /// The other.
        second: Box<Vote>,
    },
    /// A validator's measurements of the epoch. The account is the validator.
    MetricsReport {
        /// The encoding of a signed report; what stands in it is the ledger's business.
        report: Vec<u8>,
        /// Of the epoch's sampled heights those whose commit certificate the validator holds, in ascending order, at most
        /// [`Limits::SAMPLED_HEIGHTS`].
        sampled: Vec<SampledVotes>,
    },
    /// Two different reports of one validator with one number.
    MetricsEvidence {
        /// The encoding of one signed report.
        first: Vec<u8>,
        /// That of the other.
        second: Vec<u8>,
    },
}

impl ProposalBody {
    /// The body's kind.
    pub const fn kind(&self) -> Kind {
        match self {
            Self::KvPut { .. } => Kind::KvPut,
            Self::KvDelete { .. } => Kind::KvDelete,
            Self::KvCas { .. } => Kind::KvCas,
            Self::Text { .. } => Kind::Text,
            Self::ParamSet { .. } => Kind::ParamSet,
            Self::ValidatorAdd { .. } => Kind::ValidatorAdd,
            Self::ValidatorRemove { .. } => Kind::ValidatorRemove,
            Self::ProposalVote { .. } => Kind::ProposalVote,
            Self::Evidence { .. } => Kind::Evidence,
            Self::MetricsReport { .. } => Kind::MetricsReport,
            Self::MetricsEvidence { .. } => Kind::MetricsEvidence,
        }
    }

    /// The canonical encoding of the kind's message.
    pub fn encode(&self) -> Vec<u8> {
        match self.clone() {
            Self::KvPut { key, value } => proto::KvPut { key, value }.encode_to_vec(),
            Self::KvDelete { key } => proto::KvDelete { key }.encode_to_vec(),
            Self::KvCas { key, expected_version, value } => {
                proto::KvCas { key, expected_version, value }.encode_to_vec()
            }
            Self::Text { title, text } => proto::Text { title, text }.encode_to_vec(),
            Self::ParamSet { name, value } => proto::ParamSet { name, value }.encode_to_vec(),
            Self::ValidatorAdd { validator, weight } => {
                proto::ValidatorAdd { validator: validator.0.to_vec(), weight: weight.0 }.encode_to_vec()
            }
            Self::ValidatorRemove { validator } => {
                proto::ValidatorRemove { validator: validator.0.to_vec() }.encode_to_vec()
            }
            Self::ProposalVote { proposal, approve } => {
                proto::ProposalVote { proposal: proposal.0.to_vec(), approve }.encode_to_vec()
            }
            Self::Evidence { first, second } => {
                proto::Evidence { first: Some(first.to_proto()), second: Some(second.to_proto()) }
                    .encode_to_vec()
            }
            Self::MetricsReport { report, sampled } => {
                let sampled = sampled.iter().map(Canonical::to_proto).collect();
                proto::MetricsReport { report, sampled }.encode_to_vec()
            }
            Self::MetricsEvidence { first, second } => {
                proto::MetricsEvidence { first, second }.encode_to_vec()
            }
        }
    }

    /// Reads the body of a kind from bytes that may be hostile.
    ///
    /// # Errors
    /// Whatever is wrong with the encoding or a field.
    pub fn decode(kind: Kind, bytes: &[u8]) -> Result<Self, TypesError> {
        fn read<M: Message + Default>(what: &'static str, bytes: &[u8]) -> Result<M, TypesError> {
            decode_proto(what, Limits::PROPOSAL_BYTES, bytes)
        }
        let body = match kind {
            Kind::KvPut => {
                let proto::KvPut { key, value } = read("kv.put", bytes)?;
                Self::KvPut { key, value }
            }
            Kind::KvDelete => Self::KvDelete { key: read::<proto::KvDelete>("kv.delete", bytes)?.key },
            Kind::KvCas => {
                let proto::KvCas { key, expected_version, value } = read("kv.cas", bytes)?;
                Self::KvCas { key, expected_version, value }
            }
            Kind::Text => {
                let proto::Text { title, text } = read("text", bytes)?;
                Self::Text { title, text }
            }
            Kind::ParamSet => {
                let proto::ParamSet { name, value } = read("param.set", bytes)?;
                Self::ParamSet { name, value }
            }
            Kind::ValidatorAdd => {
                let proto::ValidatorAdd { validator, weight } = read("validator.add", bytes)?;
                Self::ValidatorAdd { validator: ValidatorId::from_slice(&validator)?, weight: Weight(weight) }
            }
            Kind::ValidatorRemove => {
                let proto::ValidatorRemove { validator } = read("validator.remove", bytes)?;
                Self::ValidatorRemove { validator: ValidatorId::from_slice(&validator)? }
            }
            Kind::ProposalVote => {
                let proto::ProposalVote { proposal, approve } = read("proposal.vote", bytes)?;
                Self::ProposalVote { proposal: Hash::from_slice("proposal id", &proposal)?, approve }
            }
            Kind::Evidence => {
                let proto::Evidence { first, second } = read("evidence", bytes)?;
                Self::Evidence {
                    first: Box::new(Vote::from_proto(required("first vote", first)?)?),
                    second: Box::new(Vote::from_proto(required("second vote", second)?)?),
                }
            }
            Kind::MetricsReport => {
                let heights = Quota::of::<SampledVotes>(2, "sampled heights", Limits::SAMPLED_HEIGHTS);
                check_entries("metrics.report", bytes, [heights])?;
                let proto::MetricsReport { report, sampled } = read("metrics.report", bytes)?;
                let sampled = sampled.into_iter().map(SampledVotes::from_proto).collect::<Result<_, _>>()?;
                Self::MetricsReport { report, sampled }
            }
            Kind::MetricsEvidence => {
                let proto::MetricsEvidence { first, second } = read("metrics.evidence", bytes)?;
                Self::MetricsEvidence { first, second }
            }
        };
        body.check()?;
        Ok(body)
    }

    /// Checks the fields against the protocol's limits: the part of validity that needs no state.
    ///
    /// # Errors
    /// `TooLarge` or `Invalid`, naming the field.
    pub fn check(&self) -> Result<(), TypesError> {
        match self {
            Self::KvPut { key, value } | Self::KvCas { key, value, .. } => {
                check_key(key)?;
                check_bytes("value", value.len(), Limits::VALUE_BYTES)
            }
            Self::KvDelete { key } => check_key(key),
            Self::Text { title, text } => {
                check_bytes("title", title.len(), Limits::TITLE_BYTES)?;
                check_bytes("text", text.len(), Limits::TEXT_BYTES)?;
                if title.is_empty() || title.chars().any(char::is_control) {
                    return Err(TypesError::invalid("title", "it must be one line that is not empty"));
                }
                Ok(())
            }
            Self::ParamSet { name, value } => {
                check_bytes("parameter name", name.len(), Limits::PARAM_BYTES)?;
                check_bytes("parameter value", value.len(), Limits::PARAM_BYTES)
            }
            Self::ValidatorAdd { weight, .. } if *weight == Weight::ZERO || *weight > Weight::MAX => {
                Err(TypesError::invalid("weight", format!("{weight} is outside 1 to {}", Weight::MAX)))
            }
            Self::ValidatorAdd { validator, .. } => check_validator_key(validator),
            Self::Evidence { first, second } => {
                if first.validator == second.validator && first.content.contradicts(&second.content) {
                    Ok(())
                } else {
                    Err(TypesError::invalid("evidence", "the two votes do not contradict each other"))
                }
            }
            Self::MetricsReport { report, sampled } => {
                check_bytes("report", report.len(), Limits::REPORT_BYTES)?;
                check_sampled(sampled)
            }
            Self::MetricsEvidence { first, second } => {
                check_bytes("report", first.len().max(second.len()), Limits::REPORT_BYTES)?;
                if first == second {
                    return Err(TypesError::invalid("evidence", "the two reports are one"));
                }
                Ok(())
            }
            Self::ValidatorRemove { .. } | Self::ProposalVote { .. } => Ok(()),
        }
    }
}

fn check_sampled(sampled: &[SampledVotes]) -> Result<(), TypesError> {
    let (actual, limit) = (sampled.len(), Limits::SAMPLED_HEIGHTS);
    if actual > limit {
        return Err(TypesError::TooMany { what: "sampled heights", actual, limit });
    }
    if sampled.is_sorted_by(|a, b| a.height < b.height) {
        Ok(())
    } else {
        Err(TypesError::invalid("sampled heights", "they are not in order, or one appears twice"))
    }
}

fn check_bytes(what: &'static str, actual: usize, limit: usize) -> Result<(), TypesError> {
    if actual > limit { Err(TypesError::TooLarge { what, actual, limit }) } else { Ok(()) }
}

/// Checks a key of the replicated key-value state.
///
/// # Errors
/// `TooLarge` or `Invalid`.
pub fn check_key(key: &str) -> Result<(), TypesError> {
    check_bytes("key", key.len(), Limits::KEY_BYTES)?;
    if key.is_empty() || key.chars().any(char::is_control) {
        return Err(TypesError::invalid(
            "key",
            "it must be 1 to 512 bytes of text without control characters",
        ));
    }
    Ok(())
}

/// A signed envelope. Decoded ones are well formed, which says nothing about the signature: see [`Proposal::verify`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proposal {
    /// Who asks.
    pub account: AccountId,
    /// For what.
    pub body: ProposalBody,
    /// Agreed time, in milliseconds of the Unix epoch, from which on the proposal has no effect.
    pub expires_at_ms: u64,
    /// Of all proposals of one account with one key, the first takes effect. 1 to 64 bytes of text.
    pub idempotency_key: String,
    /// The account's signature over the content.
    pub signature: Signature,
}

impl Proposal {
    /// Makes and signs a proposal.
    ///
    /// # Errors
    /// Whatever is wrong with the fields.
    pub fn sign(
        body: ProposalBody,
        expires_at_ms: u64,
        idempotency_key: impl Into<String>,
        keypair: &Keypair,
        domain: &Domain,
    ) -> Result<Self, TypesError> {
        let mut proposal = Self {
            account: keypair.account_id(),
            body,
            expires_at_ms,
            idempotency_key: idempotency_key.into(),
            signature: Signature([0; 64]),
        };
        proposal.check()?;
        proposal.signature = keypair.sign(domain, Purpose::Proposal, &proposal.content().encode_to_vec());
        Ok(proposal)
    }

    /// The kind of its body.
    pub fn kind(&self) -> Kind {
        self.body.kind()
    }

    /// The proposal's name.
    pub fn id(&self) -> ProposalId {
        Hash::of("aegis v1 proposal", &self.content().encode_to_vec())
    }

    /// What tells apart two proposals that share an idempotency key: kind and body, not expiry or signature.
    pub fn request_hash(&self) -> Hash {
        let mut bytes = self.kind().name().as_bytes().to_vec();
        bytes.push(0);
        bytes.extend_from_slice(&self.body.encode());
        Hash::of("aegis v1 proposal request", &bytes)
    }

    /// Whether the signature is the account's, by the rule of ZIP-215.
    pub fn verify(&self, domain: &Domain) -> bool {
        verify_account(&self.signature_item(domain))
    }

    /// The signature, as [`crate::crypto::verify_accounts`] takes it.
    pub fn signature_item(&self, domain: &Domain) -> AccountSignature {
        AccountSignature {
            account: self.account,
            message: domain.message(Purpose::Proposal, &self.content().encode_to_vec()),
            signature: self.signature,
        }
    }

    fn content(&self) -> proto::ProposalContent {
        proto::ProposalContent {
            account: self.account.0.to_vec(),
            kind: self.kind().name().to_owned(),
            body: self.body.encode(),
            expires_at_ms: self.expires_at_ms,
            idempotency_key: self.idempotency_key.clone(),
        }
    }

    fn check(&self) -> Result<(), TypesError> {
        check_bytes("idempotency key", self.idempotency_key.len(), Limits::IDEMPOTENCY_KEY_BYTES)?;
        if self.idempotency_key.is_empty() || self.idempotency_key.chars().any(char::is_control) {
            return Err(TypesError::invalid(
                "idempotency key",
                "it must be 1 to 64 bytes of text without control characters",
            ));
        }
        self.body.check()
    }
}

impl Canonical for Proposal {
    type Proto = proto::Proposal;
    const NAME: &'static str = "proposal";
    const MAX_BYTES: usize = Limits::PROPOSAL_BYTES;

    fn to_proto(&self) -> Self::Proto {
        proto::Proposal { content: Some(self.content()), signature: self.signature.0.to_vec() }
    }

    fn from_proto(proto: Self::Proto) -> Result<Self, TypesError> {
        let (actual, limit) = (proto.encoded_len(), Self::MAX_BYTES);
        if actual > limit {
            return Err(TypesError::TooLarge { what: Self::NAME, actual, limit });
        }
        let content = required("proposal content", proto.content)?;
        let kind: Kind = content.kind.parse()?;
        let proposal = Self {
            account: AccountId::from_slice(&content.account)?,
            body: ProposalBody::decode(kind, &content.body)?,
            expires_at_ms: content.expires_at_ms,
            idempotency_key: content.idempotency_key,
            signature: Signature::from_slice(&proto.signature)?,
        };
        proposal.check()?;
        Ok(proposal)
    }
}
