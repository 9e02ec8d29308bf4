//! The state root: a Merkle tree over all entries of agreed state, in RAM.
//!
//! Entries are spread over 2^16 *buckets* by the first 16 bits of their key's hash; above the buckets stands a complete
//! binary tree. All hashes are BLAKE3 in keyed mode, each use under a constant key of its own (32 ASCII characters, the
//! label padded with `.`):
//!
//! | hash | label | over |
//! |---|---|---|
//! | key hash | `aegis v1 state key` | the key |
//! | value hash | `aegis v1 state value` | the value |
//! | leaf | `aegis v1 state leaf` | key hash, value hash |
//! | bucket | `aegis v1 state bucket` | number of leaves (u32, big-endian), then the leaves in order of key hash |
//! | node | `aegis v1 state node` | left child, right child |
//!
//! Node 1 is the root, node `i` has children `2i` and `2i + 1`, bucket `b` is node `2^16 + b`.
//!
//! # Invariants
//! - The root is a function of the set of entries, never of the order or the number of writes that led to it.
//! - A bucket's leaves are strictly ascending by key hash. So inclusion is proved by the bucket's leaves and 16 siblings,
//!   and absence by the bucket's pairs (key hash, value hash) and 16 siblings: a reader checks order, count and prefix.
//! - Only the touched buckets and their paths are hashed again.
//! - A node over empty buckets is held as zeros, which no BLAKE3 digest is, so that a new tree costs nothing.
//!
//! # Memory
//! 64 bytes an entry, and up to 5 MiB for nodes and buckets, of which an operating system provides what was written to.

use std::collections::BTreeSet;

use aegis_types::Hash;

use crate::state::Change;

/// 2^16 buckets: some 15 entries in each of a million, so that a changed entry costs about 40 hash steps.
const BUCKETS: usize = 1 << 16;
/// Levels of nodes, those of root and buckets included.
const LEVELS: usize = 17;

const KEY: &[u8; 32] = b"aegis v1 state key..............";
const VALUE: &[u8; 32] = b"aegis v1 state value............";
const LEAF: &[u8; 32] = b"aegis v1 state leaf.............";
const BUCKET: &[u8; 32] = b"aegis v1 state bucket...........";
const NODE: &[u8; 32] = b"aegis v1 state node.............";

type Digest = [u8; 32];

/// Stands in the place of a node over empty buckets.
const ABSENT: Digest = [0; 32];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Entry {
    key: Digest,
    value: Digest,
}

/// The tree. After [`StateTree::set`] the root is stale until [`StateTree::rehash`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StateTree {
    /// None is an empty bucket.
    buckets: Vec<Option<Box<[Entry]>>>,
    /// Zeros are a node over empty buckets.
    nodes: Vec<Digest>,
    /// The nodes over empty buckets, from the root down.
    empty: [Digest; LEVELS],
    stale: BTreeSet<usize>,
}

impl StateTree {
    /// The tree without entries.
    pub(crate) fn new() -> Self {
        let mut empty = [hash_bucket(&[]); LEVELS];
        let mut below = hash_bucket(&[]);
        for digest in empty.iter_mut().rev().skip(1) {
            below = hash_node(&below, &below);
            *digest = below;
        }
        Self {
            buckets: vec![None; BUCKETS],
            nodes: vec![ABSENT; BUCKETS.saturating_mul(2)],
            empty,
            stale: BTreeSet::new(),
        }
    }

    /// Takes over a block's writes; afterwards the root is that of the state with them.
    pub(crate) fn update(&mut self, changes: &[Change]) {
        for change in changes {
            match &change.value {
                Some(value) => self.set(&change.key, value),
                None => self.remove(&change.key),
            }
        }
        self.rehash();
    }

    /// Sets one entry without hashing the nodes above it.
    pub(crate) fn set(&mut self, key: &[u8], value: &[u8]) {
        let entry = Entry { key: keyed(KEY, key), value: keyed(VALUE, value) };
        let index = bucket_of(&entry.key);
        let Some(bucket) = self.buckets.get_mut(index) else { return };
        let mut entries = bucket.take().map_or_else(Vec::new, Vec::from);
        match entries.binary_search_by_key(&entry.key, |other| other.key) {
            Ok(position) => {
                if let Some(old) = entries.get_mut(position) {
                    *old = entry;
                }
            }
            Err(position) => {
                // Doubling would cost more memory than the few bytes that are moved.
                entries.reserve_exact(1);
                entries.insert(position, entry);
            }
        }
        *bucket = Some(entries.into_boxed_slice());
        self.stale.insert(index);
    }

    /// Hashes the touched buckets and their paths.
    pub(crate) fn rehash(&mut self) {
        let mut row = Vec::with_capacity(self.stale.len());
        for index in std::mem::take(&mut self.stale) {
            let digest = match self.buckets.get(index) {
                Some(Some(entries)) => hash_bucket(entries),
                Some(None) | None => ABSENT,
            };
            let position = BUCKETS.saturating_add(index);
            if let Some(node) = self.nodes.get_mut(position) {
                *node = digest;
                row.push(position);
            }
        }
        for below in self.empty.into_iter().rev().take(LEVELS - 1) {
            // Ascending positions have ascending parents.
            row.iter_mut().for_each(|position| *position /= 2);
            row.dedup();
            for position in &row {
                let first = position.saturating_mul(2);
                let Some([left, right]) = self.nodes.get(first..first.saturating_add(2)) else { continue };
                let or_empty = |child: &Digest| if *child == ABSENT { below } else { *child };
                let digest = match (*left, *right) {
                    (ABSENT, ABSENT) => ABSENT,
                    _ => hash_node(&or_empty(left), &or_empty(right)),
                };
                if let Some(node) = self.nodes.get_mut(*position) {
                    *node = digest;
                }
            }
        }
    }

    /// The root over all entries.
    pub(crate) fn root(&self) -> Hash {
        match (self.nodes.get(1), self.empty.first()) {
            (Some(root), _) if *root != ABSENT => Hash(*root),
            (_, Some(empty)) => Hash(*empty),
            (_, None) => Hash::ZERO,
        }
    }

    fn remove(&mut self, key: &[u8]) {
        let key = keyed(KEY, key);
        let index = bucket_of(&key);
        let Some(bucket) = self.buckets.get_mut(index) else { return };
        let Some(entries) = bucket else { return };
        if let Ok(position) = entries.binary_search_by_key(&key, |other| other.key) {
            let mut entries = Vec::from(std::mem::take(entries));
            entries.remove(position);
            *bucket = Some(entries.into_boxed_slice()).filter(|entries| !entries.is_empty());
            self.stale.insert(index);
        }
    }
}

fn bucket_of(key: &Digest) -> usize {
    let [high, low, ..] = *key;
    usize::from(u16::from_be_bytes([high, low]))
}

fn hash_bucket(entries: &[Entry]) -> Digest {
    let count = u32::try_from(entries.len()).unwrap_or(u32::MAX);
    let mut hasher = blake3::Hasher::new_keyed(BUCKET);
    hasher.update(&count.to_be_bytes());
    for entry in entries {
        hasher.update(&pair(LEAF, &entry.key, &entry.value));
    }
    hasher.finalize().into()
}

fn hash_node(left: &Digest, right: &Digest) -> Digest {
    pair(NODE, left, right)
}

fn pair(label: &[u8; 32], first: &Digest, second: &Digest) -> Digest {
    let mut bytes = [0; 64];
    let (left, right) = bytes.split_at_mut(32);
    left.copy_from_slice(first);
    right.copy_from_slice(second);
    keyed(label, &bytes)
}

fn keyed(label: &[u8; 32], bytes: &[u8]) -> Digest {
    blake3::keyed_hash(label, bytes).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(key: &str, value: &str) -> Change {
        Change { key: key.into(), value: Some(value.into()) }
    }

    /// The root by the definition, without any of the tree's shortcuts.
    fn root_by_definition(entries: &[(&str, &str)]) -> Hash {
        let mut buckets = vec![Vec::new(); BUCKETS];
        for (key, value) in entries {
            let key = keyed(KEY, key.as_bytes());
            buckets[bucket_of(&key)].push((key, keyed(VALUE, value.as_bytes())));
        }
        let mut row: Vec<Digest> = buckets
            .into_iter()
            .map(|mut bucket| {
                bucket.sort_unstable();
                let mut bytes = (bucket.len() as u32).to_be_bytes().to_vec();
                for (key, value) in bucket {
                    bytes.extend(keyed(LEAF, &[key, value].concat()));
                }
                keyed(BUCKET, &bytes)
            })
            .collect();
        while row.len() > 1 {
            row = row.chunks(2).map(|pair| keyed(NODE, &pair.concat())).collect();
        }
        Hash(row[0])
    }

    #[test]
    fn the_incremental_root_is_the_one_of_the_definition() {
        let mut tree = StateTree::new();
        assert_eq!(tree.root(), root_by_definition(&[]));
        tree.update(&[put("a", "1"), put("b", "2"), put("c", "3")]);
        tree.update(&[put("b", "4"), Change { key: "c".into(), value: None }]);
        assert_eq!(tree.root(), root_by_definition(&[("b", "4"), ("a", "1")]));
    }

    #[test]
    fn removing_everything_gives_the_empty_tree_again() {
        let mut tree = StateTree::new();
        tree.update(&[put("a", "1"), put("b", "2")]);
        tree.update(&["a", "b", "never there"].map(|key| Change { key: key.into(), value: None }));
        assert_eq!(tree, StateTree::new());
    }

    #[test]
    fn leaves_that_share_a_bucket_are_kept_apart() {
        let name = |number: usize| format!("key {number}");
        let bucket = |number: usize| bucket_of(&keyed(KEY, name(number).as_bytes()));
        let first = bucket(0);
        let other = (1..).find(|number| bucket(*number) == first).expect("one of some 65,536 collides");
        let mut tree = StateTree::new();
        tree.update(&[put(&name(other), "x"), put(&name(0), "y")]);
        assert_eq!(tree.root(), root_by_definition(&[(&name(0), "y"), (&name(other), "x")]));
        assert_ne!(tree.root(), root_by_definition(&[(&name(0), "x"), (&name(other), "y")]));
    }
}
