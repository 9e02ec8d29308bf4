//! Reads of parameters, evidence, and changes of the validator set that are to come.

use std::collections::BTreeMap;

use aegis_ledger::{PendingChange, query};
use aegis_rpc::api::{
    ApiError, Consistency, EvidenceInfo, Page, PageRequest, ParameterInfo, PendingValidator,
};
use aegis_types::{Epoch, ValidatorId};

use super::{fresh, internal};
use crate::node::context::NodeContext;
use crate::node::state::StateView;

pub fn parameters(node: &NodeContext, consistency: Consistency) -> Result<Vec<ParameterInfo>, ApiError> {
    fresh::read(node, consistency, |state, _| {
        let in_force = query::parameters(state).map_err(internal)?;
        let pending = query::pending_parameters(state).map_err(internal)?;
        let pending: BTreeMap<_, _> = pending.into_iter().collect();
        let info = |(name, value)| ParameterInfo::new(name, value, pending.get(&name).copied());
        Ok(in_force.all().map(info).collect())
    })
}

pub fn pending_validators(node: &NodeContext) -> Result<Vec<PendingValidator>, ApiError> {
    let pending = query::pending_validators(&StateView(node.kv.as_ref())).map_err(internal)?;
    let convert = |pending: aegis_ledger::PendingValidator| {
        let weight = match pending.change {
            PendingChange::Weight(weight) => Some(weight),
            PendingChange::Removal | PendingChange::RemovalOfOffender => None,
        };
        PendingValidator {
            id: pending.validator,
            weight,
            is_offender: pending.change == PendingChange::RemovalOfOffender,
            proposal: pending.proposal,
        }
    };
    Ok(pending.into_iter().map(convert).collect())
}

pub fn evidence(node: &NodeContext, page: &PageRequest) -> Result<Page<EvidenceInfo>, ApiError> {
    let after = page.cursor.as_deref().map(parse_cursor).transpose()?;
    let limit = usize::try_from(page.limit).unwrap_or(usize::MAX);
    let found = query::evidence(&StateView(node.kv.as_ref()), after, limit).map_err(internal)?;
    let convert = |evidence: aegis_ledger::EvidenceOnRecord| EvidenceInfo {
        validator: evidence.validator,
        epoch: evidence.epoch,
        proposal: evidence.proposal,
        height: evidence.height,
    };
    Ok(Page {
        items: found.items.into_iter().map(convert).collect(),
        next_cursor: found.next.map(|(epoch, validator)| format!("{epoch}-{validator}")),
    })
}

fn parse_cursor(cursor: &str) -> Result<(Epoch, ValidatorId), ApiError> {
    let bad = || ApiError::invalid("cursor", "use the `next_cursor` of the page before");
    let (epoch, validator) = cursor.split_once('-').ok_or_else(bad)?;
    Ok((Epoch(epoch.parse().map_err(|_| bad())?), validator.parse().map_err(|_| bad())?))
}
