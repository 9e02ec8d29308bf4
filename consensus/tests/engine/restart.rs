//! An engine recovered at any point of its life keeps every promise that it made before.
//!
//! Seeded runs of a small network, over several epochs and views, yield histories of validators. For every prefix of a
//! history an engine is recovered from what was durable then, and everyone around it lies: other proposals for the same
//! heights with a quorum behind them, empty view changes, and everything that was ever sent, in another order.

use std::collections::BTreeMap;

use aegis_consensus::{Engine, Input, Message, NewView, Output, PrePrepare, Record, ViewChange};
use aegis_types::{Epoch, Hash, Header, Height, View, Vote, VoteContent, VoteKind};

use crate::support::cluster::{Block, Cluster, Rng, next_epoch, start_from};
use crate::support::effects::{vote_in, voted};
use crate::support::{Net, now, root};

type Round = (Epoch, View, Height, VoteKind);

/// What a validator has said in public. Knows nothing of the engine.
#[derive(Debug, Default, Clone)]
struct Promises {
    votes: BTreeMap<Round, Hash>,
    view_changes: BTreeMap<(Epoch, View), ViewChange>,
    new_views: BTreeMap<(Epoch, View), NewView>,
}

impl Promises {
    /// Takes note of what was made durable, sent or not, and of what was sent.
    fn note_output(&mut self, output: &Output) -> Result<(), String> {
        match output {
            Output::Persist(Record::Prepared { vote, .. } | Record::Committing { vote, .. }) => {
                self.note_vote(vote)
            }
            Output::Persist(Record::ViewChange(message)) => self.note_view_change(message),
            Output::Broadcast(message) | Output::Send { message, .. } => self.note(message),
            _ => Ok(()),
        }
    }

    /// Takes note of a message; an error if it breaks a promise made before.
    fn note(&mut self, message: &Message) -> Result<(), String> {
        if let Some(vote) = vote_in(message) {
            return self.note_vote(vote);
        }
        match message {
            Message::ViewChange(message) => self.note_view_change(message),
            Message::NewView(message) if message.leader == self.author(message) => {
                let known = self.new_views.entry((message.epoch, message.view)).or_insert(message.clone());
                if known == message { Ok(()) } else { Err(format!("two new views {:?}", message.view)) }
            }
            Message::NewView(_)
            | Message::PrePrepare(_)
            | Message::Vote(_)
            | Message::Status(_)
            | Message::Testimony(_) => Ok(()),
        }
    }

    /// New views of others are passed on; only its own bind the sender. Leaders differ, so the first one seen tells.
    fn author(&self, message: &NewView) -> aegis_types::ValidatorId {
        self.new_views.get(&(message.epoch, message.view)).map_or(message.leader, |known| known.leader)
    }

    fn note_vote(&mut self, vote: &Vote) -> Result<(), String> {
        let VoteContent { kind, epoch, view, height, digest } = vote.content;
        match self.votes.insert((epoch, view, height, kind), digest) {
            Some(known) if known != digest => Err(format!("two votes: {known:?} and {:?}", vote.content)),
            Some(_) => Ok(()),
            None => {
                let left = self.view_changes.range((epoch, view.next())..=(epoch, View(u64::MAX))).next();
                match left {
                    Some(((_, left), _)) => {
                        Err(format!("a new vote {:?} after asking for {left}", vote.content))
                    }
                    None => Ok(()),
                }
            }
        }
    }

    fn note_view_change(&mut self, message: &ViewChange) -> Result<(), String> {
        if let Some(known) = self.view_changes.get(&(message.epoch, message.view)) {
            return if known == message {
                Ok(())
            } else {
                Err(format!("two view changes for view {}", message.view))
            };
        }
        let commits = self.votes.iter().filter(|((epoch, view, _, kind), _)| {
            *epoch == message.epoch && *view < message.view && *kind == VoteKind::Commit
        });
        for ((_, view, height, _), digest) in commits {
            let is_listed = message.prepared.iter().any(|block| {
                let listed = &block.certificate.content;
                listed.height == *height
                    && (listed.view > *view || (listed.view == *view && listed.digest == *digest))
            });
            if *height > message.tip_height && !is_listed {
                return Err(format!(
                    "the view change for {} hides the Commit of view {view} at {height}",
                    message.view
                ));
            }
        }
        self.view_changes.insert((message.epoch, message.view), message.clone());
        Ok(())
    }
}

fn messages(outputs: &[Output]) -> impl Iterator<Item = &Message> {
    outputs.iter().filter_map(|output| match output {
        Output::Broadcast(message) | Output::Send { message, .. } => Some(message),
        _ => None,
    })
}

/// A recovered engine among liars, watched.
struct Trial<'a> {
    cluster: &'a Cluster,
    index: usize,
    engine: Engine,
    promises: Promises,
    at_ms: u64,
    /// Blocks decided in the run, for sync.
    chain: &'a [Block],
    inputs: usize,
}

impl Trial<'_> {
    fn net(&self) -> &Net {
        &self.cluster.net
    }

    fn input(&mut self, input: Input) {
        self.inputs += 1;
        let outputs = self.engine.handle(now(self.at_ms), input);
        for message in messages(&outputs) {
            if let Err(broken) = self.promises.note(message) {
                panic!("validator {} after a restart: {broken}", self.index);
            }
        }
        for output in &outputs {
            if let Output::Persist(Record::Committing { header, vote, .. }) = output {
                let below = header.height.previous();
                let round = (header.epoch, vote.content.view, below, VoteKind::Commit);
                let is_sent = self.promises.votes.contains_key(&round);
                assert!(
                    is_sent || below <= self.engine.height(),
                    "a Commit at {} without the one below",
                    header.height
                );
            }
        }
    }

    fn receive(&mut self, from: usize, message: Message) {
        let from = self.net().id(from);
        self.input(Input::Message { from, message: Box::new(message) });
    }

    /// Another block than the one voted for, with everybody's votes.
    fn tempt(&mut self, original: &Header, view: View) {
        let mut header = original.clone();
        header.timestamp_ms += 1;
        let voters = self.net().others(&[self.index]);
        let vote = |index: usize, kind| {
            let content = VoteContent {
                kind,
                epoch: header.epoch,
                view,
                height: header.height,
                digest: header.digest(),
            };
            Vote::sign(content, &self.cluster.net.keys[index], &self.cluster.net.domain)
        };
        let mut messages = Vec::new();
        for index in &voters {
            let prepare = vote(*index, VoteKind::Prepare);
            messages.push((
                *index,
                Message::PrePrepare(PrePrepare { header: header.clone(), vote: prepare.clone() }),
            ));
            messages.push((*index, Message::Vote(prepare)));
        }
        for (from, message) in messages {
            self.receive(from, message);
        }
    }

    fn sync_all(&mut self) {
        for (header, certificate) in self.chain {
            if header.height == self.engine.height().next() {
                let input = Input::Synced {
                    header: Box::new(header.clone()),
                    certificate: Box::new(certificate.clone()),
                };
                self.input(input);
            }
            if header.height == self.engine.height() {
                let next_epoch = next_epoch(self.net(), header).map(Box::new);
                let (height, state_root) = (header.height, root(header.height));
                self.input(Input::Executed { height, state_root, next_epoch });
            }
        }
    }

    fn time_out(&mut self) {
        self.at_ms += 70_000;
        self.input(Input::Tick);
        let (epoch, target) = (self.engine.validators().epoch(), self.engine.status().target);
        let Some(view) = target else { return };
        for index in self.net().others(&[self.index]) {
            let mut message = self.cluster.net.plain_view_change(index, view.0);
            message.epoch = epoch;
            let message = message.signed(&self.cluster.net.keys[index], &self.cluster.net.domain);
            self.receive(index, Message::ViewChange(message));
        }
    }
}

/// Recovers an engine and lets everyone lie to it. `past` is what had left the engine by the time of the last durable
/// record, `log` and `records` what was durable.
fn try_restart(
    cluster: &Cluster,
    index: usize,
    past: &[Output],
    log: &[Block],
    records: Vec<Record>,
    rng: &mut Rng,
) -> usize {
    let mut promises = Promises::default();
    for output in past {
        promises.note_output(output).unwrap();
    }
    let mut tempting: Vec<(Header, View)> = Vec::new();
    for record in &records {
        if let Record::Prepared { header, vote } | Record::Committing { header, vote, .. } = record {
            tempting.push((header.clone(), vote.content.view));
        }
    }
    let tempting = tempting.split_off(tempting.len().saturating_sub(4));
    let chain = cluster.members.iter().map(|member| &member.log).max_by_key(|log| log.len()).unwrap();
    let at_ms = cluster.at_ms();
    let engine = Engine::recover(start_from(&cluster.net, index, log, records, at_ms));
    let sent = past.iter().flat_map(|output| voted(std::slice::from_ref(output), VoteKind::Commit)).max();
    assert!(
        engine.committing() >= sent.or(Some(Height::ZERO)),
        "a Commit for {sent:?} was sent and is forgotten"
    );
    let mut trial = Trial { cluster, index, engine, promises, at_ms, chain, inputs: 0 };
    for (header, view) in &tempting {
        for batch in &header.batches {
            trial.input(Input::BatchAvailable(*batch));
        }
        trial.tempt(header, *view);
    }
    let recent: Vec<(usize, Message)> = {
        let mut chosen = Vec::new();
        for _ in 0..12 {
            let (from, message) = &cluster.sent[rng.below(cluster.sent.len())];
            chosen.push((*from, message.clone()));
        }
        chosen
    };
    for (from, message) in recent.into_iter().filter(|(from, _)| *from != index) {
        trial.receive(from, message);
    }
    if rng.below(2) == 0 {
        trial.time_out();
        trial.sync_all();
    } else {
        trial.sync_all();
        for (header, view) in &tempting {
            trial.tempt(header, *view);
        }
        trial.time_out();
    }
    for (header, view) in &tempting {
        trial.tempt(header, *view);
    }
    trial.time_out();
    trial.inputs
}

fn records_of(history: &[Output]) -> Vec<Record> {
    history
        .iter()
        .filter_map(|output| match output {
            Output::Persist(record) => Some(record.clone()),
            _ => None,
        })
        .collect()
}

fn decided_in(history: &[Output]) -> usize {
    history.iter().filter(|output| matches!(output, Output::Committed { .. })).count()
}

fn cluster(weights: &[u64], seed: u64, steps: usize) -> Cluster {
    let mut cluster = Cluster::new(weights, seed);
    cluster.run(steps);
    assert!(cluster.decided().len() > 10, "seed {seed} decides {}", cluster.decided().len());
    cluster
}

#[test]
fn a_validator_keeps_its_promises_over_a_restart_at_every_point() {
    let mut rng = Rng(1);
    let mut prefixes = 0;
    let mut view_changes = 0;
    let mut epochs = 0;
    for (seed, weights) in [(1, &[1, 1, 1, 1][..]), (2, &[1, 1, 1, 1]), (3, &[3, 3, 2, 1, 1])] {
        let cluster = cluster(weights, seed, 600 * weights.len() * weights.len() / 4);
        epochs = epochs.max(cluster.epoch().0);
        let index = rng.below(cluster.members.len());
        let member = &cluster.members[index];
        view_changes += member
            .history
            .iter()
            .filter(|output| matches!(output, Output::Persist(Record::ViewChange(_))))
            .count();
        for end in 0..=member.history.len() {
            let public = &member.history[..end];
            // The committed log is written after execution's turn: it may end anywhere from the executed block on.
            let executed = end.checked_sub(1).map_or(0, |last| member.executed_at[last].0 as usize);
            let decided = decided_in(public);
            let length = executed + rng.below(decided - executed + 1);
            try_restart(&cluster, index, public, &member.log[..length], records_of(public), &mut rng);
            prefixes += 1;
        }
    }
    println!("{prefixes} prefixes, {view_changes} own view changes, {epochs} epochs");
    assert!(prefixes > 500 && view_changes > 0 && epochs > 0, "{prefixes} {view_changes} {epochs}");
}

#[test]
fn a_journal_that_outlived_a_crash_in_the_middle_of_a_flush_binds_too() {
    let mut rng = Rng(2);
    let cluster = cluster(&[1, 1, 1, 1], 4, 2_500);
    let member = &cluster.members[0];
    for end in (0..=member.history.len()).step_by(3) {
        // Votes that are durable but were never sent may be sent after the restart, so they count as made.
        let journal = &member.history[..(end + 1 + rng.below(6)).min(member.history.len())];
        let executed = end.checked_sub(1).map_or(0, |last| member.executed_at[last].0 as usize);
        try_restart(&cluster, 0, journal, &member.log[..executed], records_of(journal), &mut rng);
    }
}

#[test]
fn the_live_records_of_a_checkpoint_bind_as_the_whole_journal_does() {
    let mut rng = Rng(3);
    let mut checkpoints = 0;
    for seed in [5, 6] {
        let cluster = cluster(&[1, 1, 1, 1], seed, 2_500);
        let index = rng.below(4);
        let member = &cluster.members[index];
        for checkpoint in member.checkpoints.iter().step_by(3) {
            let public = &member.history[..checkpoint.position];
            let log = &member.log[..checkpoint.executed.0 as usize];
            try_restart(&cluster, index, public, log, checkpoint.records.clone(), &mut rng);
            // And with what was written after the checkpoint.
            let end = (checkpoint.position + rng.below(20)).min(member.history.len());
            let mut records = checkpoint.records.clone();
            records.extend(records_of(&member.history[checkpoint.position..end]));
            try_restart(&cluster, index, &member.history[..end], log, records, &mut rng);
            checkpoints += 1;
        }
    }
    println!("{checkpoints} checkpoints");
    assert!(checkpoints > 100);
}

#[test]
fn a_recovered_engine_says_nothing_before_its_first_input_and_stands_where_it_stood() {
    let cluster = cluster(&[1, 1, 1, 1], 7, 2_000);
    for (index, member) in cluster.members.iter().enumerate() {
        let start =
            start_from(&cluster.net, index, &member.log, records_of(&member.history), cluster.at_ms());
        let recovered = Engine::recover(start).status();
        let lived = member.engine.status();
        assert_eq!((recovered.view, recovered.target), (lived.view, lived.target));
        assert_eq!((recovered.tip, recovered.validators), (lived.tip, lived.validators));
    }
}

#[test]
fn records_survive_their_encoding() {
    let cluster = cluster(&[3, 3, 2, 1, 1], 8, 4_000);
    for member in &cluster.members {
        for record in records_of(&member.history) {
            assert_eq!(Record::decode(&record.encode()), Ok(record));
        }
    }
    for (_, message) in &cluster.sent {
        assert_eq!(Message::decode(&message.encode()).as_ref(), Ok(message));
    }
}
