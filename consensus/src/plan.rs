//! What a new view must start with.
//!
//! Every receiver of a NewView computes the same plan from it: start at the highest tip; at each height above take, among
//! the prepared blocks whose parent is the choice below, the one of the highest view; stop at the first height without one.
//! Whatever a quorum committed is the tip, below it, or in the plan (invariant I3 in the crate's documentation).

use aegis_types::{Hash, Header, Height};

use crate::message::{PreparedBlock, ViewChange};

/// The start of a view.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// The highest tip among the view changes; everything up to it is committed.
    pub base: Height,
    /// The headers at `base + 1`, `base + 2`, ...: pre-proposed in the new view.
    pub headers: Vec<Header>,
}

impl Plan {
    /// The plan of valid view changes. `origin` is height and digest of the block that the epoch started from.
    pub fn of(view_changes: &[ViewChange], origin: (Height, Hash)) -> Self {
        let tips = view_changes.iter().filter_map(|message| message.tip.as_ref());
        let (base, mut parent) = tips
            .map(|tip| (tip.header.height, tip.certificate.content.digest))
            .max_by_key(|(height, _)| *height)
            .filter(|(height, _)| *height > origin.0)
            .unwrap_or(origin);
        let mut headers = Vec::new();
        let mut height = base.next();
        while let Some(choice) = choose(view_changes, height, parent) {
            parent = choice.certificate.content.digest;
            headers.push(choice.header.clone());
            height = height.next();
        }
        Self { base, headers }
    }

    /// The last height that the plan decides about: new proposals come above it.
    pub fn end(&self) -> Height {
        self.headers.last().map_or(self.base, |header| header.height)
    }

    /// The planned header at a height.
    pub fn header_at(&self, height: Height) -> Option<&Header> {
        self.headers.iter().find(|header| header.height == height)
    }
}

fn choose(view_changes: &[ViewChange], height: Height, parent: Hash) -> Option<&PreparedBlock> {
    view_changes
        .iter()
        .flat_map(|message| &message.prepared)
        .filter(|block| block.header.height == height && block.header.parent == parent)
        // Two blocks prepared in one view are one block (I1), so the digest only makes the order total.
        .max_by_key(|block| (block.certificate.content.view, block.certificate.content.digest))
}
