//! What the node's tasks share.

use std::sync::{Arc, RwLock};
use std::time::Duration;

use aegis_config::SyncSection;
use aegis_consensus::EngineStatus;
use aegis_ledger::Ledger;
use aegis_p2p::Network;
use aegis_store::{KvStore, LogReader};
use aegis_types::{Domain, Genesis, Height, Keypair};
use tokio::sync::{mpsc, watch};

use super::admission::Admission;
use super::batches::BatchPool;
use super::certified::CertifiedState;
use super::clock::Clock;
use super::driver::DriverInput;
use super::mempool::Mempool;
use super::metrics::{LiveReports, Measured, Observation};
use super::read_index::ReadIndex;
use super::read_only::Condition;
use super::restart::RestartHandle;
use super::snapshot::shelf::Shelf;
use super::state::Standing;
use super::state_sync::StateSync;
use super::sync::SyncHandle;
use super::telemetry::Telemetry;
use super::watch::WatchHub;

/// Handles to every part of a running node.
pub struct NodeContext {
    pub genesis: Genesis,
    pub domain: Domain,
    pub node_key: Keypair,
    pub account_key: Keypair,
    pub network: Network,
    pub kv: Arc<dyn KvStore>,
    pub log: LogReader,
    pub ledger: Arc<RwLock<Ledger>>,
    /// The newest state that a quorum vouches for.
    pub certified: Arc<CertifiedState>,
    pub pool: Arc<BatchPool>,
    pub mempool: Arc<Mempool>,
    pub hub: Arc<WatchHub>,
    pub telemetry: Arc<Telemetry>,
    pub clock: Clock,
    /// Votes and round trips as this node sees them.
    pub observation: Arc<Observation>,
    /// What this node knows of its own window.
    pub measured: Measured,
    /// The newest reports of others.
    pub live: LiveReports,
    /// The engine's state, a few milliseconds old at most.
    pub agreement: watch::Receiver<EngineStatus>,
    /// The highest height for which this node has ever voted Commit, or its tip; raised before a Commit leaves. None while
    /// its votes may be forgotten.
    pub committing: watch::Receiver<Option<Height>>,
    /// The way to a linearizable read.
    pub reads: ReadIndex,
    /// Where execution stands.
    pub standing: watch::Receiver<Standing>,
    /// Why old blocks stay that are to go, if so.
    pub held_back: watch::Receiver<Option<&'static str>>,
    pub inputs: mpsc::Sender<DriverInput>,
    pub admission: Admission,
    pub sync: SyncHandle,
    /// Snapshots that this node serves.
    pub shelf: Arc<Shelf>,
    pub state_sync: StateSync,
    pub sync_rule: SyncSection,
    /// What a test lets this node report; zero for the truth.
    pub claimed_round_trip: Duration,
    pub restart: RestartHandle,
    pub condition: Condition,
}
