//! How large keys and values may be.

use crate::error::StoreError;

use super::store::Op;

/// Bytes that a key may have. Sled keeps some seventeen keys and pieces of values in one node, and a node above
/// 128 KiB in a file that it never syncs: keys of this size and pieces of 3 KiB stay at half of that.
pub const KEY_BYTES_MAX: u64 = 1 << 10;

/// Bytes that a value may have. Larger things belong into the committed log.
pub const VALUE_BYTES_MAX: u64 = 4 << 20;

/// Refuses changes with keys or values that are too large.
pub(super) fn check_sizes(ops: &[Op]) -> Result<(), StoreError> {
    for op in ops {
        match op {
            Op::Put { key, value, .. } => check_size(key, value)?,
            Op::Delete { key, .. } => check("a key", key, KEY_BYTES_MAX)?,
        }
    }
    Ok(())
}

/// Refuses a key or value that is too large.
pub(super) fn check_size(key: &[u8], value: &[u8]) -> Result<(), StoreError> {
    check("a key", key, KEY_BYTES_MAX)?;
    check("a value", value, VALUE_BYTES_MAX)
}

fn check(what: &'static str, bytes: &[u8], limit: u64) -> Result<(), StoreError> {
    let actual = bytes.len() as u64;
    if actual > limit { Err(StoreError::TooLarge { what, actual, limit }) } else { Ok(()) }
}
