//! What a snapshot says of itself, and how that is checked.

use std::collections::BTreeMap;

use aegis_types::subtree::root_of_subtrees;
use aegis_types::{
    Canonical, CertifiedHeader, Domain, Epoch, Executed, Hash, Height, Subtree, TypesError, ValidatorSet,
};
use prost::Message as _;

use super::chunk::CHUNK_BYTES_MAX;

/// The version that this program writes and reads.
const VERSION: u32 = 1;
/// Largest manifest: 65,536 chunks, two headers and two certificates take about 2.5 MB.
pub const MANIFEST_BYTES_MAX: usize = 4 * 1024 * 1024;
const HASH_BYTES: usize = 32;

/// One piece of the state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChunkInfo {
    /// Root of its subtree.
    pub root: Hash,
    /// Its length. Only a claim until the chunk is there.
    pub bytes: u64,
}

/// The table of contents of a snapshot, with the proof of what it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// The block after which the state is this one.
    pub block: CertifiedHeader,
    /// The block whose header names that state.
    pub witness: CertifiedHeader,
    /// Level of the subtrees: there are `2^level` chunks.
    pub level: u32,
    /// The chunks, in order of subtree.
    pub chunks: Vec<ChunkInfo>,
    /// Length of the committed block itself, which is the piece after the last chunk. A claim, like the chunks'.
    pub block_bytes: u64,
}

/// A part of a snapshot that is fetched by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Piece {
    /// The chunk of a subtree.
    Chunk(u32),
    /// The committed block.
    Block,
}

#[derive(Clone, PartialEq, prost::Message)]
struct WireManifest {
    #[prost(uint32, tag = "1")]
    version: u32,
    #[prost(bytes = "vec", tag = "2")]
    block: Vec<u8>,
    #[prost(bytes = "vec", tag = "3")]
    witness: Vec<u8>,
    #[prost(uint32, tag = "4")]
    level: u32,
    /// 32 bytes for each chunk.
    #[prost(bytes = "vec", tag = "5")]
    roots: Vec<u8>,
    #[prost(uint64, repeated, tag = "6")]
    bytes: Vec<u64>,
    #[prost(uint64, tag = "7")]
    block_bytes: u64,
}

fn invalid(reason: impl Into<String>) -> TypesError {
    TypesError::invalid("snapshot manifest", reason.into())
}

impl Manifest {
    /// The certified height and state root.
    pub fn executed(&self) -> Executed {
        self.witness.header.executed
    }

    /// The height of the state.
    pub fn height(&self) -> Height {
        self.executed().height
    }

    /// The state's root, which names the snapshot among nodes.
    pub fn state_root(&self) -> Hash {
        self.executed().state_root
    }

    /// Bytes of all pieces, as claimed.
    pub fn total_bytes(&self) -> u64 {
        self.chunks.iter().map(|chunk| chunk.bytes).fold(self.block_bytes, u64::saturating_add)
    }

    /// All pieces. The block comes first: it is the one that a dishonest manifest cannot even name.
    pub fn pieces(&self) -> impl Iterator<Item = Piece> + use<> {
        let chunks = u32::try_from(self.chunks.len()).unwrap_or(u32::MAX);
        std::iter::once(Piece::Block).chain((0..chunks).map(Piece::Chunk))
    }

    /// Checks everything that can be checked without the pieces: that quorums of their epochs' validators decided both
    /// blocks, that the witness names the block's height, and that the chunks' roots lead to the state root it names.
    ///
    /// # Errors
    /// `Invalid` naming what does not hold, `BelowQuorum`, or `BadSignature`.
    pub fn verify(&self, sets: &BTreeMap<Epoch, ValidatorSet>, domain: &Domain) -> Result<(), TypesError> {
        for certified in [&self.block, &self.witness] {
            let epoch = certified.header.epoch;
            let set = sets.get(&epoch).ok_or_else(|| {
                invalid(format!("the validators of epoch {epoch} do not follow from the genesis"))
            })?;
            certified.verify(set, domain)?;
        }
        if self.block.header.height != self.height() {
            return Err(invalid("its witness names the state of another block"));
        }
        let roots: Vec<Hash> = self.chunks.iter().map(|chunk| chunk.root).collect();
        if roots.len() != Subtree::count(self.level)? {
            return Err(invalid(format!("level {} does not have {} chunks", self.level, roots.len())));
        }
        let (actual, expected) = (root_of_subtrees(&roots)?, self.state_root());
        if actual != expected {
            return Err(invalid(format!("its chunks lead to the state root {actual}, not to {expected}")));
        }
        Ok(())
    }

    /// The manifest's bytes.
    pub fn encode(&self) -> Vec<u8> {
        WireManifest {
            version: VERSION,
            block: self.block.encode(),
            witness: self.witness.encode(),
            level: self.level,
            roots: self.chunks.iter().flat_map(|chunk| chunk.root.0).collect(),
            bytes: self.chunks.iter().map(|chunk| chunk.bytes).collect(),
            block_bytes: self.block_bytes,
        }
        .encode_to_vec()
    }

    /// Reads a manifest from bytes that may be hostile. What it says is not checked yet: see [`Self::verify`].
    ///
    /// # Errors
    /// What is wrong with its form.
    pub fn decode(bytes: &[u8]) -> Result<Self, TypesError> {
        let (actual, limit) = (bytes.len(), MANIFEST_BYTES_MAX);
        if actual > limit {
            return Err(TypesError::TooLarge { what: "snapshot manifest", actual, limit });
        }
        let wire = WireManifest::decode(bytes).map_err(|error| TypesError::Undecodable {
            what: "snapshot manifest",
            reason: error.to_string(),
        })?;
        if wire.version != VERSION {
            return Err(invalid(format!(
                "it has the format version {}, this program reads {VERSION}",
                wire.version
            )));
        }
        let count = Subtree::count(wire.level)?;
        if wire.bytes.len() != count || wire.roots.len() != count * HASH_BYTES {
            return Err(invalid(format!("it does not have the {count} chunks of level {}", wire.level)));
        }
        if wire.bytes.iter().any(|bytes| *bytes > CHUNK_BYTES_MAX) {
            return Err(invalid(format!("a chunk has more than {CHUNK_BYTES_MAX} bytes")));
        }
        if wire.block_bytes > aegis_types::Limits::COMMITTED_BLOCK_BYTES as u64 {
            return Err(invalid("its block is larger than a block can be"));
        }
        let mut chunks = Vec::with_capacity(count);
        for (root, bytes) in wire.roots.chunks(HASH_BYTES).zip(wire.bytes) {
            chunks.push(ChunkInfo { root: Hash::from_slice("chunk root", root)?, bytes });
        }
        Ok(Self {
            block: CertifiedHeader::decode(&wire.block)?,
            witness: CertifiedHeader::decode(&wire.witness)?,
            level: wire.level,
            chunks,
            block_bytes: wire.block_bytes,
        })
    }
}
