//! Rules 5 to 7: leaving a view, joining others, entering the next; and the timer.

use aegis_consensus::limits::{ROUND_TRIP_MS_MAX, ROUND_TRIPS_PER_TIMEOUT, TIMEOUT_DOUBLINGS};
use aegis_consensus::{Engine, Event, Message, NewView, Output, PreparedBlock, Record, Status, ViewChange};
use aegis_types::{BlockKind, Epoch, Header, Height, Signature, View, VoteKind};

use crate::support::effects::{
    accused, fetched_blocks, messages, new_views, proposals, view_changes, views_entered, vote_contents,
    voted, votes,
};
use crate::support::subject::Subject;
use crate::support::{IDLE_MS, Net, TIMEOUT_MS, WINDOW, batch, content};

/// A subject that leads `view` (and not view 0), and that view.
fn future_leader(net: &Net) -> (Subject<'_>, u64) {
    let view = (1..).find(|view| net.leader(*view) != net.leader(0)).unwrap();
    (Subject::new(net, net.leader(view)), view)
}

fn send_view_changes(subject: &mut Subject<'_>, from: &[usize], view: u64) -> Vec<Output> {
    let net = subject.net;
    let mut outputs = Vec::new();
    for index in from {
        outputs.extend(subject.receive(*index, Message::ViewChange(net.plain_view_change(*index, view))));
    }
    outputs
}

#[test]
fn a_validator_with_work_leaves_its_view_after_the_timeout() {
    let net = Net::equal(4);
    let mut subject = Subject::follower(&net);
    let started = subject.at_ms;
    subject.hold(batch(net.id(0), 1));
    assert_eq!(view_changes(&subject.run_until(started + TIMEOUT_MS - 1)), []);

    let outputs = subject.tick(started + TIMEOUT_MS);

    let message = net.plain_view_change(subject.me, 1);
    let target = View(1);
    assert_eq!(
        outputs,
        [
            Output::Event(Event::ViewChangeStarted { target, reason: "nothing was committed in time" }),
            Output::Persist(Record::ViewChange(message.clone())),
            Output::Broadcast(Message::ViewChange(message)),
        ]
    );
}

#[test]
fn without_work_the_view_is_left_when_the_idle_block_is_overdue() {
    let net = Net::equal(4);
    let mut subject = Subject::follower(&net);
    assert_eq!(view_changes(&subject.run_until(IDLE_MS + TIMEOUT_MS - 1)), []);
    assert_eq!(view_changes(&subject.run_until(IDLE_MS + TIMEOUT_MS)).len(), 1);
}

#[test]
fn a_quorum_that_is_far_away_is_given_more_time() {
    let net = Net::equal(4);
    let mut subject = Subject::follower(&net);
    let round_trip = TIMEOUT_MS;
    subject.engine.set_round_trip(Some(round_trip));
    let patience = round_trip * ROUND_TRIPS_PER_TIMEOUT;
    assert_eq!(view_changes(&subject.run_until(IDLE_MS + patience - 1)), []);
    assert_eq!(view_changes(&subject.run_until(IDLE_MS + patience)).len(), 1);
}

#[test]
fn a_near_quorum_does_not_shorten_the_agreed_timeout_and_a_false_distance_is_bounded() {
    let net = Net::equal(4);
    let mut near = Subject::follower(&net);
    near.engine.set_round_trip(Some(1));
    assert_eq!(view_changes(&near.run_until(IDLE_MS + TIMEOUT_MS - 1)), []);
    assert_eq!(view_changes(&near.run_until(IDLE_MS + TIMEOUT_MS)).len(), 1);

    let mut far = Subject::follower(&net);
    far.engine.set_round_trip(Some(u64::MAX));
    let longest = ROUND_TRIP_MS_MAX * ROUND_TRIPS_PER_TIMEOUT;
    assert_eq!(view_changes(&far.run_until(IDLE_MS + longest)).len(), 1);
}

#[test]
fn a_commit_starts_the_timer_anew() {
    let net = Net::equal(4);
    let mut subject = Subject::follower(&net);
    subject.hold(batch(net.id(0), 99));
    let halfway = TIMEOUT_MS / 2;
    subject.run_until(halfway);
    subject.sync(&net.chain(0, 1)[0]);
    assert_eq!(view_changes(&subject.run_until(halfway + TIMEOUT_MS - 1)), []);
    assert_eq!(view_changes(&subject.run_until(halfway + TIMEOUT_MS)).len(), 1);
}

#[test]
fn a_lonely_wish_waits_for_a_quorum_and_the_timeout_doubles_up_to_a_limit() {
    let net = Net::equal(4);
    let mut subject = Subject::follower(&net);
    subject.hold(batch(net.id(0), 1));
    subject.run_until(subject.at_ms + TIMEOUT_MS);
    subject.run_until(subject.at_ms + 100 * TIMEOUT_MS);
    assert_eq!(subject.engine.status().target, Some(View(1)), "alone, it does not run away");

    let others: Vec<usize> = subject.others().into_iter().take(2).collect();
    let mut waited = Vec::new();
    for view in 1..=u64::from(TIMEOUT_DOUBLINGS) + 3 {
        assert_eq!(subject.engine.status().target, Some(View(view)));
        send_view_changes(&mut subject, &others, view);
        let since = subject.at_ms;
        while subject.engine.status().target == Some(View(view)) && subject.engine.status().view.0 < view {
            let deadline = subject.engine.deadline().unwrap();
            subject.tick(deadline);
        }
        if subject.engine.status().view.0 == view {
            // It leads this one itself: nothing to wait for, so it goes on by the ordinary timer.
            subject.run_until(subject.at_ms + (TIMEOUT_MS << TIMEOUT_DOUBLINGS) + IDLE_MS);
        } else {
            waited.push((view, subject.at_ms - since));
        }
    }
    let expected = |(view, _): &(u64, u64)| (*view, TIMEOUT_MS << (*view).min(u64::from(TIMEOUT_DOUBLINGS)));
    assert_eq!(waited, waited.iter().map(expected).collect::<Vec<_>>());
    assert!(waited.len() > 4);
}

#[test]
fn a_view_change_carries_the_tip_and_what_was_committed_to_above_it() {
    let net = Net::equal(4);
    let mut subject = Subject::follower(&net);
    let chain = net.chain(0, 3);
    subject.hold_all(&chain);
    subject.sync(&chain[0]);
    subject.bring_to_commit(0, &chain[1]);
    subject.propose(0, &chain[2]);

    let outputs = subject.run_until(subject.at_ms + TIMEOUT_MS);

    let [message] = &view_changes(&outputs)[..] else { panic!("{outputs:?}") };
    assert_eq!(message.tip_height, Height(1));
    assert_eq!(message.tip.as_ref().map(|tip| &tip.header), Some(&chain[0]));
    let prepared: Vec<&Header> = message.prepared.iter().map(|block| &block.header).collect();
    assert_eq!(prepared, [&chain[1]], "height 3 was prepared by nobody but this validator");
    assert!(message.verify_signature(&net.domain));
    assert_eq!(message.verify_content(Height::ZERO, WINDOW, net.set(), &net.domain), Ok(()));
}

#[test]
fn nothing_is_voted_for_in_a_view_that_was_left() {
    let net = Net::equal(4);
    let mut subject = Subject::follower(&net);
    let chain = net.chain(0, 2);
    subject.hold_all(&chain);
    subject.propose(0, &chain[0]);
    subject.run_until(subject.at_ms + TIMEOUT_MS);
    assert!(subject.engine.status().target.is_some());
    let others = net.others(&[subject.me, net.leader(0)]);
    let mut outputs = subject.votes(&others, VoteKind::Prepare, 0, &chain[0]);
    outputs.extend(subject.propose(0, &chain[1]));
    assert_eq!(votes(&outputs), []);
}

#[test]
fn a_weak_quorum_for_higher_views_is_joined_at_the_lowest_of_them() {
    let net = Net::equal(4);
    let mut subject = Subject::follower(&net);
    let [first, second, _] = subject.others()[..] else { unreachable!() };
    assert_eq!(view_changes(&send_view_changes(&mut subject, &[first], 9)), [], "one may be lying");
    let outputs = send_view_changes(&mut subject, &[second], 5);
    assert_eq!(view_changes(&outputs), [net.plain_view_change(subject.me, 5)]);
}

#[test]
fn a_join_goes_on_while_a_weak_quorum_is_still_above() {
    // W = 10, f = 3, weak quorum 4.
    let net = Net::weighted(&[1, 3, 2, 2, 2]);
    let view_of_light = (20..).find(|view| net.leader(*view) != 4 && net.leader(view + 2) != 4).unwrap();
    let mut subject = Subject::new(&net, 4);
    send_view_changes(&mut subject, &[0], view_of_light);
    send_view_changes(&mut subject, &[2], view_of_light + 2);
    let outputs = send_view_changes(&mut subject, &[1], view_of_light + 2);
    let targets: Vec<View> = view_changes(&outputs).iter().map(|message| message.view).collect();
    assert_eq!(targets, [View(view_of_light), View(view_of_light + 2)]);
}

#[test]
fn the_leader_starts_its_view_on_a_quorum_and_persists_that_first() {
    let net = Net::equal(4);
    let (mut subject, view) = future_leader(&net);
    let [first, second, _] = subject.others()[..] else { unreachable!() };
    send_view_changes(&mut subject, &[first], view);

    let outputs = send_view_changes(&mut subject, &[second], view);

    let mut view_changes: Vec<ViewChange> =
        [subject.me, first, second].map(|index| net.plain_view_change(index, view)).into();
    view_changes.sort_by_key(|message| message.validator);
    let message = net.new_view(view, view_changes);
    let expected = [
        Output::Persist(Record::NewView(message.clone())),
        Output::Broadcast(Message::NewView(message)),
        Output::Event(Event::ViewEntered { view: View(view), leader: net.id(subject.me) }),
    ];
    assert_eq!(outputs[outputs.len() - 3..], expected);
}

#[test]
fn a_view_change_that_proves_nothing_does_not_start_a_view() {
    let net = Net::equal(4);
    let chain = net.chain(0, 2);
    let prepared = |view, height: usize| net.certified(VoteKind::Prepare, view, &chain[height - 1]);
    let weak = PreparedBlock {
        header: chain[0].clone(),
        certificate: net.certificate(VoteKind::Prepare, 0, &chain[0], &[0, 1]),
    };
    let stolen = PreparedBlock { header: chain[1].clone(), ..prepared(0, 1) };
    let committed = net.certified(VoteKind::Commit, 0, &chain[0]);
    let (_, view) = future_leader(&net);
    let far = {
        let mut headers = net.chain(0, WINDOW * 4 + 1);
        net.certified(VoteKind::Prepare, 0, &headers.pop().unwrap())
    };
    let cases: Vec<(&str, Option<PreparedBlock>, Vec<PreparedBlock>)> = vec![
        ("a certificate below the quorum", None, vec![weak]),
        ("a certificate of another header", None, vec![stolen]),
        ("commits in place of prepares", None, vec![committed.clone()]),
        ("prepares in place of commits", Some(prepared(0, 1)), vec![]),
        ("descending heights", None, vec![prepared(0, 2), prepared(0, 1)]),
        ("a block twice", None, vec![prepared(0, 1), prepared(0, 1)]),
        ("a block at or below the tip", Some(committed), vec![prepared(0, 1)]),
        ("a certificate of the view itself", None, vec![prepared(view, 1)]),
        ("a height beyond reach", None, vec![far]),
    ];
    for (fault, tip, blocks) in cases {
        let (mut subject, view) = future_leader(&net);
        let [bad, first, second] = subject.others()[..] else { unreachable!() };
        let message = net.view_change(bad, view, tip, blocks);
        let mut outputs = subject.receive(bad, Message::ViewChange(message));
        outputs.extend(send_view_changes(&mut subject, &[first], view));
        assert_eq!(new_views(&outputs), [], "{fault}");
        assert_eq!(accused(&outputs), [net.id(bad)], "{fault}");
        let outputs = send_view_changes(&mut subject, &[second], view);
        assert_eq!(new_views(&outputs).len(), 1, "{fault}: the others suffice");
    }
}

#[test]
fn a_tip_that_is_claimed_without_proof_does_not_count() {
    let net = Net::equal(4);
    let (mut subject, view) = future_leader(&net);
    let [bad, first, _] = subject.others()[..] else { unreachable!() };
    let mut message = net.plain_view_change(bad, view);
    message.tip_height = Height(3);
    let message = message.signed(&net.keys[bad], &net.domain);
    let mut outputs = subject.receive(bad, Message::ViewChange(message));
    outputs.extend(send_view_changes(&mut subject, &[first], view));
    assert_eq!((new_views(&outputs), accused(&outputs)), (vec![], vec![net.id(bad)]));
}

#[test]
fn a_view_change_with_a_wrong_signature_or_of_somebody_else_is_reported() {
    let net = Net::equal(4);
    let mut subject = Subject::follower(&net);
    let [first, second, _] = subject.others()[..] else { unreachable!() };
    let mut forged = net.plain_view_change(first, 1);
    forged.view = View(2);
    assert_eq!(accused(&subject.receive(first, Message::ViewChange(forged))), [net.id(first)]);
    let stolen = net.plain_view_change(first, 1);
    assert_eq!(accused(&subject.receive(second, Message::ViewChange(stolen))), [net.id(second)]);
}

#[test]
fn a_planned_block_is_prepared_and_committed_again_in_the_new_view() {
    let net = Net::equal(4);
    let mut subject = Subject::follower(&net);
    let view = net.view_led_by(net.others(&[subject.me])[0], 0);
    let chain = net.chain(0, 2);
    subject.hold_all(&chain);
    let blocks: Vec<PreparedBlock> =
        chain.iter().map(|header| net.certified(VoteKind::Prepare, 0, header)).collect();
    let [a, b, c] = subject.others()[..] else { unreachable!() };
    let message = net.new_view(
        view,
        vec![
            net.plain_view_change(a, view),
            net.plain_view_change(b, view),
            net.view_change(c, view, None, blocks),
        ],
    );

    let outputs = subject.receive(a, Message::NewView(message.clone()));

    assert_eq!(outputs.first(), Some(&Output::Persist(Record::NewView(message))));
    assert_eq!(views_entered(&outputs), [View(view)]);
    let expected: Vec<_> = chain.iter().map(|header| content(VoteKind::Prepare, view, header)).collect();
    assert_eq!(vote_contents(&outputs), expected);
    let outputs = subject.votes(&[a, b], VoteKind::Prepare, view, &chain[0]);
    assert_eq!(vote_contents(&outputs), [content(VoteKind::Commit, view, &chain[0])]);
}

#[test]
fn of_two_prepared_blocks_the_one_of_the_higher_view_is_planned() {
    let net = Net::equal(4);
    let mut subject = Subject::follower(&net);
    let view = net.view_led_by(net.others(&[subject.me])[0], 5);
    let old = net.header(0, None, &[]);
    let new = Header { timestamp_ms: old.timestamp_ms + 1, ..net.header(3, None, &[]) };
    let [a, b, c] = subject.others()[..] else { unreachable!() };
    let message = net.new_view(
        view,
        vec![
            net.view_change(a, view, None, vec![net.certified(VoteKind::Prepare, 0, &old)]),
            net.view_change(b, view, None, vec![net.certified(VoteKind::Prepare, 3, &new)]),
            net.view_change(c, view, None, vec![net.certified(VoteKind::Prepare, 2, &old)]),
        ],
    );
    let outputs = subject.receive(a, Message::NewView(message));
    assert_eq!(vote_contents(&outputs), [content(VoteKind::Prepare, view, &new)]);
}

#[test]
fn a_new_view_that_proves_too_little_is_refused_and_reported() {
    let net = Net::equal(4);
    let chain = net.chain(0, 1);
    let me = net.others(&[net.leader(0)])[0];
    let view = net.view_led_by(net.others(&[me])[0], 0);
    let change = |index| net.plain_view_change(index, view);
    let weak = PreparedBlock {
        header: chain[0].clone(),
        certificate: net.certificate(VoteKind::Prepare, 0, &chain[0], &[0]),
    };
    let mut forged = change(2);
    forged.signature = Signature([3; 64]);
    let mut other_epoch = change(2);
    other_epoch.epoch = Epoch(1);
    let other_epoch = other_epoch.signed(&net.keys[2], &net.domain);
    let stranger = {
        let outsider = crate::support::key(99);
        change(2).signed(&outsider, &net.domain)
    };
    let mut unsigned = net.plain_new_view(view);
    unsigned.view_changes.rotate_left(1);
    let cases: Vec<(&str, NewView)> = vec![
        ("less than a quorum", net.new_view(view, vec![change(0), change(1)])),
        ("one validator twice", net.new_view(view, vec![change(0), change(1), change(1)])),
        ("a forged view change", net.new_view(view, vec![change(0), change(1), forged])),
        (
            "a view change for another view",
            net.new_view(view, vec![change(0), change(1), net.plain_view_change(2, view + 1)]),
        ),
        ("a view change of another epoch", net.new_view(view, vec![change(0), change(1), other_epoch])),
        ("a stranger's view change", net.new_view(view, vec![change(0), change(1), change(2), stranger])),
        (
            "a view change without proof",
            net.new_view(view, vec![change(0), change(1), net.view_change(2, view, None, vec![weak])]),
        ),
        ("another content than was signed", unsigned),
    ];
    for (fault, message) in cases {
        let mut subject = Subject::new(&net, me);
        let from = subject.others()[0];
        let outputs = subject.receive(from, Message::NewView(message));
        assert_eq!((views_entered(&outputs), accused(&outputs)), (vec![], vec![net.id(from)]), "{fault}");
    }
}

#[test]
fn a_new_view_of_somebody_who_does_not_lead_it_is_refused() {
    let net = Net::equal(4);
    let mut subject = Subject::follower(&net);
    let view = net.view_led_by(subject.others()[0], 0);
    let impostor = net.others(&[subject.me, net.leader(view)])[0];
    let message = net.plain_new_view(view).signed(&net.keys[impostor], &net.domain);
    let outputs = subject.receive(impostor, Message::NewView(message));
    assert_eq!((views_entered(&outputs), accused(&outputs)), (vec![], vec![net.id(impostor)]));
}

#[test]
fn a_view_below_the_one_asked_for_is_not_entered_and_a_higher_one_is() {
    let net = Net::equal(4);
    let mut subject = Subject::follower(&net);
    let me = subject.me;
    let target = (5..).find(|view| (0..3).all(|step| net.leader(view + step) != me)).unwrap();
    let [a, b, _] = subject.others()[..] else { unreachable!() };
    send_view_changes(&mut subject, &[a, b], target);
    let outputs = subject.receive(a, Message::NewView(net.plain_new_view(target - 1)));
    assert_eq!((views_entered(&outputs), accused(&outputs)), (vec![], vec![]));
    let outputs = subject.receive(a, Message::NewView(net.plain_new_view(target + 1)));
    assert_eq!(views_entered(&outputs), [View(target + 1)]);
    let outputs = subject.receive(a, Message::NewView(net.plain_new_view(target)));
    assert_eq!(views_entered(&outputs), [], "too late");
}

#[test]
fn proposals_of_the_next_leader_that_come_before_its_view_are_used_in_it() {
    let net = Net::equal(4);
    let mut subject = Subject::follower(&net);
    let view = net.view_led_by(net.others(&[subject.me, net.leader(0)])[0], 0);
    let chain = net.chain(view, 2);
    subject.hold_all(&chain);
    assert_eq!(votes(&subject.propose(view, &chain[1])), []);
    assert_eq!(votes(&subject.propose(view, &chain[0])), []);
    let outputs = subject.receive(net.leader(view), Message::NewView(net.plain_new_view(view)));
    assert_eq!(voted(&outputs, VoteKind::Prepare), [Height(1), Height(2)]);
}

#[test]
fn new_proposals_come_above_the_plan_only() {
    let net = Net::equal(4);
    let mut subject = Subject::follower(&net);
    let view = net.view_led_by(net.others(&[subject.me])[0], 0);
    let planned = net.chain(0, 1).remove(0);
    let instead = Header { timestamp_ms: planned.timestamp_ms + 5, ..net.header(view, None, &[]) };
    let [a, b, c] = subject.others()[..] else { unreachable!() };
    let block = net.certified(VoteKind::Prepare, 0, &planned);
    let message = net.new_view(
        view,
        vec![
            net.plain_view_change(a, view),
            net.plain_view_change(b, view),
            net.view_change(c, view, None, vec![block]),
        ],
    );
    subject.receive(a, Message::NewView(message));
    assert_eq!(votes(&subject.propose(view, &instead)), [], "the plan decides about height 1");
    let outputs = subject.hold(planned.batches[0]);
    assert_eq!(vote_contents(&outputs), [content(VoteKind::Prepare, view, &planned)]);
}

#[test]
fn a_validator_behind_the_plans_base_asks_for_the_blocks() {
    let net = Net::equal(4);
    let mut subject = Subject::follower(&net);
    let view = net.view_led_by(net.others(&[subject.me])[0], 0);
    let chain = net.chain(0, 3);
    let tip = net.certified(VoteKind::Commit, 0, &chain[2]);
    let [a, b, c] = subject.others()[..] else { unreachable!() };
    let message = net.new_view(
        view,
        vec![
            net.plain_view_change(a, view),
            net.plain_view_change(b, view),
            net.view_change(c, view, Some(tip), vec![]),
        ],
    );
    let outputs = subject.receive(a, Message::NewView(message));
    assert_eq!(fetched_blocks(&outputs), [(Height(1), Height(3), net.id(net.leader(view)))]);
    let below = Header { timestamp_ms: chain[0].timestamp_ms + 9, ..net.header(view, None, &[]) };
    assert_eq!(votes(&subject.propose(view, &below)), [], "heights up to the base are committed");
    for header in &chain {
        subject.sync(header);
    }
    let next = net.header(view, Some(&chain[2]), &[]);
    assert_eq!(voted(&subject.propose(view, &next), VoteKind::Prepare), [Height(4)]);
}

#[test]
fn whoever_is_in_an_older_view_is_shown_the_proof_of_this_one() {
    let net = Net::equal(4);
    let mut subject = Subject::follower(&net);
    let view = net.view_led_by(net.others(&[subject.me])[0], 0);
    let from = subject.others()[0];
    let proof = net.plain_new_view(view);
    subject.receive(from, Message::NewView(proof.clone()));
    let status = Status { epoch: Epoch::ZERO, view: View(0), height: Height::ZERO };
    let answer = Output::Send { to: net.id(from), message: Message::NewView(proof) };
    assert_eq!(subject.receive(from, Message::Status(status)), [answer]);
    assert_eq!(subject.receive(from, Message::Status(status)), [], "once per interval");
}

#[test]
fn votes_and_view_changes_are_sent_again_while_nothing_commits() {
    let net = Net::equal(4);
    let mut subject = Subject::follower(&net);
    let header = net.chain(0, 1).remove(0);
    subject.hold_all(std::slice::from_ref(&header));
    let first = votes(&subject.bring_to_commit(0, &header));
    assert_eq!(first.len(), 2);
    let started = subject.at_ms;
    let again = subject.run_until(started + TIMEOUT_MS / 4);
    assert_eq!(votes(&again), first);
    subject.run_until(started + TIMEOUT_MS);
    let again = subject.run_until(started + TIMEOUT_MS + TIMEOUT_MS / 4);
    assert_eq!(view_changes(&again).len(), 1);
}

#[test]
fn a_batch_that_is_passed_over_for_long_makes_its_holder_leave_the_view() {
    let net = Net::equal(4);
    let mut subject = Subject::follower(&net);
    subject.hold(batch(net.id(0), 12_345));
    let mut height = None;
    let mut outputs = Vec::new();
    for header in net.chain(0, 40) {
        outputs.extend(subject.sync(&header));
        subject.executed(header.height, None);
        outputs.extend(subject.run_until(subject.at_ms + TIMEOUT_MS / 2));
        height = Some(header.height);
    }
    assert_eq!(subject.engine.height(), height.unwrap(), "blocks came all the time");
    let reasons: Vec<&str> = outputs
        .iter()
        .filter_map(|output| match output {
            Output::Event(Event::ViewChangeStarted { reason, .. }) => Some(*reason),
            _ => None,
        })
        .collect();
    assert_eq!(reasons, ["a batch was passed over"]);
}

#[test]
fn a_leader_is_not_accused_when_a_later_view_overtook_its_proposal() {
    let net = Net::equal(4);
    let mut subject = Subject::follower(&net);
    let chain = net.chain(0, 2);
    let replaced = net.header(1, None, &[]);
    let certificate = net.certified(VoteKind::Commit, 1, &replaced).certificate;
    subject.synced(&replaced, certificate);
    subject.hold_all(&chain);
    let outputs = subject.propose(0, &chain[1]);
    assert_eq!((accused(&outputs), votes(&outputs)), (vec![], vec![]));
}

#[test]
fn a_restart_far_behind_its_promises_sends_a_view_change_that_others_accept() {
    let net = Net::equal(4);
    let mut subject = Subject::follower(&net);
    let chain = net.chain(0, WINDOW * 2);
    subject.hold_all(&chain);
    let mut records = Vec::new();
    for header in &chain {
        let mut outputs = subject.bring_to_commit(0, header);
        let others = subject.others();
        outputs.extend(subject.votes(&others, VoteKind::Commit, 0, header));
        records.extend(outputs.into_iter().filter_map(|output| match output {
            Output::Persist(record) => Some(record),
            _ => None,
        }));
    }
    assert_eq!(subject.engine.height(), Height(WINDOW * 2));

    // The committed log was not written before the crash.
    subject.engine = Engine::recover(net.start(subject.me, records));
    let outputs = subject.run_until(subject.at_ms + 2 * TIMEOUT_MS);

    let message = view_changes(&outputs).remove(0);
    assert_eq!(message.prepared.len() as u64, WINDOW * 2);
    assert_eq!(message.verify_content(Height::ZERO, WINDOW, net.set(), &net.domain), Ok(()));
}

#[test]
fn an_observer_says_nothing() {
    let net = Net::equal(4);
    let outsider = crate::support::key(77);
    let mut subject = Subject::follower(&net);
    subject.engine = Engine::recover(net.start_with_key(outsider, Vec::new()));
    assert_eq!(subject.engine.deadline(), None);
    let header = net.chain(0, 1).remove(0);
    subject.hold_all(std::slice::from_ref(&header));
    let mut outputs = subject.bring_to_commit(0, &header);
    for other in 0..4 {
        outputs.extend(subject.receive(other, Message::ViewChange(net.plain_view_change(other, 1))));
    }
    outputs.extend(subject.tick(100 * TIMEOUT_MS));
    assert!(messages(&outputs).is_empty(), "{outputs:?}");
    assert_eq!(crate::support::effects::committed(&subject.sync(&header)), [header], "but it follows");
}

#[test]
fn a_new_leader_goes_on_above_the_plan() {
    let net = Net::equal(4);
    let (mut subject, view) = future_leader(&net);
    let planned = net.chain(0, 1).remove(0);
    subject.hold_all(std::slice::from_ref(&planned));
    let extra = batch(net.id(0), 4_711);
    subject.hold(extra);
    let [a, b, _] = subject.others()[..] else { unreachable!() };
    let block = net.certified(VoteKind::Prepare, 0, &planned);
    send_view_changes(&mut subject, &[a], view);
    let outputs = subject.receive(b, Message::ViewChange(net.view_change(b, view, None, vec![block])));
    assert_eq!(voted(&outputs, VoteKind::Prepare), [Height(1), Height(2)]);
    let [proposed] = &proposals(&outputs)[..] else { panic!("{outputs:?}") };
    assert_eq!((proposed.height, &proposed.batches[..]), (Height(2), &[extra][..]));
    assert_eq!((proposed.parent, proposed.kind), (planned.digest(), BlockKind::Normal));
}
