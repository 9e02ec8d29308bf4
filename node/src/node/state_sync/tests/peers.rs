//! Honest and lying peers.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use aegis_p2p::{EventReceiver, Network, NetworkEvent};
use aegis_types::{Epoch, Executed, Hash, Height};
use bytes::Bytes;
use prost::Message as _;

use super::HEIGHT;
use crate::node::snapshot::manifest::{ChunkInfo, Manifest, Piece};
use crate::node::snapshot::piece_file;
use crate::node::snapshot::question::{Offer, PART_BYTES, SnapshotAnswer, SnapshotQuestion};
use crate::node::snapshot::shelf::{Shelf, piece_path, read_manifest};
use crate::node::wire::{Answer, Question};

/// A peer with a network of its own.
pub struct Peer {
    pub network: Network,
    /// Parts that it was asked for.
    pub parts: Arc<AtomicUsize>,
}

/// What a peer does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Conduct {
    Honest,
    /// It sends chunks with a byte changed.
    WrongChunks,
    /// It sends another block than the snapshot's.
    WrongBlock,
    /// Its pieces never end.
    EndlessData,
    /// It offers a state of a height that nobody has reached.
    FalseHeight,
    /// Its manifest has other chunks than the state.
    FalseChunks,
    /// Its manifest says that an epoch decided it that nobody has heard of.
    FarEpoch,
    /// Its manifest is right but for the lengths.
    FalseLengths,
    /// It offers the snapshot and does not answer anything after that.
    Silent,
    /// It stops serving after so many parts.
    StopsAfter(usize),
    /// It offers as many false snapshots as an answer may have, and has none of them.
    ManyFalseOffers,
    /// It offers the snapshot and says that it does not have it.
    TakesBack,
    /// It refuses so many parts before it sends any.
    Busy(usize),
    /// It offers the snapshot as one of another level, of which it sends the manifest and a few parts.
    OtherLevel(usize),
    /// Its manifest is right, and longer than one answer.
    LongManifest,
    /// Its manifest never ends.
    EndlessManifest,
}

/// Answers questions about snapshots as long as the network runs.
pub async fn serve(mut events: EventReceiver, shelf: Arc<Shelf>, conduct: Conduct, parts: Arc<AtomicUsize>) {
    while let Some(event) = events.recv().await {
        let NetworkEvent::Request { request, reply, .. } = event else { continue };
        let Ok(Question::Snapshot(question)) = Question::decode(request) else { continue };
        if let Some(answer) = conduct.answer(question, &shelf, &parts) {
            let _ = reply.send(Answer::Snapshot(answer).encode());
        }
    }
}

impl Conduct {
    fn answer(
        self,
        question: SnapshotQuestion,
        shelf: &Shelf,
        parts: &AtomicUsize,
    ) -> Option<SnapshotAnswer> {
        match question {
            SnapshotQuestion::Offers => {
                let mut offers = shelf.offers();
                if self == Self::ManyFalseOffers {
                    let offer =
                        |number: u8| Offer { height: Height(500), root: Hash([number; 32]), level: 2 };
                    offers = (0..16).map(offer).collect();
                }
                if let Self::OtherLevel(_) = self {
                    offers[0].level = 0;
                }
                if self == Self::FalseHeight {
                    offers = vec![Offer { height: Height(1 << 40), root: Hash([9; 32]), level: 2 }];
                }
                Some(SnapshotAnswer::Offers { offers, first_block: Height(1) })
            }
            SnapshotQuestion::Handovers(_) => Some(SnapshotAnswer::Handovers(Vec::new())),
            _ if self == Self::Silent => None,
            SnapshotQuestion::Manifest { .. } if matches!(self, Self::ManyFalseOffers | Self::TakesBack) => {
                Some(SnapshotAnswer::Manifest(None))
            }
            SnapshotQuestion::Part { offer, piece: Piece::Chunk(_), offset } if offer.level == 0 => {
                let part =
                    merged(shelf).chunks(PART_BYTES).nth(offset as usize / PART_BYTES).map(<[u8]>::to_vec);
                let Self::OtherLevel(most) = self else { return Some(SnapshotAnswer::Part(None)) };
                let is_sent = parts.fetch_add(1, Ordering::Relaxed) < most;
                Some(SnapshotAnswer::Part(part.filter(|_| is_sent).map(Bytes::from)))
            }
            SnapshotQuestion::Manifest { offer, offset } => {
                let mut manifest = self.manifest(&offer.root, shelf);
                if offer.level == 0 {
                    manifest = manifest.map(|manifest| at_level_0(&manifest, shelf));
                }
                Some(SnapshotAnswer::Manifest(self.manifest_part(manifest, offset)))
            }
            SnapshotQuestion::Part { offer, piece, offset } => {
                let count = parts.fetch_add(1, Ordering::Relaxed);
                if let Self::Busy(refusals) = self
                    && count < refusals
                {
                    return None;
                }
                let part = shelf.part(&offer, piece, offset).unwrap();
                Some(SnapshotAnswer::Part(self.part(part, piece, count)))
            }
        }
    }

    fn manifest(self, root: &Hash, shelf: &Shelf) -> Option<Bytes> {
        let held = shelf.manifest(&shelf.offers()[0], 0).unwrap()?;
        let mut manifest = Manifest::decode(&held).unwrap();
        match self {
            Self::FalseHeight => {
                manifest.witness.header.executed = Executed { height: Height(1 << 40), state_root: *root };
            }
            Self::FarEpoch => manifest.witness.header.epoch = Epoch(u64::MAX),
            Self::FalseChunks => manifest.chunks[0].root = Hash([1; 32]),
            Self::FalseLengths => manifest.chunks.iter_mut().for_each(|chunk| chunk.bytes = 1),
            _ => {}
        }
        let mut encoding = manifest.encode();
        if self == Self::LongManifest {
            encoding.extend(padding());
        }
        Some(encoding.into())
    }

    fn manifest_part(self, manifest: Option<Bytes>, offset: u64) -> Option<Bytes> {
        if self == Self::EndlessManifest {
            return Some(vec![0; PART_BYTES].into());
        }
        let begin = offset as usize;
        manifest.map(|manifest| manifest.slice(begin..manifest.len().min(begin + PART_BYTES)))
    }

    fn part(self, part: Option<Bytes>, piece: Piece, count: usize) -> Option<Bytes> {
        match (self, piece) {
            (Self::WrongChunks, Piece::Chunk(_)) => part.map(|part| {
                let mut part = part.to_vec();
                let middle = part.len() / 2;
                part[middle] ^= 1;
                part.into()
            }),
            (Self::WrongBlock, Piece::Block) => Some(Bytes::from_static(b"no block")),
            (Self::EndlessData, _) => Some(vec![0; PART_BYTES].into()),
            (Self::StopsAfter(most), _) if count >= most => None,
            _ => part,
        }
    }
}

/// All chunks of the snapshot as the one of level 0.
fn merged(shelf: &Shelf) -> Vec<u8> {
    let folder = shelf.folder_of(HEIGHT);
    let chunks = 0..read_manifest(&folder).unwrap().chunks.len() as u32;
    chunks.flat_map(|index| piece_file::read(&piece_path(&folder, Piece::Chunk(index))).unwrap()).collect()
}

fn at_level_0(manifest: &Bytes, shelf: &Shelf) -> Bytes {
    let mut manifest = Manifest::decode(manifest).unwrap();
    manifest.level = 0;
    manifest.chunks = vec![ChunkInfo { root: manifest.state_root(), bytes: merged(shelf).len() as u64 }];
    manifest.encode().into()
}

/// A field that no reader of manifests knows, so large that it takes a second part.
fn padding() -> Vec<u8> {
    #[derive(Clone, PartialEq, prost::Message)]
    struct Padding {
        #[prost(bytes = "vec", tag = "100")]
        bytes: Vec<u8>,
    }
    Padding { bytes: vec![1; PART_BYTES + PART_BYTES / 2] }.encode_to_vec()
}
