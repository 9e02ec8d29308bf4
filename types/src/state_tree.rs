//! The hashes of the state tree: the Merkle tree whose root headers certify.
//!
//! Agreed state is a set of entries, key and value. They are spread over 2^16 *buckets* by the first 16 bits of their key's
//! hash; above the buckets stands a complete binary tree. All hashes are BLAKE3 in keyed mode, each use under a constant
//! key of its own (32 ASCII characters, the label padded with `.`):
//!
//! | hash | label | over |
//! |---|---|---|
//! | key hash | `aegis v1 state key` | the key |
//! | value hash | `aegis v1 state value` | the value |
//! | leaf | `aegis v1 state leaf` | key hash, value hash |
//! | bucket | `aegis v1 state bucket` | number of leaves (u32, big-endian), then the leaves' hashes in order of key hash |
//! | node | `aegis v1 state node` | left child, right child |
//!
//! Node 1 is the root, node `i` has children `2i` and `2i + 1`, bucket `b` is node `2^16 + b`. A bucket's leaves are strictly
//! ascending by key hash, so a set of entries has exactly one root.
//!
//! Those who keep a tree and those who check a proof take the formulas from here and from nowhere else.

use crate::hash::Hash;

/// Levels above the buckets: the siblings that a proof has.
pub const TREE_DEPTH: usize = 16;

/// 2^16 buckets: some 15 entries in each of a million, so that a changed entry costs about 40 hash steps.
pub const BUCKETS: usize = 1 << TREE_DEPTH;

const KEY: &[u8; 32] = b"aegis v1 state key..............";
const VALUE: &[u8; 32] = b"aegis v1 state value............";
const LEAF: &[u8; 32] = b"aegis v1 state leaf.............";
const BUCKET: &[u8; 32] = b"aegis v1 state bucket...........";
const NODE: &[u8; 32] = b"aegis v1 state node.............";

/// An entry of agreed state as the tree holds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Leaf {
    /// [`key_hash`] of its key.
    pub key: Hash,
    /// [`value_hash`] of its value.
    pub value: Hash,
}

impl Leaf {
    /// The leaf of an entry.
    pub fn of(key: &[u8], value: &[u8]) -> Self {
        Self { key: key_hash(key), value: value_hash(value) }
    }
}

/// The hash that places a key in the tree.
pub fn key_hash(key: &[u8]) -> Hash {
    keyed(KEY, key)
}

/// The hash that stands for a value in the tree.
pub fn value_hash(value: &[u8]) -> Hash {
    keyed(VALUE, value)
}

/// The bucket of a key hash, below [`BUCKETS`].
pub fn bucket_of(key: &Hash) -> usize {
    let [high, low, ..] = key.0;
    usize::from(u16::from_be_bytes([high, low]))
}

/// The hash of a bucket whose leaves are given in ascending order of key hash.
pub fn bucket_hash(leaves: &[Leaf]) -> Hash {
    let count = u32::try_from(leaves.len()).unwrap_or(u32::MAX);
    let mut hasher = blake3::Hasher::new_keyed(BUCKET);
    hasher.update(&count.to_be_bytes());
    for leaf in leaves {
        hasher.update(&pair(LEAF, &leaf.key, &leaf.value).0);
    }
    Hash(hasher.finalize().into())
}

/// The hash of a node with these children.
pub fn node_hash(left: &Hash, right: &Hash) -> Hash {
    pair(NODE, left, right)
}

fn pair(label: &[u8; 32], first: &Hash, second: &Hash) -> Hash {
    let mut bytes = [0; 64];
    for (to, from) in bytes.iter_mut().zip(first.0.iter().chain(&second.0)) {
        *to = *from;
    }
    keyed(label, &bytes)
}

fn keyed(label: &[u8; 32], bytes: &[u8]) -> Hash {
    Hash(blake3::keyed_hash(label, bytes).into())
}
