//! Key files: one ed25519 key pair each, for the eyes of their owner only.
//!
//! ```text
//! aegis key file, version 1
//! # Whoever has the secret acts in its owner's name. It cannot be recovered when it is lost.
//! purpose = node
//! public = <64 hexadecimal digits>
//! secret = <64 hexadecimal digits>
//! ```
//!
//! A file is made with mode 0600 from its first byte on, is never overwritten, and is refused when others can read it.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use aegis_types::Keypair;
use zeroize::Zeroizing;

const FIRST_LINE: &str = "aegis key file, version 1";
/// Largest file that is read; a key file has some 300 bytes.
const FILE_BYTES_MAX: u64 = 4_096;

/// What a key is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum KeyPurpose {
    /// Names a node on the network and signs its votes.
    Node,
    /// Signs proposals.
    Account,
}

impl KeyPurpose {
    const fn name(self) -> &'static str {
        match self {
            Self::Node => "node",
            Self::Account => "account",
        }
    }
}

impl fmt::Display for KeyPurpose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for KeyPurpose {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "node" => Ok(Self::Node),
            "account" => Ok(Self::Account),
            _ => Err(()),
        }
    }
}

/// Why a key file was refused.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// There is no such file.
    #[error("there is no key file {}; `aegis init` makes a home with keys, `aegis keys new` a single one", path.display())]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// The file cannot be read or written.
    #[error("key file {}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the operating system says.
        source: std::io::Error,
    },
    /// Others can read the file.
    #[error("key file {0} can be read by others (mode {mode:o}); run `chmod 600 {0}`, and make a new key if somebody else \
             may have read it", path.display())]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The file is there already.
    #[error("{} exists and is left as it is: a key that is overwritten is lost; name another file, or move this one away", path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// The file has not the form of a key file.
    #[error("{} is no valid key file: {reason}; restore it from a backup, or make the key anew with `aegis keys import`", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The key is for something else.
    #[error("{} holds a key for the purpose `{actual}`; one for `{expected}` is needed here", path.display())]
    WrongPurpose {
        /// The file.
        path: PathBuf,
        /// What the key is for.
        actual: KeyPurpose,
        /// What it was to be used for.
        expected: KeyPurpose,
    },
    /// The operating system gave no randomness.
    #[error("the operating system gives no randomness for a new key: {reason}; try again later")]
    NoRandomness {
        /// What it says.
        reason: String,
    },
}

/// A key pair and what it is for.
#[derive(Debug, Clone)]
pub struct KeyFile {
    /// What the key is for.
    pub purpose: KeyPurpose,
    /// The key pair.
    pub keypair: Keypair,
}

impl KeyFile {
    /// Makes a new key from the operating system's randomness.
    ///
    /// # Errors
    /// `NoRandomness`.
    pub fn generate(purpose: KeyPurpose) -> Result<Self, KeyFileError> {
        let mut seed = Zeroizing::new([0_u8; 32]);
        rand::TryRng::try_fill_bytes(&mut rand::rngs::SysRng, seed.as_mut())
            .map_err(|error| KeyFileError::NoRandomness { reason: error.to_string() })?;
        Ok(Self { purpose, keypair: Keypair::from_seed(&seed) })
    }

    /// Reads a key file.
    ///
    /// # Errors
    /// `Missing`, `Io`, `Exposed` or `Malformed`.
    pub fn read(path: &Path) -> Result<Self, KeyFileError> {
        let io = |source: std::io::Error| match source.kind() {
            std::io::ErrorKind::NotFound => KeyFileError::Missing { path: path.to_owned() },
            _ => KeyFileError::Io { path: path.to_owned(), source },
        };
        let file = File::open(path).map_err(io)?;
        // Of the open file, so that nobody can exchange it between check and use.
        let mode = file.metadata().map_err(io)?.permissions().mode() & 0o777;
        if mode & 0o077 != 0 {
            return Err(KeyFileError::Exposed { path: path.to_owned(), mode });
        }
        let mut text = Zeroizing::new(String::new());
        file.take(FILE_BYTES_MAX).read_to_string(&mut text).map_err(io)?;
        Self::parse(&text).map_err(|reason| KeyFileError::Malformed { path: path.to_owned(), reason })
    }

    /// Reads a key file whose key must be for `expected`.
    ///
    /// # Errors
    /// As [`KeyFile::read`], and `WrongPurpose`.
    pub fn read_for(path: &Path, expected: KeyPurpose) -> Result<Keypair, KeyFileError> {
        let key = Self::read(path)?;
        if key.purpose == expected {
            Ok(key.keypair)
        } else {
            Err(KeyFileError::WrongPurpose { path: path.to_owned(), actual: key.purpose, expected })
        }
    }

    /// Writes a new key file and makes it durable.
    ///
    /// # Errors
    /// `Exists` or `Io`.
    pub fn write_new(&self, path: &Path) -> Result<(), KeyFileError> {
        write_private(path, self.to_text().as_bytes()).map_err(|source| match source.kind() {
            std::io::ErrorKind::AlreadyExists => KeyFileError::Exists { path: path.to_owned() },
            _ => KeyFileError::Io { path: path.to_owned(), source },
        })
    }

    /// The text of the file, secret included.
    pub fn to_text(&self) -> Zeroizing<String> {
        let secret = Zeroizing::new(hex::encode(*self.keypair.seed()));
        Zeroizing::new(format!(
            "{FIRST_LINE}\n# Whoever has the secret acts in its owner's name. It cannot be recovered when it is lost.\n\
             purpose = {}\npublic = {}\nsecret = {}\n",
            self.purpose,
            self.keypair.account_id(),
            *secret
        ))
    }

    /// Reads the text of a key file.
    ///
    /// # Errors
    /// What is wrong with it, in a sentence that does not repeat the secret.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut lines = text.lines();
        match lines.next() {
            Some(FIRST_LINE) => {}
            Some(line) if line.starts_with("aegis key file, version ") => {
                return Err("it was written by a newer version of aegis, which can read it".to_owned());
            }
            _ => return Err(format!("its first line is not `{FIRST_LINE}`")),
        }
        let (mut purpose, mut public, mut secret) = (None, None, None);
        for line in lines.map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
            let (name, value) = line.split_once('=').ok_or("a line is not of the form `name = value`")?;
            let slot = match name.trim() {
                "purpose" => &mut purpose,
                "public" => &mut public,
                "secret" => &mut secret,
                other => return Err(format!("`{other}` is not known")),
            };
            if slot.replace(value.trim()).is_some() {
                return Err(format!("`{}` stands there twice", name.trim()));
            }
        }
        let purpose = purpose.ok_or("`purpose` is missing")?;
        let purpose = purpose.parse().map_err(|()| "`purpose` is neither `node` nor `account`".to_owned())?;
        let seed = parse_seed(secret.ok_or("`secret` is missing")?)?;
        let keypair = Keypair::from_seed(&seed);
        if public != Some(keypair.account_id().to_string().as_str()) {
            return Err("`public` is not the public key of `secret`".to_owned());
        }
        Ok(Self { purpose, keypair })
    }
}

/// Reads a secret seed: 64 hexadecimal digits.
///
/// # Errors
/// A sentence that does not repeat the secret.
pub fn parse_seed(text: &str) -> Result<Zeroizing<[u8; 32]>, String> {
    let mut seed = Zeroizing::new([0_u8; 32]);
    hex::decode_to_slice(text.trim(), seed.as_mut())
        .map_err(|_| "a secret has 64 hexadecimal digits".to_owned())?;
    Ok(seed)
}

/// Writes a new file with mode 0600 and makes it and its folder's entry durable. Never overwrites.
///
/// # Errors
/// What the operating system says.
pub fn write_private(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    match path.parent() {
        Some(folder) if folder.as_os_str().is_empty() => File::open(".")?.sync_all(),
        Some(folder) => File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder() -> tempfile::TempDir {
        tempfile::tempdir().expect("a folder")
    }

    #[test]
    fn a_key_is_written_for_its_owner_only_and_read_back() {
        let folder = folder();
        let path = folder.path().join("node.key");
        let key = KeyFile::generate(KeyPurpose::Node).expect("a key");
        key.write_new(&path).expect("written");
        let mode = std::fs::metadata(&path).expect("there").permissions().mode() & 0o777;
        assert_eq!(mode, 0o600);
        let read = KeyFile::read_for(&path, KeyPurpose::Node).expect("read");
        assert_eq!(read.validator_id(), key.keypair.validator_id());
        assert_eq!(*read.seed(), *key.keypair.seed());
    }

    #[test]
    fn two_new_keys_differ() {
        let make = || KeyFile::generate(KeyPurpose::Account).expect("a key").keypair.account_id();
        assert_ne!(make(), make());
    }

    #[test]
    fn a_key_that_others_can_read_is_refused_with_the_command_that_mends_it() {
        let folder = folder();
        let path = folder.path().join("node.key");
        KeyFile::generate(KeyPurpose::Node).expect("a key").write_new(&path).expect("written");
        for mode in [0o640, 0o604, 0o644, 0o660] {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).expect("set");
            let error = KeyFile::read(&path).expect_err("exposed").to_string();
            assert!(error.contains(&format!("chmod 600 {}", path.display())), "{error}");
        }
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o400)).expect("set");
        assert!(KeyFile::read(&path).is_ok());
    }

    #[test]
    fn an_existing_key_is_never_overwritten() {
        let folder = folder();
        let path = folder.path().join("account.key");
        KeyFile::generate(KeyPurpose::Account).expect("a key").write_new(&path).expect("written");
        let before = std::fs::read(&path).expect("read");
        let again = KeyFile::generate(KeyPurpose::Account).expect("a key").write_new(&path);
        assert!(matches!(again, Err(KeyFileError::Exists { .. })));
        assert_eq!(std::fs::read(&path).expect("read"), before);
    }

    #[test]
    fn damaged_and_foreign_files_are_refused_without_repeating_the_secret() {
        let text = KeyFile::generate(KeyPurpose::Node).expect("a key").to_text();
        let secret = text.rsplit("secret = ").next().expect("secret").trim().to_owned();
        for (from, to) in [
            ("version 1", "version 2"),
            ("purpose = node", "purpose = nodes"),
            ("purpose = node\n", ""),
            ("public = ", "public = 0"),
            ("secret = ", "secret = 0"),
            ("secret = ", "sekret = "),
            ("purpose = node", "purpose = node\npurpose = node"),
        ] {
            let reason = KeyFile::parse(&text.replace(from, to)).expect_err(to);
            assert!(!reason.contains(&secret), "{reason}");
        }
        assert!(KeyFile::parse("").is_err());
    }

    #[test]
    fn a_key_for_another_purpose_is_refused() {
        let folder = folder();
        let path = folder.path().join("account.key");
        KeyFile::generate(KeyPurpose::Account).expect("a key").write_new(&path).expect("written");
        let error = KeyFile::read_for(&path, KeyPurpose::Node).expect_err("account").to_string();
        assert!(error.contains("`account`") && error.contains("`node`"), "{error}");
        assert!(matches!(KeyFile::read(&folder.path().join("none")), Err(KeyFileError::Missing { .. })));
    }
}
