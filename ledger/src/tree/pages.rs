//! The tree's nodes and buckets, in pages that come into being with the first entry below them.
//!
//! Most of a state's tree is empty, and a node that starts would write megabytes of nothing. Nodes have the numbers of a
//! binary heap: the root is 1, the children of `i` are `2 i` and `2 i + 1`, and the buckets' digests are the last level.
//! The upper nine levels lie in one row; below them, four levels form a page, and the lowest page holds its buckets too.

use aegis_types::Hash;
use aegis_types::state_tree::{BUCKETS, Leaf};

/// Stands in the place of a node over empty buckets.
pub(super) const ABSENT: Hash = Hash::ZERO;

/// Levels of one page.
const PAGE_LEVELS: u32 = 4;

/// Nodes of one page, and one more, since the first has the number 1.
const PAGE_NODES: usize = 1 << PAGE_LEVELS;

/// Buckets of one page: its lowest level.
const PAGE_BUCKETS: usize = PAGE_NODES / 2;

/// The level at which the lowest pages begin.
const LOWEST_LEVEL: u32 = BUCKETS.ilog2() + 1 - PAGE_LEVELS;

/// The level at which the pages above the lowest begin.
const MIDDLE_LEVEL: u32 = LOWEST_LEVEL - PAGE_LEVELS;

#[derive(Debug, Clone)]
struct LowestPage {
    nodes: [Hash; PAGE_NODES],
    buckets: [Vec<Leaf>; PAGE_BUCKETS],
}

impl Default for LowestPage {
    fn default() -> Self {
        Self { nodes: [ABSENT; PAGE_NODES], buckets: Default::default() }
    }
}

/// Where a node lies.
enum Place {
    Top(usize),
    Middle { page: usize, slot: usize },
    Lowest { page: usize, slot: usize },
}

impl Place {
    fn of(position: usize) -> Self {
        let level = position.checked_ilog2().unwrap_or_default();
        if level < MIDDLE_LEVEL {
            Self::Top(position)
        } else if level < LOWEST_LEVEL {
            let (page, slot) = within(position, level, MIDDLE_LEVEL);
            Self::Middle { page, slot }
        } else {
            let (page, slot) = within(position, level, LOWEST_LEVEL);
            Self::Lowest { page, slot }
        }
    }
}

/// The page among those that begin at `first_level`, and the node's number as if the page's first node were a root.
fn within(position: usize, level: u32, first_level: u32) -> (usize, usize) {
    let depth = level.saturating_sub(first_level);
    let row = 1_usize << depth;
    ((position >> depth).saturating_sub(1 << first_level), row | (position & row.saturating_sub(1)))
}

/// Nodes and buckets, all absent or empty at first.
#[derive(Debug, Clone)]
pub(super) struct Pages {
    top: Vec<Hash>,
    middle: Vec<Option<Box<[Hash; PAGE_NODES]>>>,
    lowest: Vec<Option<Box<LowestPage>>>,
}

impl Pages {
    pub fn new() -> Self {
        Self {
            top: vec![ABSENT; 1 << MIDDLE_LEVEL],
            middle: vec![None; 1 << MIDDLE_LEVEL],
            lowest: vec![None; 1 << LOWEST_LEVEL],
        }
    }

    /// The digest at this position, [`ABSENT`] over empty buckets; `None` past the last bucket's.
    pub fn node(&self, position: usize) -> Option<Hash> {
        match Place::of(position) {
            Place::Top(slot) => self.top.get(slot).copied(),
            Place::Middle { page, slot } => {
                self.middle.get(page)?.as_ref().map_or(Some(ABSENT), |nodes| nodes.get(slot).copied())
            }
            Place::Lowest { page, slot } => {
                self.lowest.get(page)?.as_ref().map_or(Some(ABSENT), |page| page.nodes.get(slot).copied())
            }
        }
    }

    /// Sets the digest at this position; one past the last bucket's is not kept.
    pub fn set_node(&mut self, position: usize, digest: Hash) {
        let node = match Place::of(position) {
            Place::Top(slot) => self.top.get_mut(slot),
            Place::Middle { page, slot } => self
                .middle
                .get_mut(page)
                .and_then(|page| page.get_or_insert_with(|| Box::new([ABSENT; PAGE_NODES])).get_mut(slot)),
            Place::Lowest { page, slot } => {
                self.lowest.get_mut(page).and_then(|page| page.get_or_insert_default().nodes.get_mut(slot))
            }
        };
        if let Some(node) = node {
            *node = digest;
        }
    }

    /// The leaves of a bucket.
    pub fn bucket(&self, index: usize) -> &[Leaf] {
        let page = self.lowest.get(index / PAGE_BUCKETS).and_then(Option::as_ref);
        page.and_then(|page| page.buckets.get(index % PAGE_BUCKETS)).map_or(&[], Vec::as_slice)
    }

    /// The leaves of a bucket, to be changed; `None` past the last one.
    pub fn bucket_mut(&mut self, index: usize) -> Option<&mut Vec<Leaf>> {
        let page = self.lowest.get_mut(index / PAGE_BUCKETS)?.get_or_insert_default();
        page.buckets.get_mut(index % PAGE_BUCKETS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(number: usize) -> Hash {
        let mut bytes = [1; 32];
        bytes[..8].copy_from_slice(&number.to_be_bytes());
        Hash(bytes)
    }

    #[test]
    fn every_position_has_a_place_of_its_own() {
        let mut pages = Pages::new();
        (1..2 * BUCKETS).for_each(|position| pages.set_node(position, digest(position)));
        assert!((1..2 * BUCKETS).all(|position| pages.node(position) == Some(digest(position))));
        assert_eq!(pages.node(2 * BUCKETS), None);
        pages.set_node(2 * BUCKETS, digest(0));
        assert!((1..2 * BUCKETS).all(|position| pages.node(position) == Some(digest(position))));
    }

    #[test]
    fn every_bucket_has_a_place_of_its_own() {
        let mut pages = Pages::new();
        let leaf = |index| Leaf { key: digest(index), value: digest(index) };
        (0..BUCKETS).for_each(|index| pages.bucket_mut(index).expect("a bucket").push(leaf(index)));
        assert!((0..BUCKETS).all(|index| pages.bucket(index) == [leaf(index)]));
        assert!(pages.bucket_mut(BUCKETS).is_none());
        assert!(pages.bucket(BUCKETS).is_empty());
    }

    #[test]
    fn what_was_never_set_is_absent_and_costs_no_page() {
        let pages = Pages::new();
        assert!((1..2 * BUCKETS).all(|position| pages.node(position) == Some(ABSENT)));
        assert!(pages.middle.iter().all(Option::is_none) && pages.lowest.iter().all(Option::is_none));
    }
}
