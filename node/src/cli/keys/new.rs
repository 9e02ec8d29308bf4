//! `aegis keys new`

use std::path::PathBuf;

use clap::Args;

use super::{PublicKey, file_in};
use crate::cli::{Failure, Global};
use crate::keyfile::{KeyFile, KeyPurpose};

/// Make a new key
#[derive(Debug, Args)]
pub struct New {
    /// What the key is for
    #[arg(long, value_enum, default_value = "account")]
    purpose: KeyPurpose,
    /// The file to make [default: the key's place in the home]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

impl New {
    /// Makes the key.
    ///
    /// # Errors
    /// When the file exists or cannot be written.
    pub fn run(self, global: &Global) -> Result<(), Failure> {
        let file = self.out.unwrap_or_else(|| file_in(&global.home(), self.purpose));
        let key = KeyFile::generate(self.purpose)?;
        key.write_new(&file)?;
        global.output().document(&PublicKey::of(&key, file), PublicKey::text)
    }
}
