//! Linearizable reads without the log: the read index.
//!
//! A read must not miss what was acknowledged, to anybody, before it began. What is acknowledged at a height was voted
//! Commit for by a quorum, and a correct validator publishes the highest height that it ever voted Commit for before the
//! vote leaves it. So this node asks the validators, after the read has begun, for that height, and serves the read once
//! members with a *quorum* of its current epoch's weight have named heights that it has executed: every such quorum shares
//! a correct validator with the one that committed. Nobody need be believed: a height that is too low comes from one of
//! the faulty, one that is too high is waited for or outvoted. `docs/guarantees.md` has the argument in full, also for a
//! node that has not heard of an epoch's end.
//!
//! It costs one round trip to a quorum: no flush, no signature, no block. Reads share questions. A question counts for the
//! reads that began before it was sent and for no later one; at most one is under way to each validator.

mod round;

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use aegis_p2p::Offence;
use aegis_types::{Height, ValidatorId};
use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use tokio::sync::{mpsc, oneshot};
use tracing::debug;

use super::context::NodeContext;
use super::wire::{Answer, Question};
use round::Round;

/// How long a read waits for a quorum's answers. Shorter than the 10 s that the interface gives a request, so that the client
/// gets the reason; longer than a change of views.
const PATIENCE: Duration = Duration::from_secs(6);
/// Reads that wait for a round to begin: more are refused. Each is a few words.
const READERS_MAX: usize = 1_024;
/// Rounds under way. One more may begin while answers for earlier ones are still out, so that a slow validator, or execution
/// that lags, does not hold up later reads; few, so that many readers share a round.
const ROUNDS_MAX: usize = 8;
/// Questions under way. The network lets 64 be; the rest is for those who fetch blocks.
const QUESTIONS_MAX: usize = 48;
/// After so long another validator gets a silent one's place.
const QUESTION_TIMEOUT: Duration = Duration::from_secs(2);
/// When a validator that could not be asked is asked again.
const RETRY: Duration = Duration::from_millis(100);

/// A read that waits to be confirmed; it gets the height that it may be served at.
pub type Reader = oneshot::Sender<Height>;

/// Why a read was not confirmed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unconfirmed {
    /// The bound on waiting reads is reached.
    #[error("too many reads wait for the validators")]
    Busy,
    /// This node takes no part in agreement at the moment: it is read-only, or about to stop.
    #[error("this node is read-only or stops, so it does not learn of newer blocks")]
    Apart,
    /// Too few validators answered, or what they have committed did not arrive here.
    #[error(
        "validators with a quorum of the weight have not confirmed within {PATIENCE:?} that this node is up to date"
    )]
    NoQuorum,
}

/// The way to a linearizable read.
#[derive(Debug, Clone)]
pub struct ReadIndex {
    readers: mpsc::Sender<Reader>,
}

impl ReadIndex {
    /// The handle, and what [`confirm_reads`] listens to.
    pub fn channel() -> (Self, mpsc::Receiver<Reader>) {
        let (readers, waiting) = mpsc::channel(READERS_MAX);
        (Self { readers }, waiting)
    }

    /// Waits until this node has executed all that was acknowledged before the call. The answer is a height that it has
    /// executed: a read of its state from then on is linearizable.
    ///
    /// # Errors
    /// See [`Unconfirmed`].
    pub async fn confirm(&self) -> Result<Height, Unconfirmed> {
        let (reader, confirmed) = oneshot::channel();
        self.readers.try_send(reader).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => Unconfirmed::Busy,
            mpsc::error::TrySendError::Closed(_) => Unconfirmed::Apart,
        })?;
        match tokio::time::timeout(PATIENCE, confirmed).await {
            Ok(Ok(height)) => Ok(height),
            // The task ends with the node only.
            Ok(Err(_)) | Err(_) => Err(Unconfirmed::NoQuorum),
        }
    }
}

/// Whether a request's bytes are the question for the read index, as this version asks it.
pub fn is_question(request: &[u8]) -> bool {
    /// The question is a tag and an empty message.
    const BYTES_MAX: usize = 16;
    request.len() <= BYTES_MAX && Question::ReadIndex.encode() == request
}

/// Confirms reads for as long as the node runs.
pub async fn confirm_reads(node: Arc<NodeContext>, mut readers: mpsc::Receiver<Reader>) {
    let mut standing = node.standing.clone();
    let mut desk = Desk::new(node);
    let mut retry = tokio::time::interval(RETRY);
    retry.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        let is_idle = desk.rounds.is_empty();
        tokio::select! {
            reader = readers.recv(), if desk.waiting.len() < READERS_MAX => match reader {
                Some(reader) => desk.waiting.push(reader),
                None => return,
            },
            Some(reply) = desk.questions.next(), if !desk.questions.is_empty() => desk.take(reply),
            changed = standing.changed(), if !is_idle => if changed.is_err() {
                return;
            },
            _ = retry.tick(), if !is_idle => desk.failed.clear(),
        }
        while desk.waiting.len() < READERS_MAX
            && let Ok(reader) = readers.try_recv()
        {
            desk.waiting.push(reader);
        }
        desk.settle();
        desk.begin();
        desk.ask();
    }
}

/// What became of a question.
struct Reply {
    from: ValidatorId,
    /// The newest round that had begun when it was sent.
    round: u64,
    height: Option<Height>,
}

/// The reads that wait, the rounds under way, and the questions that are out.
struct Desk {
    node: Arc<NodeContext>,
    me: ValidatorId,
    waiting: Vec<Reader>,
    rounds: VecDeque<Asking>,
    /// The number of the newest round.
    newest: u64,
    asked: BTreeSet<ValidatorId>,
    /// Validators that could not be asked lately.
    failed: BTreeSet<ValidatorId>,
    questions: FuturesUnordered<BoxFuture<'static, Reply>>,
    /// Where in the set asking begins: each time elsewhere, so that all have their turn when not all can be asked at once.
    turn: usize,
}

/// A round with those who wait for it.
struct Asking {
    number: u64,
    began: Instant,
    readers: Vec<Reader>,
    round: Round,
}

impl Desk {
    fn new(node: Arc<NodeContext>) -> Self {
        Self {
            me: node.node_key.validator_id(),
            node,
            waiting: Vec::new(),
            rounds: VecDeque::new(),
            newest: 0,
            asked: BTreeSet::new(),
            failed: BTreeSet::new(),
            questions: FuturesUnordered::new(),
            turn: 0,
        }
    }

    /// Begins a round for those who wait. This node's own answer is like the others': taken after the reads began.
    fn begin(&mut self) {
        if self.waiting.is_empty() || self.rounds.len() >= ROUNDS_MAX {
            return;
        }
        self.newest += 1;
        let mut round = Round::default();
        if let Some(height) = *self.node.committing.borrow() {
            round.count(self.me, height);
        }
        let readers = std::mem::take(&mut self.waiting);
        self.rounds.push_back(Asking { number: self.newest, began: Instant::now(), readers, round });
        self.settle();
    }

    /// Asks every validator whose answer a round lacks, as many as may be asked.
    fn ask(&mut self) {
        if self.rounds.is_empty() {
            return;
        }
        let standing = self.node.standing.borrow();
        let members = standing.epoch.validators.members();
        self.turn = self.turn.wrapping_add(1);
        let start = self.turn.checked_rem(members.len()).unwrap_or_default();
        for member in members.iter().cycle().skip(start).take(members.len()) {
            let peer = member.validator;
            if self.questions.len() >= QUESTIONS_MAX {
                return;
            }
            let is_lacking = self.rounds.iter().any(|asking| !asking.round.has(&peer));
            let may_be_asked = peer != self.me && !self.asked.contains(&peer) && !self.failed.contains(&peer);
            if is_lacking && may_be_asked {
                self.asked.insert(peer);
                self.questions.push(Box::pin(question(self.node.clone(), peer, self.newest)));
            }
        }
    }

    /// Counts an answer for the rounds that had begun when its question was sent.
    fn take(&mut self, reply: Reply) {
        let Reply { from, round, height } = reply;
        self.asked.remove(&from);
        let Some(height) = height else {
            self.failed.insert(from);
            return;
        };
        for asking in self.rounds.iter_mut().filter(|asking| asking.number <= round) {
            asking.round.count(from, height);
        }
    }

    /// Serves the rounds that are confirmed, and drops those that nobody waits for any more.
    fn settle(&mut self) {
        let standing = self.node.standing.borrow();
        let executed = standing.executed.height;
        let validators = &standing.epoch.validators;
        let telemetry = &self.node.telemetry;
        self.rounds.retain_mut(|asking| {
            if asking.round.is_confirmed(executed, validators) {
                telemetry.read_confirmation_seconds.observe(asking.began.elapsed().as_secs_f64());
                for reader in asking.readers.drain(..) {
                    // Who read may have gone away.
                    let _ = reader.send(executed);
                }
                return false;
            }
            asking.readers.retain(|reader| !reader.is_closed());
            !asking.readers.is_empty()
        });
    }
}

async fn question(node: Arc<NodeContext>, peer: ValidatorId, round: u64) -> Reply {
    let asking = node.network.request(&peer, Question::ReadIndex.encode());
    let height = match tokio::time::timeout(QUESTION_TIMEOUT, asking).await {
        Ok(Ok(answer)) => match Answer::decode(answer) {
            Ok(Answer::ReadIndex(height)) => Some(height),
            Ok(_) | Err(_) => {
                node.network.report(&peer, Offence::Malformed);
                None
            }
        },
        Ok(Err(error)) => {
            debug!(%peer, %error, "a validator could not be asked for its read index");
            None
        }
        Err(_) => None,
    };
    Reply { from: peer, round, height }
}
