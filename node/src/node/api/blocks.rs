//! Reads of committed blocks.

use aegis_rpc::api::{ApiError, BlockDetail, BlockProposal, CertificateInfo, HeaderInfo};
use aegis_types::{Canonical, Certificate, CommittedBlock, Epoch, Height, Proposal, ValidatorSet};

use super::internal;
use crate::node::context::NodeContext;
use crate::node::watch::{outcome_of, rows_of};

pub fn detail(node: &NodeContext, height: Option<Height>) -> Result<BlockDetail, ApiError> {
    let height = height.unwrap_or_else(|| node.standing.borrow().executed.height);
    let block = load(node, height)?;
    let mut rows = rows_of(node.kv.as_ref(), height).map_err(internal)?;
    let proposals = block.batches.iter().flat_map(|batch| &batch.proposals);
    if rows.len() != proposals.clone().count() {
        // This node did not execute the block: it took over the state after it.
        rows.clear();
    }
    let listed = proposals.clone().zip(rows.iter().map(Some).chain(std::iter::repeat(None)));
    let entry = |(position, (proposal, row)): (u32, (&Proposal, Option<&_>))| BlockProposal {
        position,
        id: proposal.id(),
        account: proposal.account,
        kind: proposal.kind(),
        outcome: row.map(outcome_of),
    };
    Ok(BlockDetail {
        digest: block.certificate.content.digest,
        header: HeaderInfo::from(&block.header),
        certificate: certificate_info(node, &block.certificate)?,
        proposals_total: u64::try_from(proposals.count()).unwrap_or(u64::MAX),
        proposals: (0..).zip(listed).take(BlockDetail::PROPOSALS_MAX).map(entry).collect(),
    })
}

/// The block at a height.
///
/// # Errors
/// `not_found` for the future, `pruned` for what is no longer held.
pub fn load(node: &NodeContext, height: Height) -> Result<CommittedBlock, ApiError> {
    let newest = node.standing.borrow().executed.height;
    if height == Height::ZERO || height > newest {
        return Err(ApiError::not_found(format_args!(
            "block {height}; this node holds blocks 1 to {newest}: block {height}"
        )));
    }
    let bytes = node.log.read(height).map_err(internal)?;
    let bytes = bytes.ok_or_else(|| not_held(node, height))?;
    CommittedBlock::decode(&bytes).map_err(internal)
}

/// What to say of a block that this node has pruned, or never had because it took over a later state.
pub fn not_held(node: &NodeContext, height: Height) -> ApiError {
    ApiError::pruned(format_args!("block {height}"), node.log.first().unwrap_or(height.next()))
}

/// A certificate with the weights of its epoch's validators.
///
/// # Errors
/// When the epoch's set is not known here any more.
pub fn certificate_info(node: &NodeContext, certificate: &Certificate) -> Result<CertificateInfo, ApiError> {
    let set = validators_of(node, certificate.content.epoch)?;
    Ok(CertificateInfo::new(certificate, &set))
}

/// The validator set of an epoch.
///
/// # Errors
/// When it is not known here any more.
pub fn validators_of(node: &NodeContext, epoch: Epoch) -> Result<ValidatorSet, ApiError> {
    let current = node.standing.borrow().epoch.validators.clone();
    if current.epoch() == epoch {
        return Ok(current);
    }
    let stored = crate::node::state::load_validators(node.kv.as_ref(), epoch).map_err(internal)?;
    stored.ok_or_else(|| internal(format_args!("the validator set of epoch {epoch} is missing")))
}
