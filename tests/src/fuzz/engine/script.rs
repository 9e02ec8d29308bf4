//! From bytes to what happens to an engine.

use aegis_consensus::{Input, Message, PrePrepare, PreparedBlock, Status};
use aegis_types::{BlockKind, Epoch, Executed, Hash, Header, Height, Signature, View, Vote, VoteKind};

use super::super::bytes_source::Choices;
use super::network::{EPOCH_MS, GENESIS_MS, Network, batch, content, root};
use super::subject::{BATCHES, Subject};

/// Steps of one script: long enough for several blocks, view changes and an epoch.
const STEPS_MAX: usize = 150;

/// Lengths of time to let pass, in milliseconds.
const STEPS_MS: [u64; 8] = [0, 1, 20, 100, 300, 1_000, 5_000, EPOCH_MS];

/// What may happen next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// A batch is available.
    Batch,
    /// A PrePrepare comes.
    Propose,
    /// All others vote Prepare for a header.
    Prepares,
    /// All others vote Commit for a header.
    Commits,
    /// One member votes, rightly or not.
    Vote,
    /// Time passes.
    Tick,
    /// The next decided block is executed.
    Execute,
    /// Some members wish for a view.
    ViewChanges,
    /// A leader starts a view.
    NewView,
    /// A member says where it stands.
    Status,
    /// A decided block comes from sync.
    Sync,
    /// The process stops and starts.
    Crash,
    /// Raw bytes come as a message.
    Raw,
    /// A message of the engine's own comes back, damaged or not.
    Echo,
}

impl Action {
    const ALL: [Self; 14] = [
        Self::Batch,
        Self::Propose,
        Self::Prepares,
        Self::Commits,
        Self::Vote,
        Self::Tick,
        Self::Execute,
        Self::ViewChanges,
        Self::NewView,
        Self::Status,
        Self::Sync,
        Self::Crash,
        Self::Raw,
        Self::Echo,
    ];

    /// The byte that chooses it.
    pub fn byte(self) -> u8 {
        let position = Self::ALL.into_iter().position(|action| action == self);
        position.and_then(|position| u8::try_from(position).ok()).unwrap_or_default()
    }
}

/// Plays the script that the choices make, and returns the engine as it is then.
///
/// # Panics
/// When the engine breaks a rule.
pub fn play(mut choices: Choices<'_>) -> Subject {
    let network = Network::new(choices.below(4));
    let me = choices.below(network.keys.len());
    let subject = Subject::new(network, me);
    let mut script = Script { subject, choices: Choices::new(&[]) };
    for _ in 0..STEPS_MAX {
        if choices.is_over() {
            break;
        }
        let action = choices.of(&Action::ALL);
        script.choices = choices.step();
        script.act(action);
    }
    script.subject
}

struct Script<'a> {
    subject: Subject,
    /// Those of the present step.
    choices: Choices<'a>,
}

impl Script<'_> {
    fn act(&mut self, action: Action) {
        match action {
            Action::Batch => {
                let number = self.choices.number() % BATCHES;
                let author = self.subject.network.id(0);
                self.subject.input(Input::BatchAvailable(batch(author, number)));
            }
            Action::Propose => self.propose(),
            Action::Prepares => self.all_vote(VoteKind::Prepare),
            Action::Commits => self.all_vote(VoteKind::Commit),
            Action::Vote => self.vote(),
            Action::Tick => self.let_time_pass(),
            Action::Execute => self.subject.execute(),
            Action::ViewChanges => self.view_changes(),
            Action::NewView => self.new_view(),
            Action::Status => self.status(),
            Action::Sync => self.sync(),
            Action::Crash => {
                if self.choices.once_in(3) {
                    self.subject.shorten_journal();
                }
                self.subject.crash();
            }
            Action::Raw => {
                let from = self.other();
                let bytes = self.choices.bytes(256);
                self.receive_bytes(from, bytes);
            }
            Action::Echo => self.echo(),
        }
    }

    /// A member that is not the engine.
    fn other(&mut self) -> usize {
        let members = self.subject.network.keys.len();
        (self.subject.me + 1 + self.choices.below(members - 1)) % members
    }

    fn others(&self) -> Vec<usize> {
        (0..self.subject.network.keys.len()).filter(|member| *member != self.subject.me).collect()
    }

    /// The engine's view, or one near it, or any.
    fn view(&mut self) -> View {
        let current = self.subject.view();
        match self.choices.byte() {
            0..=159 => current,
            160..=223 => current.next(),
            224..=239 => current.plus(2),
            240..=255 => View(self.choices.number()),
        }
    }

    /// The header proposed last, an earlier one, or a new one.
    fn header(&mut self, view: View) -> Header {
        let known = self.subject.headers.len();
        match self.choices.byte() {
            0..=127 if known > 0 => self.subject.headers[known - 1].clone(),
            128..=223 if known > 0 => {
                let at = self.choices.below(known);
                self.subject.headers[at].clone()
            }
            _ => self.new_header(view),
        }
    }

    fn new_header(&mut self, view: View) -> Header {
        let parent = match self.choices.byte() {
            0..=127 => self.subject.tip().cloned(),
            128..=223 => self.subject.headers.last().cloned(),
            224..=255 => {
                let known = self.subject.headers.len().max(1);
                let at = self.choices.below(known);
                self.subject.headers.get(at).cloned()
            }
        };
        let mut header = self.right_header(view, parent.as_ref());
        if self.choices.once_in(6) {
            self.spoil(&mut header);
        }
        self.subject.know(header.clone());
        header
    }

    /// A header that a correct leader could propose on this parent.
    fn right_header(&mut self, view: View, parent: Option<&Header>) -> Header {
        let (network, epoch) = (&self.subject.network, self.subject.epoch());
        let genesis = &network.genesis;
        let height = parent.map_or(Height(1), |parent| parent.height.next());
        let parent_ms = parent.map_or(genesis.timestamp_ms, |parent| parent.timestamp_ms);
        let timestamp_ms =
            self.subject.now.unix_ms.min(GENESIS_MS + (1 << 32)).max(parent_ms.saturating_add(1));
        let follows_closing =
            parent.filter(|parent| parent.kind == BlockKind::Closing && parent.epoch == epoch);
        let kind = if follows_closing.is_some() {
            BlockKind::Handover { next_validators_hash: network.set(epoch.next()).hash() }
        } else if timestamp_ms >= self.subject.engine.status().epoch_end_ms {
            BlockKind::Closing
        } else {
            BlockKind::Normal
        };
        let certified = parent.map_or(Height::ZERO, |parent| parent.executed.height);
        let executed = self.subject.executed.min(height.previous()).max(certified);
        let batches = if follows_closing.is_some() { 0 } else { self.choices.below(3) };
        let author = network.id(0);
        let first = self.choices.number() % BATCHES;
        let network = &self.subject.network;
        Header {
            epoch,
            height,
            timestamp_ms,
            parent: parent.map_or(genesis.hash(), Header::digest),
            proposer: network.id(network.leader(epoch, view)),
            batches: (first..).take(batches).map(|number| batch(author, number % BATCHES)).collect(),
            executed: Executed { height: executed, state_root: root(executed) },
            validators_hash: network.set(epoch).hash(),
            kind,
        }
    }

    fn spoil(&mut self, header: &mut Header) {
        let number = self.choices.number();
        match self.choices.below(10) {
            0 => header.height = Height(number),
            1 => header.timestamp_ms = GENESIS_MS.saturating_add(number),
            2 => header.parent = Hash([1; 32]),
            3 => header.executed = Executed { height: Height(number), state_root: root(Height(number)) },
            4 => header.executed.state_root = Hash([2; 32]),
            5 => header.kind = BlockKind::Closing,
            6 => header.kind = BlockKind::Handover { next_validators_hash: Hash([3; 32]) },
            7 => header.epoch = Epoch(number),
            8 => header.batches.extend_from_within(..),
            _ => header.proposer = self.subject.network.id(self.choices.below(8)),
        }
    }

    fn propose(&mut self) {
        let view = self.view();
        let header = self.new_header(view);
        let network = &self.subject.network;
        let leader = network.leader(self.subject.epoch(), view);
        if leader == self.subject.me {
            return;
        }
        let vote = network.vote(leader, VoteKind::Prepare, view, &header);
        let message = Message::PrePrepare(PrePrepare { header, vote });
        self.subject.receive(self.subject.network.id(leader), message);
    }

    fn all_vote(&mut self, kind: VoteKind) {
        let view = self.view();
        let header = self.header(view);
        for member in self.others() {
            let vote = self.subject.network.vote(member, kind, view, &header);
            self.subject.receive(vote.validator, Message::Vote(vote));
        }
    }

    fn vote(&mut self) {
        let (from, view) = (self.other(), self.view());
        let kind = self.choices.of(&[VoteKind::Prepare, VoteKind::Commit]);
        let header = self.header(view);
        let mut vote: Vote = self.subject.network.vote(from, kind, view, &header);
        match self.choices.byte() {
            0..=199 => {}
            200..=219 => vote.signature = Signature([1; 64]),
            220..=229 => vote.validator = self.subject.network.id(self.subject.me),
            230..=255 => {
                let wrong = content(kind, View(self.choices.number()), &header);
                vote.content = wrong;
            }
        }
        self.subject.receive(self.subject.network.id(from), Message::Vote(vote));
    }

    fn let_time_pass(&mut self) {
        let step = self.choices.of(&STEPS_MS);
        let now = &mut self.subject.now;
        now.monotonic_ms += step;
        now.unix_ms = match self.choices.byte() {
            0..=229 => GENESIS_MS + now.monotonic_ms,
            230..=239 => 0,
            240..=247 => u64::MAX,
            248..=255 => GENESIS_MS.saturating_add(self.choices.number()),
        };
        self.subject.tick();
    }

    /// A block of the log, or one with a certificate that the others could make.
    fn certified(&mut self, kind: VoteKind, view: View) -> PreparedBlock {
        let log = self.subject.log.len();
        if kind == VoteKind::Commit && log > 0 && !self.choices.once_in(4) {
            let at = log - 1 - self.choices.below(log.min(4));
            let (header, certificate) = self.subject.log[at].clone();
            return PreparedBlock { header, certificate };
        }
        let header = self.header(view);
        self.subject.network.certified(self.subject.me, kind, view, &header)
    }

    fn view_change(&mut self, member: usize, view: View) -> aegis_consensus::ViewChange {
        let epoch = self.subject.epoch();
        let has_log = self.subject.tip().is_some_and(|tip| tip.epoch == epoch);
        let tip = (has_log || self.choices.once_in(5))
            .then(|| self.certified(VoteKind::Commit, View(view.0.saturating_sub(1))));
        let count = self.choices.below(3);
        let prepared: Vec<PreparedBlock> =
            (0..count).map(|_| self.certified(VoteKind::Prepare, View(view.0.saturating_sub(1)))).collect();
        let mut height = tip.as_ref().map_or(Height::ZERO, |tip| tip.header.height);
        if self.choices.once_in(8) {
            height = Height(self.choices.number());
        }
        self.subject.network.view_change(member, (epoch, view), height, tip, prepared)
    }

    fn view_changes(&mut self) {
        let view = self.view().next();
        let count = self.choices.below(self.subject.network.keys.len()) + 1;
        for member in self.others().into_iter().take(count) {
            let mut message = self.view_change(member, view);
            if self.choices.once_in(10) {
                message.signature = Signature([4; 64]);
            }
            self.subject.receive(self.subject.network.id(member), Message::ViewChange(message));
        }
    }

    fn new_view(&mut self) {
        let view = self.view().next();
        let epoch = self.subject.epoch();
        let leader = self.subject.network.leader(epoch, view);
        if leader == self.subject.me {
            return;
        }
        let mut messages = Vec::new();
        for member in self.others() {
            messages.push(self.view_change(member, view));
        }
        if self.choices.once_in(8) {
            messages.pop();
        }
        let message = Message::NewView(self.subject.network.new_view(epoch, view, messages));
        self.subject.receive(self.subject.network.id(leader), message);
    }

    fn status(&mut self) {
        let from = self.other();
        let epoch = Epoch(self.choices.number());
        let (view, height) = (View(self.choices.number()), Height(self.choices.number()));
        let message = Message::Status(Status { epoch, view, height });
        self.subject.receive(self.subject.network.id(from), message);
    }

    fn sync(&mut self) {
        let view = self.view();
        let kind = if self.choices.once_in(12) { VoteKind::Prepare } else { VoteKind::Commit };
        let header = self.new_header(view);
        let mut block = self.subject.network.certified(self.subject.me, kind, view, &header);
        if self.choices.once_in(12) {
            block.certificate.signatures.pop();
        }
        let PreparedBlock { header, certificate } = block;
        self.subject.input(Input::Synced { header: Box::new(header), certificate: Box::new(certificate) });
    }

    fn echo(&mut self) {
        let from = self.other();
        let sent = self.subject.sent.len();
        if sent == 0 {
            return;
        }
        let at = self.choices.below(sent);
        let mut bytes = self.subject.sent[at].encode();
        for _ in 0..self.choices.below(4) {
            let (place, change) = (usize::from(self.choices.byte()) * 7, self.choices.byte());
            let size = bytes.len().max(1);
            if let Some(byte) = bytes.get_mut(place % size) {
                *byte ^= change;
            }
        }
        self.receive_bytes(from, &bytes);
    }

    fn receive_bytes(&mut self, from: usize, bytes: &[u8]) {
        if let Ok(message) = Message::decode(bytes) {
            self.subject.receive(self.subject.network.id(from), message);
        }
    }
}
