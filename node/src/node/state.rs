//! What the node keeps in the derived store besides the ledger's records: indexes, and where it stands.
//!
//! | table | key | value |
//! |---|---|---|
//! | state | the ledger's own | the ledger's own |
//! | index | `p` height position | [`IndexedProposal`] |
//! | index | `i` proposal id | height, position |
//! | index | `r` height | state root after the block |
//! | index | `v` epoch | the epoch's validator set |
//! | index | `h` epoch | the handover that ended the epoch |
//! | index | `c` height number | one of the votes that ended at the height: its opening, and what ended it |
//! | index | `b` batch digest | nothing: the batch is executed |
//! | meta | `genesis` | the genesis hash |
//! | meta | `standing` | [`Standing`] |
//! | meta | `history` | the first height whose rows are kept |
//!
//! All rows of a block are written in one transaction with the ledger's changes. Numbers in keys are big-endian, so that
//! the store's order is theirs.

use std::ops::ControlFlow;

use aegis_consensus::{EpochContext, NextEpoch};
use aegis_ledger::{StateError, StateReader};
use aegis_store::{KvStore, Op, StoreError, Table};
use aegis_types::{
    AccountId, BlockKind, Canonical, CommittedBlock, Epoch, Executed, Genesis, Hash, Height, Kind,
    Parameters, ProposalId, ValidatorSet, proto,
};
use anyhow::{Context as _, anyhow};
use prost::Message as _;

use super::closings::ClosedVote;

const GENESIS: &[u8] = b"genesis";
const STANDING: &[u8] = b"standing";
const HISTORY: &[u8] = b"history";

/// The ledger's way to read the store.
pub struct StateView<'a>(pub &'a dyn KvStore);

impl StateReader for StateView<'_> {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StateError> {
        self.0.get(Table::State, key).map_err(state_error)
    }

    fn next(&self, from: &[u8]) -> Result<Option<(Vec<u8>, Vec<u8>)>, StateError> {
        let mut found = None;
        self.0
            .scan(Table::State, from, &mut |key, value| {
                found = Some((key.to_vec(), value.to_vec()));
                ControlFlow::Break(())
            })
            .map_err(state_error)?;
        Ok(found)
    }

    fn visit_all(&self, visit: &mut dyn FnMut(&[u8], &[u8])) -> Result<(), StateError> {
        self.0
            .scan(Table::State, &[], &mut |key, value| {
                visit(key, value);
                ControlFlow::Continue(())
            })
            .map_err(state_error)
    }
}

fn state_error(error: StoreError) -> StateError {
    StateError(error.to_string())
}

/// Where this node's execution stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// The newest executed block and the state root after it.
    pub executed: Executed,
    /// Its digest; the genesis hash before the first block.
    pub digest: Hash,
    /// The current epoch.
    pub epoch: EpochContext,
    /// The block that the epoch started from.
    pub origin: (Height, Hash),
    /// The next epoch, between a closing block and its handover.
    pub next_epoch: Option<NextEpoch>,
}

impl Standing {
    /// Before the first block.
    pub fn genesis(genesis: &Genesis, state_root: Hash) -> Self {
        Self {
            executed: Executed { height: Height::ZERO, state_root },
            digest: genesis.hash(),
            epoch: EpochContext::genesis(genesis),
            origin: (Height::ZERO, genesis.hash()),
            next_epoch: None,
        }
    }

    /// After a block.
    ///
    /// # Errors
    /// When the block is a handover without a closing block before it, which no quorum certifies.
    pub fn after(
        &self,
        block: &CommittedBlock,
        state_root: Hash,
        next_epoch: Option<NextEpoch>,
    ) -> anyhow::Result<Self> {
        let header = &block.header;
        let digest = block.certificate.content.digest;
        let executed = Executed { height: header.height, state_root };
        if !matches!(header.kind, BlockKind::Handover { .. }) {
            return Ok(Self { executed, digest, next_epoch, ..self.clone() });
        }
        let NextEpoch { validators, parameters } = self.next_epoch.clone().ok_or_else(|| {
            anyhow!("block {} hands over to an epoch that no block has closed", header.height)
        })?;
        let epoch = EpochContext { validators, parameters, start_ms: header.timestamp_ms };
        Ok(Self { executed, digest, epoch, origin: (header.height, digest), next_epoch: None })
    }
}

#[derive(Clone, PartialEq, prost::Message)]
struct EpochRow {
    #[prost(message, optional, tag = "1")]
    validators: Option<proto::ValidatorSet>,
    #[prost(message, repeated, tag = "2")]
    parameters: Vec<proto::Parameter>,
    #[prost(uint64, tag = "3")]
    start_ms: u64,
}

#[derive(Clone, PartialEq, prost::Message)]
struct StandingRow {
    #[prost(uint64, tag = "1")]
    height: u64,
    #[prost(bytes = "vec", tag = "2")]
    state_root: Vec<u8>,
    #[prost(bytes = "vec", tag = "3")]
    digest: Vec<u8>,
    #[prost(message, optional, tag = "4")]
    epoch: Option<EpochRow>,
    #[prost(uint64, tag = "5")]
    origin_height: u64,
    #[prost(bytes = "vec", tag = "6")]
    origin_digest: Vec<u8>,
    #[prost(message, optional, tag = "7")]
    next_epoch: Option<EpochRow>,
}

fn epoch_row(validators: &ValidatorSet, parameters: &Parameters, start_ms: u64) -> EpochRow {
    let parameters = parameters
        .changed()
        .map(|(parameter, value)| proto::Parameter { name: parameter.name().to_owned(), value })
        .collect();
    EpochRow { validators: Some(validators.to_proto()), parameters, start_ms }
}

fn read_epoch_row(row: EpochRow) -> anyhow::Result<(ValidatorSet, Parameters, u64)> {
    let validators = ValidatorSet::from_proto(row.validators.context("an epoch without validators")?)?;
    let mut parameters = Parameters::default();
    for entry in row.parameters {
        parameters.set(entry.name.parse()?, entry.value)?;
    }
    Ok((validators, parameters, row.start_ms))
}

impl Standing {
    fn encode(&self) -> Vec<u8> {
        StandingRow {
            height: self.executed.height.0,
            state_root: self.executed.state_root.0.to_vec(),
            digest: self.digest.0.to_vec(),
            epoch: Some(epoch_row(&self.epoch.validators, &self.epoch.parameters, self.epoch.start_ms)),
            origin_height: self.origin.0.0,
            origin_digest: self.origin.1.0.to_vec(),
            next_epoch: self.next_epoch.as_ref().map(|next| epoch_row(&next.validators, &next.parameters, 0)),
        }
        .encode_to_vec()
    }

    fn decode(bytes: &[u8]) -> anyhow::Result<Self> {
        let row = StandingRow::decode(bytes)?;
        let (validators, parameters, start_ms) = read_epoch_row(row.epoch.context("no epoch")?)?;
        let next_epoch = row.next_epoch.map(read_epoch_row).transpose()?;
        Ok(Self {
            executed: Executed {
                height: Height(row.height),
                state_root: Hash::from_slice("state root", &row.state_root)?,
            },
            digest: Hash::from_slice("digest", &row.digest)?,
            epoch: EpochContext { validators, parameters, start_ms },
            origin: (Height(row.origin_height), Hash::from_slice("origin digest", &row.origin_digest)?),
            next_epoch: next_epoch.map(|(validators, parameters, _)| NextEpoch { validators, parameters }),
        })
    }
}

/// A row is not what this node wrote, although the store found its checksum right.
#[derive(Debug, thiserror::Error)]
#[error("the state store's row `{row}` is damaged: {reason}")]
pub struct DamagedRow {
    row: &'static str,
    reason: String,
}

impl DamagedRow {
    /// A damage of `row`, for the reason that the result is given.
    pub fn because<E: std::fmt::Display>(row: &'static str) -> impl Fn(E) -> Self {
        move |reason| Self { row, reason: format!("{reason:#}") }
    }
}

/// The stored standing; none in an empty store.
///
/// # Errors
/// When the store fails or its row is damaged.
pub fn load_standing(kv: &dyn KvStore) -> anyhow::Result<Option<Standing>> {
    let row = kv.get(Table::Meta, STANDING)?;
    Ok(row.map(|row| Standing::decode(&row).map_err(DamagedRow::because("standing"))).transpose()?)
}

/// The genesis hash that the store was made for; none in an empty store.
///
/// # Errors
/// When the store fails or its row is damaged.
pub fn load_genesis_hash(kv: &dyn KvStore) -> anyhow::Result<Option<Hash>> {
    let row = kv.get(Table::Meta, GENESIS)?;
    let read = |row: Vec<u8>| Hash::from_slice("genesis hash", &row);
    Ok(row.map(read).transpose().map_err(DamagedRow::because("genesis"))?)
}

/// The rows that say where the node stands.
pub fn standing_op(standing: &Standing) -> Op {
    Op::Put { table: Table::Meta, key: STANDING.to_vec(), value: standing.encode() }
}

/// The row that says which network the store belongs to.
pub fn genesis_op(genesis: &Genesis) -> Op {
    Op::Put { table: Table::Meta, key: GENESIS.to_vec(), value: genesis.hash().0.to_vec() }
}

/// The first height whose rows are kept: those of lower ones are deleted.
///
/// # Errors
/// When the store fails or its row is damaged.
pub fn history_from(kv: &dyn KvStore) -> anyhow::Result<Height> {
    let Some(row) = kv.get(Table::Meta, HISTORY)? else { return Ok(Height(1)) };
    let height = <[u8; 8]>::try_from(row.as_slice())
        .map_err(|_| DamagedRow { row: "history", reason: "it has not the size of a height".to_owned() })?;
    Ok(Height(u64::from_be_bytes(height)))
}

/// The row that says from which height on rows are kept.
pub fn history_op(first: Height) -> Op {
    Op::Put { table: Table::Meta, key: HISTORY.to_vec(), value: first.0.to_be_bytes().to_vec() }
}

/// The index's entry of an executed proposal.
#[derive(Clone, PartialEq, prost::Message)]
pub struct IndexedProposal {
    /// The proposal's id.
    #[prost(bytes = "vec", tag = "1")]
    pub id: Vec<u8>,
    /// Its account.
    #[prost(bytes = "vec", tag = "2")]
    pub account: Vec<u8>,
    /// Its kind's name.
    #[prost(string, tag = "3")]
    pub kind: String,
    /// What it is about, in a few words.
    #[prost(string, tag = "4")]
    pub subject: String,
    /// 1 applied, 2 vote opened, 3 rejected, 4 duplicate.
    #[prost(uint32, tag = "5")]
    pub outcome: u32,
    /// The version that a key got, plus 1; 0 for none.
    #[prost(uint64, tag = "6")]
    pub version_plus_one: u64,
    /// A rejection's code.
    #[prost(string, tag = "7")]
    pub code: String,
    /// A rejection's reason.
    #[prost(string, tag = "8")]
    pub reason: String,
    /// Deadline of an opened vote.
    #[prost(uint64, tag = "9")]
    pub deadline_ms: u64,
    /// For a duplicate, the proposal that was first.
    #[prost(bytes = "vec", tag = "10")]
    pub first: Vec<u8>,
    /// For an opened vote, how it ended; none while it is open.
    #[prost(message, optional, tag = "11")]
    pub closed: Option<ClosedVote>,
    /// The version that the removal of a key counted as; 0 when it removed none.
    #[prost(uint64, tag = "12")]
    pub removal_version: u64,
}

impl IndexedProposal {
    /// The proposal's id.
    ///
    /// # Errors
    /// When the row is damaged.
    pub fn id(&self) -> anyhow::Result<ProposalId> {
        Ok(Hash::from_slice("proposal id", &self.id)?)
    }

    /// The account.
    ///
    /// # Errors
    /// When the row is damaged.
    pub fn account(&self) -> anyhow::Result<AccountId> {
        Ok(AccountId::from_slice(&self.account)?)
    }

    /// The kind.
    ///
    /// # Errors
    /// When the row is damaged.
    pub fn kind(&self) -> anyhow::Result<Kind> {
        Ok(self.kind.parse()?)
    }
}

/// Key of a proposal's row: `p` height position.
pub fn proposal_key(height: Height, position: u32) -> Vec<u8> {
    let mut key = vec![b'p'];
    key.extend_from_slice(&height.0.to_be_bytes());
    key.extend_from_slice(&position.to_be_bytes());
    key
}

/// Height and position in a proposal's key.
pub fn parse_proposal_key(key: &[u8]) -> Option<(Height, u32)> {
    let rest = key.strip_prefix(b"p")?;
    let (height, position) = (rest.get(..8)?, rest.get(8..)?);
    Some((Height(u64::from_be_bytes(height.try_into().ok()?)), u32::from_be_bytes(position.try_into().ok()?)))
}

/// Key of a proposal's place: `i` id.
pub fn place_key(id: &ProposalId) -> Vec<u8> {
    let mut key = vec![b'i'];
    key.extend_from_slice(&id.0);
    key
}

/// Key of a block's state root: `r` height.
pub fn root_key(height: Height) -> Vec<u8> {
    let mut key = vec![b'r'];
    key.extend_from_slice(&height.0.to_be_bytes());
    key
}

/// The row of a block's state root.
pub fn root_op(height: Height, state_root: Hash) -> Op {
    Op::Put { table: Table::Index, key: root_key(height), value: state_root.0.to_vec() }
}

/// Key of one of the votes that ended at a height: `c` height number. A row of its own for each, as a value is bounded
/// and the number of votes that one block ends is not.
pub fn closing_key(height: Height, number: u32) -> Vec<u8> {
    let mut key = closings_prefix(height);
    key.extend_from_slice(&number.to_be_bytes());
    key
}

fn closings_prefix(height: Height) -> Vec<u8> {
    let mut key = vec![b'c'];
    key.extend_from_slice(&height.0.to_be_bytes());
    key
}

/// The values of a height's [`closing_key`]s, in order.
///
/// # Errors
/// When the store fails.
pub fn closing_rows(kv: &dyn KvStore, height: Height) -> Result<Vec<Vec<u8>>, StoreError> {
    let prefix = closings_prefix(height);
    let mut rows = Vec::new();
    kv.scan(Table::Index, &prefix, &mut |key, value| {
        if !key.starts_with(&prefix) {
            return ControlFlow::Break(());
        }
        rows.push(value.to_vec());
        ControlFlow::Continue(())
    })?;
    Ok(rows)
}

/// Key of the row that says that a batch is executed: `b` digest.
pub fn batch_key(digest: &Hash) -> Vec<u8> {
    let mut key = vec![b'b'];
    key.extend_from_slice(&digest.0);
    key
}

/// The row that says that a batch is executed.
pub fn batch_op(digest: &Hash) -> Op {
    Op::Put { table: Table::Index, key: batch_key(digest), value: Vec::new() }
}

/// Removes the row of a batch, as on a node that did not execute it.
#[cfg(test)]
pub fn forget_batch_op(digest: &Hash) -> Op {
    Op::Delete { table: Table::Index, key: batch_key(digest) }
}

/// Whether a batch is executed.
///
/// # Errors
/// When the store fails.
pub fn is_batch_executed(kv: &dyn KvStore, digest: &Hash) -> Result<bool, StoreError> {
    Ok(kv.get(Table::Index, &batch_key(digest))?.is_some())
}

/// The row that keeps an epoch's validator set, for certificates of the past.
pub fn validators_op(validators: &ValidatorSet) -> Op {
    Op::Put { table: Table::Index, key: validators_key(validators.epoch()), value: validators.encode() }
}

fn validators_key(epoch: Epoch) -> Vec<u8> {
    let mut key = vec![b'v'];
    key.extend_from_slice(&epoch.0.to_be_bytes());
    key
}

/// The validator set of an epoch, if its row is there.
///
/// # Errors
/// When the store fails or the row is damaged.
pub fn load_validators(kv: &dyn KvStore, epoch: Epoch) -> anyhow::Result<Option<ValidatorSet>> {
    let row = kv.get(Table::Index, &validators_key(epoch))?;
    Ok(row.map(|row| ValidatorSet::decode(&row)).transpose()?)
}

/// Where a proposal stands on the log.
///
/// # Errors
/// When the store fails.
pub fn place_of(kv: &dyn KvStore, id: &ProposalId) -> Result<Option<(Height, u32)>, StoreError> {
    let row = kv.get(Table::Index, &place_key(id))?;
    Ok(row.and_then(|row| {
        let height = u64::from_be_bytes(row.get(..8)?.try_into().ok()?);
        let position = u32::from_be_bytes(row.get(8..)?.try_into().ok()?);
        Some((Height(height), position))
    }))
}

/// The value of a proposal's place.
pub fn place_value(height: Height, position: u32) -> Vec<u8> {
    let mut value = height.0.to_be_bytes().to_vec();
    value.extend_from_slice(&position.to_be_bytes());
    value
}

/// The state roots of the newest `count` executed blocks up to `executed`.
///
/// # Errors
/// When the store fails or a row is damaged.
pub fn recent_roots(
    kv: &dyn KvStore,
    executed: Executed,
    count: u64,
) -> anyhow::Result<std::collections::BTreeMap<Height, Hash>> {
    let mut roots = std::collections::BTreeMap::from([(executed.height, executed.state_root)]);
    let first = Height(executed.height.0.saturating_sub(count));
    for height in first.0..executed.height.0 {
        if let Some(row) = kv.get(Table::Index, &root_key(Height(height)))? {
            let root = Hash::from_slice("state root", &row).map_err(DamagedRow::because("state root"))?;
            roots.insert(Height(height), root);
        }
    }
    Ok(roots)
}
