//! Whoever asked for view `v` accounts in that ViewChange for every Commit that it ever casts in a lower view: the Commit's
//! block is at or below the ViewChange's tip, or listed as prepared in a view at least that high.
//!
//! This is what makes a new view's plan contain everything that was decided (invariant I3 of the engine's documentation).

use std::collections::BTreeMap;

use aegis_consensus::{Message, ViewChange};
use aegis_types::{Epoch, Hash, Height, View, VoteContent, VoteKind};

use super::{Invariant, Observation};
use crate::sim::scenario::NodeIndex;

type Commits = BTreeMap<(Height, View), Hash>;

/// Sent Commits and ViewChanges of each node and epoch.
#[derive(Debug, Default)]
pub struct LeftViews {
    commits: BTreeMap<(NodeIndex, Epoch), Commits>,
    left: BTreeMap<(NodeIndex, Epoch), ViewChange>,
}

fn accounts_for(message: &ViewChange, commit: &VoteContent) -> bool {
    commit.height <= message.tip_height
        || commit.view >= message.view
        || message.prepared.iter().any(|block| {
            let listed = &block.certificate.content;
            listed.height == commit.height
                && (listed.view > commit.view || (listed.view, listed.digest) == (commit.view, commit.digest))
        })
}

fn complain(node: NodeIndex, message: &ViewChange, commit: &VoteContent) -> String {
    format!(
        "node {node} cast Commit for height {} in view {}, which its ViewChange for view {} does not account for",
        commit.height, commit.view, message.view
    )
}

impl Invariant for LeftViews {
    fn name(&self) -> &'static str {
        "left views"
    }

    fn observe(&mut self, observation: &Observation) -> Result<(), String> {
        let Observation::Sent { node, message } = observation else { return Ok(()) };
        match &**message {
            Message::Vote(vote) if vote.content.kind == VoteKind::Commit => {
                let content = vote.content;
                let key = (*node, content.epoch);
                self.commits.entry(key).or_default().insert((content.height, content.view), content.digest);
                match self.left.get(&key) {
                    Some(left) if !accounts_for(left, &content) => Err(complain(*node, left, &content)),
                    Some(_) | None => Ok(()),
                }
            }
            Message::ViewChange(message) => {
                let key = (*node, message.epoch);
                let newest = self.left.get(&key).map(|left| left.view);
                if newest.is_some_and(|newest| newest > message.view) {
                    return Err(format!("node {node} asked for view {} after a higher one", message.view));
                }
                if newest == Some(message.view) {
                    return Ok(());
                }
                let commits = self.commits.entry(key).or_default();
                let contents = commits.iter().map(|((height, view), digest)| VoteContent {
                    kind: VoteKind::Commit,
                    epoch: message.epoch,
                    view: *view,
                    height: *height,
                    digest: *digest,
                });
                for commit in contents {
                    if !accounts_for(message, &commit) {
                        return Err(complain(*node, message, &commit));
                    }
                }
                self.left.insert(key, message.clone());
                Ok(())
            }
            Message::PrePrepare(_)
            | Message::Vote(_)
            | Message::NewView(_)
            | Message::Status(_)
            | Message::Testimony(_) => Ok(()),
        }
    }
}
