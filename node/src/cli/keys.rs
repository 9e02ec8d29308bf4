//! `aegis keys`

mod export;
mod import;
mod new;
mod show;

use std::path::PathBuf;

use clap::Subcommand;
use serde::Serialize;

use super::table::Fields;
use super::{Failure, Global};
use crate::home::Home;
use crate::keyfile::{KeyFile, KeyPurpose};

/// Make, show, import and export node and account keys
#[derive(Debug, Subcommand)]
pub enum Keys {
    /// Make a new key
    New(new::New),
    /// Show public keys
    Show(show::Show),
    /// Make a key file from a secret
    Import(import::Import),
    /// Print a key, with --secret also its secret
    Export(export::Export),
}

impl Keys {
    /// Carries it out.
    ///
    /// # Errors
    /// When a key file cannot be read or made.
    pub fn run(self, global: &Global) -> Result<(), Failure> {
        match self {
            Self::New(new) => new.run(global),
            Self::Show(show) => show.run(global),
            Self::Import(import) => import.run(global),
            Self::Export(export) => export.run(global),
        }
    }
}

/// The public part of a key, for people and programs.
#[derive(Serialize)]
struct PublicKey {
    purpose: KeyPurpose,
    public: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    peer_id: Option<String>,
    file: PathBuf,
}

impl PublicKey {
    fn of(key: &KeyFile, file: PathBuf) -> Self {
        let node = key.keypair.validator_id();
        let peer_id = match key.purpose {
            KeyPurpose::Node => Some(aegis_p2p::peer_id_of(&node).to_string()),
            KeyPurpose::Account => None,
        };
        Self { purpose: key.purpose, public: node.to_string(), peer_id, file }
    }

    fn text(&self) -> String {
        Fields::new()
            .field("purpose", self.purpose)
            .field("public", &self.public)
            .optional("peer id", self.peer_id.as_ref())
            .field("file", self.file.display())
            .render()
    }
}

/// Where a home keeps its key for a purpose.
fn file_in(home: &Home, purpose: KeyPurpose) -> PathBuf {
    match purpose {
        KeyPurpose::Node => home.node_key_path(),
        KeyPurpose::Account => home.account_key_path(),
    }
}
