//! `aegis keys import`

use std::io::Read as _;
use std::path::PathBuf;

use aegis_types::Keypair;
use clap::Args;
use zeroize::Zeroizing;

use super::{PublicKey, file_in};
use crate::cli::{Failure, Global};
use crate::keyfile::{KeyFile, KeyPurpose, parse_seed};

/// Longest secret that is read, with room for white space.
const SECRET_BYTES_MAX: u64 = 256;

/// Make a key file from a secret: 64 hexadecimal digits from standard input or a file, never from an argument, which other
/// users of the computer could see
#[derive(Debug, Args)]
pub struct Import {
    /// What the key is for
    #[arg(long, value_enum)]
    purpose: KeyPurpose,
    /// File with the secret; `-` reads standard input
    #[arg(long, value_name = "FILE", default_value = "-")]
    from: PathBuf,
    /// The file to make [default: the key's place in the home]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

impl Import {
    /// Makes the key file.
    ///
    /// # Errors
    /// When the secret is no secret, or the file exists or cannot be written.
    pub fn run(self, global: &Global) -> Result<(), Failure> {
        let mut text = Zeroizing::new(String::new());
        let read = if self.from.as_os_str() == "-" {
            std::io::stdin().lock().take(SECRET_BYTES_MAX).read_to_string(&mut text)
        } else {
            std::fs::File::open(&self.from)
                .and_then(|file| file.take(SECRET_BYTES_MAX).read_to_string(&mut text))
        };
        read.map_err(|error| Failure::file(&self.from, error))?;
        let seed = parse_seed(&text).map_err(|reason| {
            Failure::usage(reason).help(
                "pass the 32-byte ed25519 seed as hexadecimal digits, such as `keys export --secret` prints",
            )
        })?;
        let key = KeyFile { purpose: self.purpose, keypair: Keypair::from_seed(&seed) };
        let file = self.out.unwrap_or_else(|| file_in(&global.home(), self.purpose));
        key.write_new(&file)?;
        global.output().document(&PublicKey::of(&key, file), PublicKey::text)
    }
}
