//! The home of a node: a folder of mode 0700 with everything that is the node's own.
//!
//! | path | what |
//! |---|---|
//! | `config.toml` | commented configuration |
//! | `genesis.toml` | what the network starts from |
//! | `node.key`, `account.key` | secret keys, mode 0600 |
//! | `rpc.token` | bearer token for writes that the node signs, mode 0600 |
//! | `data/` | durable state |
//! | `journal.id` | the name of the vote journal in `data/` and how far it has got, so that its loss is noticed |
//! | `tor/` | keys, state and directory of the Tor client, if Tor is used |
//! | `checkpoint.json` | validators that a proof of this network was checked against last, see `aegis kv get --prove` |
//! | `rpc.url` | where the running node serves clients |
//! | `node.log` | log, when `aegis testnet up` started the node |

use std::fs::DirBuilder;
use std::io::Read as _;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use aegis_config::{GenesisFile, GenesisFormat, Layers};
use aegis_store::{DataDir, StoreError};
use aegis_types::Keypair;
use anyhow::{Context as _, bail};

use crate::keyfile::{KeyFile, KeyFileError, KeyPurpose, write_private};

/// Bytes of randomness in a token.
const TOKEN_BYTES: usize = 32;
/// Held while `journal.id` is written.
static JOURNAL_NOTES: Mutex<()> = Mutex::new(());
/// Largest token file that is read.
const TOKEN_FILE_BYTES_MAX: u64 = 1_024;

/// A node's home; the folder need not exist.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Home {
    path: PathBuf,
}

/// What a home remembers of its vote journal, outside of the journal's folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JournalNote {
    /// Its name.
    pub id: [u8; 16],
    /// How far it has got at least, see [`aegis_store::Milestones`]; none in a home of an earlier version.
    pub confirmed: Option<u64>,
}

impl JournalNote {
    /// Two lines: the name in hexadecimal digits, the milestone in decimal ones.
    fn to_text(self) -> String {
        let confirmed = self.confirmed.map(|confirmed| format!("{confirmed}\n")).unwrap_or_default();
        format!("{}\n{confirmed}", hex::encode(self.id))
    }

    fn parse(text: &str) -> Option<Self> {
        let mut lines = text.lines().map(str::trim);
        let id = hex::decode(lines.next()?).ok()?.try_into().ok()?;
        let confirmed = lines.next().map(|line| line.parse().ok());
        match confirmed {
            Some(None) => None,
            confirmed => Some(Self { id, confirmed: confirmed.flatten() }),
        }
    }
}

/// What a new home is made of.
#[derive(Debug)]
pub struct NewHome<'a> {
    /// The text of `config.toml`.
    pub config: String,
    /// The genesis, when it is known.
    pub genesis: Option<&'a GenesisFile>,
    /// The node's key.
    pub node_key: &'a KeyFile,
    /// The account's key.
    pub account_key: &'a KeyFile,
}

/// Says where the node serves clients as long as it exists.
#[derive(Debug)]
pub struct RpcAnnouncement {
    path: PathBuf,
}

impl Drop for RpcAnnouncement {
    fn drop(&mut self) {
        // Left behind, it names an address that nobody answers at: commands then say so.
        let _ = std::fs::remove_file(&self.path);
    }
}

impl Home {
    /// The home at `path`.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// `AEGIS_HOME`, if it is set and not empty.
    pub fn named_by_environment() -> Option<PathBuf> {
        std::env::var_os("AEGIS_HOME").filter(|path| !path.is_empty()).map(PathBuf::from)
    }

    /// `AEGIS_HOME`, then `~/.aegis`, then `./.aegis`.
    pub fn default_path() -> PathBuf {
        Self::named_by_environment()
            .unwrap_or_else(|| std::env::home_dir().unwrap_or_else(|| PathBuf::from(".")).join(".aegis"))
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// `config.toml`
    pub fn config_path(&self) -> PathBuf {
        self.path.join("config.toml")
    }

    /// `genesis.toml`
    pub fn genesis_path(&self) -> PathBuf {
        self.path.join("genesis.toml")
    }

    /// `node.key`
    pub fn node_key_path(&self) -> PathBuf {
        self.path.join("node.key")
    }

    /// `account.key`
    pub fn account_key_path(&self) -> PathBuf {
        self.path.join("account.key")
    }

    /// `rpc.token`
    pub fn token_path(&self) -> PathBuf {
        self.path.join("rpc.token")
    }

    /// `data/`
    pub fn data_path(&self) -> PathBuf {
        self.path.join("data")
    }

    /// The folder of the Tor client: the key of the onion service, state and directory.
    pub fn tor_path(&self) -> PathBuf {
        self.path.join("tor")
    }

    /// `rpc.url`
    pub fn rpc_url_path(&self) -> PathBuf {
        self.path.join("rpc.url")
    }

    /// Where the node of this home serves clients, if it runs; whatever it was configured or told on its command line.
    pub fn rpc_url(&self) -> Option<String> {
        let text = std::fs::read_to_string(self.rpc_url_path()).ok()?;
        Some(text.trim().to_owned()).filter(|url| !url.is_empty())
    }

    /// Notes where the node serves clients, for commands that are run with this home.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn announce_rpc(&self, url: &str) -> std::io::Result<RpcAnnouncement> {
        let path = self.rpc_url_path();
        std::fs::write(&path, format!("{url}\n"))?;
        Ok(RpcAnnouncement { path })
    }

    /// `journal.id`
    fn journal_id_path(&self) -> PathBuf {
        self.path.join("journal.id")
    }

    /// What this home knows of its vote journal, once it has one.
    ///
    /// # Errors
    /// When the file cannot be read or holds something else.
    pub fn read_journal_note(&self) -> anyhow::Result<Option<JournalNote>> {
        let path = self.journal_id_path();
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
        };
        let note = JournalNote::parse(&text);
        let note =
            note.with_context(|| format!("{} holds no name of a journal; restore it", path.display()))?;
        Ok(Some(note))
    }

    /// Remembers, durably, this home's vote journal and how far it has got.
    ///
    /// # Errors
    /// When the file cannot be written; what it said before then still stands.
    pub fn write_journal_note(&self, note: JournalNote) -> Result<(), StoreError> {
        let path = self.journal_id_path();
        let unfinished = path.with_extension("id.partial");
        // The parts of a node that was stopped in this process may still be at it.
        let _one_at_a_time = JOURNAL_NOTES.lock().unwrap_or_else(PoisonError::into_inner);
        let write = || {
            match std::fs::remove_file(&unfinished) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            write_private(&unfinished, note.to_text().as_bytes())?;
            std::fs::rename(&unfinished, &path)?;
            std::fs::File::open(&self.path)?.sync_all()
        };
        write().map_err(|error| StoreError::io("write", &path, error))
    }

    /// Whether a node has ever run on this home, as far as the home can tell: it has data, or remembers a vote journal.
    pub fn has_run(&self) -> bool {
        DataDir::has_data(&self.data_path()) || !matches!(self.read_journal_note(), Ok(None))
    }

    /// `checkpoint.json`
    pub fn checkpoint_path(&self) -> PathBuf {
        self.path.join("checkpoint.json")
    }

    /// `node.log`
    pub fn log_path(&self) -> PathBuf {
        self.path.join("node.log")
    }

    /// Whether `aegis init` or `aegis testnet` has been here.
    pub fn is_initialised(&self) -> bool {
        self.config_path().exists()
    }

    /// Makes the home. Nothing that exists is changed.
    ///
    /// # Errors
    /// When the folder exists and is not empty, or cannot be written.
    pub fn create(&self, new: &NewHome<'_>) -> anyhow::Result<()> {
        self.make_folder()?;
        new.node_key.write_new(&self.node_key_path())?;
        new.account_key.write_new(&self.account_key_path())?;
        let mut token = [0_u8; TOKEN_BYTES];
        rand::TryRng::try_fill_bytes(&mut rand::rngs::SysRng, &mut token)
            .map_err(|error| KeyFileError::NoRandomness { reason: error.to_string() })?;
        let write = |path: PathBuf, text: &str| {
            write_private(&path, text.as_bytes()).with_context(|| path.display().to_string())
        };
        write(self.token_path(), &format!("{}\n", hex::encode(token)))?;
        if let Some(genesis) = new.genesis {
            write(self.genesis_path(), &genesis.to_text(GenesisFormat::Toml))?;
        }
        // Last: a home without it was left half made, and counts as none.
        write(self.config_path(), &new.config)
    }

    fn make_folder(&self) -> anyhow::Result<()> {
        let shown = self.path.display();
        match std::fs::read_dir(&self.path) {
            Ok(mut entries) => {
                if entries.next().is_some() {
                    bail!(
                        "{shown} is not empty and is left as it is; name another folder with --home, or run the node that \
                         lives there with `aegis run --home {shown}`"
                    );
                }
                std::fs::set_permissions(&self.path, std::fs::Permissions::from_mode(0o700))
                    .with_context(|| shown.to_string())
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(&self.path)
                .with_context(|| format!("{shown} cannot be made")),
            Err(error) => Err(error).with_context(|| shown.to_string()),
        }
    }

    /// The layers of the node's configuration: its file, if there is one, and the environment.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn config_layers(&self) -> anyhow::Result<Layers> {
        let variables = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
        let layers = Layers::new().with_environment(variables);
        let path = self.config_path();
        Ok(if path.exists() { layers.read_file(&path)? } else { layers })
    }

    /// The genesis.
    ///
    /// # Errors
    /// When there is none or it is not valid.
    pub fn read_genesis(&self) -> anyhow::Result<GenesisFile> {
        let path = self.genesis_path();
        if !path.exists() {
            bail!(
                "{} is missing; copy it from another node of the network, or make a new network with `aegis testnet init`",
                path.display()
            );
        }
        Ok(GenesisFile::load(&path)?)
    }

    /// The node's key.
    ///
    /// # Errors
    /// See [`KeyFile::read`].
    pub fn read_node_key(&self) -> Result<Keypair, KeyFileError> {
        KeyFile::read_for(&self.node_key_path(), KeyPurpose::Node)
    }

    /// The key of the node's account.
    ///
    /// # Errors
    /// See [`KeyFile::read`].
    pub fn read_account_key(&self) -> Result<Keypair, KeyFileError> {
        KeyFile::read_for(&self.account_key_path(), KeyPurpose::Account)
    }

    /// The bearer token.
    ///
    /// # Errors
    /// When there is none, others can read it, or it is empty.
    pub fn read_token(&self) -> anyhow::Result<String> {
        let path = self.token_path();
        let shown = path.display();
        let file = std::fs::File::open(&path).with_context(|| {
            format!("{shown} cannot be read; write a long random word into it and run `chmod 600 {shown}`")
        })?;
        let mode = file.metadata()?.permissions().mode() & 0o777;
        if mode & 0o077 != 0 {
            bail!(
                "{shown} can be read by others (mode {mode:o}); run `chmod 600 {shown}` and change the token"
            );
        }
        let mut text = String::new();
        file.take(TOKEN_FILE_BYTES_MAX).read_to_string(&mut text).with_context(|| shown.to_string())?;
        let token = text.trim();
        if token.is_empty() {
            bail!("{shown} is empty; write a long random word into it");
        }
        Ok(token.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn create(home: &Home) -> anyhow::Result<()> {
        let node_key = KeyFile::generate(KeyPurpose::Node)?;
        let account_key = KeyFile::generate(KeyPurpose::Account)?;
        let config = aegis_config::Config::example();
        home.create(&NewHome { config, genesis: None, node_key: &node_key, account_key: &account_key })
    }

    fn mode(path: &Path) -> u32 {
        std::fs::metadata(path).expect("there").permissions().mode() & 0o777
    }

    #[test]
    fn a_new_home_is_private_and_complete() {
        let folder = tempfile::tempdir().expect("a folder");
        let home = Home::new(folder.path().join("deep").join("home"));
        create(&home).expect("made");
        assert_eq!(mode(home.path()), 0o700);
        for path in [home.node_key_path(), home.account_key_path(), home.token_path()] {
            assert_eq!(mode(&path), 0o600, "{}", path.display());
        }
        assert!(home.is_initialised());
        assert_eq!(home.read_token().expect("a token").len(), 64);
        assert_ne!(
            home.read_node_key().expect("a key").account_id(),
            home.read_account_key().expect("a key").account_id()
        );
        let effective =
            Layers::new().read_file(&home.config_path()).and_then(Layers::resolve).expect("valid");
        assert_eq!(effective.config, aegis_config::Config::default());
    }

    #[test]
    fn what_is_remembered_of_a_journal_is_read_back_also_from_an_earlier_version() {
        let folder = tempfile::tempdir().expect("a folder");
        let home = Home::new(folder.path());
        assert_eq!(home.read_journal_note().expect("none"), None);
        for note in [
            JournalNote { id: [7; 16], confirmed: None },
            JournalNote { id: [8; 16], confirmed: Some(1 << 40) },
        ] {
            home.write_journal_note(note).expect("written");
            assert_eq!(home.read_journal_note().expect("read"), Some(note));
        }
        let id = hex::encode([8; 16]);
        for garbled in ["".to_owned(), format!("{id}0"), format!("{id}\nx\n"), format!("{id}\n-1\n")] {
            std::fs::write(home.journal_id_path(), &garbled).expect("written");
            assert!(home.read_journal_note().is_err(), "{garbled}");
        }
    }

    #[test]
    fn a_folder_with_something_in_it_is_left_as_it_is() {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("precious"), "data").expect("written");
        let error = create(&Home::new(folder.path())).expect_err("refused").to_string();
        assert!(error.contains("not empty"), "{error}");
        assert_eq!(std::fs::read_dir(folder.path()).expect("there").count(), 1);
    }

    #[test]
    fn a_missing_genesis_and_an_exposed_token_say_what_to_do() {
        let folder = tempfile::tempdir().expect("a folder");
        let home = Home::new(folder.path().join("home"));
        create(&home).expect("made");
        let error = home.read_genesis().expect_err("missing").to_string();
        assert!(error.contains("copy it from another node"), "{error}");
        std::fs::set_permissions(home.token_path(), std::fs::Permissions::from_mode(0o644)).expect("set");
        let error = home.read_token().expect_err("exposed").to_string();
        assert!(error.contains("chmod 600"), "{error}");
    }
}
