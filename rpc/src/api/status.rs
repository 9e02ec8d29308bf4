//! Where a node stands.

use aegis_types::{AccountId, ChainId, Epoch, Hash, Height, ValidatorId, View, Weight};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What a node is in the epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// A member of the validator set: votes.
    Validator,
    /// Follows blocks and serves reads.
    Observer,
}

/// Where a node stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Status {
    /// The chain's name.
    #[schema(value_type = String)]
    pub chain_id: ChainId,
    /// Hash of the genesis.
    #[schema(value_type = String)]
    pub genesis: Hash,
    /// The node's public key.
    #[schema(value_type = String)]
    pub node_id: ValidatorId,
    /// The same key as a libp2p peer id.
    pub peer_id: String,
    /// The account that the node signs for.
    #[schema(value_type = String)]
    pub account: AccountId,
    /// Its role in this epoch.
    pub role: Role,
    /// Version of its program.
    pub version: String,
    /// Height of the newest committed block.
    #[schema(value_type = u64)]
    pub height: Height,
    /// Digest of that block.
    #[schema(value_type = String)]
    pub block_digest: Hash,
    /// Height of the newest executed block.
    #[schema(value_type = u64)]
    pub executed_height: Height,
    /// Root of the state after that block.
    #[schema(value_type = String)]
    pub state_root: Hash,
    /// The epoch.
    #[schema(value_type = u64)]
    pub epoch: Epoch,
    /// The view.
    #[schema(value_type = u64)]
    pub view: View,
    /// Whether the node is between two views.
    pub view_changing: bool,
    /// The view's leader; absent while none is known.
    #[schema(value_type = Option<String>)]
    pub leader: Option<ValidatorId>,
    /// This node's weight; 0 for an observer.
    #[schema(value_type = u64)]
    pub weight: Weight,
    /// Weight of all members.
    #[schema(value_type = u64)]
    pub total_weight: Weight,
    /// Weight that decides.
    #[schema(value_type = u64)]
    pub quorum: Weight,
    /// Weight that may fail in any way.
    #[schema(value_type = u64)]
    pub max_faulty: Weight,
    /// Weight of the members that were seen voting recently.
    #[schema(value_type = u64)]
    pub weight_alive: Weight,
    /// How much of the living weight may stop before the network does; 0 when it has stopped.
    #[schema(value_type = u64)]
    pub weight_may_still_fail: Weight,
    /// Whether the node is catching up.
    pub syncing: Syncing,
    /// Connected peers.
    pub peers: u32,
    /// Addresses that other nodes can dial.
    pub listen_addresses: Vec<String>,
    /// URL of the REST surface.
    pub rest_endpoint: String,
    /// URL of the gRPC surface.
    pub grpc_endpoint: String,
    /// Agreed time: timestamp of the newest executed block, in milliseconds of the Unix epoch.
    pub agreed_time_ms: u64,
    /// For how long the node has been running, in milliseconds.
    pub uptime_ms: u64,
    /// What waits to be ordered.
    pub mempool: Mempool,
    /// Size of the store on disk, in bytes.
    pub store_bytes: u64,
    /// The first block that the node holds; those below are pruned, or were before it joined. Absent before the first block.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<u64>)]
    pub first_height: Option<Height>,
    /// Why the node only answers reads at the moment; absent when it takes part.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub read_only: Option<String>,
    /// Why the node does not vote although it may be in the validator set; absent when it is not kept from it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub silent: Option<String>,
    /// Why old blocks are kept although they are to be deleted; absent when none are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unpruned: Option<String>,
    /// Where the Tor client stands; absent on a node that does not use Tor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tor: Option<TorState>,
}

/// Where the Tor client of a node stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TorState {
    /// `also` or `only`.
    pub mode: String,
    /// The address of the node's onion service, as a multiaddress.
    pub onion_address: String,
    /// How far the client is on its way into the Tor network, 0 to 100.
    pub percent: u32,
    /// What it does on that way, in words.
    pub phase: String,
    /// Why it does not get further; absent when nothing is known to be in the way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blocked: Option<String>,
    /// Whether peers can find the onion service, as far as the client can tell.
    pub reachable: bool,
    /// Where the onion service stands: `being published`, `published`, `recovering`, `unreachable`, `broken` or `stopped`.
    pub service: String,
    /// What the onion service last failed at; absent when it is published or nothing has failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
    /// Connections to peers through Tor, each on a circuit of its own.
    pub circuits: u32,
    /// What other nodes list in `p2p.tor.authorized_clients` to let this one find them.
    pub client_key: String,
}

/// How far a node is behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct Syncing {
    /// Whether it is fetching blocks that others have committed.
    pub active: bool,
    /// The height that it has to reach; absent when nothing is known to be missing.
    #[schema(value_type = Option<u64>)]
    pub target_height: Option<Height>,
    /// Peers that serve it.
    pub peers: u32,
    /// How far a certified snapshot of the state is taken over; absent when none is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub snapshot: Option<SnapshotProgress>,
}

/// How far a certified snapshot of the state is taken over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SnapshotProgress {
    /// Height of the snapshot.
    #[schema(value_type = u64)]
    pub height: Height,
    /// What is being done.
    pub phase: SnapshotPhase,
    /// Bytes that are done in this phase.
    pub done_bytes: u64,
    /// Bytes to do in this phase.
    pub total_bytes: u64,
    /// Bytes a second in this phase.
    pub bytes_per_second: u64,
    /// Time that is left in this phase at this rate, in milliseconds; absent while it cannot be told.
    pub left_ms: Option<u64>,
}

/// What is being done with a snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum SnapshotPhase {
    /// It is fetched from peers; each piece is verified.
    Fetching,
    /// The verified pieces are written into a new state store.
    Building,
}

impl SnapshotPhase {
    /// In a word.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Fetching => "fetching",
            Self::Building => "building",
        }
    }
}

/// What waits to be ordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct Mempool {
    /// Proposals that were admitted and are not in a committed block.
    pub proposals: u64,
    /// Batches that are available and not in a committed block.
    pub batches: u64,
    /// Bytes of those batches.
    pub bytes: u64,
}
