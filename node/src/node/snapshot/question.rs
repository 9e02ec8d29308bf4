//! What nodes ask each other about snapshots, and what they answer.

use aegis_types::{Epoch, Handover, Hash, Height, Subtree, TypesError};
use bytes::Bytes;
use prost::Oneof;

use super::manifest::{Manifest, Piece};

/// Most bytes of a piece or manifest in one answer; a shorter part is the last. It must get through within a request's time, also on a slow line: 1 MB in 10 s.
pub const PART_BYTES: usize = 1024 * 1024;
/// Most snapshots in one answer; a node keeps fewer.
pub const OFFERS_MAX: usize = 16;

/// A question about snapshots.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SnapshotQuestion {
    /// "Which do you have?"
    Offers,
    /// "Give me a part of the manifest of this one."
    Manifest {
        /// Which snapshot.
        offer: Offer,
        /// Where in the encoded manifest the part begins: a multiple of [`PART_BYTES`].
        offset: u64,
    },
    /// "Give me a part of a piece of it."
    Part {
        /// Which snapshot.
        offer: Offer,
        /// Which piece.
        piece: Piece,
        /// Where in the piece the part begins: a multiple of [`PART_BYTES`].
        offset: u64,
    },
    /// "Show me who handed over to whom, from this epoch's end on."
    Handovers(Epoch),
}

/// An answer about snapshots.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SnapshotAnswer {
    /// What this node has.
    Offers {
        /// Snapshots, in any order.
        offers: Vec<Offer>,
        /// The lowest block that this node can send.
        first_block: Height,
    },
    /// Bytes of an encoded manifest from the offset on; none when the snapshot is not held or no part begins there.
    Manifest(Option<Bytes>),
    /// Bytes of a piece from the offset on; none when the snapshot is not held or no part begins there.
    Part(Option<Bytes>),
    /// Encoded handovers in order, from the first one asked for; none when that epoch has not ended.
    Handovers(Vec<Bytes>),
}

/// A snapshot that a node claims to have, and its name in questions. Two heights may have one root, and one state may be cut
/// at two levels: these are different snapshots, with different pieces.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Offer {
    /// Height of its state.
    pub height: Height,
    /// Its state root.
    pub root: Hash,
    /// Level of its chunks.
    pub level: u32,
}

impl Offer {
    /// The name of the snapshot that a manifest is of.
    pub fn of(manifest: &Manifest) -> Self {
        Self { height: manifest.height(), root: manifest.state_root(), level: manifest.level }
    }
}

#[derive(Clone, PartialEq, prost::Message)]
struct WireOffer {
    #[prost(uint64, tag = "1")]
    height: u64,
    #[prost(bytes = "vec", tag = "2")]
    root: Vec<u8>,
    #[prost(uint32, tag = "3")]
    level: u32,
}

#[derive(Clone, PartialEq, prost::Message)]
struct WireManifestPart {
    #[prost(message, optional, tag = "1")]
    offer: Option<WireOffer>,
    #[prost(uint64, tag = "2")]
    offset: u64,
}

#[derive(Clone, PartialEq, prost::Message)]
struct WirePart {
    #[prost(message, optional, tag = "1")]
    offer: Option<WireOffer>,
    /// The chunk's number plus 1; 0 for the block.
    #[prost(uint32, tag = "2")]
    piece: u32,
    #[prost(uint64, tag = "3")]
    offset: u64,
}

#[derive(Clone, Copy, PartialEq, prost::Message)]
struct WireNothing {}

#[derive(Clone, PartialEq, Oneof)]
enum WireQuestion {
    #[prost(message, tag = "1")]
    Offers(WireNothing),
    #[prost(message, tag = "2")]
    Manifest(WireManifestPart),
    #[prost(message, tag = "3")]
    Part(WirePart),
    #[prost(uint64, tag = "4")]
    Handovers(u64),
}

/// A [`SnapshotQuestion`] on the wire.
#[derive(Clone, PartialEq, prost::Message)]
pub struct QuestionMessage {
    #[prost(oneof = "WireQuestion", tags = "1, 2, 3, 4")]
    kind: Option<WireQuestion>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct WireOffers {
    #[prost(message, repeated, tag = "1")]
    offers: Vec<WireOffer>,
    #[prost(uint64, tag = "2")]
    first_block: u64,
}

#[derive(Clone, PartialEq, prost::Message)]
struct WireBytes {
    #[prost(bytes = "bytes", optional, tag = "1")]
    bytes: Option<Bytes>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct WireItems {
    #[prost(bytes = "bytes", repeated, tag = "1")]
    items: Vec<Bytes>,
}

#[derive(Clone, PartialEq, Oneof)]
enum WireAnswer {
    #[prost(message, tag = "1")]
    Offers(WireOffers),
    #[prost(message, tag = "2")]
    Manifest(WireBytes),
    #[prost(message, tag = "3")]
    Part(WireBytes),
    #[prost(message, tag = "4")]
    Handovers(WireItems),
}

/// A [`SnapshotAnswer`] on the wire.
#[derive(Clone, PartialEq, prost::Message)]
pub struct AnswerMessage {
    #[prost(oneof = "WireAnswer", tags = "1, 2, 3, 4")]
    kind: Option<WireAnswer>,
}

fn missing(what: &'static str) -> TypesError {
    TypesError::invalid(what, "it has no kind that this version knows")
}

impl From<&Offer> for WireOffer {
    fn from(offer: &Offer) -> Self {
        Self { height: offer.height.0, root: offer.root.0.to_vec(), level: offer.level }
    }
}

impl TryFrom<WireOffer> for Offer {
    type Error = TypesError;

    fn try_from(wire: WireOffer) -> Result<Self, TypesError> {
        let (level, limit) = (wire.level, Subtree::LEVEL_MAX);
        if level > limit {
            let reason = format!("its level is {level}, the highest is {limit}");
            return Err(TypesError::invalid("snapshot offer", reason));
        }
        let root = Hash::from_slice("state root", &wire.root)?;
        Ok(Self { height: Height(wire.height), root, level })
    }
}

impl From<&SnapshotQuestion> for QuestionMessage {
    fn from(question: &SnapshotQuestion) -> Self {
        let kind = match question {
            SnapshotQuestion::Offers => WireQuestion::Offers(WireNothing {}),
            SnapshotQuestion::Manifest { offer, offset } => {
                WireQuestion::Manifest(WireManifestPart { offer: Some(offer.into()), offset: *offset })
            }
            SnapshotQuestion::Part { offer, piece, offset } => WireQuestion::Part(WirePart {
                offer: Some(offer.into()),
                piece: match piece {
                    Piece::Block => 0,
                    Piece::Chunk(index) => index.saturating_add(1),
                },
                offset: *offset,
            }),
            SnapshotQuestion::Handovers(from) => WireQuestion::Handovers(from.0),
        };
        Self { kind: Some(kind) }
    }
}

impl TryFrom<QuestionMessage> for SnapshotQuestion {
    type Error = TypesError;

    fn try_from(message: QuestionMessage) -> Result<Self, TypesError> {
        Ok(match message.kind.ok_or_else(|| missing("question about snapshots"))? {
            WireQuestion::Offers(_) => Self::Offers,
            WireQuestion::Manifest(part) => Self::Manifest {
                offer: part.offer.ok_or_else(|| missing("question about snapshots"))?.try_into()?,
                offset: part.offset,
            },
            WireQuestion::Part(part) => Self::Part {
                offer: part.offer.ok_or_else(|| missing("question about snapshots"))?.try_into()?,
                piece: part.piece.checked_sub(1).map_or(Piece::Block, Piece::Chunk),
                offset: part.offset,
            },
            WireQuestion::Handovers(from) => Self::Handovers(Epoch(from)),
        })
    }
}

impl From<&SnapshotAnswer> for AnswerMessage {
    fn from(answer: &SnapshotAnswer) -> Self {
        let kind = match answer {
            SnapshotAnswer::Offers { offers, first_block } => WireAnswer::Offers(WireOffers {
                offers: offers.iter().map(Into::into).collect(),
                first_block: first_block.0,
            }),
            SnapshotAnswer::Manifest(bytes) => WireAnswer::Manifest(WireBytes { bytes: bytes.clone() }),
            SnapshotAnswer::Part(bytes) => WireAnswer::Part(WireBytes { bytes: bytes.clone() }),
            SnapshotAnswer::Handovers(items) => WireAnswer::Handovers(WireItems { items: items.clone() }),
        };
        Self { kind: Some(kind) }
    }
}

fn bounded(what: &'static str, actual: usize, limit: usize) -> Result<(), TypesError> {
    if actual > limit { Err(TypesError::TooMany { what, actual, limit }) } else { Ok(()) }
}

impl TryFrom<AnswerMessage> for SnapshotAnswer {
    type Error = TypesError;

    fn try_from(message: AnswerMessage) -> Result<Self, TypesError> {
        let part_of = |wire: WireBytes| {
            bounded("bytes of a part", wire.bytes.as_ref().map_or(0, Bytes::len), PART_BYTES)?;
            Ok::<_, TypesError>(wire.bytes)
        };
        Ok(match message.kind.ok_or_else(|| missing("answer about snapshots"))? {
            WireAnswer::Offers(wire) => {
                bounded("snapshots", wire.offers.len(), OFFERS_MAX)?;
                Self::Offers {
                    offers: wire.offers.into_iter().map(Offer::try_from).collect::<Result<_, _>>()?,
                    first_block: Height(wire.first_block),
                }
            }
            WireAnswer::Manifest(wire) => Self::Manifest(part_of(wire)?),
            WireAnswer::Part(wire) => Self::Part(part_of(wire)?),
            WireAnswer::Handovers(wire) => {
                bounded("handovers", wire.items.len(), Handover::PAGE_MAX)?;
                Self::Handovers(wire.items)
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_question_and_answer_survives_the_wire() {
        let offer = Offer { height: Height(5), root: Hash([3; 32]), level: 4 };
        let part = |piece| SnapshotQuestion::Part { offer, piece, offset: 9 };
        let questions = [
            SnapshotQuestion::Offers,
            SnapshotQuestion::Manifest { offer, offset: PART_BYTES as u64 },
            part(Piece::Block),
            part(Piece::Chunk(0)),
            part(Piece::Chunk(7)),
            SnapshotQuestion::Handovers(Epoch(2)),
        ];
        for question in questions {
            assert_eq!(SnapshotQuestion::try_from(QuestionMessage::from(&question)).unwrap(), question);
        }
        let answers = [
            SnapshotAnswer::Offers { offers: vec![offer], first_block: Height(1) },
            SnapshotAnswer::Manifest(None),
            SnapshotAnswer::Manifest(Some(Bytes::from_static(b"m"))),
            SnapshotAnswer::Part(Some(Bytes::new())),
            SnapshotAnswer::Part(None),
            SnapshotAnswer::Handovers(vec![Bytes::from_static(b"h")]),
        ];
        for answer in answers {
            assert_eq!(SnapshotAnswer::try_from(AnswerMessage::from(&answer)).unwrap(), answer);
        }
    }

    #[test]
    fn more_than_was_asked_for_is_refused() {
        for kind in [SnapshotAnswer::Part, SnapshotAnswer::Manifest] {
            let part = kind(Some(vec![0; PART_BYTES + 1].into()));
            assert!(SnapshotAnswer::try_from(AnswerMessage::from(&part)).is_err());
        }
        let offer = Offer { height: Height(1), root: Hash::ZERO, level: Subtree::LEVEL_MAX };
        let offers = vec![offer; OFFERS_MAX + 1];
        let offers = SnapshotAnswer::Offers { offers, first_block: Height(1) };
        assert!(SnapshotAnswer::try_from(AnswerMessage::from(&offers)).is_err());
        let handovers = SnapshotAnswer::Handovers(vec![Bytes::new(); Handover::PAGE_MAX + 1]);
        assert!(SnapshotAnswer::try_from(AnswerMessage::from(&handovers)).is_err());
        assert!(SnapshotQuestion::try_from(QuestionMessage { kind: None }).is_err());
        let offer = Offer { level: Subtree::LEVEL_MAX + 1, ..offer };
        let too_high = SnapshotQuestion::Manifest { offer, offset: 0 };
        assert!(SnapshotQuestion::try_from(QuestionMessage::from(&too_high)).is_err());
    }
}
