//! Rule 3: when a validator commits.

use aegis_consensus::{Message, Output, Record};
use aegis_types::{Height, Signature, Vote, VoteKind};

use crate::support::effects::{accused, voted, votes};
use crate::support::subject::Subject;
use crate::support::{Net, WINDOW};

#[test]
fn commit_is_sent_when_prepares_reach_a_quorum_and_not_below() {
    let net = Net::equal(4);
    let mut subject = Subject::follower(&net);
    let header = net.chain(0, 1).remove(0);
    subject.hold_all(std::slice::from_ref(&header));
    subject.propose(0, &header);
    let other = net.others(&[subject.me, net.leader(0)])[0];

    let outputs = subject.votes(&[other], VoteKind::Prepare, 0, &header);

    let signers = [subject.me, net.leader(0), other];
    let vote = net.vote(subject.me, VoteKind::Commit, 0, &header);
    let certificate = net.certificate(VoteKind::Prepare, 0, &header, &signers);
    assert_eq!(
        outputs,
        [
            Output::Persist(Record::Committing { header, certificate, vote: vote.clone() }),
            Output::Broadcast(Message::Vote(vote)),
        ]
    );
}

#[test]
fn weight_and_not_the_number_of_votes_makes_a_quorum() {
    // W = 10, f = 3, quorum 7.
    let net = Net::weighted(&[3, 3, 2, 1, 1]);
    let header = net.chain(0, 1).remove(0);
    let leader = net.leader(0);
    for me in net.others(&[leader]) {
        let weight = |index: usize| net.set().members()[index].weight.0;
        let mut subject = Subject::new(&net, me);
        subject.hold_all(std::slice::from_ref(&header));
        subject.propose(0, &header);
        let mut sum = weight(me) + weight(leader);
        for other in net.others(&[me, leader]) {
            assert!(sum < 7, "the set of this test needs a third vote");
            sum += weight(other);
            let outputs = subject.votes(&[other], VoteKind::Prepare, 0, &header);
            assert_eq!(voted(&outputs, VoteKind::Commit).len(), usize::from(sum >= 7), "{me} {sum}");
            if sum >= 7 {
                break;
            }
        }
        assert!(sum >= 7);
    }
}

#[test]
fn a_vote_that_is_repeated_counts_once() {
    let net = Net::equal(7);
    let mut subject = Subject::follower(&net);
    let header = net.chain(0, 1).remove(0);
    subject.hold_all(std::slice::from_ref(&header));
    subject.propose(0, &header);
    let other = net.others(&[subject.me, net.leader(0)])[0];
    for _ in 0..10 {
        assert_eq!(votes(&subject.votes(&[other], VoteKind::Prepare, 0, &header)), []);
    }
    assert_eq!(subject.engine.status().votes, 3);
}

#[test]
fn commits_are_sent_in_the_order_of_heights() {
    let net = Net::equal(4);
    let mut subject = Subject::follower(&net);
    let chain = net.chain(0, WINDOW);
    subject.hold_all(&chain);
    let other = net.others(&[subject.me, net.leader(0)])[0];
    for header in &chain {
        subject.propose(0, header);
    }
    for header in chain[1..].iter().rev() {
        let outputs = subject.votes(&[other], VoteKind::Prepare, 0, header);
        assert_eq!(votes(&outputs), [], "height 1 is not prepared");
    }
    let outputs = subject.votes(&[other], VoteKind::Prepare, 0, &chain[0]);
    let heights: Vec<Height> = (1..=WINDOW).map(Height).collect();
    assert_eq!(voted(&outputs, VoteKind::Commit), heights);
}

#[test]
fn prepares_for_another_digest_do_not_count() {
    let net = Net::equal(4);
    let mut subject = Subject::follower(&net);
    let header = net.chain(0, 1).remove(0);
    let other_header = net.header(0, None, &[]);
    subject.hold_all(std::slice::from_ref(&header));
    subject.propose(0, &header);
    let others = net.others(&[subject.me, net.leader(0)]);
    assert_eq!(votes(&subject.votes(&others, VoteKind::Prepare, 0, &other_header)), []);
}

#[test]
fn a_forged_vote_is_found_when_it_would_decide_and_its_sender_reported() {
    let net = Net::equal(4);
    let mut subject = Subject::follower(&net);
    let header = net.chain(0, 1).remove(0);
    subject.hold_all(std::slice::from_ref(&header));
    subject.propose(0, &header);
    let [forger, honest] = net.others(&[subject.me, net.leader(0)])[..] else { unreachable!() };
    let forged = Vote { signature: Signature([7; 64]), ..net.vote(forger, VoteKind::Prepare, 0, &header) };

    let outputs = subject.receive(forger, Message::Vote(forged));
    assert_eq!((accused(&outputs), votes(&outputs)), (vec![net.id(forger)], vec![]));

    let outputs = subject.votes(&[honest], VoteKind::Prepare, 0, &header);
    assert_eq!(voted(&outputs, VoteKind::Commit), [Height(1)]);
    let Some(Output::Persist(Record::Committing { certificate, .. })) = outputs.first() else {
        panic!("{outputs:?}")
    };
    assert_eq!(certificate.verify(net.set(), &net.domain), Ok(()));
}

#[test]
fn prepares_that_come_before_the_proposal_count() {
    let net = Net::equal(4);
    let mut subject = Subject::follower(&net);
    let header = net.chain(0, 1).remove(0);
    subject.hold_all(std::slice::from_ref(&header));
    let others = net.others(&[subject.me, net.leader(0)]);
    assert_eq!(subject.votes(&others, VoteKind::Prepare, 0, &header), []);
    let outputs = subject.propose(0, &header);
    assert_eq!(voted(&outputs, VoteKind::Prepare), [Height(1)]);
    assert_eq!(voted(&outputs, VoteKind::Commit), [Height(1)]);
}

#[test]
fn nothing_is_committed_above_a_parent_that_a_later_view_replaced() {
    let net = Net::equal(4);
    let mut subject = Subject::follower(&net);
    let chain = net.chain(0, 2);
    subject.hold_all(&chain);
    for header in &chain {
        subject.propose(0, header);
    }
    let replaced = net.header(1, None, &[]);
    let certificate = net.certified(VoteKind::Commit, 1, &replaced).certificate;
    subject.synced(&replaced, certificate);
    assert_eq!(subject.engine.height(), Height(1));
    let others = net.others(&[subject.me, net.leader(0)]);
    let outputs = subject.votes(&others, VoteKind::Prepare, 0, &chain[1]);
    assert_eq!(votes(&outputs), [], "its parent is not the committed block");
}

#[test]
fn the_highest_commit_is_told_as_soon_as_it_is_cast_and_not_before() {
    let net = Net::equal(4);
    let mut subject = Subject::follower(&net);
    let header = net.chain(0, 1).remove(0);
    subject.hold_all(std::slice::from_ref(&header));
    subject.propose(0, &header);
    assert_eq!(subject.engine.committing(), Some(Height::ZERO), "a Prepare acknowledges nothing");
    let other = net.others(&[subject.me, net.leader(0)])[0];
    subject.votes(&[other], VoteKind::Prepare, 0, &header);
    assert_eq!((subject.engine.committing(), subject.engine.height()), (Some(Height(1)), Height::ZERO));
}
