//! Rule 1: what a leader proposes, and when.

use aegis_consensus::limits::{CERTIFY_AFTER_MS, EXECUTION_LAG_WINDOWS};
use aegis_consensus::{Message, Output, PrePrepare, Record};
use aegis_types::{Executed, Height, Parameter, VoteKind};

use crate::support::effects::{proposals, view_changes, votes};
use crate::support::subject::Subject;
use crate::support::{GENESIS_MS, IDLE_MS, Net, TIMEOUT_MS, WINDOW, batch, root};

#[test]
fn a_leader_proposes_a_held_batch_at_once_and_persists_it_first() {
    let net = Net::equal(4);
    let mut leader = Subject::leader(&net);
    let held = batch(net.id(0), 1);

    let outputs = leader.hold(held);

    let header =
        aegis_types::Header { timestamp_ms: GENESIS_MS + leader.at_ms, ..net.header(0, None, &[held]) };
    let vote = net.vote(leader.me, VoteKind::Prepare, 0, &header);
    assert_eq!(
        outputs,
        [
            Output::Persist(Record::Prepared { header: header.clone(), vote: vote.clone() }),
            Output::Broadcast(Message::PrePrepare(PrePrepare { header, vote })),
        ]
    );
}

#[test]
fn a_follower_proposes_nothing() {
    let net = Net::equal(4);
    let mut follower = Subject::follower(&net);
    assert_eq!(follower.hold(batch(net.id(0), 1)), []);
    assert_eq!(proposals(&follower.run_until(IDLE_MS * 2)), []);
}

#[test]
fn an_empty_block_comes_after_the_idle_interval_and_not_before() {
    let net = Net::equal(4);
    let mut leader = Subject::leader(&net);
    assert_eq!(leader.engine.deadline(), Some(IDLE_MS));
    assert_eq!(leader.tick(IDLE_MS - 1), []);
    let outputs = leader.tick(IDLE_MS);
    let [header] = &proposals(&outputs)[..] else { panic!("{outputs:?}") };
    assert!(header.batches.is_empty());
    assert_eq!(header.height, Height(1));
}

#[test]
fn an_empty_block_that_comes_before_the_state_is_known_is_soon_followed_by_one_that_certifies_it() {
    let mut net = Net::equal(4);
    net.genesis.parameters.set(Parameter::IdleIntervalMs, CERTIFY_AFTER_MS * 50).unwrap();
    let changing = net.chain(0, 1).remove(0);
    let mut leader = Subject::leader(&net);
    let begun = leader.at_ms;
    leader.sync(&changing);
    let outputs = leader.run_until(begun + CERTIFY_AFTER_MS);
    let [early] = &proposals(&outputs)[..] else { panic!("{outputs:?}") };
    assert_eq!(early.executed.height, Height(0));
    leader.sync(early);
    leader.executed(changing.height, None);
    leader.executed(early.height, None);
    let outputs = leader.run_until(leader.at_ms + CERTIFY_AFTER_MS);
    let [certifying] = &proposals(&outputs)[..] else { panic!("{outputs:?}") };
    assert_eq!((certifying.batches.len(), certifying.executed.height), (0, early.height));
}

#[test]
fn what_a_block_has_changed_is_certified_soon_where_the_idle_interval_is_long() {
    let long_ms = CERTIFY_AFTER_MS * 50;
    let mut net = Net::equal(4);
    net.genesis.parameters.set(Parameter::IdleIntervalMs, long_ms).unwrap();
    let changing = net.chain(0, 1).remove(0);
    let mut leader = Subject::leader(&net);
    let begun = leader.at_ms;
    leader.sync(&changing);
    leader.executed(changing.height, None);
    assert_eq!(proposals(&leader.run_until(begun + CERTIFY_AFTER_MS - 1)), []);
    let outputs = leader.run_until(begun + CERTIFY_AFTER_MS);
    let [empty] = &proposals(&outputs)[..] else { panic!("{outputs:?}") };
    let executed = Executed { height: changing.height, state_root: root(changing.height) };
    assert_eq!((empty.batches.len(), empty.executed), (0, executed));

    // Nothing has changed since, so the next one has time.
    leader.sync(empty);
    let (quiet, at) = (leader.run_until(leader.at_ms + long_ms - 1), leader.at_ms + 1);
    assert_eq!(proposals(&quiet), []);
    assert_eq!(proposals(&leader.run_until(at)).len(), 1);

    let mut follower = Subject::follower(&net);
    follower.sync(&changing);
    let overdue = follower.at_ms + CERTIFY_AFTER_MS + TIMEOUT_MS;
    assert_eq!(view_changes(&follower.run_until(overdue - 1)), []);
    assert_eq!(view_changes(&follower.run_until(overdue)).len(), 1, "who leads does not certify it");
}

#[test]
fn proposals_stop_a_window_above_the_tip_and_go_on_with_it() {
    let net = Net::equal(4);
    let mut leader = Subject::leader(&net);
    let mut chain = Vec::new();
    for number in 0..WINDOW + 2 {
        chain.extend(proposals(&leader.hold(batch(net.id(0), number))));
    }
    assert_eq!(chain.len() as u64, WINDOW);
    for (below, above) in chain.iter().zip(&chain[1..]) {
        assert_eq!((above.parent, above.height), (below.digest(), below.height.next()));
        assert!(above.timestamp_ms > below.timestamp_ms);
    }

    let outputs = leader.sync(&chain[0]);

    let [next] = &proposals(&outputs)[..] else { panic!("{outputs:?}") };
    assert_eq!(next.height, Height(WINDOW + 1));
    assert_eq!(next.batches.len(), 2, "what waited for the window goes into one block");
}

#[test]
fn a_batch_of_an_open_block_is_not_proposed_twice() {
    let net = Net::equal(4);
    let mut leader = Subject::leader(&net);
    let (first, second) = (batch(net.id(0), 1), batch(net.id(0), 2));
    leader.hold(first);
    let outputs = leader.hold(second);
    assert_eq!(proposals(&outputs)[0].batches, [second]);
    assert_eq!(leader.hold(second), [], "a batch that is held already is nothing new");
}

#[test]
fn a_proposal_names_the_newest_executed_state() {
    let net = Net::equal(4);
    let mut leader = Subject::leader(&net);
    let chain = net.chain(0, 2);
    leader.sync(&chain[0]);
    leader.executed(Height(1), None);
    let outputs = leader.hold(batch(net.id(0), 9));
    let executed = Executed { height: Height(1), state_root: root(Height(1)) };
    assert_eq!(proposals(&outputs)[0].executed, executed);
}

#[test]
fn a_leader_waits_for_execution_that_lags_too_far() {
    let net = Net::equal(4);
    let mut leader = Subject::leader(&net);
    let lag = WINDOW * EXECUTION_LAG_WINDOWS;
    for header in net.chain(0, lag) {
        leader.sync(&header);
    }
    assert_eq!(leader.engine.height(), Height(lag));
    assert_eq!(leader.hold(batch(net.id(0), 999)), [], "{lag} blocks wait for execution");
    let outputs = leader.executed(Height(1), None);
    assert_eq!(proposals(&outputs).len(), 1);
}

#[test]
fn a_leader_that_left_its_view_proposes_no_more() {
    let net = Net::equal(4);
    let mut leader = Subject::leader(&net);
    for other in leader.others().into_iter().take(2) {
        leader.receive(other, Message::ViewChange(net.plain_view_change(other, 1)));
    }
    assert_eq!(votes(&leader.hold(batch(net.id(0), 1))), []);
}

#[test]
fn a_leader_whose_tip_a_later_view_has_committed_proposes_nothing_in_its_own() {
    let net = Net::equal(4);
    let first = net.header(0, None, &[]);
    for (view, proposed) in [(0, 1), (1, 0)] {
        let mut leader = Subject::leader(&net);
        let certificate = net.certified(VoteKind::Commit, view, &first).certificate;
        leader.synced(&first, certificate);
        leader.executed(first.height, None);

        let mut outputs = leader.hold(batch(net.id(0), 1));
        outputs.extend(leader.tick(IDLE_MS));

        assert_eq!(proposals(&outputs).len(), proposed, "the tip is of view {view}");
    }
}
