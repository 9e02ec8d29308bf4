//! `aegis verify`

use std::io::Read as _;
use std::path::{Path, PathBuf};

use aegis_light::ProofFile;
use clap::Args;

use super::proof::{ProvedJson, proved_text, trusted_genesis, unproved};
use super::{Failure, Global};

/// Check a proof of a value that `aegis kv get --prove --file` wrote. No node is asked; only the genesis is trusted
#[derive(Debug, Args)]
pub struct Verify {
    /// The proof
    file: PathBuf,
    /// The network's genesis [default: the home's]
    #[arg(long, value_name = "FILE")]
    genesis: Option<PathBuf>,
}

impl Verify {
    /// Checks it and says what it proves.
    ///
    /// # Errors
    /// When it does not hold, or a file cannot be read.
    pub fn run(self, global: &Global) -> Result<(), Failure> {
        let genesis = trusted_genesis(global, self.genesis.as_deref())?;
        let json = read_bounded(&self.file).map_err(|error| Failure::file(&self.file, error))?;
        let verified = ProofFile::parse(&json).and_then(|proof| proof.verify(&genesis));
        let verified = verified.map_err(|error| unproved(&error))?;
        global.output().document(&ProvedJson::from(&verified), |_| proved_text(&verified))
    }
}

/// At most one byte more than a proof may have: enough to refuse the rest.
fn read_bounded(path: &Path) -> std::io::Result<Vec<u8>> {
    let limit = u64::try_from(ProofFile::BYTES_MAX).unwrap_or(u64::MAX).saturating_add(1);
    let mut json = Vec::new();
    std::fs::File::open(path)?.take(limit).read_to_end(&mut json)?;
    Ok(json)
}
