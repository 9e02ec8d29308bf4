//! How the ledger reads agreed state, and how it says what to write.

use prost::Message;

use crate::error::{LedgerError, StateError};

/// An entry of agreed state: key and value.
pub type Entry = (Vec<u8>, Vec<u8>);

/// Read access to the entries of agreed state, as they stand after the last applied block.
///
/// The ledger holds no values itself. The caller must not write while a call of the ledger is under way.
pub trait StateReader {
    /// The value at `key`.
    ///
    /// # Errors
    /// [`StateError`] when the store failed.
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StateError>;

    /// The first entry, in order of bytes, whose key is `from` or greater.
    ///
    /// # Errors
    /// [`StateError`] when the store failed.
    fn next(&self, from: &[u8]) -> Result<Option<Entry>, StateError>;

    /// Visits all entries, in order of bytes. A store that can do that faster than entry by entry does.
    ///
    /// # Errors
    /// [`StateError`] when the store failed; what came before has been visited.
    fn visit_all(&self, visit: &mut dyn FnMut(&[u8], &[u8])) -> Result<(), StateError> {
        let mut from = Vec::new();
        while let Some((key, value)) = self.next(&from)? {
            visit(&key, &value);
            from = after(&key);
        }
        Ok(())
    }
}

/// One write to agreed state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The key.
    pub key: Vec<u8>,
    /// The new value; `None` removes the key.
    pub value: Option<Vec<u8>>,
}

/// Reads the record at a key.
pub(crate) fn read<R: Message + Default>(
    state: &dyn StateReader,
    key: &[u8],
) -> Result<Option<R>, LedgerError> {
    state.get(key)?.map(|bytes| decode(key, &bytes)).transpose()
}

/// Reads the record at a key that the ledger's invariants say is there.
pub(crate) fn read_required<R: Message + Default>(
    state: &dyn StateReader,
    key: &[u8],
) -> Result<R, LedgerError> {
    read(state, key)?.ok_or_else(|| LedgerError::damaged(key, "it is missing"))
}

/// Decodes the record found at a key.
pub(crate) fn decode<R: Message + Default>(key: &[u8], bytes: &[u8]) -> Result<R, LedgerError> {
    R::decode(bytes).map_err(|error| LedgerError::damaged(key, error.to_string()))
}

/// The first entry at or after `from` among those whose keys begin with `prefix`.
pub(crate) fn next_in(
    state: &dyn StateReader,
    prefix: &[u8],
    from: &[u8],
) -> Result<Option<Entry>, LedgerError> {
    let from = if from < prefix { prefix } else { from };
    Ok(state.next(from)?.filter(|(key, _)| key.starts_with(prefix)))
}

/// The smallest key greater than `key`.
pub(crate) fn after(key: &[u8]) -> Vec<u8> {
    let mut next = Vec::with_capacity(key.len().saturating_add(1));
    next.extend_from_slice(key);
    next.push(0);
    next
}
