//! The run as a hash, which two runs of one seed must share, and as text for people.

use aegis_types::Hash;

use super::clock::Micros;
use super::invariants::Observation;
use super::packet::describe;
use super::rng::mix;

/// Whether the text is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recording {
    /// Only the hash: fast.
    HashOnly,
    /// Every event as a line.
    Text,
}

/// Everything that happened, in order.
#[derive(Debug, Clone)]
pub struct Trace {
    hash: u64,
    recording: Recording,
    lines: Vec<String>,
}

impl Trace {
    /// An empty trace.
    pub fn new(recording: Recording) -> Self {
        Self { hash: 0, recording, lines: Vec::new() }
    }

    /// Adds an event: numbers that tell it apart, and a text that is made only when it is kept.
    pub fn add(&mut self, at: Micros, numbers: &[u64], text: impl FnOnce() -> String) {
        self.hash = mix(self.hash ^ at);
        for number in numbers {
            self.hash = mix(self.hash.rotate_left(17) ^ number);
        }
        if self.recording == Recording::Text {
            self.lines.push(format!("{:>11.3} ms  {}", at as f64 / 1_000.0, text()));
        }
    }

    /// The hash of everything added.
    pub fn hash(&self) -> u64 {
        self.hash
    }

    /// The text, if it was kept.
    pub fn into_lines(self) -> Vec<String> {
        self.lines
    }
}

/// An observation as numbers and, if asked for, as text.
pub fn of_observation(observation: &Observation) -> (Vec<u64>, impl FnOnce() -> String + '_) {
    (numbers(observation), || text(observation))
}

fn number(hash: &Hash) -> u64 {
    u64::from_le_bytes(hash.0[..8].try_into().expect("a digest has 32 bytes"))
}

fn numbers(observation: &Observation) -> Vec<u64> {
    match observation {
        Observation::Submitted { proposal } => vec![10, number(proposal)],
        Observation::Started { node, tip } => vec![11, *node as u64, tip.0.0, number(&tip.1)],
        Observation::Signed { node, vote, .. } => vec![12, *node as u64, number(&vote.content.digest)],
        Observation::Sent { node, .. } => vec![13, *node as u64],
        Observation::Decided { node, block } => {
            vec![14, *node as u64, block.0.height.0, number(&block.1.content.digest)]
        }
        Observation::Acknowledged { node, height, .. } => vec![15, *node as u64, height.0],
        Observation::Executed { node, executed } => {
            vec![16, *node as u64, executed.height.0, number(&executed.state_root)]
        }
        Observation::Accused { node, .. } => vec![17, *node as u64],
        Observation::Diverged { node, height } => vec![18, *node as u64, height.0],
        Observation::Broken { node, .. } => vec![19, *node as u64],
        Observation::Milestone { node, .. } => vec![20, *node as u64],
        Observation::Heard { node, from, .. } => vec![21, *node as u64, *from as u64],
        Observation::Evidence { node, peer, epoch } => {
            vec![22, *node as u64, number(&Hash(peer.0)), epoch.0]
        }
        Observation::Measured { node, votes, kept, .. } => vec![23, *node as u64, *votes, *kept],
        Observation::Wished { node, epoch, view } => vec![24, *node as u64, epoch.0, view.0],
        Observation::Entered { node, proof } => vec![25, *node as u64, proof.epoch.0, proof.view.0],
        Observation::ReadIndex { node, height } => vec![26, *node as u64, height.0],
    }
}

fn text(observation: &Observation) -> String {
    match observation {
        Observation::Submitted { proposal } => format!("proposal {} is submitted", proposal.short()),
        Observation::Started { node, tip } => format!("{node} starts from height {}", tip.0),
        Observation::Signed { node, vote, .. } => {
            let content = &vote.content;
            format!(
                "{node} signs {:?} e{} v{} h{} {}",
                content.kind,
                content.epoch,
                content.view,
                content.height,
                content.digest.short()
            )
        }
        Observation::Sent { node, message } => format!("{node} sends {}", describe(message)),
        Observation::Decided { node, block } => format!(
            "{node} decides h{} {} in v{} ({:?})",
            block.0.height,
            block.1.content.digest.short(),
            block.1.content.view,
            block.0.kind
        ),
        Observation::Acknowledged { node, height, .. } => format!("{node} acknowledges h{height}"),
        Observation::Executed { node, executed } => {
            format!("{node} executed h{} to {}", executed.height, executed.state_root.short())
        }
        Observation::Accused { node, peer, reason } => format!("{node} accuses {}: {reason}", peer.short()),
        Observation::Diverged { node, height } => format!("{node} stops: its state at h{height} is damaged"),
        Observation::Broken { node, reason } => format!("{node} is broken: {reason}"),
        Observation::Milestone { node, event } => format!("{node}: {event:?}"),
        Observation::Heard { node, from, vote, .. } => {
            let content = &vote.content;
            let (kind, view, height) = (content.kind, content.view, content.height);
            format!("{node} hears {kind:?} v{view} h{height} {} of {from}", content.digest.short())
        }
        Observation::Evidence { node, peer, epoch } => {
            format!("{node} has evidence against {} in epoch {epoch}", peer.short())
        }
        Observation::Measured { node, votes, kept, .. } => {
            format!("{node} holds {votes} votes and {kept} messages for later")
        }
        Observation::Wished { node, epoch, view } => format!("{node} wishes for v{view} of e{epoch}"),
        Observation::Entered { node, proof } => {
            format!("{node} has a proof for v{} of e{}", proof.view, proof.epoch)
        }
        Observation::ReadIndex { node, height } => {
            format!("{node} says that it has committed up to h{height}")
        }
    }
}
