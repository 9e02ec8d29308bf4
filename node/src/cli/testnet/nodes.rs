//! What `aegis testnet up` tells about its network.

use std::path::PathBuf;

use aegis_rpc::api::Submission;
use serde::Serialize;

use crate::cli::table::{Fields, Table};

/// A running test network.
#[derive(Debug, Serialize)]
pub struct Network {
    /// Folder of the network.
    pub home: PathBuf,
    /// The network's name.
    pub chain_id: String,
    /// Hash of its genesis.
    pub genesis: String,
    /// Time from the start of the processes to agreement, in milliseconds.
    pub started_in_ms: u64,
    /// The first proposal and its outcome.
    pub first_proposal: Submission,
    /// The nodes.
    pub nodes: Vec<RunningNode>,
}

/// A node of a running test network.
#[derive(Debug, Serialize)]
pub struct RunningNode {
    /// Its name.
    pub name: String,
    /// `validator` or `observer`, in the epoch in which it was asked.
    pub role: &'static str,
    /// Its voting weight in that epoch.
    pub weight: u64,
    /// Its public key.
    pub node_id: String,
    /// Whether it takes part.
    pub state: NodeState,
    /// Its process id; none once it has ended.
    pub pid: Option<u32>,
    /// Its home.
    pub home: PathBuf,
    /// Addresses for other nodes.
    pub p2p: Vec<String>,
    /// URL of its REST surface.
    pub rest: String,
    /// URL of its gRPC surface.
    pub grpc: String,
}

/// Whether a node takes part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum NodeState {
    /// It goes on with the others.
    Running,
    /// Its process runs, but it did not answer or was behind when time was up.
    Late,
    /// Its process has ended.
    Ended,
}

impl Network {
    /// The network for people.
    pub fn text(&self) -> String {
        let first = &self.first_proposal;
        let certificate = first.certificate.as_ref().map(|certificate| {
            format!(
                "weight {} of {} (quorum {}), {} signers, view {}",
                certificate.weight,
                certificate.total_weight,
                certificate.quorum,
                certificate.signers.len(),
                certificate.view
            )
        });
        let fields = Fields::new()
            .field("network", format!("{} (genesis {})", self.chain_id, self.genesis))
            .field(
                "agreed after",
                format!("{}.{:01} s", self.started_in_ms / 1000, self.started_in_ms % 1000 / 100),
            )
            .field("first proposal", first.id)
            .optional("  height", first.height)
            .optional("  outcome", first.outcome.as_ref().map(|outcome| outcome.message.clone()))
            .optional("  certificate", certificate)
            .field("  time", format!("{} ms", first.elapsed_ms));
        let mut table = Table::new(["NODE", "ROLE", "WEIGHT", "ID", "PID", "P2P", "REST", "GRPC"]);
        for node in &self.nodes {
            table.row([
                node.name.clone(),
                node.role.to_owned(),
                node.weight.to_string(),
                node.node_id.chars().take(8).collect(),
                node.pid.map_or_else(|| "-".to_owned(), |pid| pid.to_string()),
                node.p2p.join(" "),
                node.rest.clone(),
                node.grpc.clone(),
            ]);
        }
        format!("{}\n{}", fields.render(), table.render())
    }

    /// What to try next, in another shell.
    pub fn hints(&self) -> String {
        let Some(first) = self.nodes.iter().find(|node| node.state == NodeState::Running) else {
            return String::new();
        };
        let home = first.home.display();
        format!(
            "In another shell:\n  aegis --home {home} status\n  aegis --home {home} proposal submit kv.put greeting hello\n  \
             aegis --home {home} kv get greeting\nlogs: node.log in each home; Ctrl-C stops all nodes"
        )
    }
}
