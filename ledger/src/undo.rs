//! The way back from the newest executed state to a slightly older one, which a quorum has certified.
//!
//! The tree and the store stand at the newest executed block `x`. A decided header certifies the state after some block
//! `c <= x`, a few blocks before. The log remembers, for each block above `c`, what every key that it changed had before. The
//! value of a key at `c` is what the first block above `c` that changed it found there, or the newest value if none did.
//!
//! # Invariants
//! - The log covers all heights from its base to the newest block, without a gap: [`UndoLog::since`] yields nothing else.
//! - It is bounded in bytes. What is beyond the bound pushes out the oldest blocks: then the states before them cannot be
//!   read any more, instead of memory running out.

use std::collections::{BTreeMap, VecDeque};

use aegis_types::Height;

use crate::error::StateError;
use crate::state::{Change, Entry, StateReader, after};

/// What each key that a block changed had before it.
#[derive(Debug, Clone)]
struct BlockUndo {
    height: Height,
    before: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
    bytes: usize,
}

/// What the newest blocks changed, so that the state before them can still be read.
#[derive(Debug, Clone)]
pub struct UndoLog {
    base: Height,
    blocks: VecDeque<BlockUndo>,
    bytes: usize,
    bytes_max: usize,
}

/// Roughly what an entry takes besides its key and value.
const ENTRY_OVERHEAD_BYTES: usize = 96;

impl UndoLog {
    /// A log that begins at the state after block `newest`. It takes `bytes_max` bytes at most.
    pub fn new(newest: Height, bytes_max: usize) -> Self {
        Self { base: newest, blocks: VecDeque::new(), bytes: 0, bytes_max }
    }

    /// Remembers what the next block changes. `state` still holds the entries before the block.
    ///
    /// # Errors
    /// When the store fails; the log is unchanged then.
    pub fn record(
        &mut self,
        state: &dyn StateReader,
        height: Height,
        changes: &[Change],
    ) -> Result<(), StateError> {
        let mut undo = BlockUndo { height, before: BTreeMap::new(), bytes: 0 };
        for change in changes {
            let value = state.get(&change.key)?;
            let length = change.key.len().saturating_add(value.as_ref().map_or(0, Vec::len));
            undo.bytes = undo.bytes.saturating_add(length).saturating_add(ENTRY_OVERHEAD_BYTES);
            if undo.bytes > self.bytes_max {
                *self = Self::new(height, self.bytes_max);
                return Ok(());
            }
            undo.before.insert(change.key.clone(), value);
        }
        while self.bytes.saturating_add(undo.bytes) > self.bytes_max && self.forget_oldest() {}
        self.bytes = self.bytes.saturating_add(undo.bytes);
        self.blocks.push_back(undo);
        Ok(())
    }

    /// Forgets the way to states before `height`.
    pub fn release(&mut self, height: Height) {
        while self.blocks.front().is_some_and(|oldest| oldest.height <= height) {
            self.forget_oldest();
        }
    }

    /// Says whether there was a block to forget.
    fn forget_oldest(&mut self) -> bool {
        let Some(oldest) = self.blocks.pop_front() else { return false };
        self.base = oldest.height;
        self.bytes = self.bytes.saturating_sub(oldest.bytes);
        true
    }

    /// The oldest height whose state can be read.
    pub fn base(&self) -> Height {
        self.base
    }

    /// The newest executed block.
    pub fn newest(&self) -> Height {
        self.blocks.back().map_or(self.base, |undo| undo.height)
    }

    /// Bytes that it takes, roughly.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// The way back to the state after block `height`; none when the log does not cover it.
    pub fn since(&self, height: Height) -> Option<StateUndo<'_>> {
        let is_covered = self.base <= height && height <= self.newest();
        let first = self.blocks.partition_point(|undo| undo.height <= height);
        is_covered.then_some(StateUndo { log: self, first })
    }
}

/// The way back to the state after one block.
#[derive(Debug, Clone, Copy)]
pub struct StateUndo<'a> {
    log: &'a UndoLog,
    /// Position of the first block that is undone.
    first: usize,
}

impl<'a> StateUndo<'a> {
    fn blocks(&self) -> impl DoubleEndedIterator<Item = &'a BlockUndo> + use<'a> {
        self.log.blocks.range(self.first.min(self.log.blocks.len())..)
    }

    /// What `key` had, if a later block changed it: a value or nothing.
    fn before(&self, key: &[u8]) -> Option<Option<&'a [u8]>> {
        self.blocks().find_map(|undo| undo.before.get(key)).map(Option::as_deref)
    }

    /// The first changed key at or after `from`, with what it had.
    fn next(&self, from: &[u8]) -> Option<(&'a [u8], Option<&'a [u8]>)> {
        let range = (std::ops::Bound::Included(from), std::ops::Bound::Unbounded);
        let first = |undo: &'a BlockUndo| undo.before.range::<[u8], _>(range).next();
        // Of equal keys the first is kept: that of the oldest block.
        let (key, value) = self.blocks().filter_map(first).min_by_key(|(key, _)| *key)?;
        Some((key, value.as_deref()))
    }

    /// Every changed key with what it had.
    pub fn entries(&self) -> BTreeMap<&'a [u8], Option<&'a [u8]>> {
        let newest_first = self.blocks().rev().flat_map(|undo| &undo.before);
        newest_first.map(|(key, value)| (key.as_slice(), value.as_deref())).collect()
    }
}

/// The entries of agreed state as they stood after an older block.
///
/// The reader below may already hold, or not yet hold, the writes of the newest block in the undo log: both give the same.
/// No block may be recorded or applied while it is used.
pub struct EarlierState<'a> {
    undo: StateUndo<'a>,
    newest: &'a dyn StateReader,
}

impl<'a> EarlierState<'a> {
    /// The state that `undo` leads back to from `newest`.
    pub fn new(undo: StateUndo<'a>, newest: &'a dyn StateReader) -> Self {
        Self { undo, newest }
    }
}

impl StateReader for EarlierState<'_> {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StateError> {
        match self.undo.before(key) {
            Some(value) => Ok(value.map(<[u8]>::to_vec)),
            None => self.newest.get(key),
        }
    }

    fn next(&self, from: &[u8]) -> Result<Option<Entry>, StateError> {
        let mut from = from.to_vec();
        loop {
            let stored = self.newest.next(&from)?;
            let Some((key, value)) = self.undo.next(&from) else { return Ok(stored) };
            match (stored, value) {
                (Some(stored), _) if stored.0.as_slice() < key => return Ok(Some(stored)),
                (_, Some(value)) => return Ok(Some((key.to_vec(), value.to_vec()))),
                (_, None) => from = after(key),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Entries = BTreeMap<Vec<u8>, Vec<u8>>;

    struct Fixed(Entries);

    impl Fixed {
        fn write(&mut self, changes: &[Change]) {
            for change in changes {
                match &change.value {
                    Some(value) => self.0.insert(change.key.clone(), value.clone()),
                    None => self.0.remove(&change.key),
                };
            }
        }
    }

    impl StateReader for Fixed {
        fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StateError> {
            Ok(self.0.get(key).cloned())
        }

        fn next(&self, from: &[u8]) -> Result<Option<Entry>, StateError> {
            Ok(self.0.range(from.to_vec()..).next().map(|(key, value)| (key.clone(), value.clone())))
        }
    }

    fn change(key: &str, value: Option<&str>) -> Change {
        Change { key: key.into(), value: value.map(Into::into) }
    }

    fn walk(state: &dyn StateReader) -> Entries {
        let (mut entries, mut from) = (BTreeMap::new(), Vec::new());
        while let Some((key, value)) = state.next(&from).unwrap() {
            from = after(&key);
            entries.insert(key, value);
        }
        entries
    }

    /// Three blocks; the states after each of the heights 0 to 3.
    fn history(bytes_max: usize) -> (UndoLog, Fixed, Vec<Entries>) {
        let mut state = Fixed(BTreeMap::new());
        state.write(&[change("a", Some("1")), change("b", Some("1")), change("c", Some("1"))]);
        let mut log = UndoLog::new(Height(0), bytes_max);
        let mut states = vec![state.0.clone()];
        let blocks = [
            vec![change("a", Some("2")), change("d", Some("2"))],
            vec![change("a", None), change("b", Some("3")), change("never", None)],
            vec![change("a", Some("4")), change("d", None), change("e", Some("4"))],
        ];
        for (height, changes) in (1..).map(Height).zip(&blocks) {
            log.record(&state, height, changes).unwrap();
            state.write(changes);
            states.push(state.0.clone());
        }
        (log, state, states)
    }

    #[test]
    fn every_covered_state_reads_as_it_was() {
        let (log, newest, states) = history(usize::MAX);
        for (height, expected) in (0..).map(Height).zip(&states) {
            let earlier = EarlierState::new(log.since(height).unwrap(), &newest);
            assert_eq!(walk(&earlier), *expected, "{height}");
            for key in ["a", "b", "c", "d", "e", "never"].map(str::as_bytes) {
                assert_eq!(earlier.get(key).unwrap().as_ref(), expected.get(key), "{height}");
            }
        }
        assert!(log.since(Height(4)).is_none());
    }

    #[test]
    fn a_store_that_lacks_the_newest_block_reads_the_same() {
        let (log, _, states) = history(usize::MAX);
        let behind = Fixed(states[2].clone());
        for (height, expected) in (0..3).map(Height).zip(&states) {
            assert_eq!(walk(&EarlierState::new(log.since(height).unwrap(), &behind)), *expected, "{height}");
        }
    }

    #[test]
    fn released_states_are_gone_and_their_room_is_free() {
        let (mut log, newest, states) = history(usize::MAX);
        log.release(Height(2));
        assert_eq!((log.base(), log.newest()), (Height(2), Height(3)));
        assert!(log.since(Height(1)).is_none());
        assert_eq!(walk(&EarlierState::new(log.since(Height(2)).unwrap(), &newest)), states[2]);
        log.release(Height(9));
        assert_eq!((log.base(), log.newest(), log.bytes()), (Height(3), Height(3), 0));
    }

    #[test]
    fn what_is_beyond_the_bound_pushes_out_the_oldest_blocks() {
        let (log, newest, states) = history(4 * ENTRY_OVERHEAD_BYTES);
        assert_eq!((log.base(), log.newest()), (Height(2), Height(3)));
        assert_eq!(walk(&EarlierState::new(log.since(Height(2)).unwrap(), &newest)), states[2]);
    }

    #[test]
    fn a_block_that_is_beyond_the_bound_by_itself_cannot_be_undone_but_later_ones_can() {
        let (mut log, mut newest, _) = history(2 * ENTRY_OVERHEAD_BYTES);
        assert_eq!((log.base(), log.newest(), log.bytes()), (Height(3), Height(3), 0));
        let before = newest.0.clone();
        let changes = [change("a", Some("5"))];
        log.record(&newest, Height(4), &changes).unwrap();
        newest.write(&changes);
        assert_eq!(walk(&EarlierState::new(log.since(Height(3)).unwrap(), &newest)), before);
    }
}
