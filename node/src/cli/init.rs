//! `aegis init`

use std::net::SocketAddr;
use std::path::PathBuf;

use aegis_config::{GenesisFile, Layers, render};
use clap::Args;
use serde::Serialize;

use super::table::Fields;
use super::{Failure, Global};
use crate::home::NewHome;
use crate::keyfile::{KeyFile, KeyPurpose};

/// Make a home for a node: keys, token and a commented configuration
#[derive(Debug, Args)]
pub struct Init {
    /// The network's genesis; its copy in the home can also be put there later
    #[arg(long, value_name = "FILE")]
    genesis: Option<PathBuf>,
    /// A node to join by; may be repeated
    #[arg(long, value_name = "MULTIADDR")]
    bootstrap: Vec<String>,
    /// Address for other nodes; may be repeated
    #[arg(long, value_name = "MULTIADDR")]
    listen: Vec<String>,
    /// Address for clients
    #[arg(long, value_name = "ADDRESS:PORT")]
    rpc_listen: Option<SocketAddr>,
    /// Name that peers see
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
}

#[derive(Serialize)]
struct Report {
    home: PathBuf,
    node_id: String,
    account: String,
    chain_id: Option<String>,
    genesis: Option<String>,
    next: String,
}

impl Init {
    /// Makes the home.
    ///
    /// # Errors
    /// When the home is not empty, or an argument or file is not valid.
    pub fn run(self, global: &Global) -> Result<(), Failure> {
        let home = global.home();
        let genesis = self.genesis.as_deref().map(GenesisFile::load).transpose()?;
        let config = self.config()?;
        let node_key = KeyFile::generate(KeyPurpose::Node)?;
        let account_key = KeyFile::generate(KeyPurpose::Account)?;
        home.create(&NewHome {
            config,
            genesis: genesis.as_ref(),
            node_key: &node_key,
            account_key: &account_key,
        })?;
        let run = format!("aegis run --home {}", home.path().display());
        let report = Report {
            node_id: node_key.keypair.validator_id().to_string(),
            account: account_key.keypair.account_id().to_string(),
            chain_id: genesis.as_ref().map(|file| file.genesis.chain.to_string()),
            genesis: genesis.as_ref().map(|file| file.genesis.hash().to_string()),
            next: match genesis {
                Some(_) => run,
                None => format!(
                    "copy the network's genesis.toml to {}, then: {run}",
                    home.genesis_path().display()
                ),
            },
            home: home.path().to_owned(),
        };
        global.output().document(&report, |report| {
            Fields::new()
                .field("home", report.home.display())
                .field("node id", &report.node_id)
                .field("account", &report.account)
                .optional("chain", report.chain_id.as_ref())
                .optional("genesis", report.genesis.as_ref())
                .field("next", &report.next)
                .render()
        })
    }

    fn config(&self) -> Result<String, Failure> {
        let list = |items: &[String]| toml::Value::Array(items.iter().cloned().map(Into::into).collect());
        let mut values = Vec::new();
        if !self.bootstrap.is_empty() {
            values.push(("p2p.bootstrap", list(&self.bootstrap)));
        }
        if !self.listen.is_empty() {
            values.push(("p2p.listen", list(&self.listen)));
        }
        if let Some(listen) = self.rpc_listen {
            values.push(("rpc.listen", listen.to_string().into()));
        }
        if let Some(name) = &self.name {
            values.push(("node.name", name.clone().into()));
        }
        let text = render(&values);
        // A home is made only with a configuration that a node would take.
        Layers::new()
            .with_file("config.toml".as_ref(), text.clone())
            .resolve()
            .map_err(|error| Failure::usage(error.to_string()))?;
        Ok(text)
    }
}
