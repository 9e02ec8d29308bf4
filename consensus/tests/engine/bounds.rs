//! Floods of one validator, or of all others, do not fill memory.

use std::collections::BTreeSet;

use aegis_consensus::limits::{
    EARLY_MESSAGES_PER_VALIDATOR, PENDING_BATCHES, VIEW_CHANGE_WINDOWS, VIEWS_PER_VOTER, VOTE_WINDOWS,
};
use aegis_consensus::{Message, Output, PrePrepare, Status};
use aegis_types::{Epoch, Header, Height, Signature, View, VoteContent, VoteKind};

use crate::support::effects::{accused, fetched_batches, fetched_blocks, statuses};
use crate::support::subject::Subject;
use crate::support::{Net, TIMEOUT_MS, WINDOW, batch, content};

/// Size of the whole state, written out: no collection can grow without being seen here.
fn footprint(subject: &Subject<'_>) -> usize {
    format!("{:?}", subject.engine).len()
}

/// A vote that nobody signed: what a flood is made of.
fn unsigned(net: &Net, index: usize, content: VoteContent) -> Message {
    Message::Vote(aegis_types::Vote { content, validator: net.id(index), signature: Signature([0; 64]) })
}

fn flood_votes(subject: &mut Subject<'_>, views: std::ops::Range<u64>) {
    let net = subject.net;
    let header = net.header(0, None, &[]);
    for view in views {
        for index in subject.others() {
            for kind in [VoteKind::Prepare, VoteKind::Commit] {
                for height in 0..WINDOW * VOTE_WINDOWS + 5 {
                    let mut content = content(kind, view, &header);
                    content.height = Height(height);
                    // Everyone votes for something else: no quorum, so no signature is checked.
                    content.digest.0[..2].copy_from_slice(&[view as u8, index as u8]);
                    subject.receive(index, unsigned(net, index, content));
                }
            }
        }
    }
}

#[test]
fn votes_of_many_views_and_heights_are_held_up_to_the_bound() {
    let net = Net::equal(7);
    let mut subject = Subject::follower(&net);
    flood_votes(&mut subject, 1_000..1_010);
    let heights = (WINDOW * VOTE_WINDOWS) as usize;
    let bound = 6 * 2 * heights * VIEWS_PER_VOTER;
    assert_eq!(subject.engine.status().votes, bound);
    let before = footprint(&subject);
    flood_votes(&mut subject, 1_010..1_100);
    assert_eq!(subject.engine.status().votes, bound);
    assert_eq!(footprint(&subject), before, "views that are forgotten leave nothing behind");
}

#[test]
fn contradicting_votes_replace_and_do_not_add() {
    let net = Net::equal(4);
    let mut subject = Subject::follower(&net);
    for number in 0..50 {
        let header = net.header(0, None, &[batch(net.id(0), number)]);
        let others = subject.others();
        subject.votes(&others, VoteKind::Prepare, 0, &header);
    }
    assert_eq!(subject.engine.status().votes, 3);
}

#[test]
fn proposals_of_views_to_come_are_held_for_the_highest_view_and_two_windows() {
    let net = Net::equal(4);
    let mut subject = Subject::follower(&net);
    let leader = subject.others()[0];
    let mut view = 0;
    let mut sizes = BTreeSet::new();
    for _ in 0..20 {
        view = net.view_led_by(leader, view.max(1_000));
        let first = net.header(view, None, &[]);
        for height in 1..=WINDOW * VOTE_WINDOWS + 5 {
            let header = Header { height: Height(height), ..first.clone() };
            subject.propose(view, &header);
        }
        sizes.insert(footprint(&subject));
    }
    assert_eq!(sizes.len(), 1, "{sizes:?}");
}

#[test]
fn early_messages_are_held_up_to_the_bound_and_large_ones_not_at_all() {
    let net = Net::equal(4);
    let mut subject = Subject::follower(&net);
    let leader = subject.others()[0];
    let header = Header { epoch: Epoch(1), ..net.header(0, None, &[]) };
    let empty = footprint(&subject);
    let mut view_change = net.plain_view_change(leader, 1);
    view_change.epoch = Epoch(1);
    let mut new_view = net.plain_new_view(1);
    new_view.epoch = Epoch(1);
    for message in [Message::ViewChange(view_change), Message::NewView(new_view)] {
        subject.receive(leader, message);
    }
    let ticked = footprint(&subject);
    assert!(ticked < empty + 100, "view changes are sent again, so they need not be kept: {empty} {ticked}");
    let vote = net.vote(leader, VoteKind::Prepare, 0, &header);
    let one = Message::PrePrepare(PrePrepare { header, vote });
    let mut sizes = Vec::new();
    for _ in 0..EARLY_MESSAGES_PER_VALIDATOR * 3 {
        subject.receive(leader, one.clone());
        sizes.push(footprint(&subject));
    }
    let grown = sizes.windows(2).filter(|pair| pair[1] > pair[0]).count();
    assert_eq!(grown, EARLY_MESSAGES_PER_VALIDATOR - 1);
}

#[test]
fn messages_of_epochs_beyond_the_next_are_not_held() {
    let net = Net::equal(4);
    let mut subject = Subject::follower(&net);
    let from = subject.others()[0];
    let header = net.header(0, None, &[]);
    let mut size = None;
    for epoch in 2..100 {
        let mut content = content(VoteKind::Prepare, 0, &header);
        content.epoch = Epoch(epoch);
        subject.receive(from, unsigned(&net, from, content));
        assert_eq!(*size.get_or_insert(footprint(&subject)), footprint(&subject));
    }
}

#[test]
fn one_view_change_is_held_per_validator_and_none_that_is_overlong() {
    let net = Net::equal(4);
    let mut subject = Subject::follower(&net);
    let from = subject.others()[0];
    let mut size = None;
    for view in 100..200 {
        subject.receive(from, Message::ViewChange(net.plain_view_change(from, view)));
        assert_eq!(*size.get_or_insert(footprint(&subject)), footprint(&subject));
    }
    let block = net.certified(VoteKind::Prepare, 0, &net.header(0, None, &[]));
    let listed = (WINDOW * VIEW_CHANGE_WINDOWS) as usize + 1;
    let long = net.view_change(from, 300, None, vec![block; listed]);
    assert_eq!(accused(&subject.receive(from, Message::ViewChange(long))), [net.id(from)]);
    assert_eq!(footprint(&subject), size.unwrap());
}

#[test]
fn questions_for_batches_are_forgotten_with_the_blocks_that_named_them() {
    let net = Net::equal(4);
    let mut subject = Subject::follower(&net);
    let mut below: Option<Header> = None;
    let mut sizes = BTreeSet::new();
    for number in 0..60 {
        let mut header = net.header(0, below.as_ref(), &[batch(net.id(0), number)]);
        header.executed.height = header.height.previous();
        header.executed.state_root = crate::support::root(header.executed.height);
        // The proposal comes, its batch does not, and the block is synced in the end: progress without a pause.
        let outputs = subject.propose(0, &header);
        assert_eq!(fetched_batches(&outputs).len(), 1);
        subject.sync(&header);
        subject.executed(header.height, None);
        below = Some(header);
        if number > 20 {
            sizes.insert(footprint(&subject));
        }
    }
    let (smallest, largest) = (sizes.first().unwrap(), sizes.last().unwrap());
    assert!(largest - smallest < 60, "only numbers may get longer: {sizes:?}");
}

#[test]
fn votes_of_views_without_a_commit_do_not_fill_the_checkpoint() {
    let net = Net::equal(4);
    let mut subject = Subject::follower(&net);
    let chain = net.chain(0, WINDOW);
    subject.hold_all(&chain);
    for header in &chain {
        subject.bring_to_commit(0, header);
    }
    let mut blocks: Vec<_> = chain.iter().map(|header| net.certified(VoteKind::Prepare, 0, header)).collect();
    let [a, b, c] = subject.others()[..] else { unreachable!() };
    let mut lengths = Vec::new();
    let mut view = 0;
    for _ in 0..12 {
        view = net.view_led_by(a, view);
        let changes = vec![
            net.plain_view_change(a, view),
            net.plain_view_change(b, view),
            net.view_change(c, view, None, blocks.clone()),
        ];
        subject.receive(a, Message::NewView(net.new_view(view, changes)));
        for header in &chain {
            subject.votes(&[a, b, c], VoteKind::Prepare, view, header);
        }
        blocks = chain.iter().map(|header| net.certified(VoteKind::Prepare, view, header)).collect();
        lengths.push(subject.engine.live_records().unwrap().len());
    }
    assert_eq!(lengths, [2 * WINDOW as usize + 1; 12], "a Prepare and a Commit per height, and the view");
}

#[test]
fn batches_are_held_up_to_the_bound() {
    let net = Net::equal(4);
    let mut subject = Subject::follower(&net);
    for number in 0..PENDING_BATCHES as u64 + 10 {
        subject.hold(batch(net.id(0), number));
    }
    assert_eq!(subject.engine.status().pending_batches, PENDING_BATCHES);
}

#[test]
fn a_flood_of_old_messages_does_not_become_a_flood_of_answers() {
    let net = Net::equal(4);
    let mut subject = Subject::follower(&net);
    let from = subject.others()[0];
    let view = net.view_led_by(from, 0);
    subject.receive(from, Message::NewView(net.plain_new_view(view)));
    let mut answers = 0;
    for _ in 0..200 {
        let status = Status { epoch: Epoch::ZERO, view: View(0), height: Height::ZERO };
        answers += subject.receive(from, Message::Status(status)).len();
        answers += subject.receive(from, Message::ViewChange(net.plain_view_change(from, 1))).len();
    }
    assert_eq!(answers, 1);
}

#[test]
fn claims_of_height_lead_to_one_question_per_interval() {
    let net = Net::equal(4);
    let mut subject = Subject::follower(&net);
    let from = subject.others()[0];
    let mut asked = Vec::new();
    for height in 100..300 {
        let status = Status { epoch: Epoch::ZERO, view: View(0), height: Height(height) };
        asked.extend(fetched_blocks(&subject.receive(from, Message::Status(status))));
    }
    assert_eq!(asked, [(Height(1), Height(64), net.id(from))]);
}

#[test]
fn a_liar_about_heights_does_not_keep_the_honest_from_being_asked() {
    let net = Net::equal(4);
    let mut subject = Subject::follower(&net);
    let [liar, honest, _] = subject.others()[..] else { unreachable!() };
    // A proposal whose batch never comes, so that each round has two questions.
    subject.propose(0, &net.chain(0, 1)[0]);
    for (from, height) in [(liar, u64::MAX), (honest, 2)] {
        let status = Status { epoch: Epoch::ZERO, view: View(0), height: Height(height) };
        subject.receive(from, Message::Status(status));
    }
    let mut outputs: Vec<Output> = Vec::new();
    for _ in 0..4 {
        outputs.extend(subject.run_until(subject.at_ms + TIMEOUT_MS / 4));
    }
    let asked: BTreeSet<_> = fetched_blocks(&outputs).into_iter().map(|(_, _, from)| from).collect();
    assert_eq!(asked, BTreeSet::from([net.id(liar), net.id(honest)]));
    assert!(!statuses(&outputs).is_empty());
}
