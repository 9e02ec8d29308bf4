//! The sections of a configuration file, one per file.

mod consensus;
mod node;
mod p2p;
mod rpc;
mod store;
mod sync;
mod telemetry;
mod tor;

pub use consensus::ConsensusSection;
pub use node::NodeSection;
pub use p2p::P2pSection;
pub use rpc::RpcSection;
pub use store::StoreSection;
pub use sync::{SyncMode, SyncSection};
pub use telemetry::{LogFormat, TelemetrySection};
pub use tor::{TorMode, TorSection};
