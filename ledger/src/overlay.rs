//! The state as it stands in the middle of a block: the store's entries with the block's writes on top.

use std::collections::BTreeMap;

use crate::error::StateError;
use crate::state::{Change, Entry, StateReader, after};

/// Writes of one block over the state before it. Bounded by the block's payload and the bounds of its clean-up.
pub(crate) struct Overlay<'a> {
    base: &'a dyn StateReader,
    changes: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
}

impl<'a> Overlay<'a> {
    /// The state before the block.
    pub(crate) fn new(base: &'a dyn StateReader) -> Self {
        Self { base, changes: BTreeMap::new() }
    }

    /// Sets a key.
    pub(crate) fn put(&mut self, key: Vec<u8>, value: Vec<u8>) {
        self.changes.insert(key, Some(value));
    }

    /// Removes a key, whether it is there or not.
    pub(crate) fn delete(&mut self, key: Vec<u8>) {
        self.changes.insert(key, None);
    }

    /// The last write to each key, in order of keys.
    pub(crate) fn into_changes(self) -> Vec<Change> {
        self.changes.into_iter().map(|(key, value)| Change { key, value }).collect()
    }
}

impl StateReader for Overlay<'_> {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StateError> {
        match self.changes.get(key) {
            Some(value) => Ok(value.clone()),
            None => self.base.get(key),
        }
    }

    fn next(&self, from: &[u8]) -> Result<Option<Entry>, StateError> {
        let mut from = from.to_vec();
        loop {
            let stored = self.base.next(&from)?;
            let Some((key, value)) = self.changes.range(from..).next() else { return Ok(stored) };
            match (stored, value) {
                (Some(stored), _) if stored.0 < *key => return Ok(Some(stored)),
                (_, Some(value)) => return Ok(Some((key.clone(), value.clone()))),
                (_, None) => from = after(key),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Fixed(BTreeMap<Vec<u8>, Vec<u8>>);

    impl StateReader for Fixed {
        fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StateError> {
            Ok(self.0.get(key).cloned())
        }

        fn next(&self, from: &[u8]) -> Result<Option<Entry>, StateError> {
            Ok(self.0.range(from.to_vec()..).next().map(|(key, value)| (key.clone(), value.clone())))
        }
    }

    fn keys(state: &dyn StateReader) -> Vec<Vec<u8>> {
        let (mut keys, mut from) = (Vec::new(), Vec::new());
        while let Some((key, _)) = state.next(&from).expect("the state is in memory") {
            from = after(&key);
            keys.push(key);
        }
        keys
    }

    #[test]
    fn a_walk_sees_the_blocks_writes_and_not_its_removals() {
        let base = Fixed([b"b", b"d", b"f"].map(|key| (key.to_vec(), b"old".to_vec())).into());
        let mut overlay = Overlay::new(&base);
        overlay.put(b"a".to_vec(), b"new".to_vec());
        overlay.put(b"d".to_vec(), b"new".to_vec());
        overlay.delete(b"b".to_vec());
        overlay.delete(b"c".to_vec());
        overlay.delete(b"f".to_vec());
        assert_eq!(keys(&overlay), [b"a".to_vec(), b"d".to_vec()]);
        assert_eq!(overlay.get(b"d").expect("in memory"), Some(b"new".to_vec()));
        assert_eq!(overlay.get(b"f").expect("in memory"), None);
    }
}
