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

#[cfg(test)]
mod tests {
    use aegis_types::{
        BlockKind, Certificate, Epoch, Executed, Signature, ValidatorId, View, VoteContent, VoteKind,
    };

    use super::*;

    const ORIGIN: (Height, Hash) = (Height(10), Hash([7; 32]));

    fn header(parent: Hash, height: u64, name: u8) -> Header {
        Header {
            epoch: Epoch::ZERO,
            height: Height(height),
            timestamp_ms: u64::from(name),
            parent,
            proposer: ValidatorId([0; 32]),
            batches: Vec::new(),
            executed: Executed::default(),
            validators_hash: Hash::ZERO,
            kind: BlockKind::Normal,
        }
    }

    fn block(header: &Header, kind: VoteKind, view: u64) -> PreparedBlock {
        let content = VoteContent {
            kind,
            epoch: Epoch::ZERO,
            view: View(view),
            height: header.height,
            digest: header.digest(),
        };
        PreparedBlock { header: header.clone(), certificate: Certificate { content, signatures: Vec::new() } }
    }

    fn change(tip: Option<&Header>, prepared: &[(&Header, u64)]) -> ViewChange {
        let blocks = prepared.iter().map(|(header, view)| block(header, VoteKind::Prepare, *view));
        ViewChange {
            epoch: Epoch::ZERO,
            view: View(9),
            tip_height: tip.map_or(ORIGIN.0, |tip| tip.height),
            tip: tip.map(|tip| block(tip, VoteKind::Commit, 0)),
            prepared: blocks.collect(),
            validator: ValidatorId([0; 32]),
            signature: Signature([0; 64]),
        }
    }

    #[test]
    fn a_plan_of_nothing_starts_at_the_origin_and_is_empty() {
        let plan = Plan::of(&[change(None, &[]), change(None, &[])], ORIGIN);
        assert_eq!((plan.base, plan.end(), plan.headers.len()), (ORIGIN.0, ORIGIN.0, 0));
    }

    #[test]
    fn it_starts_at_the_highest_tip() {
        let one = header(ORIGIN.1, 11, 1);
        let two = header(one.digest(), 12, 2);
        let plan = Plan::of(&[change(Some(&one), &[]), change(Some(&two), &[]), change(None, &[])], ORIGIN);
        assert_eq!((plan.base, plan.headers), (Height(12), vec![]));
    }

    #[test]
    fn the_highest_view_is_chosen_at_each_height() {
        let (old, new) = (header(ORIGIN.1, 11, 1), header(ORIGIN.1, 11, 2));
        let plan =
            Plan::of(&[change(None, &[(&old, 3)]), change(None, &[(&new, 5)]), change(None, &[])], ORIGIN);
        assert_eq!(plan.headers, [new]);
    }

    #[test]
    fn a_block_on_another_parent_is_left_out_whatever_its_view() {
        let (old, new) = (header(ORIGIN.1, 11, 1), header(ORIGIN.1, 11, 2));
        let on_old = header(old.digest(), 12, 3);
        let on_new = header(new.digest(), 12, 4);
        let changes = [change(None, &[(&old, 1), (&on_old, 7)]), change(None, &[(&new, 5), (&on_new, 2)])];
        assert_eq!(Plan::of(&changes, ORIGIN).headers, [new, on_new]);
    }

    #[test]
    fn it_stops_at_the_first_height_without_a_block() {
        let one = header(ORIGIN.1, 11, 1);
        let two = header(one.digest(), 12, 2);
        let three = header(two.digest(), 13, 3);
        let plan = Plan::of(&[change(None, &[(&one, 1), (&three, 1)]), change(None, &[])], ORIGIN);
        assert_eq!(plan.headers, [one]);
        assert_eq!((plan.end(), plan.header_at(Height(11)).is_some()), (Height(11), true));
        assert_eq!(plan.header_at(Height(12)), None);
    }

    #[test]
    fn blocks_of_different_senders_join_to_one_chain() {
        let one = header(ORIGIN.1, 11, 1);
        let two = header(one.digest(), 12, 2);
        let three = header(two.digest(), 13, 3);
        let changes = [change(None, &[(&two, 1)]), change(Some(&one), &[]), change(None, &[(&three, 0)])];
        let plan = Plan::of(&changes, ORIGIN);
        assert_eq!((plan.base, plan.headers), (Height(11), vec![two, three]));
    }

    #[test]
    fn the_order_of_the_view_changes_does_not_matter() {
        let (old, new) = (header(ORIGIN.1, 11, 1), header(ORIGIN.1, 11, 2));
        let on_new = header(new.digest(), 12, 4);
        let mut changes = vec![
            change(None, &[(&old, 4)]),
            change(None, &[(&new, 5)]),
            change(None, &[(&on_new, 2)]),
            change(None, &[(&old, 5)]),
        ];
        let plan = Plan::of(&changes, ORIGIN);
        for _ in 0..4 {
            changes.rotate_left(1);
            assert_eq!(Plan::of(&changes, ORIGIN), plan);
            changes.swap(0, 2);
            assert_eq!(Plan::of(&changes, ORIGIN), plan);
        }
    }
}
