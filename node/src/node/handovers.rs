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

#[cfg(test)]
mod tests {
    use aegis_store::MemoryKv;
    use aegis_types::{Member, Weight};

    use super::*;
    use crate::node::testing::Chain;

    /// A store whose node has left the epochs 0 to `ended`, without the last.
    fn store(ended: u64) -> MemoryKv {
        let kv = MemoryKv::new();
        let mut chain = Chain::new();
        let block = chain.add(10, Vec::new());
        for epoch in 0..ended {
            let member = Member { validator: chain.key.validator_id(), weight: Weight(1) };
            let next = ValidatorSet::new(Epoch(epoch + 1), vec![member]).unwrap();
            let mut block = block.clone();
            block.header.epoch = Epoch(epoch);
            block.header.kind = BlockKind::Handover { next_validators_hash: next.hash() };
            kv.commit(&[row_of(&block, &next).expect("a handover has a row")]).unwrap();
        }
        // Rows of other kinds stand before and behind.
        let other = |key: &[u8]| Op::Put { table: Table::Index, key: key.to_vec(), value: Vec::new() };
        kv.commit(&[other(b"c"), other(b"i")]).unwrap();
        kv
    }

    #[test]
    fn handovers_are_read_in_order_from_any_epoch_and_in_pages() {
        let kv = store(300);
        let epochs = |first, count| {
            let rows = load(&kv, Epoch(first), count).unwrap().into_iter();
            rows.map(|row| Handover::decode(&row).unwrap().block.header.epoch.0).collect::<Vec<_>>()
        };
        assert_eq!(epochs(0, 3), [0, 1, 2]);
        assert_eq!(epochs(255, 3), [255, 256, 257]);
        assert_eq!(epochs(298, 9), [298, 299]);
        assert_eq!(epochs(300, 9), [0; 0]);
    }

    #[test]
    fn a_block_that_ends_no_epoch_has_no_row() {
        let mut chain = Chain::new();
        let block = chain.add(10, Vec::new());
        assert!(row_of(&block, &chain.genesis.validators).is_none());
    }

    #[test]
    fn a_store_that_lacks_a_handover_is_damaged() {
        let kv = store(3);
        check_complete(&kv, Epoch(3)).unwrap();
        for (current, missing) in [(4, 3), (2, 3)] {
            let refused = check_complete(&kv, Epoch(current)).unwrap_err();
            assert!(refused.is::<DamagedRow>(), "{refused}");
            assert!(refused.to_string().contains(&format!("reach to epoch {missing}")), "{refused}");
        }
        kv.commit(&[Op::Delete { table: Table::Index, key: row_key(Epoch(1)) }]).unwrap();
        assert!(check_complete(&kv, Epoch(3)).is_err());
    }
}
