//! The state tree as it stood after an older block: the buckets that were changed since, and the nodes above them, are
//! computed anew; all else is the live tree's.

use std::collections::{BTreeMap, BTreeSet};

use aegis_types::state_tree::{
    BUCKETS, Leaf, TREE_DEPTH, bucket_hash, bucket_of, key_hash, node_hash, value_hash,
};
use aegis_types::{Hash, StateProof};

use crate::error::LedgerError;
use crate::tree::{StateTree, put_leaf, remove_leaf};
use crate::undo::StateUndo;

/// An older tree on top of the live one.
pub(crate) struct EarlierTree<'a> {
    live: &'a StateTree,
    buckets: BTreeMap<usize, Vec<Leaf>>,
    nodes: BTreeMap<usize, Hash>,
}

impl<'a> EarlierTree<'a> {
    /// The tree that `undo` leads back to from the live one.
    pub(crate) fn new(live: &'a StateTree, undo: &StateUndo<'_>) -> Self {
        let mut buckets: BTreeMap<usize, Vec<Leaf>> = BTreeMap::new();
        for (key, value) in undo.entries() {
            let key = key_hash(key);
            let index = bucket_of(&key);
            let bucket = buckets.entry(index).or_insert_with(|| live.bucket(index).to_vec());
            match value {
                Some(value) => put_leaf(bucket, Leaf { key, value: value_hash(value) }),
                None => {
                    remove_leaf(bucket, &key);
                }
            }
        }
        let mut tree = Self { live, buckets, nodes: BTreeMap::new() };
        tree.hash_paths();
        tree
    }

    fn hash_paths(&mut self) {
        let mut parents = BTreeSet::new();
        for (index, bucket) in &self.buckets {
            let position = BUCKETS.saturating_add(*index);
            self.nodes.insert(position, bucket_hash(bucket));
            parents.insert(position / 2);
        }
        while parents.first().is_some_and(|position| *position > 0) {
            let mut next = BTreeSet::new();
            for position in parents {
                let left = position.saturating_mul(2);
                let digest = node_hash(&self.node(left), &self.node(left.saturating_add(1)));
                self.nodes.insert(position, digest);
                next.insert(position / 2);
            }
            parents = next;
        }
    }

    /// The hash of a node; node 1 is the root.
    pub(crate) fn node(&self, position: usize) -> Hash {
        self.nodes.get(&position).copied().unwrap_or_else(|| self.live.node(position))
    }

    /// The proof of what `key` has.
    pub(crate) fn prove(&self, key: &[u8]) -> Result<StateProof, LedgerError> {
        let index = bucket_of(&key_hash(key));
        let leaves = match self.buckets.get(&index) {
            Some(bucket) => bucket,
            None => self.live.bucket(index),
        };
        if leaves.len() > StateProof::LEAVES_MAX {
            return Err(LedgerError::Unprovable { actual: leaves.len(), limit: StateProof::LEAVES_MAX });
        }
        let mut siblings = [Hash::ZERO; TREE_DEPTH];
        let mut position = BUCKETS.saturating_add(index);
        for sibling in &mut siblings {
            *sibling = self.node(position ^ 1);
            position /= 2;
        }
        Ok(StateProof { leaves: leaves.to_vec(), siblings })
    }
}
