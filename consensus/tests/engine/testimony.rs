//! Rule 8: equivocations whose halves went to different validators.

use aegis_consensus::limits::{SETTLED_WINDOWS, TESTIMONIES_PER_VALIDATOR};
use aegis_consensus::{Message, Output};
use aegis_types::{Header, Height, Signature, Vote, VoteKind};

use crate::support::effects::{accused, committed, evidence, testimonies, vote_contents};
use crate::support::subject::Subject;
use crate::support::{Net, WINDOW, batch};

/// Two blocks for height 1 in view 0.
fn two_blocks(net: &Net) -> (Header, Header) {
    (net.header(0, None, &[batch(net.id(0), 1)]), net.header(0, None, &[batch(net.id(0), 2)]))
}

/// A validator of which the leader got a Prepare for `proposed`, and which has learnt that `decided` is committed.
fn decide_beside<'a>(
    net: &'a Net,
    me: usize,
    proposed: &Header,
    decided: &Header,
) -> (Subject<'a>, Vec<Output>) {
    let mut subject = Subject::new(net, me);
    subject.hold_all(&[proposed.clone(), decided.clone()]);
    subject.propose(0, proposed);
    let outputs = subject.sync(decided);
    assert_eq!(committed(&outputs), std::slice::from_ref(decided));
    (subject, outputs)
}

#[test]
fn a_leader_that_shows_each_of_two_blocks_to_others_only_is_convicted_between_them() {
    let net = Net::equal(4);
    let (one, two) = two_blocks(&net);
    let leader = net.leader(0);
    let [first, second, _] = net.others(&[leader])[..] else { unreachable!() };
    let (mut lucky, outputs) = decide_beside(&net, first, &one, &one);
    assert_eq!(testimonies(&outputs), [], "nothing is odd");
    let (_, outputs) = decide_beside(&net, second, &two, &one);
    let shown = testimonies(&outputs);
    assert_eq!(shown, [net.vote(leader, VoteKind::Prepare, 0, &two)]);

    let outputs = lucky.receive(second, Message::Testimony(shown[0].clone()));

    let found = evidence(&outputs);
    let [(held, told)] = &found[..] else { panic!("{found:?}") };
    assert_eq!((held, told), (&net.vote(leader, VoteKind::Prepare, 0, &one), &shown[0]));
    let again = lucky.receive(second, Message::Testimony(shown[0].clone()));
    assert_eq!(evidence(&again), [], "once per validator and epoch");
}

#[test]
fn a_voter_that_tells_everyone_something_else_is_convicted_between_them() {
    let net = Net::equal(7);
    let (one, two) = two_blocks(&net);
    let leader = net.leader(0);
    let [first, second, liar, ..] = net.others(&[leader])[..] else { unreachable!() };
    for kind in [VoteKind::Prepare, VoteKind::Commit] {
        let mut subjects = [(first, &one), (second, &two)].map(|(me, told)| {
            let mut subject = Subject::new(&net, me);
            subject.hold_all(&[one.clone(), two.clone()]);
            subject.propose(0, &one);
            subject.votes(&[liar], kind, 0, told);
            subject
        });
        assert_eq!(testimonies(&subjects[0].sync(&one)), []);
        let shown = testimonies(&subjects[1].sync(&one));
        let odd = net.vote(liar, kind, 0, &two);
        assert!(shown.contains(&odd), "{shown:?}");
        let outputs = subjects[0].receive(second, Message::Testimony(odd.clone()));
        assert_eq!(evidence(&outputs), [(net.vote(liar, kind, 0, &one), odd)]);
    }
}

#[test]
fn a_contradiction_that_its_voter_delivers_after_the_decision_is_evidence_too() {
    let net = Net::equal(4);
    let (one, two) = two_blocks(&net);
    let leader = net.leader(0);
    let liar = net.others(&[leader])[1];
    let (mut subject, _) = decide_beside(&net, net.others(&[leader])[0], &one, &one);
    assert_eq!(evidence(&subject.votes(&[liar], VoteKind::Prepare, 0, &two)), [], "its only vote");
    let outputs = subject.propose(0, &two);
    assert_eq!(evidence(&outputs).len(), 1, "the leader's second proposal");
    assert_eq!(subject.engine.height(), Height(1));
}

#[test]
fn a_testimony_counts_for_nothing() {
    let net = Net::equal(4);
    let mut subject = Subject::follower(&net);
    let header = net.chain(0, 1).remove(0);
    subject.hold_all(std::slice::from_ref(&header));
    subject.propose(0, &header);
    let votes = subject.engine.status().votes;
    let others = net.others(&[subject.me, net.leader(0)]);
    for (from, voter) in [(others[0], others[1]), (others[1], others[0])] {
        let vote = net.vote(voter, VoteKind::Prepare, 0, &header);
        let outputs = subject.receive(from, Message::Testimony(vote));
        assert_eq!((vote_contents(&outputs), accused(&outputs)), (vec![], vec![]));
    }
    assert_eq!(subject.engine.status().votes, votes);
}

#[test]
fn a_forged_testimony_accuses_who_shows_it() {
    let net = Net::equal(4);
    let (one, two) = two_blocks(&net);
    let leader = net.leader(0);
    let [me, witness, _] = net.others(&[leader])[..] else { unreachable!() };
    let (mut subject, _) = decide_beside(&net, me, &one, &one);
    let forged = Vote { signature: Signature([3; 64]), ..net.vote(leader, VoteKind::Prepare, 0, &two) };
    let outputs = subject.receive(witness, Message::Testimony(forged));
    assert_eq!((evidence(&outputs), accused(&outputs)), (vec![], vec![net.id(witness)]));
}

#[test]
fn nobody_shows_a_vote_that_is_not_signed() {
    let net = Net::equal(4);
    let (one, two) = two_blocks(&net);
    let mut subject = Subject::follower(&net);
    let liar = net.others(&[subject.me, net.leader(0)])[0];
    subject.hold_all(&[one.clone(), two.clone()]);
    subject.propose(0, &one);
    let forged = Vote { signature: Signature([3; 64]), ..net.vote(liar, VoteKind::Prepare, 0, &two) };
    subject.receive(liar, Message::Vote(forged));
    let shown = testimonies(&subject.sync(&one));
    assert_eq!(
        shown,
        [net.vote(net.leader(0), VoteKind::Prepare, 0, &one)],
        "the leader's, for the round is contested"
    );
}

#[test]
fn a_validator_whose_votes_look_odd_does_not_make_others_talk_for_ever() {
    let net = Net::equal(4);
    let mut subject = Subject::follower(&net);
    let odd = net.others(&[subject.me, net.leader(0)])[0];
    let chain = net.chain(0, u64::from(TESTIMONIES_PER_VALIDATOR) * 3);
    subject.hold_all(&chain);
    let mut shown = 0;
    for header in &chain {
        let other = Header { timestamp_ms: header.timestamp_ms + 1, ..header.clone() };
        subject.propose(0, header);
        subject.votes(&[odd], VoteKind::Prepare, 0, &other);
        let said = testimonies(&subject.sync(header));
        shown += said.iter().filter(|vote| vote.validator == net.id(odd)).count();
        subject.executed(header.height, None);
    }
    assert_eq!(shown, TESTIMONIES_PER_VALIDATOR as usize);
}

#[test]
fn votes_for_decided_heights_are_forgotten_after_a_while() {
    let net = Net::equal(4);
    let mut subject = Subject::follower(&net);
    let chain = net.chain(0, WINDOW * (SETTLED_WINDOWS + 2));
    subject.hold_all(&chain);
    let mut held = Vec::new();
    for header in &chain {
        subject.propose(0, header);
        subject.sync(header);
        subject.executed(header.height, None);
        held.push(subject.engine.status().votes);
    }
    let settled = (WINDOW * SETTLED_WINDOWS) as usize;
    assert_eq!(held.iter().max(), held.last());
    assert_eq!(held[settled], *held.last().unwrap(), "{held:?}");
}
