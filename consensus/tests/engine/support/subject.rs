//! The engine under test, with short ways to feed it.

use aegis_consensus::{Engine, Input, Message, NextEpoch, Output};
use aegis_types::{BatchRef, Certificate, Header, Height, VoteKind};

use super::{Net, now, root};

/// An engine and the network around it, which the test plays.
pub struct Subject<'a> {
    pub net: &'a Net,
    pub me: usize,
    pub engine: Engine,
    /// Monotonic time.
    pub at_ms: u64,
}

impl<'a> Subject<'a> {
    /// A fresh validator.
    pub fn new(net: &'a Net, me: usize) -> Self {
        Self { net, me, engine: net.engine(me), at_ms: 10 }
    }

    /// A fresh validator that does not lead view 0.
    pub fn follower(net: &'a Net) -> Self {
        let leader = net.leader(0);
        Self::new(net, net.others(&[leader])[0])
    }

    /// The leader of view 0.
    pub fn leader(net: &'a Net) -> Self {
        Self::new(net, net.leader(0))
    }

    pub fn input(&mut self, input: Input) -> Vec<Output> {
        self.engine.handle(now(self.at_ms), input)
    }

    pub fn receive(&mut self, from: usize, message: Message) -> Vec<Output> {
        let from = self.net.id(from);
        self.input(Input::Message { from, message: Box::new(message) })
    }

    pub fn hold(&mut self, batch: BatchRef) -> Vec<Output> {
        self.input(Input::BatchAvailable(batch))
    }

    pub fn hold_all(&mut self, headers: &[Header]) {
        for batch in headers.iter().flat_map(|header| &header.batches) {
            self.hold(*batch);
        }
    }

    pub fn tick(&mut self, at_ms: u64) -> Vec<Output> {
        self.at_ms = at_ms;
        self.input(Input::Tick)
    }

    /// Ticks at each deadline until the time is reached.
    pub fn run_until(&mut self, at_ms: u64) -> Vec<Output> {
        let mut outputs = Vec::new();
        while let Some(deadline) = self.engine.deadline().filter(|deadline| *deadline <= at_ms) {
            let deadline = deadline.max(self.at_ms);
            outputs.extend(self.tick(deadline));
        }
        self.at_ms = at_ms;
        outputs
    }

    pub fn executed(&mut self, height: Height, next_epoch: Option<NextEpoch>) -> Vec<Output> {
        self.input(Input::Executed { height, state_root: root(height), next_epoch: next_epoch.map(Box::new) })
    }

    pub fn synced(&mut self, header: &Header, certificate: Certificate) -> Vec<Output> {
        self.input(Input::Synced { header: Box::new(header.clone()), certificate: Box::new(certificate) })
    }

    /// Gives it a committed block by sync.
    pub fn sync(&mut self, header: &Header) -> Vec<Output> {
        let certificate = self.net.certified(VoteKind::Commit, 0, header).certificate;
        self.synced(header, certificate)
    }

    /// The leader's proposal of a header in a view.
    pub fn propose(&mut self, view: u64, header: &Header) -> Vec<Output> {
        self.receive(self.net.leader(view), self.net.pre_prepare(view, header))
    }

    /// Votes of several validators.
    pub fn votes(&mut self, voters: &[usize], kind: VoteKind, view: u64, header: &Header) -> Vec<Output> {
        let mut outputs = Vec::new();
        for voter in voters {
            outputs.extend(self.receive(*voter, self.net.vote_message(*voter, kind, view, header)));
        }
        outputs
    }

    /// Proposal and everyone's Prepares: afterwards the subject has sent its Commit.
    pub fn bring_to_commit(&mut self, view: u64, header: &Header) -> Vec<Output> {
        let mut outputs = self.propose(view, header);
        let others = self.net.others(&[self.me, self.net.leader(view)]);
        outputs.extend(self.votes(&others, VoteKind::Prepare, view, header));
        outputs
    }

    pub fn others(&self) -> Vec<usize> {
        self.net.others(&[self.me])
    }
}
