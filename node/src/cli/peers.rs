//! `aegis peers`

use aegis_rpc::api::{Direction, Peer};
use clap::Args;

use super::session::Session;
use super::table::Table;
use super::{Failure, Global};
use crate::calendar::length;

/// The node's connected peers
#[derive(Debug, Args)]
pub struct Peers {}

impl Peers {
    /// Prints them.
    ///
    /// # Errors
    /// When no node answers.
    pub async fn run(self, global: &Global) -> Result<(), Failure> {
        let session = Session::open(global)?;
        let peers = session.client.peers().await.map_err(|error| session.failure(error))?;
        session.output.document(&peers, |peers| text(peers))
    }
}

fn text(peers: &[Peer]) -> String {
    if peers.is_empty() {
        return "no peers are connected\n".to_owned();
    }
    let mut table = Table::new([
        "NODE",
        "ROLE",
        "TRANSPORT",
        "DIRECTION",
        "LATENCY",
        "HEIGHT",
        "CONNECTED",
        "AGENT",
        "ADDRESS",
    ]);
    for peer in peers {
        let unknown = || "-".to_owned();
        table.row([
            peer.node_id.map_or_else(|| peer.peer_id.clone(), |id| id.short()),
            if peer.is_validator { "validator" } else { "observer" }.to_owned(),
            peer.transport.clone(),
            match peer.direction {
                Direction::Inbound => "in",
                Direction::Outbound => "out",
            }
            .to_owned(),
            peer.latency_us.map_or_else(unknown, |us| format!("{}.{} ms", us / 1000, us % 1000 / 100)),
            peer.height.map_or_else(unknown, |height| height.to_string()),
            length(peer.connected_ms),
            peer.agent.clone().unwrap_or_else(unknown),
            peer.address.clone(),
        ]);
    }
    table.render()
}
