//! What can happen next in a state.
//!
//! Votes are delivered in bundles, at the moment at which they decide something: a vote that decides nothing yet changes
//! nothing but the engine's count, so it may as well arrive later. For the same reason a message is delivered only to a
//! correct engine that can make use of it. Messages may arrive in any order, late, or never.

use aegis_consensus::{Input, Message, NewView, PrePrepare, ViewChange};
use aegis_types::{Certificate, Hash, Header, Height, View, Vote, VoteContent, VoteKind};

use super::byzantine;
use super::instance::{TIMEOUT_MS, now};
use super::state::{Ballot, Cast, Correct, State};

/// Views of the model: 0 and 1.
const LAST_VIEW: View = View(1);
/// A clock at which every timer of view 0 has run out.
const LATE_MS: u64 = 10 * TIMEOUT_MS;

/// A step of one correct engine.
#[derive(Debug, Clone)]
pub enum Action {
    /// A proposal arrives.
    Proposal(usize, Box<PrePrepare>),
    /// All votes for a ballot arrive that make a quorum.
    Votes(usize, Ballot),
    /// A decided block arrives.
    Block(usize, Box<(Header, Certificate)>),
    /// The timer runs out.
    Timeout(usize),
    /// View changes arrive at the leader of the view that they ask for.
    ViewChanges(usize, Vec<(usize, ViewChange)>),
    /// The proof of a view arrives.
    NewView(usize, Box<NewView>),
    /// It crashes and restarts with so many blocks in its log.
    Crash(usize, usize),
}

impl Action {
    /// Whose step it is.
    pub fn member(&self) -> usize {
        match self {
            Self::Proposal(member, _)
            | Self::Votes(member, _)
            | Self::Block(member, _)
            | Self::Timeout(member)
            | Self::ViewChanges(member, _)
            | Self::NewView(member, _)
            | Self::Crash(member, _) => *member,
        }
    }
}

/// Every step that makes a difference.
pub fn all(cast: &Cast, state: &State) -> Vec<Action> {
    let mut found = Vec::new();
    let new_views: Vec<NewView> = byzantine::new_views(cast, state, LAST_VIEW);
    for (member, correct) in &state.correct {
        let status = correct.engine.status();
        if let Some(next) = Some(correct.engine.height().next()).filter(|next| next.0 <= cast.heights) {
            let decided = state.certified(cast, VoteKind::Commit, next);
            found.extend(
                decided
                    .into_iter()
                    .map(|block| Action::Block(*member, Box::new((block.header, block.certificate)))),
            );
        }
        if status.target.is_none() {
            proposals(cast, state, *member, correct, &mut found);
        }
        // Also in a view that it left: it must not make use of them.
        votes(cast, state, *member, correct, &mut found);
        if status.view < LAST_VIEW {
            if status.target.is_none() {
                found.push(Action::Timeout(*member));
            }
            view_changes(cast, state, *member, correct, &mut found);
            let proofs = new_views.iter().chain(&state.said.new_views).cloned();
            found.extend(proofs.map(|message| Action::NewView(*member, Box::new(message))));
        }
        if state.crashes_left > 0 {
            found.extend((0..=correct.log.len()).map(|blocks| Action::Crash(*member, blocks)));
        }
    }
    found
}

fn proposals(cast: &Cast, state: &State, member: usize, correct: &Correct, found: &mut Vec<Action>) {
    let view = correct.engine.status().view;
    let leader = cast.instance.leader(view);
    if leader == member {
        return;
    }
    let unvoted = (correct.engine.height().0 + 1..=cast.heights)
        .map(Height)
        .find(|height| !correct.voted.contains_key(&(VoteKind::Prepare, view, *height)));
    let Some(height) = unvoted else { return };
    let offered: Vec<PrePrepare> = if leader == cast.byzantine {
        byzantine::proposals(cast, state, view, height)
    } else {
        let said = state.said.proposals.iter();
        said.filter(|message| (message.vote.content.view, message.vote.content.height) == (view, height))
            .cloned()
            .collect()
    };
    found.extend(offered.into_iter().map(|message| Action::Proposal(member, Box::new(message))));
}

fn votes(cast: &Cast, state: &State, member: usize, correct: &Correct, found: &mut Vec<Action>) {
    let view = correct.engine.status().view;
    let undecided = (correct.engine.height().0 + 1..=cast.heights)
        .map(Height)
        .find(|height| !correct.voted.contains_key(&(VoteKind::Commit, view, *height)));
    let Some(height) = undecided else { return };
    let Some(digest) = correct.voted.get(&(VoteKind::Prepare, view, height)) else { return };
    let ballot = (VoteKind::Prepare, view, height, *digest);
    if state.certificate(cast, ballot).is_some() {
        found.push(Action::Votes(member, ballot));
    }
}

/// Every way to complete the quorum of a correct leader of the next view.
fn view_changes(cast: &Cast, state: &State, member: usize, correct: &Correct, found: &mut Vec<Action>) {
    if cast.instance.leader(LAST_VIEW) != member || correct.engine.status().target != Some(LAST_VIEW) {
        return;
    }
    let honest: Vec<(usize, ViewChange)> = state
        .said
        .view_changes
        .iter()
        .filter(|(sender, message)| **sender != member && message.view == LAST_VIEW)
        .map(|(sender, message)| (*sender, message.clone()))
        .collect();
    if honest.len() >= 2 {
        found.push(Action::ViewChanges(member, honest.clone()));
    }
    if !honest.is_empty() {
        for own in byzantine::view_changes(cast, state, LAST_VIEW) {
            for one in &honest {
                found.push(Action::ViewChanges(member, vec![one.clone(), (cast.byzantine, own.clone())]));
            }
        }
    }
}

/// The state after a step.
///
/// # Errors
/// What the step breaks, in words.
pub fn apply(cast: &Cast, state: &State, action: &Action) -> Result<State, String> {
    let mut next = state.clone();
    let id = |member| cast.instance.id(member);
    match action {
        Action::Proposal(member, message) => {
            next.learn(&message.header);
            let from = id(cast.instance.leader(message.vote.content.view));
            let message = Box::new(Message::PrePrepare((**message).clone()));
            next.input(cast, *member, Input::Message { from, message })?;
        }
        Action::Votes(member, ballot) => {
            for (voter, vote) in bundle(cast, state, *member, *ballot) {
                let message = Box::new(Message::Vote(vote));
                next.input(cast, *member, Input::Message { from: id(voter), message })?;
            }
        }
        Action::Block(member, block) => {
            let (header, certificate) = (**block).clone();
            let (header, certificate) = (Box::new(header), Box::new(certificate));
            next.input(cast, *member, Input::Synced { header, certificate })?;
        }
        Action::Timeout(member) => {
            if let Some(correct) = next.correct.get_mut(member) {
                std::rc::Rc::make_mut(correct).now = now(LATE_MS);
            }
            next.input(cast, *member, Input::Tick)?;
        }
        Action::ViewChanges(member, messages) => {
            for (sender, message) in messages {
                let message = Box::new(Message::ViewChange(message.clone()));
                next.input(cast, *member, Input::Message { from: id(*sender), message })?;
            }
        }
        Action::NewView(member, message) => {
            let from = message.leader;
            let message = Box::new(Message::NewView((**message).clone()));
            next.input(cast, *member, Input::Message { from, message })?;
        }
        Action::Crash(member, blocks) => next.restart(cast, *member, *blocks)?,
    }
    Ok(next)
}

/// The votes of others for a ballot; the Byzantine member's only where it is needed.
fn bundle(cast: &Cast, state: &State, member: usize, ballot: Ballot) -> Vec<(usize, Vote)> {
    let (kind, view, height, digest) = ballot;
    let content = VoteContent { kind, epoch: aegis_types::Epoch::ZERO, view, height, digest };
    let Some(said) = state.said.votes.get(&ballot) else { return Vec::new() };
    let mut votes: Vec<(usize, Vote)> = said
        .iter()
        .filter(|(voter, _)| **voter != member)
        .map(|(voter, signature)| {
            (*voter, Vote { content, validator: cast.instance.id(*voter), signature: *signature })
        })
        .collect();
    if said.len() < cast.quorum() {
        votes.push((cast.byzantine, cast.byzantine_vote(ballot)));
    }
    votes
}

/// A digest's first digits, for people.
pub fn short(digest: &Hash) -> String {
    digest.short()
}

/// The step in words.
pub fn describe(action: &Action) -> String {
    match action {
        Action::Proposal(member, message) => format!(
            "{member} receives the proposal {} for height {} in view {}",
            short(&message.vote.content.digest),
            message.header.height,
            message.vote.content.view
        ),
        Action::Votes(member, (kind, view, height, digest)) => {
            format!("{member} receives a quorum of {kind:?} for {} at {height} in view {view}", short(digest))
        }
        Action::Block(member, block) => {
            format!("{member} receives the decided block {} at {}", short(&block.0.digest()), block.0.height)
        }
        Action::Timeout(member) => format!("{member} times out"),
        Action::ViewChanges(member, messages) => {
            let senders: Vec<usize> = messages.iter().map(|(sender, _)| *sender).collect();
            format!("{member} receives the view changes of {senders:?}")
        }
        Action::NewView(member, message) => {
            let shown = message.view_changes.iter().map(|change| change.prepared.len());
            format!(
                "{member} receives view {} with prepared blocks {:?}",
                message.view,
                shown.collect::<Vec<_>>()
            )
        }
        Action::Crash(member, blocks) => format!("{member} restarts with {blocks} blocks"),
    }
}
