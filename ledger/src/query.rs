//! Typed reads of agreed state, from any [`StateReader`].
//!
//! Lists come in pages: at most the asked number of items, from 1 to [`PAGE_MAX`], and no more values than fill
//! [`PAGE_BYTES_MAX`]. A page names where the next one begins; it may have fewer items than asked, even none, and still have
//! a successor, as a filter looks at [`SCAN_MAX`] entries a page at most.

use aegis_types::proto::KvRecord;
use aegis_types::{
    AccountId, Epoch, Hash, Height, Kind, Parameter, Parameters, ProposalBody, ProposalId, ValidatorId,
    Weight,
};

use crate::error::LedgerError;
use crate::keys;
use crate::outcome::RejectCode;
use crate::records::{
    self, AgreedParameters, EvidenceRecord, ParametersRecord, PendingRecord, VoteRecord, VotedRecord,
};
use crate::state::{StateReader, after, decode, next_in, read, read_required};
use crate::tally::{kind_of, opened_at, refused, tally_of};
use crate::voted::{
    CastVote, Closed, Enactment, EvidenceOnRecord, OpenedAt, PendingChange, PendingValidator, VoteStatus,
    VotedProposal,
};

/// Most items of a page: what a client can take in at once.
pub const PAGE_MAX: usize = 1_000;

/// A page ends with the item that brings its values to this many bytes: pages are held in memory.
pub const PAGE_BYTES_MAX: usize = 1024 * 1024;

/// How many entries a filtered page looks at: bounds the time of one request.
pub const SCAN_MAX: usize = 4_096;

/// Part of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T, C> {
    /// The items.
    pub items: Vec<T>,
    /// Pass it as `after` for the next page; none at the list's end.
    pub next: Option<C>,
}

/// A value of the key-value state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KvEntry {
    /// The key.
    pub key: String,
    /// Its version.
    pub version: u64,
    /// The block that set it last.
    pub height: Height,
    /// The value.
    pub value: Vec<u8>,
}

/// Which voted proposals to list; the default lists all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct VotedFilter {
    /// Only those with this status.
    pub status: Option<VoteStatus>,
    /// Only those of this kind.
    pub kind: Option<Kind>,
    /// Only those that this account opened.
    pub account: Option<AccountId>,
}

/// Place in the list of open votes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct DeadlineCursor {
    /// Deadline of the last vote seen, in milliseconds of the Unix epoch.
    pub deadline_ms: u64,
    /// That vote.
    pub proposal: ProposalId,
}

/// The value of a key.
///
/// # Errors
/// `State` and `Damaged`.
pub fn kv(state: &dyn StateReader, key: &str) -> Result<Option<KvEntry>, LedgerError> {
    Ok(read::<KvRecord>(state, &keys::kv(key))?.map(|record| kv_entry(key.to_owned(), record)))
}

/// The keys that begin with `prefix`, ascending, from the first one greater than `after_key`.
///
/// # Errors
/// `State` and `Damaged`.
pub fn kv_list(
    state: &dyn StateReader,
    prefix: &str,
    after_key: Option<&str>,
    limit: usize,
) -> Result<Page<KvEntry, String>, LedgerError> {
    let prefix = keys::kv(prefix);
    let mut from = after_key.map_or_else(|| prefix.clone(), |key| after(&keys::kv(key)));
    let (mut items, mut bytes) = (Vec::new(), 0_usize);
    while let Some((key, value)) = next_in(state, &prefix, &from)? {
        if items.len() >= limit.clamp(1, PAGE_MAX) || bytes >= PAGE_BYTES_MAX {
            let next = items.last().map(|entry: &KvEntry| entry.key.clone());
            return Ok(Page { items, next });
        }
        let text = key.get(keys::KV.len()..).and_then(|name| std::str::from_utf8(name).ok());
        let name = text.ok_or_else(|| LedgerError::damaged(&key, "the key is not text"))?.to_owned();
        bytes = bytes.saturating_add(key.len()).saturating_add(value.len());
        items.push(kv_entry(name, decode(&key, &value)?));
        from = after(&key);
    }
    Ok(Page { items, next: None })
}

/// A voted proposal, open or closed, until it is forgotten.
///
/// # Errors
/// `State` and `Damaged`.
pub fn vote_record(state: &dyn StateReader, id: &ProposalId) -> Result<Option<VotedProposal>, LedgerError> {
    read::<VotedRecord>(state, &keys::voted(id))?.map(|record| voted_proposal(state, id, &record)).transpose()
}

/// The votes on a proposal, in order of validator: at most as many as a validator set has members.
///
/// # Errors
/// `State` and `Damaged`.
pub fn votes(state: &dyn StateReader, id: &ProposalId) -> Result<Vec<CastVote>, LedgerError> {
    let prefix = keys::votes(id);
    let (mut votes, mut from) = (Vec::new(), prefix.clone());
    while let Some((key, value)) = next_in(state, &prefix, &from)? {
        let record: VoteRecord = decode(&key, &value)?;
        votes.push(cast_vote(records::validator_of(&key)?, &record));
        from = after(&key);
    }
    Ok(votes)
}

/// A validator's vote on a proposal.
///
/// # Errors
/// `State` and `Damaged`.
pub fn vote_of(
    state: &dyn StateReader,
    id: &ProposalId,
    validator: &ValidatorId,
) -> Result<Option<CastVote>, LedgerError> {
    let record = read::<VoteRecord>(state, &keys::vote(id, validator))?;
    Ok(record.map(|record| cast_vote(*validator, &record)))
}

/// The open votes, the earliest deadline first.
///
/// # Errors
/// `State` and `Damaged`.
pub fn open_votes(
    state: &dyn StateReader,
    after_vote: Option<DeadlineCursor>,
    limit: usize,
) -> Result<Page<VotedProposal, DeadlineCursor>, LedgerError> {
    let first = |cursor: DeadlineCursor| after(&keys::deadline(cursor.deadline_ms, &cursor.proposal));
    let mut from = after_vote.map_or_else(|| keys::DEADLINES.to_vec(), first);
    let (mut items, mut bytes) = (Vec::new(), 0_usize);
    while let Some((key, _)) = next_in(state, keys::DEADLINES, &from)? {
        if items.len() >= limit.clamp(1, PAGE_MAX) || bytes >= PAGE_BYTES_MAX {
            let next = items.last().map(|vote: &VotedProposal| DeadlineCursor {
                deadline_ms: vote.deadline_ms,
                proposal: vote.id,
            });
            return Ok(Page { items, next });
        }
        let id = records::proposal_of(&key)?;
        let record: VotedRecord = read_required(state, &keys::voted(&id))?;
        let vote = voted_proposal(state, &id, &record)?;
        bytes = bytes.saturating_add(body_bytes(&vote.body));
        items.push(vote);
        from = after(&key);
    }
    Ok(Page { items, next: None })
}

/// All voted proposals that match, the last opened first.
///
/// # Errors
/// `State` and `Damaged`.
pub fn voted_list(
    state: &dyn StateReader,
    filter: &VotedFilter,
    after_vote: Option<OpenedAt>,
    limit: usize,
) -> Result<Page<VotedProposal, OpenedAt>, LedgerError> {
    let first = |place: OpenedAt| after(&keys::opening(place.height, place.position));
    let mut from = after_vote.map_or_else(|| keys::OPENINGS.to_vec(), first);
    let (mut items, mut bytes, mut seen, mut last) = (Vec::new(), 0_usize, 0_usize, None);
    while let Some((key, value)) = next_in(state, keys::OPENINGS, &from)? {
        if items.len() >= limit.clamp(1, PAGE_MAX) || bytes >= PAGE_BYTES_MAX || seen >= SCAN_MAX {
            return Ok(Page { items, next: last });
        }
        let id = records::hash(&key, &value)?;
        let record: VotedRecord = read_required(state, &keys::voted(&id))?;
        if matches(filter, &id, &record)? {
            let vote = voted_proposal(state, &id, &record)?;
            bytes = bytes.saturating_add(body_bytes(&vote.body));
            items.push(vote);
        }
        last = Some(opened_at(&record));
        seen = seen.saturating_add(1);
        from = after(&key);
    }
    Ok(Page { items, next: None })
}

/// The parameters in force.
///
/// # Errors
/// `State` and `Damaged`.
pub fn parameters(state: &dyn StateReader) -> Result<Parameters, LedgerError> {
    Ok(agreed_parameters(state)?.in_force)
}

/// The parameters that the next epoch changes, with their new values, in order of name.
///
/// # Errors
/// `State` and `Damaged`.
pub fn pending_parameters(state: &dyn StateReader) -> Result<Vec<(Parameter, u64)>, LedgerError> {
    Ok(agreed_parameters(state)?.pending.into_iter().collect())
}

/// The changes of the validator set that wait for the epoch's end: voted ones, then offenders, each in order of validator.
///
/// # Errors
/// `State` and `Damaged`.
pub fn pending_validators(state: &dyn StateReader) -> Result<Vec<PendingValidator>, LedgerError> {
    let (mut pending, mut from) = (Vec::new(), keys::PENDING.to_vec());
    while let Some((key, value)) = next_in(state, keys::PENDING, &from)? {
        let record: PendingRecord = decode(&key, &value)?;
        pending.push(PendingValidator {
            validator: records::validator_of(&key)?,
            change: record.new_weight().map_or(PendingChange::Removal, PendingChange::Weight),
            proposal: records::hash(&key, &record.proposal)?,
        });
        from = after(&key);
    }
    let mut from = keys::OFFENDERS.to_vec();
    while let Some((key, value)) = next_in(state, keys::OFFENDERS, &from)? {
        let record: EvidenceRecord = decode(&key, &value)?;
        pending.push(PendingValidator {
            validator: records::validator_of(&key)?,
            change: PendingChange::RemovalOfOffender,
            proposal: records::hash(&key, &record.proposal)?,
        });
        from = after(&key);
    }
    Ok(pending)
}

/// The evidence on record, in order of epoch and validator, from the first entry after `after_entry`.
///
/// # Errors
/// `State` and `Damaged`.
pub fn evidence(
    state: &dyn StateReader,
    after_entry: Option<(Epoch, ValidatorId)>,
    limit: usize,
) -> Result<Page<EvidenceOnRecord, (Epoch, ValidatorId)>, LedgerError> {
    let mut from = after_entry.map_or_else(
        || keys::EVIDENCE.to_vec(),
        |(epoch, validator)| after(&keys::evidence(epoch, &validator)),
    );
    let mut items = Vec::new();
    while let Some((key, value)) = next_in(state, keys::EVIDENCE, &from)? {
        if items.len() >= limit.clamp(1, PAGE_MAX) {
            let next = items.last().map(|entry: &EvidenceOnRecord| (entry.epoch, entry.validator));
            return Ok(Page { items, next });
        }
        let record: EvidenceRecord = decode(&key, &value)?;
        let epoch = keys::number_at(&key, keys::EVIDENCE.len());
        items.push(EvidenceOnRecord {
            validator: records::validator_of(&key)?,
            epoch: Epoch(epoch.ok_or_else(|| LedgerError::damaged(&key, "the key has no epoch"))?),
            proposal: records::hash(&key, &record.proposal)?,
            height: Height(record.height),
        });
        from = after(&key);
    }
    Ok(Page { items, next: None })
}

/// The body of a voted proposal of a kind.
pub(crate) fn body(
    state: &dyn StateReader,
    id: &ProposalId,
    kind: Kind,
) -> Result<ProposalBody, LedgerError> {
    let key = keys::body(id);
    let bytes = state.get(&key)?.ok_or_else(|| LedgerError::damaged(&key, "it is missing"))?;
    ProposalBody::decode(kind, &bytes).map_err(|error| LedgerError::damaged(&key, error.to_string()))
}

fn agreed_parameters(state: &dyn StateReader) -> Result<AgreedParameters, LedgerError> {
    let record: ParametersRecord = read_required(state, keys::PARAMETERS)?;
    AgreedParameters::from_record(keys::PARAMETERS, &record)
}

fn cast_vote(validator: ValidatorId, record: &VoteRecord) -> CastVote {
    CastVote {
        validator,
        approve: record.approve,
        height: Height(record.height),
        timestamp_ms: record.timestamp_ms,
    }
}

fn kv_entry(key: String, record: KvRecord) -> KvEntry {
    KvEntry { key, version: record.version, height: Height(record.height), value: record.value }
}

fn status_of(id: &Hash, record: &VotedRecord) -> Result<VoteStatus, LedgerError> {
    VoteStatus::from_number(record.status)
        .ok_or_else(|| LedgerError::damaged(&keys::voted(id), format!("{} is no status", record.status)))
}

fn matches(filter: &VotedFilter, id: &Hash, record: &VotedRecord) -> Result<bool, LedgerError> {
    let status = status_of(id, record)?;
    let kind = kind_of(id, record)?;
    Ok(filter.status.is_none_or(|wanted| wanted == status)
        && filter.kind.is_none_or(|wanted| wanted == kind)
        && filter.account.is_none_or(|wanted| wanted.0 == *record.account))
}

fn voted_proposal(
    state: &dyn StateReader,
    id: &Hash,
    record: &VotedRecord,
) -> Result<VotedProposal, LedgerError> {
    let key = keys::voted(id);
    let status = status_of(id, record)?;
    let enactment = match (status, RejectCode::from_number(record.refusal, 0)) {
        (VoteStatus::Passed, Some(code)) => Some(refused(code)),
        (VoteStatus::Passed, None) => Some(Enactment::Done),
        (VoteStatus::Open | VoteStatus::Failed | VoteStatus::Lapsed, _) => None,
    };
    let closed = Closed { height: Height(record.closed_height), timestamp_ms: record.closed_ms, enactment };
    Ok(VotedProposal {
        id: *id,
        account: records::account(&key, &record.account)?,
        body: body(state, id, kind_of(id, record)?)?,
        opened: opened_at(record),
        opened_ms: record.opened_ms,
        deadline_ms: record.deadline_ms,
        status,
        tally: tally_of(record),
        closed: (status != VoteStatus::Open).then_some(closed),
    })
}

/// Roughly how much memory a body takes.
fn body_bytes(body: &ProposalBody) -> usize {
    match body {
        ProposalBody::Text { title, text } => title.len().saturating_add(text.len()),
        ProposalBody::ParamSet { name, value } => name.len().saturating_add(value.len()),
        ProposalBody::KvPut { key, value } | ProposalBody::KvCas { key, value, .. } => {
            key.len().saturating_add(value.len())
        }
        ProposalBody::KvDelete { key } => key.len(),
        ProposalBody::ValidatorAdd { .. }
        | ProposalBody::ValidatorRemove { .. }
        | ProposalBody::ProposalVote { .. }
        | ProposalBody::Evidence { .. }
        | ProposalBody::MetricsReport { .. }
        | ProposalBody::MetricsEvidence { .. } => size_of::<Weight>(),
    }
}
