//! What can go wrong with durable state. All of it is this node's own trouble, never a peer's fault.

use std::fmt;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use aegis_types::Height;

/// A part of the data folder, for messages and decisions on repair.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// The folder itself: its lock and its format file.
    Folder,
    /// The vote journal, `wal/`.
    Journal,
    /// The committed log, `clog/`.
    CommittedLog,
    /// The key-value store, `kv/`.
    Kv,
}

impl Part {
    fn advice(self) -> &'static str {
        match self {
            Part::Folder => {
                "if the folder is this home's own, write the line that is expected into the file; do not start the node \
                 on a folder of unknown origin"
            }
            Part::Journal => {
                "without its journal this validator could contradict votes it has already signed, so the node does not \
                 start. Restore the folder `wal` of this very home as it was when the node stopped, never an older copy; \
                 if that is lost, run `aegis store accept-lost-votes --home DIR` with the folder of this home: the node then \
                 does not vote until it is safe"
            }
            Part::CommittedLog => {
                "check the disk; the node sets damaged files aside at its start and fetches the blocks again from others"
            }
            Part::Kv => {
                "check the disk; it holds derived state only, which the node builds again from the committed log at its \
                 start"
            }
        }
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Part::Folder => "data folder",
            Part::Journal => "vote journal",
            Part::CommittedLog => "committed log",
            Part::Kv => "key-value store",
        })
    }
}

/// Why durable state could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The operating system refused an operation, for none of the reasons that have a variant of their own.
    #[error("cannot {action} {}: {source}; check the disk and the system's log", path.display())]
    Io {
        /// What was to be done, as a verb.
        action: &'static str,
        /// The file or folder concerned.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// The disk or the quota is full.
    #[error("cannot {action} {}: no space is left; free some space", path.display())]
    NoSpace {
        /// What was to be done, as a verb.
        action: &'static str,
        /// The file or folder concerned.
        path: PathBuf,
    },
    /// The file system is mounted read-only, often because the kernel has met an error on it.
    #[error(
        "cannot {action} {}: the file system is read-only; see the system's log for the reason and mount it writable",
        path.display()
    )]
    ReadOnly {
        /// What was to be done, as a verb.
        action: &'static str,
        /// The file or folder concerned.
        path: PathBuf,
    },
    /// This user may not read or write the file.
    #[error("cannot {action} {}: permission denied; give it to the user that runs the node", path.display())]
    NoPermission {
        /// What was to be done, as a verb.
        action: &'static str,
        /// The file or folder concerned.
        path: PathBuf,
    },
    /// Another process has the data folder open.
    #[error(
        "{} is in use by {}; stop it first: two nodes with one key would contradict each other",
        path.display(), holder(*pid)
    )]
    InUse {
        /// The file or folder concerned.
        path: PathBuf,
        /// The process that wrote its id into the lock file, if that can be read.
        pid: Option<u32>,
    },
    /// Bytes that were durable are not what was written.
    #[error("the {part} is damaged: {}{}: {reason}; {}", file.display(), place(*offset), part.advice())]
    Damaged {
        /// The part of the data folder.
        part: Part,
        /// The damaged file or folder.
        file: PathBuf,
        /// Where in the file, in bytes from its start; absent when it cannot be told.
        offset: Option<u64>,
        /// What is wrong there.
        reason: String,
    },
    /// A newer version of the program wrote this.
    #[error(
        "the {part} at {} has format {found}, this program knows formats up to {known}; use a newer version",
        path.display()
    )]
    NewerFormat {
        /// The part of the data folder.
        part: Part,
        /// The file or folder concerned.
        path: PathBuf,
        /// The version that was found.
        found: u32,
        /// The newest version that this program knows.
        known: u32,
    },
    /// An earlier write, sync or read of this part failed, so nothing more is done with it.
    #[error("the {part} is closed after an earlier failure; repair the cause and start the node again")]
    Poisoned {
        /// The part of the data folder.
        part: Part,
    },
    /// A block does not follow the newest one in the committed log.
    #[error(
        "the committed log ends before height {expected}, so the block of height {actual} cannot be appended"
    )]
    NotContiguous {
        /// The height that the log takes next.
        expected: Height,
        /// The height that was to be appended.
        actual: Height,
    },
    /// A record, key or value is larger than the store takes.
    #[error("{what} has {actual} bytes, at most {limit} are allowed; split it")]
    TooLarge {
        /// What is too large.
        what: &'static str,
        /// Its size in bytes.
        actual: u64,
        /// The most that is allowed, in bytes.
        limit: u64,
    },
}

impl StoreError {
    /// Whether the disk refuses to be written, or to be read, for a reason outside the store: with that out of the way,
    /// the store can be opened again as it is.
    pub fn is_disk_trouble(&self) -> bool {
        match self {
            Self::Io { .. }
            | Self::NoSpace { .. }
            | Self::ReadOnly { .. }
            | Self::NoPermission { .. }
            | Self::Poisoned { .. } => true,
            Self::InUse { .. }
            | Self::Damaged { .. }
            | Self::NewerFormat { .. }
            | Self::NotContiguous { .. }
            | Self::TooLarge { .. } => false,
        }
    }

    /// Sorts an error of the operating system by what an operator can do about it.
    pub fn io(action: &'static str, path: &Path, source: io::Error) -> Self {
        let path = path.to_path_buf();
        match source.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => Self::NoSpace { action, path },
            ErrorKind::ReadOnlyFilesystem => Self::ReadOnly { action, path },
            ErrorKind::PermissionDenied => Self::NoPermission { action, path },
            _ => Self::Io { action, path, source },
        }
    }
}

fn holder(pid: Option<u32>) -> String {
    pid.map_or_else(|| "another process".to_owned(), |pid| format!("process {pid}"))
}

fn place(offset: Option<u64>) -> String {
    offset.map_or_else(String::new, |offset| format!(" at byte {offset}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_and_a_read_only_one_have_variants_of_their_own() {
        let sort = |errno: rustix::io::Errno| StoreError::io("write", Path::new("f"), errno.into());
        assert!(matches!(sort(rustix::io::Errno::NOSPC), StoreError::NoSpace { .. }));
        assert!(matches!(sort(rustix::io::Errno::DQUOT), StoreError::NoSpace { .. }));
        assert!(matches!(sort(rustix::io::Errno::ROFS), StoreError::ReadOnly { .. }));
        assert!(matches!(sort(rustix::io::Errno::ACCESS), StoreError::NoPermission { .. }));
        assert!(matches!(sort(rustix::io::Errno::IO), StoreError::Io { .. }));
    }

    #[test]
    fn damage_names_part_file_offset_and_what_to_do() {
        let file = PathBuf::from("wal/1.seg");
        let reason = "the checksum does not match".to_owned();
        let text = StoreError::Damaged { part: Part::Journal, file, offset: Some(64), reason }.to_string();
        for expected in ["vote journal", "wal/1.seg", "byte 64", "checksum", "accept-lost-votes"] {
            assert!(text.contains(expected), "{expected} is missing in: {text}");
        }
    }
}
