//! What can be wrong with a configuration or a genesis file.

use std::path::PathBuf;

use crate::source::Source;

/// Why a configuration or a genesis was refused. Each is mended by its user; nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A file cannot be read.
    #[error("{} cannot be read: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the operating system says.
        source: std::io::Error,
    },
    /// A file is far larger than any configuration.
    #[error("{} has {actual} bytes; at most {limit} are read: is it the right file?", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Its size.
        actual: u64,
        /// The largest size that is read.
        limit: u64,
    },
    /// A file is no TOML or JSON of the expected form.
    #[error("{}:{line}: {reason}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1.
        line: usize,
        /// What is wrong, in words.
        reason: String,
    },
    /// A section or key is not known.
    #[error("{at}: there is no {what} `{name}`; {advice}")]
    Unknown {
        /// Where it was written.
        at: Source,
        /// `section`, `key` or `variable`.
        what: &'static str,
        /// The name as written.
        name: String,
        /// The nearest known name, or where the known names are listed.
        advice: String,
    },
    /// An agreed parameter stands in a node's configuration.
    #[error(
        "{at}: `{written}` is agreed by all nodes and is no setting of one; change it with \
         `aegis proposal submit param.set {parameter} VALUE`, or in the genesis of a new network"
    )]
    AgreedParameter {
        /// Where it was written.
        at: Source,
        /// The name as written.
        written: String,
        /// The parameter's name.
        parameter: aegis_types::Parameter,
    },
    /// A value does not have the form or range that its key needs.
    #[error("`{key}` ({at}): {reason}")]
    Value {
        /// The key, such as `p2p.listen`.
        key: String,
        /// Where the value was written.
        at: Source,
        /// What is wrong and what is expected.
        reason: String,
    },
    /// A genesis file is well formed and says something that cannot be.
    #[error("{}: {reason}", path.display())]
    Genesis {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
}
