//! What to look for among outputs.

use aegis_consensus::{Event, Message, NewView, Output, Status, ViewChange};
use aegis_types::{Header, Height, ValidatorId, View, Vote, VoteContent, VoteKind};

/// Messages that leave, to one or to all.
pub fn messages(outputs: &[Output]) -> Vec<&Message> {
    outputs
        .iter()
        .filter_map(|output| match output {
            Output::Broadcast(message) | Output::Send { message, .. } => Some(message),
            Output::Persist(_)
            | Output::Committed { .. }
            | Output::FetchBatches { .. }
            | Output::FetchBlocks { .. }
            | Output::Evidence { .. }
            | Output::Misbehaviour { .. }
            | Output::Event(_)
            | Output::Diverged { .. } => None,
        })
        .collect()
}

/// Votes that leave, those in PrePrepares included.
pub fn votes(outputs: &[Output]) -> Vec<Vote> {
    messages(outputs).into_iter().filter_map(vote_in).cloned().collect()
}

pub fn vote_in(message: &Message) -> Option<&Vote> {
    match message {
        Message::PrePrepare(message) => Some(&message.vote),
        Message::Vote(vote) => Some(vote),
        Message::ViewChange(_) | Message::NewView(_) | Message::Status(_) | Message::Testimony(_) => None,
    }
}

/// Contents of the votes that leave.
pub fn vote_contents(outputs: &[Output]) -> Vec<VoteContent> {
    votes(outputs).into_iter().map(|vote| vote.content).collect()
}

/// Heights of the votes of a kind that leave.
pub fn voted(outputs: &[Output], kind: VoteKind) -> Vec<Height> {
    vote_contents(outputs)
        .into_iter()
        .filter(|content| content.kind == kind)
        .map(|content| content.height)
        .collect()
}

pub fn view_changes(outputs: &[Output]) -> Vec<ViewChange> {
    messages(outputs)
        .into_iter()
        .filter_map(|message| match message {
            Message::ViewChange(message) => Some(message.clone()),
            Message::PrePrepare(_)
            | Message::Vote(_)
            | Message::NewView(_)
            | Message::Status(_)
            | Message::Testimony(_) => None,
        })
        .collect()
}

pub fn new_views(outputs: &[Output]) -> Vec<NewView> {
    messages(outputs)
        .into_iter()
        .filter_map(|message| match message {
            Message::NewView(message) => Some(message.clone()),
            Message::PrePrepare(_)
            | Message::Vote(_)
            | Message::ViewChange(_)
            | Message::Status(_)
            | Message::Testimony(_) => None,
        })
        .collect()
}

pub fn statuses(outputs: &[Output]) -> Vec<Status> {
    messages(outputs)
        .into_iter()
        .filter_map(|message| match message {
            Message::Status(status) => Some(*status),
            Message::PrePrepare(_)
            | Message::Vote(_)
            | Message::ViewChange(_)
            | Message::NewView(_)
            | Message::Testimony(_) => None,
        })
        .collect()
}

pub fn testimonies(outputs: &[Output]) -> Vec<Vote> {
    messages(outputs)
        .into_iter()
        .filter_map(|message| match message {
            Message::Testimony(vote) => Some(vote.clone()),
            _ => None,
        })
        .collect()
}

pub fn proposals(outputs: &[Output]) -> Vec<Header> {
    messages(outputs)
        .into_iter()
        .filter_map(|message| match message {
            Message::PrePrepare(message) => Some(message.header.clone()),
            Message::Vote(_)
            | Message::ViewChange(_)
            | Message::NewView(_)
            | Message::Status(_)
            | Message::Testimony(_) => None,
        })
        .collect()
}

pub fn committed(outputs: &[Output]) -> Vec<Header> {
    outputs
        .iter()
        .filter_map(|output| match output {
            Output::Committed { header, .. } => Some(header.clone()),
            _ => None,
        })
        .collect()
}

pub fn accused(outputs: &[Output]) -> Vec<ValidatorId> {
    outputs
        .iter()
        .filter_map(|output| match output {
            Output::Misbehaviour { peer, .. } => Some(*peer),
            _ => None,
        })
        .collect()
}

pub fn evidence(outputs: &[Output]) -> Vec<(Vote, Vote)> {
    outputs
        .iter()
        .filter_map(|output| match output {
            Output::Evidence { first, second } => Some(((**first).clone(), (**second).clone())),
            _ => None,
        })
        .collect()
}

pub fn views_entered(outputs: &[Output]) -> Vec<View> {
    outputs
        .iter()
        .filter_map(|output| match output {
            Output::Event(Event::ViewEntered { view, .. }) => Some(*view),
            _ => None,
        })
        .collect()
}

pub fn fetched_blocks(outputs: &[Output]) -> Vec<(Height, Height, ValidatorId)> {
    outputs
        .iter()
        .filter_map(|output| match output {
            Output::FetchBlocks { first, last, from } => Some((*first, *last, *from)),
            _ => None,
        })
        .collect()
}

pub fn fetched_batches(outputs: &[Output]) -> Vec<(usize, ValidatorId)> {
    outputs
        .iter()
        .filter_map(|output| match output {
            Output::FetchBatches { digests, from } => Some((digests.len(), *from)),
            _ => None,
        })
        .collect()
}
