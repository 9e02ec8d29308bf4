//! A running node: its parts, and how they are wired.
//!
//! ```text
//!  clients ── api ── admission ──► batches ──┐                         ┌── executor thread ── committed log, state store
//!                                            ▼                         │        │
//!  peers ── events ──────────────────► driver thread ── decided blocks ┘        ├──► clients that wait, watchers, gossip
//!             ▲                        engine, journal ◄── state roots ─────────┘
//!             └────── send, broadcast ───────┘
//! ```
//!
//! | file | part |
//! |---|---|
//! | `driver`, `last_votes` | owns engine and vote journal; durable before sent |
//! | `executor` | owns execution and committed log; durable before acknowledged |
//! | `admission`, `mempool`, `batches` | proposals on their way into blocks |
//! | `events`, `serve`, `sync`, `wire` | what nodes say to each other besides consensus |
//! | `read_index` | linearizable reads without the log |
//! | `snapshot`, `state_sync`, `shortcut` | certified states for those who join, taking one over, and when |
//! | `recovery`, `repair`, `journal`, `state`, `closings`, `remembered` | what is on disk, and the start from it |
//! | `lost_votes`, `regain` | what becomes of a validator that has lost its votes |
//! | `prune`, `read_only` | what becomes of old blocks, and of a node whose disk is full |
//! | `check`, `chain_check`, `backup`, `restore`, `new_folder`, `compact`, `replay` | what an operator does with a data folder |
//! | `restart`, `stop` | starting the parts again within the process; ending in the middle of work on the stores |
//! | `metrics` | what the node measures of itself and its peers, and tells about it |
//! | `api`, `watch`, `telemetry`, `tor_series`, `logging` | what people and programs see |
//! | `reactions` | what the node does by itself |
//! | `settings` | what the configuration means to these parts |
//!
//! Two threads own all durable state, so no lock is held across a flush. A part that fails or panics stops the whole node
//! with its reason: half a node would mislead its operator.

mod admission;
mod api;
pub mod backup;
mod batches;
mod certified;
mod chain_check;
pub mod check;
mod clock;
mod closings;
pub mod compact;
mod context;
mod driver;
mod events;
mod executor;
mod forgotten;
mod handovers;
mod journal;
mod last_votes;
mod logging;
pub mod lost_votes;
mod mempool;
mod metrics;
mod new_folder;
mod prune;
mod reactions;
mod read_index;
mod read_only;
mod recovery;
mod regain;
mod remembered;
mod repair;
pub mod replay;
mod restart;
pub mod restore;
mod serve;
pub mod settings;
mod shortcut;
mod snapshot;
mod state;
mod state_sync;
mod stop;
mod sync;
mod telemetry;
#[cfg(test)]
mod testing;
mod tor_series;
mod watch;
mod wire;
mod wiring;

use std::net::SocketAddr;

use aegis_types::{Genesis, Keypair, ValidatorId};
use tokio::sync::oneshot;

use crate::home::Home;

pub use clock::unix_ms;
pub use handovers::of_store as handovers_of;
pub use wiring::run;

/// What a node is started with.
pub struct RunOptions {
    /// Its home.
    pub home: Home,
    /// Its configuration.
    pub config: aegis_config::Config,
    /// What the network starts from.
    pub genesis: Genesis,
    /// Its key.
    pub node_key: Keypair,
    /// The key of its account.
    pub account_key: Keypair,
    /// The bearer token of its interface.
    pub token: String,
    /// Told once when the node serves.
    pub announce: oneshot::Sender<Started>,
}

/// A node that serves.
pub struct Started {
    /// Its name.
    pub node_id: ValidatorId,
    /// Addresses for other nodes.
    pub listen: Vec<String>,
    /// Address for clients.
    pub rpc: SocketAddr,
}
