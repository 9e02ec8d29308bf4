//! `aegis testnet init`

use std::path::PathBuf;

use aegis_types::ChainId;
use clap::Args;
use serde::Serialize;

use crate::cli::table::Table;
use crate::cli::{Failure, Global};
use crate::testnet::plan::{Place, Plan, VALIDATORS_MAX, home_of, places_on, weights};
use crate::testnet::ports::{PortUse, range};

/// Write homes, genesis and bootstrap addresses for a network, to copy to its hosts
#[derive(Debug, Args)]
pub struct Init {
    /// Number of validators
    #[arg(long, value_name = "N", default_value = "4", value_parser = clap::value_parser!(u16).range(1..=i64::from(VALIDATORS_MAX)))]
    validators: u16,
    /// The folder to make: node0, node1, ... and genesis.toml
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Hosts of the validators, names or IP addresses; a host that is named twice runs two [default: all on this computer]
    #[arg(long, value_name = "A,B,...", value_delimiter = ',')]
    hosts: Vec<String>,
    /// Voting weights [default: equal ones]
    #[arg(long, value_name = "W,W,...", value_delimiter = ',')]
    weights: Vec<u64>,
    /// Name of the network
    #[arg(long, value_name = "NAME", default_value = "aegis-testnet")]
    chain_id: ChainId,
    /// Port for other nodes, of the first node on a host
    #[arg(long, value_name = "PORT", default_value = "7003")]
    base_port: u16,
    /// Port for clients, of the first node on a host
    #[arg(long, value_name = "PORT", default_value = "8003")]
    rpc_port: u16,
}

#[derive(Serialize)]
struct Report {
    chain_id: String,
    genesis: String,
    nodes: Vec<Node>,
}

#[derive(Serialize)]
struct Node {
    home: PathBuf,
    host: String,
    node_id: String,
    weight: u64,
    addresses: Vec<String>,
    rpc: String,
}

impl Init {
    /// Writes the network.
    ///
    /// # Errors
    /// When the folder is in use or the arguments do not fit each other.
    pub fn run(self, global: &Global) -> Result<(), Failure> {
        let is_empty = std::fs::read_dir(&self.out).map_or(true, |mut entries| entries.next().is_none());
        if !is_empty {
            return Err(Failure::new(format!("{} is not empty and is left as it is", self.out.display()))
                .help("name another folder with --out"));
        }
        let places = self.places()?;
        let weights = weights(&self.weights, self.validators)?;
        let plan = Plan { folder: self.out.clone(), chain: self.chain_id, weights, places };
        let genesis = plan.write()?;
        let mut nodes = Vec::with_capacity(plan.places.len());
        for (index, (place, weight)) in plan.places.iter().zip(&plan.weights).enumerate() {
            let home = home_of(&plan.folder, index);
            nodes.push(Node {
                host: place.host.clone(),
                node_id: home.read_node_key()?.validator_id().to_string(),
                weight: *weight,
                addresses: place.dial(),
                rpc: format!("127.0.0.1:{}", place.rpc_port),
                home: home.path().to_owned(),
            });
        }
        let report =
            Report { chain_id: plan.chain.to_string(), genesis: genesis.genesis.hash().to_string(), nodes };
        global.output().document(&report, text)
    }

    fn places(&self) -> Result<Vec<Place>, Failure> {
        if self.hosts.is_empty() {
            let p2p = range(self.base_port, self.validators, PortUse::Peers)?;
            let rpc = range(self.rpc_port, self.validators, PortUse::Clients)?;
            return Ok(p2p.into_iter().zip(rpc).map(|(p2p, rpc)| Place::local(p2p, rpc)).collect());
        }
        if self.hosts.len() != usize::from(self.validators) {
            return Err(Failure::usage(format!(
                "{} hosts for {} validators",
                self.hosts.len(),
                self.validators
            ))
            .help("name one host for each validator; one that runs several is named several times"));
        }
        if let Some(host) = self.hosts.iter().find(|host| host.is_empty() || host.contains(['/', ' '])) {
            return Err(Failure::usage(format!("`{host}` is neither a host name nor an IP address")));
        }
        places_on(&self.hosts, self.base_port, self.rpc_port)
    }
}

fn text(report: &Report) -> String {
    let mut table = Table::new(["HOME", "HOST", "WEIGHT", "ID", "P2P", "RPC (ON THE HOST)"]);
    for node in &report.nodes {
        table.row([
            node.home.display().to_string(),
            node.host.clone(),
            node.weight.to_string(),
            node.node_id.chars().take(8).collect(),
            node.addresses.first().cloned().unwrap_or_default(),
            node.rpc.clone(),
        ]);
    }
    format!(
        "chain {}, genesis {}\n{}copy each home to its host, then there: aegis run --home DIR\n",
        report.chain_id,
        report.genesis,
        table.render()
    )
}
