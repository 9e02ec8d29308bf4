//! What travels between simulated nodes.

use std::rc::Rc;

use aegis_consensus::Message;
use aegis_types::{Canonical, CommittedBlock, Hash, Height};

use super::encoded::{EncodedMessage, folded};
use super::held_batch::HeldBatch;

/// A packet. Consensus messages travel encoded, so that the wire format is part of what is tested.
#[derive(Debug, Clone)]
pub enum Packet {
    /// An encoded consensus message.
    Consensus(Rc<EncodedMessage>),
    /// A batch, pushed by its author or asked for.
    Batch(Rc<HeldBatch>),
    /// Which batches the sender lacks.
    FetchBatches(Rc<[Hash]>),
    /// Which decided blocks the sender lacks.
    FetchBlocks {
        /// First height.
        first: Height,
        /// Last height.
        last: Height,
    },
    /// Decided blocks in order of height.
    Blocks(Rc<[Rc<CommittedBlock>]>),
}

impl Packet {
    /// A packet with a consensus message.
    pub fn of(message: &Message) -> Self {
        Self::Consensus(Rc::new(EncodedMessage::of(message)))
    }

    /// A number that depends on the whole content.
    pub fn fingerprint(&self) -> u64 {
        let hash = match self {
            Self::Consensus(encoded) => return encoded.fingerprint(),
            Self::Batch(batch) => return folded(&batch.reference.digest.0[..8]),
            Self::FetchBatches(digests) => Hash::of(
                "aegis simulator fetch",
                &digests.iter().flat_map(|digest| digest.0).collect::<Vec<_>>(),
            ),
            Self::FetchBlocks { first, last } => return first.0.rotate_left(32) ^ last.0,
            Self::Blocks(blocks) => {
                let last = blocks.last().map(|block| block.certificate.encode());
                Hash::of("aegis simulator blocks", &last.unwrap_or_default())
            }
        };
        u64::from_le_bytes(hash.0[..8].try_into().expect("a digest has 32 bytes"))
    }

    /// Bytes of the packet as it would travel, without what the transport adds.
    pub fn size(&self) -> usize {
        match self {
            Self::Consensus(encoded) => encoded.size(),
            Self::Batch(batch) => batch.encoding.len(),
            Self::FetchBatches(digests) => 34 * digests.len(),
            Self::FetchBlocks { .. } => 20,
            Self::Blocks(blocks) => blocks.iter().map(|block| block.encode().len()).sum(),
        }
    }

    /// The packet in words.
    pub fn describe(&self) -> String {
        match self {
            Self::Consensus(encoded) => match encoded.message() {
                Ok(message) => describe(message),
                Err(error) => format!("undecodable message: {error}"),
            },
            Self::Batch(batch) => {
                format!("Batch {} ({} proposals)", batch.reference.digest.short(), batch.reference.proposals)
            }
            Self::FetchBatches(digests) => {
                format!("FetchBatches {:?}", digests.iter().map(Hash::short).collect::<Vec<_>>())
            }
            Self::FetchBlocks { first, last } => format!("FetchBlocks {first}..={last}"),
            Self::Blocks(blocks) => {
                let heights: Vec<u64> = blocks.iter().map(|block| block.header.height.0).collect();
                format!("Blocks {heights:?}")
            }
        }
    }
}

/// A consensus message in words.
pub fn describe(message: &Message) -> String {
    match message {
        Message::PrePrepare(message) => {
            let (content, header) = (&message.vote.content, &message.header);
            format!(
                "PrePrepare e{} v{} h{} {} ({:?}, {} batches, executed {})",
                content.epoch,
                content.view,
                content.height,
                content.digest.short(),
                header.kind,
                header.batches.len(),
                header.executed.height,
            )
        }
        Message::Vote(vote) => {
            let content = &vote.content;
            format!(
                "{:?} e{} v{} h{} {}",
                content.kind,
                content.epoch,
                content.view,
                content.height,
                content.digest.short()
            )
        }
        Message::ViewChange(message) => {
            let prepared: Vec<String> = message
                .prepared
                .iter()
                .map(|block| format!("h{}@v{}", block.header.height, block.certificate.content.view))
                .collect();
            format!(
                "ViewChange e{} v{} tip {} prepared {prepared:?}",
                message.epoch, message.view, message.tip_height
            )
        }
        Message::NewView(message) => {
            format!("NewView e{} v{} of {}", message.epoch, message.view, message.view_changes.len())
        }
        Message::Status(status) => {
            format!("Status e{} v{} h{}", status.epoch, status.view, status.height)
        }
        Message::Testimony(vote) => {
            let content = &vote.content;
            format!(
                "Testimony: {} {:?} e{} v{} h{} {}",
                vote.validator.short(),
                content.kind,
                content.epoch,
                content.view,
                content.height,
                content.digest.short()
            )
        }
    }
}
