//! Configuration of a node: file, environment, flags, genesis, and their validation.
#![warn(missing_docs)]
//!
//! # One table
//! Each key is declared once, in [`sections`], with its type, default and meaning. The parser, the names of environment
//! variables, the commented example file and `aegis config show` are all derived from that declaration, so they cannot
//! drift apart.
//!
//! # Four layers
//! Defaults < file < `AEGIS_<SECTION>_<KEY>` environment < flags. [`Layers::resolve`] lays them over each other key by key
//! and remembers for each value where it came from.
//!
//! # What is not here
//! Parameters on which all nodes must agree live in the genesis and in agreed state. Whoever writes one into a
//! configuration file is told where it belongs.

#[macro_use]
mod section;

pub mod config;
pub mod error;
pub mod example;
pub mod genesis_file;
pub mod layers;
pub mod quantity;
pub mod sections;
pub mod source;
pub mod spelling;

pub use config::Config;
pub use error::ConfigError;
pub use example::render;
pub use genesis_file::{GenesisFile, GenesisFormat};
pub use layers::{Effective, Entry, Layers};
pub use quantity::{ByteSize, OptionalPath, Period};
pub use section::{KeyText, SectionText, Shape};
pub use sections::{
    ConsensusSection, LogFormat, NodeSection, P2pSection, RpcSection, StoreSection, SyncMode, SyncSection,
    TelemetrySection, TorMode, TorSection,
};
pub use source::Source;
