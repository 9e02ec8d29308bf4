//! What a folder's test network consists of, so that it can be resumed.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::plan::Place;
use crate::cli::Failure;

/// Version of the record's form.
const VERSION: u32 = 1;

/// The record, `testnet.toml`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    version: u32,
    /// Number of validators: nodes 0 and up.
    pub validators: u16,
    /// Number of observers: the nodes after them.
    pub observers: u16,
    /// Port of node 0 for other nodes.
    pub base_port: u16,
    /// Port of node 0 for clients.
    pub rpc_port: u16,
}

impl Record {
    /// A record.
    pub const fn new(validators: u16, observers: u16, base_port: u16, rpc_port: u16) -> Self {
        Self { version: VERSION, validators, observers, base_port, rpc_port }
    }

    /// Where the record of a folder is.
    pub fn path(folder: &Path) -> PathBuf {
        folder.join("testnet.toml")
    }

    /// Number of nodes.
    pub const fn nodes(&self) -> u16 {
        self.validators.saturating_add(self.observers)
    }

    /// Where the nodes are.
    pub fn places(&self) -> Vec<Place> {
        let place = |index: u16| {
            Place::local(self.base_port.saturating_add(index), self.rpc_port.saturating_add(index))
        };
        (0..self.nodes()).map(place).collect()
    }

    /// Reads the record of a folder; nothing when there is no network in it.
    ///
    /// # Errors
    /// When the folder has something else in it, or the record is not readable.
    pub fn read(folder: &Path) -> Result<Option<Self>, Failure> {
        let path = Self::path(folder);
        match std::fs::read_to_string(&path) {
            Ok(text) => {
                let record: Self = toml::from_str(&text).map_err(|error| {
                    Failure::file(&path, error.message())
                        .help("name another folder with --home for a new network")
                })?;
                if record.version == VERSION {
                    Ok(Some(record))
                } else {
                    Err(Failure::file(&path, format!("version {} is not known", record.version))
                        .help("it was made by another version of aegis, which can run it"))
                }
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let is_empty = std::fs::read_dir(folder).map_or(true, |mut entries| entries.next().is_none());
                if is_empty {
                    Ok(None)
                } else {
                    Err(Failure::new(format!("{} is not empty and holds no test network", folder.display()))
                        .help("name another folder with --home, or remove what is in this one"))
                }
            }
            Err(error) => Err(Failure::file(&path, error)),
        }
    }

    /// Writes the record, as the last file of a new network.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, folder: &Path) -> Result<(), Failure> {
        let path = Self::path(folder);
        let text = toml::to_string(self).map_err(|error| Failure::file(&path, error))?;
        std::fs::write(&path, text).map_err(|error| Failure::file(&path, error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_read_back_and_a_foreign_folder_is_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        assert_eq!(Record::read(folder.path()).expect("empty"), None);
        let record = Record::new(4, 1, 7003, 8003);
        record.write(folder.path()).expect("written");
        assert_eq!(Record::read(folder.path()).expect("there"), Some(record.clone()));
        assert_eq!(record.places().len(), 5);
        std::fs::remove_file(Record::path(folder.path())).expect("removed");
        std::fs::write(folder.path().join("other"), "x").expect("written");
        assert!(Record::read(folder.path()).is_err());
    }
}
