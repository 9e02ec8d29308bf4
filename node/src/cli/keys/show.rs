//! `aegis keys show`

use std::path::PathBuf;

use clap::Args;

use super::PublicKey;
use crate::cli::{Failure, Global};
use crate::keyfile::KeyFile;

/// Show public keys
#[derive(Debug, Args)]
pub struct Show {
    /// A key file [default: the keys of the home]
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
}

impl Show {
    /// Prints them.
    ///
    /// # Errors
    /// When a key file cannot be read.
    pub fn run(self, global: &Global) -> Result<(), Failure> {
        let home = global.home();
        let files = match self.file {
            Some(file) => vec![file],
            None => vec![home.node_key_path(), home.account_key_path()],
        };
        let mut keys = Vec::with_capacity(files.len());
        for file in files {
            keys.push(PublicKey::of(&KeyFile::read(&file)?, file));
        }
        global
            .output()
            .document(&keys, |keys| keys.iter().map(PublicKey::text).collect::<Vec<_>>().join("\n"))
    }
}
