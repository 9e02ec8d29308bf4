//! The entries of one subtree of the state tree, as bytes.
//!
//! Each entry is the key's length and the value's length (u32, big-endian), the key, the value. Entries stand in ascending
//! order of key hash, so that two nodes with the same state write the same bytes.

use aegis_types::{Hash, Subtree, TypesError};

const LENGTHS_BYTES: usize = 8;

/// How large chunks are meant to be: small enough that a lost or wrong one costs little and that it fits one part nearly
/// always, large enough that asking for it costs nothing beside it.
pub const CHUNK_BYTES_AIM: u64 = 896 * 1024;

/// Largest chunk. Key hashes spread a state evenly, so one this large is somebody's work, who searched for keys of one
/// bucket; a state with one is not served in snapshots. A larger limit would let a liar fill more memory before it is found out.
pub const CHUNK_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Appends an entry.
pub fn push_entry(bytes: &mut Vec<u8>, key: &[u8], value: &[u8]) {
    for part in [key, value] {
        bytes.extend_from_slice(&u32::try_from(part.len()).unwrap_or(u32::MAX).to_be_bytes());
    }
    bytes.extend_from_slice(key);
    bytes.extend_from_slice(value);
}

/// How many bytes an entry takes.
pub fn entry_bytes(key: &[u8], value: &[u8]) -> u64 {
    (LENGTHS_BYTES + key.len() + value.len()) as u64
}

/// The entries of a chunk, which may be hostile: an error is the last item.
#[derive(Debug, Clone)]
pub struct Entries<'a> {
    rest: &'a [u8],
}

impl<'a> Entries<'a> {
    /// Reads a chunk from its start.
    pub fn of(chunk: &'a [u8]) -> Self {
        Self { rest: chunk }
    }

    fn take(&mut self) -> Option<(&'a [u8], &'a [u8])> {
        let (lengths, rest) = self.rest.split_first_chunk::<LENGTHS_BYTES>()?;
        let [a, b, c, d, e, f, g, h] = *lengths;
        let length = |bytes| usize::try_from(u32::from_be_bytes(bytes)).ok();
        let (key, rest) = rest.split_at_checked(length([a, b, c, d])?)?;
        let (value, rest) = rest.split_at_checked(length([e, f, g, h])?)?;
        self.rest = rest;
        Some((key, value))
    }
}

impl<'a> Iterator for Entries<'a> {
    type Item = Result<(&'a [u8], &'a [u8]), TypesError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let entry = self.take();
        if entry.is_none() {
            self.rest = &[];
        }
        Some(entry.ok_or_else(|| TypesError::invalid("snapshot chunk", "it is cut within an entry")))
    }
}

/// Checks what there is of a chunk that is still on its way: whole entries must be the subtree's, in order. Only whoever has
/// searched for such keys gets further than a few bytes with rubbish.
///
/// # Errors
/// `Invalid` when what is there cannot be the beginning of the chunk.
pub fn check_beginning(bytes: &[u8], subtree: Subtree) -> Result<(), TypesError> {
    let whole: Vec<_> = Entries::of(bytes).map_while(Result::ok).collect();
    subtree.root_of(whole).map(drop)
}

/// Checks that a chunk has exactly the entries of its subtree.
///
/// # Errors
/// `Invalid` when its bytes are malformed or lead to another root.
pub fn verify(chunk: &[u8], subtree: Subtree, root: &Hash) -> Result<(), TypesError> {
    let entries = Entries::of(chunk).collect::<Result<Vec<_>, _>>()?;
    let actual = subtree.root_of(entries)?;
    if actual == *root {
        Ok(())
    } else {
        let reason = format!("its entries lead to the root {actual}, but its subtree has {root}");
        Err(TypesError::invalid("snapshot chunk", reason))
    }
}

#[cfg(test)]
mod tests {
    use aegis_types::state_tree::key_hash;

    use super::*;

    /// Few buckets, so that their root is found fast.
    fn small() -> Subtree {
        Subtree::new(12, 7).unwrap()
    }

    fn keys_of(subtree: Subtree) -> Vec<String> {
        let keys = (0..).map(|number| format!("key {number}"));
        let own = |key: &String| Subtree::of_key(subtree.level(), key.as_bytes()).unwrap() == subtree;
        let mut keys: Vec<String> = keys.filter(own).take(8).collect();
        keys.sort_by_key(|key| key_hash(key.as_bytes()));
        keys
    }

    fn chunk_of<'a>(keys: impl Iterator<Item = &'a String>) -> Vec<u8> {
        let mut bytes = Vec::new();
        keys.for_each(|key| push_entry(&mut bytes, key.as_bytes(), b"value"));
        bytes
    }

    #[test]
    fn a_chunk_is_worth_its_root_and_every_change_is_noticed() {
        let chunk = chunk_of(keys_of(small()).iter());
        let entries: Vec<_> = Entries::of(&chunk).map(Result::unwrap).collect();
        let root = small().root_of(entries.iter().copied()).unwrap();
        verify(&chunk, small(), &root).unwrap();
        for position in 0..chunk.len() {
            let mut changed = chunk.clone();
            changed[position] ^= 1;
            assert!(verify(&changed, small(), &root).is_err(), "byte {position}");
        }
        for end in 0..chunk.len() {
            check_beginning(&chunk[..end], small()).unwrap();
            assert!(verify(&chunk[..end], small(), &root).is_err(), "cut at {end}");
        }
        let twice = [chunk.clone(), chunk.clone()].concat();
        assert!(verify(&twice, small(), &root).is_err());
    }

    #[test]
    fn entries_of_another_subtree_and_out_of_order_are_refused() {
        let keys = keys_of(small());
        let other = Subtree::new(12, 8).unwrap();
        let reason = |chunk: &[u8], subtree| verify(chunk, subtree, &Hash::ZERO).unwrap_err().to_string();
        assert!(reason(&chunk_of(keys.iter()), other).contains("another subtree"));
        assert!(reason(&chunk_of(keys.iter().rev()), small()).contains("not in order"));
        assert!(check_beginning(&chunk_of(keys.iter().rev()), small()).is_err());
        assert!(check_beginning(&[0; 100], small()).is_err());
    }

    #[test]
    fn lengths_that_lie_are_refused() {
        let mut chunk = u32::MAX.to_be_bytes().repeat(2);
        chunk.extend_from_slice(b"short");
        assert_eq!(Entries::of(&chunk).filter(Result::is_err).count(), 1);
        assert_eq!(Entries::of(&chunk).count(), 1, "an error is the last item");
    }
}
