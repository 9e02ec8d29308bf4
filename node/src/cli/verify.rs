//! `aegis verify`

use std::path::PathBuf;

use aegis_light::{LightClient, LightError, ProofFile};
use clap::Args;

use super::proof::{
    ProvedJson, proved_text, read_bounded, read_checkpoint, trusted_genesis, unproved, write_checkpoint,
};
use super::{Failure, Global};

/// Check a proof of a value that `aegis kv get --prove --file` wrote. No node is asked; only the genesis is trusted
#[derive(Debug, Args)]
pub struct Verify {
    /// The proof
    file: PathBuf,
    /// The network's genesis [default: the home's]
    #[arg(long, value_name = "FILE")]
    genesis: Option<PathBuf>,
    /// Validators that were verified before, to begin with; trusted as the genesis is. For proofs made with --from-epoch
    #[arg(long, value_name = "FILE")]
    checkpoint: Option<PathBuf>,
    /// Write the validators that the proof leads to into a file, for --checkpoint
    #[arg(long, value_name = "FILE")]
    keep_checkpoint: Option<PathBuf>,
}

impl Verify {
    /// Checks it and says what it proves.
    ///
    /// # Errors
    /// When it does not hold, or a file cannot be read.
    pub fn run(self, global: &Global) -> Result<(), Failure> {
        let genesis = trusted_genesis(global, self.genesis.as_deref())?;
        let mut client = match &self.checkpoint {
            Some(path) => read_checkpoint(path)?.client(&genesis).map_err(|error| unproved(&error))?,
            None => LightClient::new(&genesis),
        };
        let json = read_bounded(&self.file, ProofFile::BYTES_MAX)
            .map_err(|error| Failure::file(&self.file, error))?;
        let verified = ProofFile::parse(&json).and_then(|proof| proof.verify_with(&genesis, &mut client));
        let verified = verified.map_err(|error| match error {
            LightError::NeedsCheckpoint { .. } => unproved(&error).help(
                "name one with --checkpoint FILE: `kv get --prove` keeps one in its home, `checkpoint.json`, and so does an \
                 earlier `verify --keep-checkpoint FILE`; or ask for a proof from the genesis on, without --from-epoch",
            ),
            _ => unproved(&error),
        })?;
        if let Some(path) = &self.keep_checkpoint {
            write_checkpoint(path, &genesis, &client)?;
        }
        global.output().document(&ProvedJson::from(&verified), |_| {
            let begin = match &self.checkpoint {
                Some(path) => format!("the checkpoint {}", path.display()),
                None => format!("the genesis {}", genesis.hash()),
            };
            format!("the proof holds, from {begin} on\n\n{}", proved_text(&verified))
        })
    }
}
