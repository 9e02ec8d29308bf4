//! Aligned parts of the state tree, for those who fetch a state in parts and check each part by itself.
//!
//! At *level* `l` the tree has `2^l` subtrees: level 0 is the whole tree, level 16 the single buckets. All entries of a
//! subtree give its root, and all roots of a level give the state root, so whoever knows a certified state root and the roots
//! of a level can check every subtree on arrival.

use std::ops::Range;

use crate::error::TypesError;
use crate::hash::Hash;
use crate::state_tree::{BUCKETS, Leaf, TREE_DEPTH, bucket_hash, bucket_of, key_hash, node_hash};

/// One of the `2^level` equal parts of the state tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Subtree {
    level: u32,
    index: usize,
}

impl Subtree {
    /// The deepest level: one bucket each.
    pub const LEVEL_MAX: u32 = TREE_DEPTH as u32;

    /// The subtree number `index` of a level.
    ///
    /// # Errors
    /// `Invalid` for a level above [`Self::LEVEL_MAX`] or an index that the level does not have.
    pub fn new(level: u32, index: usize) -> Result<Self, TypesError> {
        if index < Self::count(level)? {
            Ok(Self { level, index })
        } else {
            Err(TypesError::invalid("subtree", format!("level {level} has no subtree {index}")))
        }
    }

    /// How many subtrees a level has.
    ///
    /// # Errors
    /// `Invalid` for a level above [`Self::LEVEL_MAX`].
    pub fn count(level: u32) -> Result<usize, TypesError> {
        1_usize.checked_shl(level).filter(|count| *count <= BUCKETS).ok_or_else(|| {
            TypesError::invalid("subtree", format!("level {level} is below the buckets, level 16"))
        })
    }

    /// The subtree of a level that a key's entry is in.
    ///
    /// # Errors
    /// `Invalid` for a level above [`Self::LEVEL_MAX`].
    pub fn of_key(level: u32, key: &[u8]) -> Result<Self, TypesError> {
        let width = BUCKETS.checked_div(Self::count(level)?).unwrap_or(BUCKETS);
        let index = bucket_of(&key_hash(key)).checked_div(width).unwrap_or_default();
        Ok(Self { level, index })
    }

    /// Its level.
    pub fn level(&self) -> u32 {
        self.level
    }

    /// Its number, from 0.
    pub fn index(&self) -> usize {
        self.index
    }

    /// Its position among the tree's nodes: `2^level + index`.
    pub fn node(&self) -> usize {
        1_usize.checked_shl(self.level).unwrap_or_default().saturating_add(self.index)
    }

    /// Its buckets.
    pub fn buckets(&self) -> Range<usize> {
        let width = BUCKETS.checked_shr(self.level).unwrap_or_default();
        let first = self.index.saturating_mul(width);
        first..first.saturating_add(width)
    }

    /// The root over entries, which must be all of the subtree's, in ascending order of key hash.
    ///
    /// # Errors
    /// `Invalid` for an entry of another subtree, or when they are not in order.
    pub fn root_of<'a>(
        &self,
        entries: impl IntoIterator<Item = (&'a [u8], &'a [u8])>,
    ) -> Result<Hash, TypesError> {
        let buckets = self.buckets();
        let mut leaves: Vec<Leaf> = Vec::new();
        for (key, value) in entries {
            let leaf = Leaf::of(key, value);
            if !buckets.contains(&bucket_of(&leaf.key)) {
                return Err(TypesError::invalid("subtree", "it has an entry of another subtree"));
            }
            if leaves.last().is_some_and(|last| last.key >= leaf.key) {
                let reason = "its entries are not in order of key hash, or one is there twice";
                return Err(TypesError::invalid("subtree", reason));
            }
            leaves.push(leaf);
        }
        let mut rest = leaves.as_slice();
        let mut roots = Vec::with_capacity(buckets.len());
        for bucket in buckets {
            let (own, after) = rest.split_at(rest.partition_point(|leaf| bucket_of(&leaf.key) <= bucket));
            roots.push(bucket_hash(own));
            rest = after;
        }
        root_of_subtrees(&roots)
    }
}

/// The root over all subtrees of a level, or over those of a level within one subtree.
///
/// # Errors
/// `Invalid` when their number is no power of two up to [`BUCKETS`].
pub fn root_of_subtrees(roots: &[Hash]) -> Result<Hash, TypesError> {
    if !roots.len().is_power_of_two() || roots.len() > BUCKETS {
        let reason = format!("{} is no power of two up to {BUCKETS}", roots.len());
        return Err(TypesError::invalid("number of subtrees", reason));
    }
    let mut row = roots.to_vec();
    while row.len() > 1 {
        row = row
            .chunks_exact(2)
            .filter_map(|pair| match pair {
                [left, right] => Some(node_hash(left, right)),
                _ => None,
            })
            .collect();
    }
    row.first().copied().ok_or_else(|| TypesError::invalid("number of subtrees", "there are none"))
}
