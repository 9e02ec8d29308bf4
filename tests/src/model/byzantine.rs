//! Everything that the Byzantine member could say in a state, up to what makes a difference.
//!
//! It may back any digest with votes, propose two blocks for the first height and one on each block known below for the
//! second, and show any choice of the certificates that can be put together from what was said and its own votes.

use aegis_consensus::{NewView, PrePrepare, PreparedBlock, ViewChange};
use aegis_types::{Epoch, Header, Height, Signature, View, VoteKind};

use super::state::{Cast, State};

/// The proposals that it could make for a height in a view that it leads.
pub fn proposals(cast: &Cast, state: &State, view: View, height: Height) -> Vec<PrePrepare> {
    let parents: Vec<Option<Header>> = if height == Height(1) {
        vec![None]
    } else {
        let below = state.headers.values().filter(|header| header.height.next() == height);
        below.cloned().map(Some).collect()
    };
    let batch = cast.instance.batch(height.0 - 1);
    let payloads = if height == Height(1) { vec![vec![batch], Vec::new()] } else { vec![vec![batch]] };
    let mut found = Vec::new();
    for parent in &parents {
        for payload in &payloads {
            let header = cast.instance.header(cast.byzantine, parent.as_ref(), payload.clone());
            let vote = cast.byzantine_vote((VoteKind::Prepare, view, height, header.digest()));
            found.push(PrePrepare { header, vote });
        }
    }
    found
}

/// The view changes that it could send for a view.
pub fn view_changes(cast: &Cast, state: &State, view: View) -> Vec<ViewChange> {
    let mut tips: Vec<Option<PreparedBlock>> = vec![None];
    for height in 1..=cast.heights {
        tips.extend(state.certified(cast, VoteKind::Commit, Height(height)).into_iter().map(Some));
    }
    let mut found = Vec::new();
    for tip in tips {
        let tip_height = tip.as_ref().map_or(Height::ZERO, |tip| tip.header.height);
        let mut choices: Vec<Vec<PreparedBlock>> = vec![Vec::new()];
        for height in tip_height.0 + 1..=cast.heights {
            let blocks = state.certified(cast, VoteKind::Prepare, Height(height));
            let below = blocks.into_iter().filter(|block| block.certificate.content.view < view);
            let longer: Vec<Vec<PreparedBlock>> = below
                .flat_map(|block| {
                    let extend = move |chosen: &Vec<PreparedBlock>| {
                        let mut chosen = chosen.clone();
                        chosen.push(block.clone());
                        chosen
                    };
                    choices.iter().map(extend).collect::<Vec<_>>()
                })
                .collect();
            choices.extend(longer);
        }
        found.extend(choices.into_iter().map(|prepared| sign(cast, view, tip.clone(), prepared)));
    }
    found
}

fn sign(cast: &Cast, view: View, tip: Option<PreparedBlock>, prepared: Vec<PreparedBlock>) -> ViewChange {
    ViewChange {
        epoch: Epoch::ZERO,
        view,
        tip_height: tip.as_ref().map_or(Height::ZERO, |tip| tip.header.height),
        tip,
        prepared,
        validator: cast.instance.id(cast.byzantine),
        signature: Signature([0; 64]),
    }
    .signed(&cast.instance.keys[cast.byzantine], &cast.instance.domain)
}

/// The new views that it could start, if it leads the view: every quorum of view changes, of which one may be its own.
pub fn new_views(cast: &Cast, state: &State, view: View) -> Vec<NewView> {
    if cast.instance.leader(view) != cast.byzantine {
        return Vec::new();
    }
    let honest: Vec<&ViewChange> =
        state.said.view_changes.values().filter(|message| message.view == view).collect();
    let mut sets: Vec<Vec<ViewChange>> = Vec::new();
    if honest.len() >= cast.quorum() {
        sets.push(honest.iter().copied().cloned().collect());
    }
    let own = if honest.len() + 1 >= cast.quorum() { view_changes(cast, state, view) } else { Vec::new() };
    for left_out in 0..honest.len() {
        let without = honest.iter().enumerate().filter(|(index, _)| *index != left_out);
        let chosen: Vec<ViewChange> = without.map(|(_, message)| (*message).clone()).collect();
        if chosen.len() + 1 == cast.quorum() {
            sets.extend(own.iter().map(|own| [&chosen[..], std::slice::from_ref(own)].concat()));
        }
    }
    if honest.len() + 1 == cast.quorum() {
        let chosen: Vec<ViewChange> = honest.iter().copied().cloned().collect();
        sets.extend(own.iter().map(|own| [&chosen[..], std::slice::from_ref(own)].concat()));
    }
    let sign = |view_changes| {
        NewView {
            epoch: Epoch::ZERO,
            view,
            view_changes,
            leader: cast.instance.id(cast.byzantine),
            signature: Signature([0; 64]),
        }
        .signed(&cast.instance.keys[cast.byzantine], &cast.instance.domain)
    };
    sets.into_iter().map(sign).collect()
}
