//! A state of the model: the correct engines, and everything that they ever said.
//!
//! The network keeps every message for ever and delivers it whenever the search wants to, so what was said is a set.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use aegis_consensus::{
    Engine, Input, Message, NewView, Now, Output, PrePrepare, PreparedBlock, Record, ViewChange,
};
use aegis_types::{Certificate, Epoch, Hash, Header, Height, Signature, View, Vote, VoteContent, VoteKind};

use super::instance::{Instance, now, root};
use super::judge::Judge;

/// A vote's round and digest: what votes are counted by.
pub type Ballot = (VoteKind, View, Height, Hash);

/// Everything that correct members said.
#[derive(Debug, Clone, Default)]
pub struct Said {
    /// Votes by what they are for, and by voter.
    pub votes: BTreeMap<Ballot, BTreeMap<usize, Signature>>,
    /// Proposals of correct leaders.
    pub proposals: Vec<PrePrepare>,
    /// View changes by sender; each asks for one view only in this model.
    pub view_changes: BTreeMap<usize, ViewChange>,
    /// New views of correct leaders.
    pub new_views: Vec<NewView>,
}

/// A correct engine and what its driver keeps.
#[derive(Debug, Clone)]
pub struct Correct {
    /// The engine.
    pub engine: Engine,
    /// Its clock.
    pub now: Now,
    /// Its vote journal.
    pub journal: Vec<Record>,
    /// Its committed log.
    pub log: Vec<(Header, Certificate)>,
    /// Own votes, by round: the digest.
    pub voted: BTreeMap<(VoteKind, View, Height), Hash>,
    /// A hash of all of the above that decides what it does next.
    pub fingerprint: u128,
}

/// A state.
#[derive(Debug, Clone)]
pub struct State {
    /// The correct members, by position in the set.
    pub correct: BTreeMap<usize, Rc<Correct>>,
    /// What they said.
    pub said: Rc<Said>,
    /// Every header that anyone proposed.
    pub headers: Rc<BTreeMap<Hash, Header>>,
    /// Crashes that are still allowed.
    pub crashes_left: u32,
    judge: Rc<Judge>,
}

/// The instance, and who lies in it.
#[derive(Debug)]
pub struct Cast {
    /// Keys and set.
    pub instance: Instance,
    /// The Byzantine member.
    pub byzantine: usize,
    /// The last height that anyone goes to; there is one batch for each.
    pub heights: u64,
}

impl Cast {
    /// Signs a vote as the Byzantine member.
    pub fn byzantine_vote(&self, (kind, view, height, digest): Ballot) -> Vote {
        let content = VoteContent { kind, epoch: Epoch::ZERO, view, height, digest };
        Vote::sign(content, &self.instance.keys[self.byzantine], &self.instance.domain)
    }

    /// Weight that decides; every member weighs 1.
    pub fn quorum(&self) -> usize {
        self.instance.keys.len() - (self.instance.keys.len() - 1) / 3
    }
}

fn hash128(label: &'static str, text: &str) -> u128 {
    let hash = Hash::of(label, text.as_bytes());
    hash.0[..16].iter().fold(0, |sum, byte| (sum << 8) | u128::from(*byte))
}

impl State {
    /// Fresh engines that hold the same batches.
    ///
    /// # Errors
    /// When something is broken already.
    pub fn initial(cast: &Cast, crashes: u32) -> Result<Self, String> {
        let members = 0..cast.instance.keys.len();
        let correct = members.filter(|member| *member != cast.byzantine).map(|member| {
            let fresh = Correct {
                engine: cast.instance.engine(member),
                now: now(0),
                journal: Vec::new(),
                log: Vec::new(),
                voted: BTreeMap::new(),
                fingerprint: 0,
            };
            (member, Rc::new(fresh))
        });
        let mut state = Self {
            correct: correct.collect(),
            said: Rc::default(),
            headers: Rc::default(),
            crashes_left: crashes,
            judge: Rc::default(),
        };
        let members: Vec<usize> = state.correct.keys().copied().collect();
        for number in 0..cast.heights {
            for member in &members {
                state.input(cast, *member, Input::BatchAvailable(cast.instance.batch(number)))?;
            }
        }
        Ok(state)
    }

    /// What the state is: equal fingerprints, equal futures.
    pub fn fingerprint(&self) -> u128 {
        let mut text = format!("{} ", self.crashes_left);
        for correct in self.correct.values() {
            text.push_str(&format!("{:x} ", correct.fingerprint));
        }
        let said = self.said.votes.iter().map(|(ballot, voters)| (ballot, voters.keys().collect::<Vec<_>>()));
        text.push_str(&format!("{:?}", said.collect::<Vec<_>>()));
        text.push_str(&format!("{:?} {:?}", self.said.view_changes, self.said.new_views));
        hash128("aegis model state", &text)
    }

    /// Gives a correct engine an input, and carries out what it wants.
    ///
    /// # Errors
    /// What is broken, in words.
    pub fn input(&mut self, cast: &Cast, member: usize, input: Input) -> Result<(), String> {
        let Some(shared) = self.correct.get(&member) else { return Ok(()) };
        let mut correct = Correct::clone(shared);
        let mut inputs = vec![input];
        while let Some(input) = inputs.pop() {
            for output in correct.engine.handle(correct.now, input) {
                inputs.extend(self.carry_out(cast, member, &mut correct, output)?);
            }
        }
        correct.fingerprint = correct.describe();
        self.correct.insert(member, Rc::new(correct));
        Ok(())
    }

    /// Restarts a correct engine from its journal and the first `blocks` blocks of its log.
    ///
    /// # Errors
    /// What is broken, in words.
    pub fn restart(&mut self, cast: &Cast, member: usize, blocks: usize) -> Result<(), String> {
        let Some(shared) = self.correct.get(&member) else { return Ok(()) };
        let mut correct = Correct::clone(shared);
        correct.log.truncate(blocks);
        let start = cast.instance.start(member, &correct.log, correct.journal.clone(), correct.now);
        correct.engine = Engine::recover(start);
        let ordered: BTreeSet<Hash> =
            correct.log.iter().flat_map(|(header, _)| &header.batches).map(|batch| batch.digest).collect();
        self.correct.insert(member, Rc::new(correct));
        self.crashes_left = self.crashes_left.saturating_sub(1);
        for batch in (0..cast.heights).map(|number| cast.instance.batch(number)) {
            if !ordered.contains(&batch.digest) {
                self.input(cast, member, Input::BatchAvailable(batch))?;
            }
        }
        Ok(())
    }

    /// Makes a header of the Byzantine member known.
    pub fn learn(&mut self, header: &Header) {
        let digest = header.digest();
        if !self.headers.contains_key(&digest) {
            Rc::make_mut(&mut self.headers).insert(digest, header.clone());
        }
    }

    /// The votes for a ballot: those said, and the Byzantine member's.
    pub fn certificate(&self, cast: &Cast, ballot: Ballot) -> Option<Certificate> {
        let said = self.said.votes.get(&ballot)?;
        if said.len() + 1 < cast.quorum() {
            return None;
        }
        let mut signatures: BTreeMap<usize, Signature> = said.clone();
        if said.len() < cast.quorum() {
            signatures.insert(cast.byzantine, cast.byzantine_vote(ballot).signature);
        }
        let (kind, view, height, digest) = ballot;
        Some(Certificate {
            content: VoteContent { kind, epoch: Epoch::ZERO, view, height, digest },
            signatures: signatures
                .into_iter()
                .map(|(member, signature)| (member as u32, signature))
                .collect(),
        })
    }

    /// Every block of a height for which a certificate of a kind can be put together.
    pub fn certified(&self, cast: &Cast, kind: VoteKind, height: Height) -> Vec<PreparedBlock> {
        let ballots = self.said.votes.keys().filter(|ballot| ballot.0 == kind && ballot.2 == height);
        let block = |ballot: &Ballot| {
            let header = self.headers.get(&ballot.3)?.clone();
            Some(PreparedBlock { header, certificate: self.certificate(cast, *ballot)? })
        };
        ballots.filter_map(block).collect()
    }

    fn carry_out(
        &mut self,
        cast: &Cast,
        member: usize,
        correct: &mut Correct,
        output: Output,
    ) -> Result<Vec<Input>, String> {
        let byzantine = cast.instance.id(cast.byzantine);
        Rc::make_mut(&mut self.judge).observe(member, &output, |validator| *validator != byzantine)?;
        match output {
            Output::Persist(record) => correct.journal.push(record),
            Output::Broadcast(message) | Output::Send { message, .. } => {
                self.say(cast, member, correct, message)?;
            }
            Output::Committed { header, certificate } => {
                let height = header.height;
                correct.log.push((header, certificate));
                return Ok(vec![Input::Executed { height, state_root: root(height), next_epoch: None }]);
            }
            Output::FetchBatches { .. }
            | Output::FetchBlocks { .. }
            | Output::Evidence { .. }
            | Output::Misbehaviour { .. }
            | Output::Event(_)
            | Output::Diverged { .. } => {}
        }
        Ok(Vec::new())
    }

    fn say(
        &mut self,
        cast: &Cast,
        member: usize,
        correct: &mut Correct,
        message: Message,
    ) -> Result<(), String> {
        let said = Rc::make_mut(&mut self.said);
        let vote = match message {
            Message::PrePrepare(message) => {
                let vote = message.vote.clone();
                if !said.proposals.contains(&message) {
                    said.proposals.push(message.clone());
                }
                self.learn(&message.header);
                vote
            }
            Message::Vote(vote) => vote,
            Message::ViewChange(message) => {
                said.view_changes.insert(member, message);
                return Ok(());
            }
            Message::NewView(message) => {
                if !said.new_views.contains(&message) {
                    said.new_views.push(message);
                }
                return Ok(());
            }
            // They change nothing about what is voted and decided.
            Message::Status(_) | Message::Testimony(_) => return Ok(()),
        };
        let VoteContent { kind, view, height, digest, .. } = vote.content;
        let ballot = (kind, view, height, digest);
        correct.voted.insert((kind, view, height), digest);
        Rc::make_mut(&mut self.said).votes.entry(ballot).or_default().insert(member, vote.signature);
        if kind == VoteKind::Commit && self.certificate(cast, ballot).is_some() {
            Rc::make_mut(&mut self.judge).note_decidable(height, digest)?;
        }
        Ok(())
    }
}

impl Correct {
    fn describe(&self) -> u128 {
        hash128(
            "aegis model engine",
            &format!("{:?} {:?} {:?} {}", self.engine, self.now, self.voted, self.journal.len()),
        )
    }
}
