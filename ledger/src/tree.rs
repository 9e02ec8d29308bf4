//! The state root: the Merkle tree over all entries of agreed state, in RAM.
//!
//! What is hashed and how stands in [`aegis_types::state_tree`], where those who check proofs read it too.
//!
//! # Invariants
//! - The root is a function of the set of entries, never of the order or the number of writes that led to it.
//! - A bucket's leaves are strictly ascending by key hash. So inclusion and absence are proved alike, by the bucket's leaves
//!   and 16 siblings: a reader checks order, count and prefix.
//! - Only the touched buckets and their paths are hashed again.
//!
//! # Memory
//! 64 bytes an entry, and 5.5 MiB for nodes and empty buckets.

use std::collections::BTreeSet;

use aegis_types::Hash;
use aegis_types::state_tree::{BUCKETS, Leaf, bucket_hash, bucket_of, key_hash, node_hash};

use crate::state::Change;

/// The tree. After [`StateTree::set`] the root is stale until [`StateTree::rehash`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StateTree {
    buckets: Vec<Vec<Leaf>>,
    nodes: Vec<Hash>,
    stale: BTreeSet<usize>,
}

impl StateTree {
    /// The tree without entries.
    pub(crate) fn new() -> Self {
        let mut digest = bucket_hash(&[]);
        let mut nodes = vec![digest; BUCKETS.saturating_mul(2)];
        let mut width = BUCKETS;
        while width > 1 {
            width /= 2;
            digest = node_hash(&digest, &digest);
            if let Some(row) = nodes.get_mut(width..width.saturating_mul(2)) {
                row.fill(digest);
            }
        }
        Self { buckets: vec![Vec::new(); BUCKETS], nodes, stale: BTreeSet::new() }
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
        let Some(bucket) = self.buckets.get_mut(index) else { return };
        put_leaf(bucket, leaf);
        self.stale.insert(index);
    }

    /// Hashes the touched buckets and their paths.
    pub(crate) fn rehash(&mut self) {
        let mut parents = BTreeSet::new();
        for index in std::mem::take(&mut self.stale) {
            let digest = self.buckets.get(index).map(|bucket| bucket_hash(bucket));
            let position = BUCKETS.saturating_add(index);
            if let (Some(node), Some(digest)) = (self.nodes.get_mut(position), digest) {
                *node = digest;
                parents.insert(position / 2);
            }
        }
        while parents.first().is_some_and(|position| *position > 0) {
            let mut next = BTreeSet::new();
            for position in parents {
                let left = position.saturating_mul(2);
                if let Some([left, right]) = self.nodes.get(left..left.saturating_add(2)) {
                    let digest = node_hash(left, right);
                    if let Some(node) = self.nodes.get_mut(position) {
                        *node = digest;
                    }
                }
                next.insert(position / 2);
            }
            parents = next;
        }
    }

    /// The root over all entries.
    pub(crate) fn root(&self) -> Hash {
        self.node(1)
    }

    /// The hash of a node; buckets are nodes too.
    pub(crate) fn node(&self, position: usize) -> Hash {
        self.nodes.get(position).copied().unwrap_or(Hash::ZERO)
    }

    /// The leaves of a bucket.
    pub(crate) fn bucket(&self, index: usize) -> &[Leaf] {
        self.buckets.get(index).map_or(&[], Vec::as_slice)
    }

    fn remove(&mut self, key: &[u8]) {
        let key = key_hash(key);
        let index = bucket_of(&key);
        let Some(bucket) = self.buckets.get_mut(index) else { return };
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
        assert_eq!(tree, StateTree::new());
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
