//! The handovers of all epochs that ended: what anyone needs to learn, from the genesis on, who may sign.
//!
//! They are rows of the index that are kept for ever: index, `h` epoch, the encoded [`Handover`] that ended the epoch.

use std::ops::ControlFlow;

use aegis_store::{KvStore, Op, Table};
use aegis_types::{BlockKind, Canonical, CertifiedHeader, CommittedBlock, Epoch, Handover, ValidatorSet};

use super::state::DamagedRow;

fn row_key(epoch: Epoch) -> Vec<u8> {
    let mut key = vec![b'h'];
    key.extend_from_slice(&epoch.0.to_be_bytes());
    key
}

/// The row of a handover.
pub fn row(handover: &Handover) -> Op {
    Op::Put { table: Table::Index, key: row_key(handover.block.header.epoch), value: handover.encode() }
}

/// The row that a block adds, if it is a handover; `next` is the set that it brings into force.
pub fn row_of(block: &CommittedBlock, next: &ValidatorSet) -> Option<Op> {
    let BlockKind::Handover { .. } = block.header.kind else { return None };
    let by = CertifiedHeader { header: block.header.clone(), certificate: block.certificate.clone() };
    Some(row(&Handover { block: by, next: next.clone() }))
}

/// The handovers that ended `first` and the epochs after it, at most `count`, as they are encoded.
///
/// # Errors
/// When the store fails.
pub fn load(kv: &dyn KvStore, first: Epoch, count: usize) -> anyhow::Result<Vec<Vec<u8>>> {
    let mut rows = Vec::new();
    kv.scan(Table::Index, &row_key(first), &mut |key, value| {
        if rows.len() >= count || !key.starts_with(b"h") {
            return ControlFlow::Break(());
        }
        rows.push(value.to_vec());
        ControlFlow::Continue(())
    })?;
    Ok(rows)
}

/// A page of the handovers that ended `first` and the epochs after it, as they are encoded.
///
/// # Errors
/// When the store fails.
pub fn of_store(kv: &dyn KvStore, first: Epoch) -> anyhow::Result<Vec<Vec<u8>>> {
    load(kv, first, Handover::PAGE_MAX)
}

/// Checks that every epoch before `current` has its row. A store of an older version has none: it is built again.
///
/// # Errors
/// [`DamagedRow`], or when the store fails.
pub fn check_complete(kv: &dyn KvStore, current: Epoch) -> anyhow::Result<()> {
    let mut expected = Epoch::ZERO;
    kv.scan(Table::Index, &row_key(expected), &mut |key, _| {
        if key != row_key(expected) {
            return ControlFlow::Break(());
        }
        expected = expected.next();
        ControlFlow::Continue(())
    })?;
    if expected == current {
        return Ok(());
    }
    let reason = format!("the handovers reach to epoch {expected}, but the node stands in epoch {current}");
    Err(DamagedRow::because("handover")(reason).into())
}
