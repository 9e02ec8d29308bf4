//! Connected peers.

use aegis_types::{Height, ValidatorId};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Who opened a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// The peer.
    Inbound,
    /// This node.
    Outbound,
}

/// A connected peer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Peer {
    /// The libp2p peer id.
    pub peer_id: String,
    /// The same key as a node id.
    #[schema(value_type = Option<String>)]
    pub node_id: Option<ValidatorId>,
    /// Whether it is a member of the epoch's validator set.
    pub is_validator: bool,
    /// Address of the connection.
    pub address: String,
    /// Transport of the connection, such as `quic` or `tcp`.
    pub transport: String,
    /// Who opened the connection.
    pub direction: Direction,
    /// Last measured round trip, in microseconds.
    pub latency_us: Option<u64>,
    /// What the peer says its program is.
    pub agent: Option<String>,
    /// Highest committed block that the peer told of.
    #[schema(value_type = Option<u64>)]
    pub height: Option<Height>,
    /// For how long it has been connected, in milliseconds.
    pub connected_ms: u64,
}
