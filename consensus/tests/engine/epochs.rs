//! The change of epochs; early and late messages.

use aegis_consensus::{Event, Message, NextEpoch, Output, Status};
use aegis_types::{
    BlockKind, Epoch, Executed, Header, Height, Member, ValidatorSet, View, Vote, VoteKind, Weight,
};

use crate::support::effects::{
    accused, committed, evidence, messages, proposals, statuses, testimonies, view_changes, voted, votes,
};
use crate::support::subject::Subject;
use crate::support::{EPOCH_MS, GENESIS_MS, IDLE_MS, Net, TIMEOUT_MS, batch, root};

fn next_set(net: &Net, members: &[usize]) -> ValidatorSet {
    let member = |index: &usize| Member { validator: net.id(*index), weight: Weight(1) };
    ValidatorSet::new(Epoch(1), members.iter().map(member).collect()).unwrap()
}

fn next_epoch(net: &Net, members: &[usize]) -> NextEpoch {
    NextEpoch { validators: next_set(net, members), parameters: net.genesis.parameters.clone() }
}

fn closing(net: &Net) -> Header {
    Header { timestamp_ms: GENESIS_MS + EPOCH_MS, kind: BlockKind::Closing, ..net.header(0, None, &[]) }
}

fn handover(net: &Net, closing: &Header, members: &[usize]) -> Header {
    Header {
        timestamp_ms: closing.timestamp_ms + 1,
        executed: Executed { height: closing.height, state_root: root(closing.height) },
        kind: BlockKind::Handover { next_validators_hash: next_set(net, members).hash() },
        ..net.header(0, Some(closing), &[])
    }
}

/// A subject whose tip is the handover block to these members.
fn in_next_epoch<'a>(net: &'a Net, me: usize, members: &[usize]) -> (Subject<'a>, Vec<Output>) {
    let mut subject = Subject::new(net, me);
    subject.at_ms = EPOCH_MS + 5;
    let closing = closing(net);
    subject.sync(&closing);
    subject.executed(Height(1), Some(next_epoch(net, members)));
    let outputs = subject.sync(&handover(net, &closing, members));
    (subject, outputs)
}

#[test]
fn only_the_handover_that_execution_yields_follows_a_closing_block() {
    let net = Net::equal(4);
    let all = [0, 1, 2, 3];
    let closing = closing(&net);
    let right = handover(&net, &closing, &all);
    let other_set = handover(&net, &closing, &all[..3]);
    let normal = Header { kind: BlockKind::Normal, ..right.clone() };
    let again = Header { kind: BlockKind::Closing, ..right.clone() };
    let loaded = Header { batches: vec![batch(net.id(0), 1)], ..right.clone() };
    let stale = Header {
        executed: Executed { height: Height::ZERO, state_root: root(Height::ZERO) },
        ..right.clone()
    };
    for (header, is_right) in
        [(right, true), (other_set, false), (normal, false), (again, false), (loaded, false), (stale, false)]
    {
        let mut subject = Subject::follower(&net);
        subject.at_ms = EPOCH_MS + 5;
        subject.hold(batch(net.id(0), 1));
        subject.sync(&closing);
        let mut outputs = subject.executed(Height(1), Some(next_epoch(&net, &all)));
        outputs.extend(subject.propose(0, &header));
        assert_eq!(votes(&outputs).len(), usize::from(is_right), "{header:?}");
        assert_eq!(accused(&outputs).len(), usize::from(!is_right), "{header:?}");
    }
}

#[test]
fn the_pipeline_drains_before_the_handover() {
    let net = Net::equal(4);
    let mut subject = Subject::follower(&net);
    subject.at_ms = EPOCH_MS + 5;
    let closing = closing(&net);
    let handover = handover(&net, &closing, &[0, 1, 2, 3]);
    assert_eq!(voted(&subject.propose(0, &closing), VoteKind::Prepare), [Height(1)]);
    assert_eq!(votes(&subject.propose(0, &handover)), [], "the closing block is not committed");
    assert_eq!(votes(&subject.sync(&closing)), [], "it is not executed");
    let outputs = subject.executed(Height(1), Some(next_epoch(&net, &[0, 1, 2, 3])));
    assert_eq!(voted(&outputs, VoteKind::Prepare), [Height(2)]);
}

#[test]
fn a_leader_closes_the_epoch_and_hands_over_by_itself() {
    let net = Net::equal(4);
    let mut leader = Subject::leader(&net);
    leader.at_ms = EPOCH_MS;
    let outputs = leader.hold(batch(net.id(0), 0));
    let [closing] = &proposals(&outputs)[..] else { panic!("{outputs:?}") };
    assert_eq!(closing.kind, BlockKind::Closing);
    assert_eq!(proposals(&leader.sync(closing)), []);
    let outputs = leader.executed(Height(1), Some(next_epoch(&net, &[0, 1, 2])));
    let [handover] = &proposals(&outputs)[..] else { panic!("{outputs:?}") };
    let next_validators_hash = next_set(&net, &[0, 1, 2]).hash();
    assert_eq!(handover.kind, BlockKind::Handover { next_validators_hash });
    let outputs = leader.hold(batch(net.id(0), 1));
    assert_eq!(proposals(&outputs), [], "nothing follows a handover in its epoch");
}

#[test]
fn committing_the_handover_starts_the_next_epoch_at_view_zero() {
    let net = Net::equal(4);
    let (subject, outputs) = in_next_epoch(&net, 1, &[0, 1, 2, 3]);
    assert_eq!(committed(&outputs).len(), 1);
    assert!(outputs.contains(&Output::Event(Event::EpochEntered { epoch: Epoch(1) })));
    let status = subject.engine.status();
    assert_eq!((status.validators.epoch(), status.view, status.target), (Epoch(1), View(0), None));
}

#[test]
fn a_handover_to_a_set_that_execution_did_not_yield_stops_the_engine() {
    let net = Net::equal(4);
    let mut subject = Subject::follower(&net);
    let closing = closing(&net);
    subject.sync(&closing);
    subject.executed(Height(1), Some(next_epoch(&net, &[0, 1, 2, 3])));
    let outputs = subject.sync(&handover(&net, &closing, &[0, 1, 2]));
    assert!(matches!(outputs[..], [Output::Diverged { height: Height(2), .. }]), "{outputs:?}");
}

#[test]
fn a_validator_that_the_next_set_leaves_out_becomes_an_observer() {
    let net = Net::equal(4);
    let (mut subject, _) = in_next_epoch(&net, 3, &[0, 1, 2]);
    assert!(!subject.engine.status().is_member);
    assert_eq!(subject.engine.deadline(), None);
    let mut outputs = subject.hold(batch(net.id(0), 1));
    outputs.extend(subject.tick(subject.at_ms + 100 * TIMEOUT_MS));
    assert!(messages(&outputs).is_empty());
}

/// A vote of the next epoch for `header`.
fn next_vote(net: &Net, index: usize, kind: VoteKind, header: &Header) -> Vote {
    net.vote(index, kind, 0, header)
}

fn first_of_next_epoch(net: &Net, members: &[usize]) -> (Header, usize) {
    let set = next_set(net, members);
    let schedule = aegis_consensus::LeaderSchedule::new(&set);
    let leader = (0..4).find(|index| net.id(*index) == schedule.leader(View(0))).unwrap();
    let handover = handover(net, &closing(net), members);
    let header = Header {
        epoch: Epoch(1),
        height: Height(3),
        timestamp_ms: handover.timestamp_ms + 1,
        parent: handover.digest(),
        proposer: net.id(leader),
        validators_hash: set.hash(),
        kind: BlockKind::Normal,
        ..handover
    };
    (header, leader)
}

#[test]
fn messages_of_the_next_epoch_that_come_early_are_used_in_it() {
    let net = Net::equal(4);
    let all = [0, 1, 2, 3];
    let (header, leader) = first_of_next_epoch(&net, &all);
    let me = net.others(&[leader, net.leader(0)])[0];
    let mut subject = Subject::new(&net, me);
    subject.at_ms = EPOCH_MS + 5;
    let vote = next_vote(&net, leader, VoteKind::Prepare, &header);
    let proposal = Message::PrePrepare(aegis_consensus::PrePrepare { header: header.clone(), vote });
    assert_eq!(subject.receive(leader, proposal), []);
    for other in net.others(&[me, leader]) {
        let vote = next_vote(&net, other, VoteKind::Prepare, &header);
        assert_eq!(subject.receive(other, Message::Vote(vote)), []);
    }
    let closing = closing(&net);
    subject.sync(&closing);
    subject.executed(Height(1), Some(next_epoch(&net, &all)));

    let outputs = subject.sync(&handover(&net, &closing, &all));

    assert_eq!(voted(&outputs, VoteKind::Prepare), [Height(3)]);
    assert_eq!(voted(&outputs, VoteKind::Commit), [Height(3)]);
}

#[test]
fn a_message_of_an_old_epoch_is_answered_with_a_status_once_per_interval() {
    let net = Net::equal(4);
    let (mut subject, _) = in_next_epoch(&net, 1, &[0, 1, 2, 3]);
    let late = net.vote_message(0, VoteKind::Prepare, 0, &net.header(0, None, &[]));
    let outputs = subject.receive(0, late.clone());
    assert_eq!(statuses(&outputs), [Status { epoch: Epoch(1), view: View(0), height: Height(2) }]);
    assert_eq!(subject.receive(0, late.clone()), []);
    subject.at_ms += TIMEOUT_MS;
    assert_eq!(statuses(&subject.receive(0, late)).len(), 1);
}

#[test]
fn a_view_change_in_one_epoch_means_nothing_in_the_next() {
    let net = Net::equal(4);
    let mut subject = Subject::follower(&net);
    subject.at_ms = EPOCH_MS + 5;
    let closing = closing(&net);
    subject.sync(&closing);
    subject.executed(Height(1), Some(next_epoch(&net, &[0, 1, 2, 3])));
    for other in subject.others().into_iter().take(2) {
        subject.receive(other, Message::ViewChange(net.plain_view_change(other, 7)));
    }
    assert_eq!(subject.engine.status().target, Some(View(7)));
    subject.sync(&handover(&net, &closing, &[0, 1, 2, 3]));
    assert_eq!(subject.engine.status().target, None);
    let (header, leader) = first_of_next_epoch(&net, &[0, 1, 2, 3]);
    if leader != subject.me {
        let vote = next_vote(&net, leader, VoteKind::Prepare, &header);
        let proposal = Message::PrePrepare(aegis_consensus::PrePrepare { header: header.clone(), vote });
        assert_eq!(voted(&subject.receive(leader, proposal), VoteKind::Prepare), [Height(3)]);
    }
    let others = net.others(&[subject.me]);
    let outputs = subject.votes(&others[..1], VoteKind::Prepare, 0, &header);
    assert_eq!(view_changes(&outputs), []);
}

#[test]
fn a_status_of_a_later_epoch_makes_a_validator_ask_for_blocks() {
    let net = Net::equal(4);
    let mut subject = Subject::follower(&net);
    let from = subject.others()[0];
    let status = Status { epoch: Epoch(3), view: View(0), height: Height(500) };
    let outputs = subject.receive(from, Message::Status(status));
    let asked = crate::support::effects::fetched_blocks(&outputs);
    assert_eq!(asked, [(Height(1), Height(64), net.id(from))]);
    let outputs = subject.run_until(IDLE_MS);
    assert_eq!(crate::support::effects::fetched_blocks(&outputs), []);
}

#[test]
fn the_halves_of_an_equivocation_in_an_epoch_s_last_block_meet_in_the_next_epoch_and_not_later() {
    let net = Net::equal(4);
    let all = [0, 1, 2, 3];
    let closing = closing(&net);
    let handover = handover(&net, &closing, &all);
    let twin = Header { timestamp_ms: handover.timestamp_ms + 1, ..handover.clone() };
    let [me, other, liar] = net.others(&[net.leader(0)])[..] else { unreachable!() };
    let in_next_epoch_with = |me: usize, told: &Header| {
        let mut subject = Subject::new(&net, me);
        subject.at_ms = EPOCH_MS + 5;
        subject.sync(&closing);
        subject.executed(Height(1), Some(next_epoch(&net, &all)));
        subject.votes(&[liar], VoteKind::Commit, 0, told);
        let outputs = subject.sync(&handover);
        assert_eq!(subject.engine.status().validators.epoch(), Epoch(1));
        (subject, outputs)
    };
    let (mut subject, _) = in_next_epoch_with(me, &handover);
    let (_, outputs) = in_next_epoch_with(other, &twin);
    let odd = net.vote(liar, VoteKind::Commit, 0, &twin);
    assert_eq!(testimonies(&outputs), std::slice::from_ref(&odd));

    let outputs = subject_receives(&mut subject, other, &odd);
    assert_eq!(evidence(&outputs), [(net.vote(liar, VoteKind::Commit, 0, &handover), odd.clone())]);
    assert_eq!(evidence(&subject_receives(&mut subject, other, &odd)), [], "once per validator and epoch");

    let (mut subject, _) = in_next_epoch_with(me, &handover);
    let held = subject.engine.status().votes;
    assert_eq!(held, 1, "what may still contradict");
    let closing = Header {
        epoch: Epoch(1),
        height: Height(3),
        timestamp_ms: handover.timestamp_ms + EPOCH_MS,
        parent: handover.digest(),
        validators_hash: next_set(&net, &all).hash(),
        ..closing.clone()
    };
    let validators = ValidatorSet::new(Epoch(2), net.set().members().to_vec()).unwrap();
    let after = Header {
        height: Height(4),
        timestamp_ms: closing.timestamp_ms + 1,
        parent: closing.digest(),
        executed: Executed { height: closing.height, state_root: root(closing.height) },
        kind: BlockKind::Handover { next_validators_hash: validators.hash() },
        ..closing.clone()
    };
    subject.executed(Height(2), None);
    subject.sync(&closing);
    let parameters = net.genesis.parameters.clone();
    subject.executed(Height(3), Some(NextEpoch { validators, parameters }));
    subject.sync(&after);
    assert_eq!(subject.engine.status().validators.epoch(), Epoch(2));
    assert_eq!(evidence(&subject_receives(&mut subject, other, &odd)), []);
}

fn subject_receives(subject: &mut Subject<'_>, from: usize, testimony: &Vote) -> Vec<Output> {
    subject.receive(from, Message::Testimony(testimony.clone()))
}
