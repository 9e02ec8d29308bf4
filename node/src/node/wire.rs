//! What nodes say to each other besides consensus: payload frames, and questions with their answers.

use aegis_types::entries::{Quota, check_entries};
use aegis_types::{Epoch, Hash, Height, TypesError};
use bytes::Bytes;
use prost::{Message as _, Oneof};

use super::snapshot::question::{AnswerMessage as SnapshotAnswerMessage, SnapshotAnswer};
use super::snapshot::question::{QuestionMessage as SnapshotQuestionMessage, SnapshotQuestion};

/// Most digests in one frame or question.
pub const DIGESTS_MAX: usize = 1_024;
/// Most bytes of blocks or batches in one answer; at least one item always goes.
pub const ANSWER_BYTES: usize = 8 * 1024 * 1024;

/// Most items in one answer, and most fields of any message: an entry of two bytes takes sixteen times the memory when it
/// is decoded, so they are counted first.
const ITEMS_MAX: usize = 1_024;
/// Largest list of digests as it stands in a message, and a little.
const DIGESTS_BYTES: usize = 64 * DIGESTS_MAX;
/// Largest list of items as it stands in a message: what may be answered, one item that goes in any case, and the lengths.
const ITEMS_BYTES: usize = 2 * ANSWER_BYTES;

/// A frame of the payload lane.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PayloadFrame {
    /// An encoded batch of the sender.
    Batch(Bytes),
    /// Batches of the sender that are not ordered yet: ask for those you miss.
    Announce(Vec<Hash>),
}

/// A question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Question {
    /// "Where do you stand?"
    Tip,
    /// "Give me these decided blocks."
    Blocks {
        /// First height.
        first: Height,
        /// Last height.
        last: Height,
    },
    /// "Give me these batches."
    Batches(Vec<Hash>),
    /// "Have this signed proposal ordered."
    Forward(Bytes),
    /// Something about snapshots.
    Snapshot(SnapshotQuestion),
    /// "What is the highest height that you ever helped to commit?"
    ReadIndex,
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// The newest committed block.
    Tip {
        /// Its epoch.
        epoch: Epoch,
        /// Its height.
        height: Height,
    },
    /// Encoded committed blocks, ascending, from the first one asked for; fewer than asked, or none, when the rest is not held.
    Blocks(Vec<Bytes>),
    /// Encoded batches, in any order; those that are not held are left out.
    Batches(Vec<Bytes>),
    /// What became of a forwarded proposal: an error's JSON, or nothing when it was admitted.
    Forwarded(Option<String>),
    /// Something about snapshots.
    Snapshot(SnapshotAnswer),
    /// The highest height for which a Commit was cast, or the tip, as it was after the question had come.
    ReadIndex(Height),
}

#[derive(Clone, PartialEq, prost::Message)]
struct Digests {
    #[prost(bytes = "vec", repeated, tag = "1")]
    digests: Vec<Vec<u8>>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Items {
    #[prost(bytes = "bytes", repeated, tag = "1")]
    items: Vec<Bytes>,
}

#[derive(Clone, Copy, PartialEq, prost::Message)]
struct Numbers {
    #[prost(uint64, tag = "1")]
    first: u64,
    #[prost(uint64, tag = "2")]
    second: u64,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Text {
    #[prost(string, optional, tag = "1")]
    text: Option<String>,
}

#[derive(Clone, PartialEq, Oneof)]
enum WireFrame {
    #[prost(bytes = "bytes", tag = "1")]
    Batch(Bytes),
    #[prost(message, tag = "2")]
    Announce(Digests),
}

#[derive(Clone, PartialEq, prost::Message)]
struct Frame {
    #[prost(oneof = "WireFrame", tags = "1, 2")]
    kind: Option<WireFrame>,
}

#[derive(Clone, PartialEq, Oneof)]
enum WireQuestion {
    #[prost(message, tag = "1")]
    Tip(Numbers),
    #[prost(message, tag = "2")]
    Blocks(Numbers),
    #[prost(message, tag = "3")]
    Batches(Digests),
    #[prost(bytes = "bytes", tag = "4")]
    Forward(Bytes),
    #[prost(message, tag = "10")]
    Snapshot(SnapshotQuestionMessage),
    #[prost(message, tag = "16")]
    ReadIndex(Numbers),
}

#[derive(Clone, PartialEq, prost::Message)]
struct QuestionMessage {
    #[prost(oneof = "WireQuestion", tags = "1, 2, 3, 4, 10, 16")]
    kind: Option<WireQuestion>,
}

#[derive(Clone, PartialEq, Oneof)]
enum WireAnswer {
    #[prost(message, tag = "1")]
    Tip(Numbers),
    #[prost(message, tag = "2")]
    Blocks(Items),
    #[prost(message, tag = "3")]
    Batches(Items),
    #[prost(message, tag = "4")]
    Forwarded(Text),
    #[prost(message, tag = "10")]
    Snapshot(SnapshotAnswerMessage),
    #[prost(message, tag = "16")]
    ReadIndex(Numbers),
}

#[derive(Clone, PartialEq, prost::Message)]
struct AnswerMessage {
    #[prost(oneof = "WireAnswer", tags = "1, 2, 3, 4, 10, 16")]
    kind: Option<WireAnswer>,
}

impl From<&[Hash]> for Digests {
    fn from(digests: &[Hash]) -> Self {
        Self { digests: digests.iter().map(|digest| digest.0.to_vec()).collect() }
    }
}

fn hashes(wire: Digests) -> Result<Vec<Hash>, TypesError> {
    let (actual, limit) = (wire.digests.len(), DIGESTS_MAX);
    if actual > limit {
        return Err(TypesError::TooMany { what: "digests", actual, limit });
    }
    wire.digests.iter().map(|digest| Hash::from_slice("batch digest", digest)).collect()
}

fn check_digests(bytes: &[u8]) -> Result<(), TypesError> {
    let digest = Quota::one(1, "digests", size_of::<Hash>(), |_| Ok(()));
    check_entries("digests", bytes, [digest.up_to(DIGESTS_MAX)])
}

fn check_items(bytes: &[u8]) -> Result<(), TypesError> {
    let item = Quota::one(1, "items", ITEMS_BYTES, |_| Ok(()));
    check_entries("items", bytes, [item.up_to(ITEMS_MAX)])
}

fn undecodable(what: &'static str) -> impl Fn(prost::DecodeError) -> TypesError {
    move |error| TypesError::Undecodable { what, reason: error.to_string() }
}

fn missing(what: &'static str) -> TypesError {
    TypesError::invalid(what, "it has no kind that this version knows")
}

impl PayloadFrame {
    /// The frame's bytes.
    pub fn encode(&self) -> Bytes {
        let kind = match self {
            Self::Batch(encoding) => WireFrame::Batch(encoding.clone()),
            Self::Announce(digests) => WireFrame::Announce(digests.as_slice().into()),
        };
        Frame { kind: Some(kind) }.encode_to_vec().into()
    }

    /// Reads a frame from bytes that may be hostile.
    ///
    /// # Errors
    /// Whatever is wrong with them.
    pub fn decode(bytes: Bytes) -> Result<Self, TypesError> {
        let announcement = Quota::one(2, "announcement", DIGESTS_BYTES, check_digests);
        check_entries("payload frame", &bytes, [announcement])?;
        let frame = Frame::decode(bytes).map_err(undecodable("payload frame"))?;
        Ok(match frame.kind.ok_or_else(|| missing("payload frame"))? {
            WireFrame::Batch(encoding) => Self::Batch(encoding),
            WireFrame::Announce(digests) => Self::Announce(hashes(digests)?),
        })
    }
}

impl Question {
    /// The question's bytes.
    pub fn encode(&self) -> Bytes {
        let kind = match self {
            Self::Tip => WireQuestion::Tip(Numbers { first: 0, second: 0 }),
            Self::Blocks { first, last } => WireQuestion::Blocks(Numbers { first: first.0, second: last.0 }),
            Self::Batches(digests) => WireQuestion::Batches(digests.as_slice().into()),
            Self::Forward(proposal) => WireQuestion::Forward(proposal.clone()),
            Self::Snapshot(question) => WireQuestion::Snapshot(question.into()),
            Self::ReadIndex => WireQuestion::ReadIndex(Numbers { first: 0, second: 0 }),
        };
        QuestionMessage { kind: Some(kind) }.encode_to_vec().into()
    }

    /// Reads a question from bytes that may be hostile.
    ///
    /// # Errors
    /// Whatever is wrong with them.
    pub fn decode(bytes: Bytes) -> Result<Self, TypesError> {
        check_entries("question", &bytes, [Quota::one(3, "digests", DIGESTS_BYTES, check_digests)])?;
        let message = QuestionMessage::decode(bytes).map_err(undecodable("question"))?;
        Ok(match message.kind.ok_or_else(|| missing("question"))? {
            WireQuestion::Tip(_) => Self::Tip,
            WireQuestion::Blocks(range) => {
                Self::Blocks { first: Height(range.first), last: Height(range.second) }
            }
            WireQuestion::Batches(digests) => Self::Batches(hashes(digests)?),
            WireQuestion::Forward(proposal) => Self::Forward(proposal),
            WireQuestion::Snapshot(question) => Self::Snapshot(question.try_into()?),
            WireQuestion::ReadIndex(_) => Self::ReadIndex,
        })
    }
}

impl Answer {
    /// The answer's bytes.
    pub fn encode(&self) -> Bytes {
        let kind = match self {
            Self::Tip { epoch, height } => WireAnswer::Tip(Numbers { first: epoch.0, second: height.0 }),
            Self::Blocks(items) => WireAnswer::Blocks(Items { items: items.clone() }),
            Self::Batches(items) => WireAnswer::Batches(Items { items: items.clone() }),
            Self::Forwarded(error) => WireAnswer::Forwarded(Text { text: error.clone() }),
            Self::Snapshot(answer) => WireAnswer::Snapshot(answer.into()),
            Self::ReadIndex(height) => WireAnswer::ReadIndex(Numbers { first: height.0, second: 0 }),
        };
        AnswerMessage { kind: Some(kind) }.encode_to_vec().into()
    }

    /// Reads an answer from bytes that may be hostile.
    ///
    /// # Errors
    /// Whatever is wrong with them.
    pub fn decode(bytes: Bytes) -> Result<Self, TypesError> {
        let items = |field| Quota::one(field, "items", ITEMS_BYTES, check_items);
        check_entries("answer", &bytes, [items(2), items(3)])?;
        let message = AnswerMessage::decode(bytes).map_err(undecodable("answer"))?;
        Ok(match message.kind.ok_or_else(|| missing("answer"))? {
            WireAnswer::Tip(tip) => Self::Tip { epoch: Epoch(tip.first), height: Height(tip.second) },
            WireAnswer::Blocks(items) => Self::Blocks(items.items),
            WireAnswer::Batches(items) => Self::Batches(items.items),
            WireAnswer::Forwarded(error) => Self::Forwarded(error.text),
            WireAnswer::Snapshot(answer) => Self::Snapshot(answer.try_into()?),
            WireAnswer::ReadIndex(answer) => Self::ReadIndex(Height(answer.first)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_message_survives_the_wire() {
        let digests = vec![Hash([1; 32]), Hash([2; 32])];
        for frame in
            [PayloadFrame::Batch(Bytes::from_static(b"batch")), PayloadFrame::Announce(digests.clone())]
        {
            assert_eq!(PayloadFrame::decode(frame.encode()).unwrap(), frame);
        }
        let questions = [
            Question::Tip,
            Question::Blocks { first: Height(3), last: Height(9) },
            Question::Batches(digests),
            Question::Forward(Bytes::from_static(b"proposal")),
            Question::Snapshot(SnapshotQuestion::Offers),
            Question::ReadIndex,
        ];
        for question in questions {
            assert_eq!(Question::decode(question.encode()).unwrap(), question);
        }
        let answers = [
            Answer::Tip { epoch: Epoch(2), height: Height(0) },
            Answer::Blocks(vec![Bytes::from_static(b"a"), Bytes::new()]),
            Answer::Batches(Vec::new()),
            Answer::Forwarded(None),
            Answer::Forwarded(Some("refused".into())),
            Answer::Snapshot(SnapshotAnswer::Part(None)),
            Answer::ReadIndex(Height(7)),
        ];
        for answer in answers {
            assert_eq!(Answer::decode(answer.encode()).unwrap(), answer);
        }
    }

    #[test]
    fn garbage_is_refused() {
        assert!(Question::decode(Bytes::from_static(b"\xff\xff")).is_err());
        assert!(PayloadFrame::decode(Bytes::new()).is_err());
        let digests = vec![Hash::ZERO; DIGESTS_MAX + 1];
        assert!(Question::decode(Question::Batches(digests).encode()).is_err());
    }

    #[test]
    fn lists_that_would_fill_memory_are_refused_before_they_are_decoded() {
        let items = Answer::Blocks(vec![Bytes::new(); ITEMS_MAX + 1]).encode();
        assert!(matches!(
            Answer::decode(items),
            Err(TypesError::TooMany { actual: 1_025, limit: 1_024, .. })
        ));
        assert!(Answer::decode(Answer::Blocks(vec![Bytes::new(); ITEMS_MAX]).encode()).is_ok());
        let digests = PayloadFrame::Announce(vec![Hash::ZERO; DIGESTS_MAX + 1]).encode();
        assert!(matches!(PayloadFrame::decode(digests), Err(TypesError::TooMany { .. })));
        // A decoder joins the parts of a message that is given in several.
        let parts = [&Answer::Batches(vec![Bytes::new()]).encode()[..]; 2].concat();
        assert!(matches!(Answer::decode(parts.into()), Err(TypesError::TooMany { .. })));
    }
}
