//! `aegis keys export`

use std::path::PathBuf;

use clap::Args;
use serde::Serialize;

use super::{PublicKey, file_in};
use crate::cli::{Failure, Global};
use crate::keyfile::{KeyFile, KeyPurpose};

/// Print a key, with --secret also its secret
#[derive(Debug, Args)]
pub struct Export {
    /// Which key of the home
    #[arg(long, value_enum, default_value = "account")]
    purpose: KeyPurpose,
    /// A key file instead of the home's
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Print the secret instead of the public key: whoever sees it can act in its owner's name
    #[arg(long)]
    secret: bool,
}

#[derive(Serialize)]
struct Secret {
    purpose: KeyPurpose,
    secret: String,
}

impl Export {
    /// Prints the key.
    ///
    /// # Errors
    /// When the key file cannot be read.
    pub fn run(self, global: &Global) -> Result<(), Failure> {
        let file = self.file.unwrap_or_else(|| file_in(&global.home(), self.purpose));
        let key = KeyFile::read(&file)?;
        if self.secret {
            let secret = Secret { purpose: key.purpose, secret: hex::encode(*key.keypair.seed()) };
            global.output().document(&secret, |secret| secret.secret.clone())
        } else {
            global.output().document(&PublicKey::of(&key, file), |key| key.public.clone())
        }
    }
}
