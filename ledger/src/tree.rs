//! The state root: the Merkle tree over all entries of agreed state, in RAM.
//!
//! What is hashed and how stands in [`aegis_types::state_tree`], where those who check proofs read it too.
//!
//! # Invariants
//! - The root is a function of the set of entries, never of the order or the number of writes that led to it.
//! - A bucket's leaves are strictly ascending by key hash. So inclusion and absence are proved alike, by the bucket's leaves
//!   and 16 siblings: a reader checks order, count and prefix.
//! - Only the touched buckets and their paths are hashed again.
//! - A node over empty buckets is held as zeros, which no BLAKE3 digest is, or not at all, so that a new tree costs little.
//!
//! # Memory
//! 64 bytes an entry, and up to 5.7 MiB for buckets and nodes, in pages of 0.7 KiB that the first entries bring ([`pages`]).

mod pages;

use std::collections::BTreeSet;

use aegis_types::Hash;
use aegis_types::state_tree::{BUCKETS, Leaf, bucket_hash, bucket_of, key_hash, node_hash};

use crate::state::Change;

use self::pages::{ABSENT, Pages};

/// Levels of nodes, those of root and buckets included.
const LEVELS: usize = 17;

/// The tree. After [`StateTree::set`] the root is stale until [`StateTree::rehash`].
#[derive(Debug, Clone)]
pub(crate) struct StateTree {
    pages: Pages,
    /// The nodes over empty buckets, from the root down.
    empty: [Hash; LEVELS],
    stale: BTreeSet<usize>,
}

impl StateTree {
    /// The tree without entries.
    pub(crate) fn new() -> Self {
        let mut below = bucket_hash(&[]);
        let mut empty = [below; LEVELS];
        for digest in empty.iter_mut().rev().skip(1) {
            below = node_hash(&below, &below);
            *digest = below;
        }
        Self { pages: Pages::new(), empty, stale: BTreeSet::new() }
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
        let leaf = Leaf::of(key, value);
        let index = bucket_of(&leaf.key);
        let Some(bucket) = self.pages.bucket_mut(index) else { return };
        put_leaf(bucket, leaf);
        self.stale.insert(index);
    }

    /// Hashes the touched buckets and their paths.
    pub(crate) fn rehash(&mut self) {
        let mut row = Vec::with_capacity(self.stale.len());
        for index in std::mem::take(&mut self.stale) {
            let leaves = self.bucket(index);
            let digest = if leaves.is_empty() { ABSENT } else { bucket_hash(leaves) };
            let position = BUCKETS.saturating_add(index);
            self.pages.set_node(position, digest);
            row.push(position);
        }
        for below in self.empty.into_iter().rev().take(LEVELS - 1) {
            // Ascending positions have ascending parents.
            row.iter_mut().for_each(|position| *position /= 2);
            row.dedup();
            for position in &row {
                let left = position.saturating_mul(2);
                let child = |position| self.pages.node(position).unwrap_or(ABSENT);
                let or_empty = |child: Hash| if child == ABSENT { below } else { child };
                let digest = match (child(left), child(left.saturating_add(1))) {
                    (ABSENT, ABSENT) => ABSENT,
                    (left, right) => node_hash(&or_empty(left), &or_empty(right)),
                };
                self.pages.set_node(*position, digest);
            }
        }
    }

    /// The root over all entries.
    pub(crate) fn root(&self) -> Hash {
        self.node(1)
    }

    /// The hash of a node; buckets are nodes too.
    pub(crate) fn node(&self, position: usize) -> Hash {
        let level = usize::try_from(position.checked_ilog2().unwrap_or_default()).unwrap_or(LEVELS);
        match self.pages.node(position) {
            Some(node) if node != ABSENT => node,
            Some(_) | None => self.empty.get(level).copied().unwrap_or(ABSENT),
        }
    }

    /// The leaves of a bucket.
    pub(crate) fn bucket(&self, index: usize) -> &[Leaf] {
        self.pages.bucket(index)
    }

    fn remove(&mut self, key: &[u8]) {
        let key = key_hash(key);
        let index = bucket_of(&key);
        let Some(bucket) = self.pages.bucket_mut(index) else { return };
        if remove_leaf(bucket, &key) {
            self.stale.insert(index);
        }
    }
}

/// Puts a leaf into a bucket, in the place of the one with the same key if there is one.
pub(crate) fn put_leaf(bucket: &mut Vec<Leaf>, leaf: Leaf) {
    match bucket.binary_search_by_key(&leaf.key, |other| other.key) {
        Ok(position) => {
            if let Some(old) = bucket.get_mut(position) {
                *old = leaf;
            }
        }
        Err(position) => {
            // Doubling would cost more memory than the few bytes that are moved.
            bucket.reserve_exact(1);
            bucket.insert(position, leaf);
        }
    }
}

/// Takes a leaf out of a bucket; says whether it was there.
pub(crate) fn remove_leaf(bucket: &mut Vec<Leaf>, key: &Hash) -> bool {
    let found = bucket.binary_search_by_key(key, |other| other.key);
    if let Ok(position) = found {
        bucket.remove(position);
        bucket.shrink_to_fit();
    }
    found.is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &[u8; 32] = b"aegis v1 state key..............";
    const VALUE: &[u8; 32] = b"aegis v1 state value............";
    const LEAF: &[u8; 32] = b"aegis v1 state leaf.............";
    const BUCKET: &[u8; 32] = b"aegis v1 state bucket...........";
    const NODE: &[u8; 32] = b"aegis v1 state node.............";

    type Digest = [u8; 32];

    fn keyed(label: &[u8; 32], bytes: &[u8]) -> Digest {
        blake3::keyed_hash(label, bytes).into()
    }

    fn put(key: &str, value: &str) -> Change {
        Change { key: key.into(), value: Some(value.into()) }
    }

    /// The root by the definition, without any of the tree's shortcuts.
    fn root_by_definition(entries: &[(&str, &str)]) -> Hash {
        let mut buckets = vec![Vec::new(); BUCKETS];
        for (key, value) in entries {
            let key = keyed(KEY, key.as_bytes());
            buckets[usize::from(u16::from_be_bytes([key[0], key[1]]))]
                .push((key, keyed(VALUE, value.as_bytes())));
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
        assert_eq!(tree.root(), StateTree::new().root());
        assert!((1..2 * BUCKETS).all(|position| tree.pages.node(position) == Some(ABSENT)));
        assert!((0..BUCKETS).all(|index| tree.bucket(index).is_empty()));
    }

    #[test]
    fn leaves_that_share_a_bucket_are_kept_apart() {
        let name = |number: usize| format!("key {number}");
        let bucket = |number: usize| bucket_of(&key_hash(name(number).as_bytes()));
        let first = bucket(0);
        let other = (1..).find(|number| bucket(*number) == first).expect("one of some 65,536 collides");
        let mut tree = StateTree::new();
        tree.update(&[put(&name(other), "x"), put(&name(0), "y")]);
        assert_eq!(tree.root(), root_by_definition(&[(&name(0), "y"), (&name(other), "x")]));
        assert_ne!(tree.root(), root_by_definition(&[(&name(0), "x"), (&name(other), "y")]));
    }
}
