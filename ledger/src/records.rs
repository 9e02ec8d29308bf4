//! The records of agreed state, as they are encoded in it.
//!
//! All are protobuf messages without maps, so prost writes one and the same encoding of a value everywhere; the state root
//! covers these bytes. Tests pin them: a change of any encoding is a change of the protocol.

use std::collections::BTreeMap;

use aegis_types::{AccountId, Epoch, Hash, Height, Parameter, Parameters, ValidatorId, Weight};

use crate::error::LedgerError;
use crate::outcome::{FirstResult, Outcome, RejectCode};

/// Where the chain stands between two blocks.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct HeadRecord {
    /// Hash of the genesis that the state began with.
    #[prost(bytes = "vec", tag = "1")]
    pub(crate) genesis: Vec<u8>,
    /// The last block's height.
    #[prost(uint64, tag = "2")]
    pub(crate) height: u64,
    /// The last block's timestamp.
    #[prost(uint64, tag = "3")]
    pub(crate) timestamp_ms: u64,
    /// The epoch that the next block belongs to.
    #[prost(uint64, tag = "4")]
    pub(crate) epoch: u64,
    /// Timestamp of the block that ended the epoch before, or of the genesis.
    #[prost(uint64, tag = "5")]
    pub(crate) epoch_start_ms: u64,
    /// Whether the last block was a closing one, so that the next must be the handover.
    #[prost(bool, tag = "6")]
    pub(crate) closing: bool,
    /// The largest version that any removed key had, removal included: new keys begin above it.
    #[prost(uint64, tag = "7")]
    pub(crate) version_floor: u64,
    /// Number of open votes.
    #[prost(uint64, tag = "8")]
    pub(crate) open_votes: u64,
    /// Number of closed votes on record that did not pass.
    #[prost(uint64, tag = "9")]
    pub(crate) closed_not_passed: u64,
    /// The epoch in which members or weights last changed: tallies of earlier epochs are out of date.
    #[prost(uint64, tag = "10")]
    pub(crate) weights_epoch: u64,
    /// The key among the deadlines at which counting anew goes on; empty when it is done.
    #[prost(bytes = "vec", tag = "11")]
    pub(crate) recount_from: Vec<u8>,
}

/// A parameter's value.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct ParameterRecord {
    #[prost(string, tag = "1")]
    pub(crate) name: String,
    #[prost(uint64, tag = "2")]
    pub(crate) value: u64,
}

/// The agreed parameters.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct ParametersRecord {
    /// Those in force that differ from their defaults, in order of name.
    #[prost(message, repeated, tag = "1")]
    pub(crate) in_force: Vec<ParameterRecord>,
    /// Those that the next epoch changes, in order of name.
    #[prost(message, repeated, tag = "2")]
    pub(crate) pending: Vec<ParameterRecord>,
}

/// An [`Outcome`] that is no duplicate.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct OutcomeRecord {
    /// [`RejectCode::number`]; 0 when it was not rejected.
    #[prost(uint32, tag = "1")]
    pub(crate) code: u32,
    /// The version that a key got, or that made a comparison fail.
    #[prost(uint64, optional, tag = "2")]
    pub(crate) version: Option<u64>,
    /// The deadline of the vote that was opened.
    #[prost(uint64, optional, tag = "3")]
    pub(crate) deadline_ms: Option<u64>,
}

/// What an idempotency key yielded first.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct FirstResultRecord {
    #[prost(bytes = "vec", tag = "1")]
    pub(crate) id: Vec<u8>,
    #[prost(uint64, tag = "2")]
    pub(crate) height: u64,
    #[prost(uint32, tag = "3")]
    pub(crate) position: u32,
    /// Kind and body, hashed: tells a retry from another request under the same key.
    #[prost(bytes = "vec", tag = "4")]
    pub(crate) request_hash: Vec<u8>,
    #[prost(message, optional, tag = "5")]
    pub(crate) outcome: Option<OutcomeRecord>,
}

/// One idempotency key.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct UsedKey {
    #[prost(bytes = "vec", tag = "1")]
    pub(crate) account: Vec<u8>,
    #[prost(string, tag = "2")]
    pub(crate) key: String,
}

/// Idempotency keys that are forgotten together.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct ForgetRecord {
    #[prost(message, repeated, tag = "1")]
    pub(crate) keys: Vec<UsedKey>,
}

/// Status and tally of a voted proposal.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct VotedRecord {
    #[prost(bytes = "vec", tag = "1")]
    pub(crate) account: Vec<u8>,
    #[prost(string, tag = "2")]
    pub(crate) kind: String,
    #[prost(uint64, tag = "3")]
    pub(crate) opened_height: u64,
    #[prost(uint32, tag = "4")]
    pub(crate) opened_position: u32,
    #[prost(uint64, tag = "5")]
    pub(crate) opened_ms: u64,
    #[prost(uint64, tag = "6")]
    pub(crate) deadline_ms: u64,
    /// [`VoteStatus::number`](crate::VoteStatus).
    #[prost(uint32, tag = "7")]
    pub(crate) status: u32,
    #[prost(uint64, tag = "8")]
    pub(crate) yes: u64,
    #[prost(uint64, tag = "9")]
    pub(crate) no: u64,
    #[prost(uint64, tag = "10")]
    pub(crate) total: u64,
    /// The epoch whose weights were counted.
    #[prost(uint64, tag = "11")]
    pub(crate) tally_epoch: u64,
    #[prost(uint64, tag = "12")]
    pub(crate) closed_height: u64,
    #[prost(uint64, tag = "13")]
    pub(crate) closed_ms: u64,
    /// [`RejectCode::number`] when it passed and could not be carried out, else 0.
    #[prost(uint32, tag = "14")]
    pub(crate) refusal: u32,
}

/// A vote.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct VoteRecord {
    #[prost(bool, tag = "1")]
    pub(crate) approve: bool,
    #[prost(uint64, tag = "2")]
    pub(crate) height: u64,
    #[prost(uint64, tag = "3")]
    pub(crate) timestamp_ms: u64,
}

/// A count.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct CountRecord {
    #[prost(uint64, tag = "1")]
    pub(crate) count: u64,
}

/// A voted change of the validator set.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct PendingRecord {
    /// The new weight; 0 for a removal.
    #[prost(uint64, tag = "1")]
    pub(crate) weight: u64,
    #[prost(bytes = "vec", tag = "2")]
    pub(crate) proposal: Vec<u8>,
}

/// Evidence, or the removal that it brings about.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct EvidenceRecord {
    #[prost(bytes = "vec", tag = "1")]
    pub(crate) proposal: Vec<u8>,
    #[prost(uint64, tag = "2")]
    pub(crate) height: u64,
    #[prost(uint64, tag = "3")]
    pub(crate) timestamp_ms: u64,
}

impl OutcomeRecord {
    /// The record of an outcome; none for a duplicate, which is never recorded.
    pub(crate) fn of(outcome: &Outcome) -> Option<Self> {
        match outcome {
            Outcome::Applied { version } => Some(Self { version: *version, ..Self::default() }),
            Outcome::Opened { deadline_ms } => {
                Some(Self { deadline_ms: Some(*deadline_ms), ..Self::default() })
            }
            Outcome::Rejected { code, reason: _ } => {
                let version = match code {
                    RejectCode::VersionMismatch { actual } => Some(*actual),
                    _ => None,
                };
                Some(Self { code: code.number(), version, ..Self::default() })
            }
            Outcome::Duplicate { .. } => None,
        }
    }

    fn to_outcome(&self, key: &[u8]) -> Result<Outcome, LedgerError> {
        match (self.code, self.deadline_ms) {
            (0, Some(deadline_ms)) => Ok(Outcome::Opened { deadline_ms }),
            (0, None) => Ok(Outcome::Applied { version: self.version }),
            (number, _) => RejectCode::from_number(number, self.version.unwrap_or_default())
                .map(Outcome::rejected)
                .ok_or_else(|| LedgerError::damaged(key, format!("{number} is no reject code"))),
        }
    }
}

impl FirstResultRecord {
    /// The result, as readers see it. `key` is the record's, for errors.
    pub(crate) fn to_result(&self, key: &[u8]) -> Result<FirstResult, LedgerError> {
        let missing = || LedgerError::damaged(key, "it has no outcome");
        Ok(FirstResult {
            id: hash(key, &self.id)?,
            height: Height(self.height),
            position: self.position,
            outcome: self.outcome.as_ref().ok_or_else(missing)?.to_outcome(key)?,
            request: hash(key, &self.request_hash)?,
        })
    }
}

impl HeadRecord {
    /// The epoch that the next block belongs to.
    pub(crate) fn epoch(&self) -> Epoch {
        Epoch(self.epoch)
    }
}

/// The agreed parameters.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct AgreedParameters {
    /// What holds for the next block.
    pub(crate) in_force: Parameters,
    /// What changes with the next epoch.
    pub(crate) pending: BTreeMap<Parameter, u64>,
}

impl AgreedParameters {
    /// What will hold when the next epoch begins, if nothing else is agreed until then.
    pub(crate) fn next(&self) -> Parameters {
        let mut parameters = self.in_force.clone();
        for (parameter, value) in &self.pending {
            // Pending values were checked against the same ranges when they were agreed.
            let _ = parameters.set(*parameter, *value);
        }
        parameters
    }

    pub(crate) fn to_record(&self) -> ParametersRecord {
        let record = |(parameter, value): (Parameter, u64)| ParameterRecord {
            name: parameter.name().to_owned(),
            value,
        };
        ParametersRecord {
            in_force: self.in_force.changed().map(record).collect(),
            pending: self.pending.iter().map(|(parameter, value)| record((*parameter, *value))).collect(),
        }
    }

    pub(crate) fn from_record(key: &[u8], record: &ParametersRecord) -> Result<Self, LedgerError> {
        let damaged = |error: aegis_types::TypesError| LedgerError::damaged(key, error.to_string());
        let mut agreed = Self::default();
        for entry in &record.in_force {
            agreed.in_force.set(entry.name.parse().map_err(damaged)?, entry.value).map_err(damaged)?;
        }
        for entry in &record.pending {
            agreed.pending.insert(entry.name.parse().map_err(damaged)?, entry.value);
        }
        Ok(agreed)
    }
}

/// A hash in the record at `key`.
pub(crate) fn hash(key: &[u8], bytes: &[u8]) -> Result<Hash, LedgerError> {
    Hash::from_slice("hash", bytes).map_err(|error| LedgerError::damaged(key, error.to_string()))
}

/// An account in the record at `key`.
pub(crate) fn account(key: &[u8], bytes: &[u8]) -> Result<AccountId, LedgerError> {
    AccountId::from_slice(bytes).map_err(|error| LedgerError::damaged(key, error.to_string()))
}

/// The validator that a key ends with.
pub(crate) fn validator_of(key: &[u8]) -> Result<ValidatorId, LedgerError> {
    crate::keys::last_id(key)
        .map(ValidatorId)
        .ok_or_else(|| LedgerError::damaged(key, "the key is too short"))
}

/// The proposal that a key ends with.
pub(crate) fn proposal_of(key: &[u8]) -> Result<Hash, LedgerError> {
    crate::keys::last_id(key).map(Hash).ok_or_else(|| LedgerError::damaged(key, "the key is too short"))
}

impl PendingRecord {
    /// The new weight; none for a removal.
    pub(crate) fn new_weight(&self) -> Option<Weight> {
        (self.weight != 0).then_some(Weight(self.weight))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use prost::Message;

    fn hex(record: &impl Message) -> String {
        record.encode_to_vec().iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Every field of every record, set to a value of its own. A change of these bytes is a change of the protocol.
    #[test]
    fn the_encoding_of_every_record_is_pinned() {
        let head = HeadRecord {
            genesis: vec![0xaa],
            height: 2,
            timestamp_ms: 300,
            epoch: 4,
            epoch_start_ms: 5,
            closing: true,
            version_floor: 7,
            open_votes: 8,
            closed_not_passed: 9,
            weights_epoch: 10,
            recount_from: b"d".to_vec(),
        };
        assert_eq!(hex(&head), "0a01aa100218ac02200428053001380740084809500a5a0164");
        let mut agreed = AgreedParameters::default();
        agreed.in_force.set(Parameter::Window, 16).expect("in range");
        agreed.pending.insert(Parameter::Window, 9);
        assert_eq!(hex(&agreed.to_record()), "0a0a0a0677696e646f771010120a0a0677696e646f771009");
        assert_eq!(
            hex(&aegis_types::proto::KvRecord { version: 1, height: 2, value: b"v".to_vec() }),
            "080110021a0176"
        );
        let used = UsedKey { account: vec![0xaa], key: "k".to_owned() };
        assert_eq!(hex(&ForgetRecord { keys: vec![used] }), "0a060a01aa12016b");
        assert_eq!(hex(&VoteRecord { approve: true, height: 2, timestamp_ms: 3 }), "080110021803");
        assert_eq!(hex(&CountRecord { count: 1 }), "0801");
        assert_eq!(hex(&PendingRecord { weight: 1, proposal: vec![0xaa] }), "08011201aa");
        let evidence = EvidenceRecord { proposal: vec![0xaa], height: 2, timestamp_ms: 3 };
        assert_eq!(hex(&evidence), "0a01aa10021803");
        let voted = VotedRecord {
            account: vec![0xaa],
            kind: "text".to_owned(),
            opened_height: 3,
            opened_position: 4,
            opened_ms: 5,
            deadline_ms: 6,
            status: 1,
            yes: 8,
            no: 9,
            total: 10,
            tally_epoch: 11,
            closed_height: 12,
            closed_ms: 13,
            refusal: 14,
        };
        assert_eq!(hex(&voted), "0a01aa1204746578741803200428053006380140084809500a580b600c680d700e");
    }

    #[test]
    fn outcomes_are_pinned_and_read_back() {
        let mismatch = RejectCode::VersionMismatch { actual: 3 };
        for (outcome, bytes) in [
            (Outcome::applied(), "0a01aa100218032201bb2a00"),
            (Outcome::applied_at(7), "0a01aa100218032201bb2a021007"),
            (Outcome::Opened { deadline_ms: 9 }, "0a01aa100218032201bb2a021809"),
            (Outcome::rejected(RejectCode::NotFound), "0a01aa100218032201bb2a020803"),
            (Outcome::rejected(mismatch), "0a01aa100218032201bb2a0408041003"),
        ] {
            let record = OutcomeRecord::of(&outcome).expect("it is no duplicate");
            assert_eq!(record.to_outcome(b"i"), Ok(outcome));
            let first = FirstResultRecord {
                id: vec![0xaa],
                height: 2,
                position: 3,
                request_hash: vec![0xbb],
                outcome: Some(record),
            };
            assert_eq!(hex(&first), bytes);
        }
        let unknown = OutcomeRecord { code: 99, ..OutcomeRecord::default() };
        assert!(matches!(unknown.to_outcome(b"i"), Err(LedgerError::Damaged { .. })));
    }
}
