//! The kinds of proposals as subcommands.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use aegis_types::{Limits, ProposalBody, ValidatorId, Weight};
use clap::{Args, Subcommand};

use crate::cli::Failure;

/// What to propose
#[derive(Debug, Subcommand)]
pub enum KindArgs {
    /// Set a key; takes effect when it is ordered
    #[command(
        name = "kv.put",
        // A group of arguments would come first.
        override_usage = "aegis proposal submit kv.put [OPTIONS] <KEY> <VALUE|--file <FILE>>"
    )]
    KvPut {
        /// The key
        key: String,
        #[command(flatten)]
        value: ValueArgs,
    },
    /// Remove a key; takes effect when it is ordered
    #[command(name = "kv.delete")]
    KvDelete {
        /// The key
        key: String,
    },
    /// Set a key if it has the expected version; takes effect when it is ordered
    #[command(
        name = "kv.cas",
        override_usage = "aegis proposal submit kv.cas [OPTIONS] --expect <VERSION> <KEY> <VALUE|--file <FILE>>"
    )]
    KvCas {
        /// The key
        key: String,
        #[command(flatten)]
        value: ValueArgs,
        /// The version that the key must have; 0 when it must not exist
        #[arg(long, value_name = "VERSION")]
        expect: u64,
    },
    /// Put a decision on record; voted on
    #[command(name = "text")]
    Text {
        /// One line
        #[arg(long, value_name = "LINE")]
        title: String,
        #[command(flatten)]
        text: ValueArgs,
    },
    /// Set an agreed parameter; voted on
    #[command(name = "param.set")]
    ParamSet {
        /// The parameter, such as view_timeout_ms
        name: String,
        /// Its new value
        value: String,
    },
    /// Add a validator or change its weight; voted on
    #[command(name = "validator.add")]
    ValidatorAdd {
        /// The node's id
        id: ValidatorId,
        /// Its voting weight
        #[arg(long, default_value = "1")]
        weight: u64,
    },
    /// Remove a validator; voted on
    #[command(name = "validator.remove")]
    ValidatorRemove {
        /// The node's id
        id: ValidatorId,
    },
}

/// A value as an argument, from a file or from standard input
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub struct ValueArgs {
    /// The content; `-` reads standard input
    #[arg(allow_negative_numbers = true)]
    value: Option<String>,
    /// File with the content
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
}

impl ValueArgs {
    fn read(self) -> Result<Vec<u8>, Failure> {
        // One byte more than allowed, so that the check of the body sees that it is too much.
        let limit = Limits::VALUE_BYTES.max(Limits::TEXT_BYTES) as u64 + 1;
        let mut bytes = Vec::new();
        match (self.value, self.file) {
            (Some(value), None) if value == "-" => {
                let read = std::io::stdin().lock().take(limit).read_to_end(&mut bytes);
                read.map_err(|error| Failure::file(Path::new("standard input"), error))?;
            }
            (Some(value), None) => bytes = value.into_bytes(),
            (None, Some(file)) => {
                let read =
                    std::fs::File::open(&file).and_then(|open| open.take(limit).read_to_end(&mut bytes));
                read.map_err(|error| Failure::file(&file, error))?;
            }
            (None, None) | (Some(_), Some(_)) => {
                return Err(Failure::usage("give the content either as an argument or with --file"));
            }
        }
        Ok(bytes)
    }
}

impl KindArgs {
    /// The body that the arguments describe.
    ///
    /// # Errors
    /// When a file cannot be read, or text is no text.
    pub fn body(self) -> Result<ProposalBody, Failure> {
        Ok(match self {
            Self::KvPut { key, value } => ProposalBody::KvPut { key, value: value.read()? },
            Self::KvDelete { key } => ProposalBody::KvDelete { key },
            Self::KvCas { key, value, expect } => {
                ProposalBody::KvCas { key, expected_version: expect, value: value.read()? }
            }
            Self::Text { title, text } => ProposalBody::Text {
                title,
                text: String::from_utf8(text.read()?)
                    .map_err(|_| Failure::usage("a text proposal takes UTF-8 text"))?,
            },
            Self::ParamSet { name, value } => {
                aegis_types::Parameters::default().set_text(&name, &value)?;
                ProposalBody::ParamSet { name, value }
            }
            Self::ValidatorAdd { id, weight } => {
                ProposalBody::ValidatorAdd { validator: id, weight: Weight(weight) }
            }
            Self::ValidatorRemove { id } => ProposalBody::ValidatorRemove { validator: id },
        })
    }
}
