//! What hostile bytes may not do: the bodies of all fuzz targets.
//!
//! A target takes any bytes and panics when something is broken that must hold for all of them. [`TARGETS`] names every one.
//! They are called from two places: the libFuzzer programs in `fuzz/`, which search, and the test `fuzz_corpora`, which
//! replays every file that the search has left in `fuzz/corpus` and some small changes of each. See `docs/fuzzing.md`.
//!
//! # Properties beyond "no panic"
//! - What decodes is encoded to the same bytes where an encoding is canonical, and to a value that reads back elsewhere.
//! - Decoders of what peers send take memory in proportion to what they were sent ([`memory`]).
//! - The engine never contradicts itself, and sends no vote that is not durable; the ledger's root depends on its entries
//!   alone, and no proposal takes effect twice; a damaged disk yields a prefix of what was written, or an error.
//! - Whatever the weight rule reads, no `t` members get more than may fail.
//! - No request reaches the node with a value outside its bounds, and none is answered with a fault of the server.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a target shows what it finds by panicking"
)]

pub mod bytes_source;
pub mod canonical;
pub mod config_files;
pub mod engine;
pub mod frames;
pub mod key_file;
pub mod ledger;
pub mod memory;
pub mod messages;
pub mod node_wire;
pub mod receipt;
pub mod requests;
pub mod segments;
pub mod target;
pub mod values;
pub mod weights;

#[allow(dead_code, missing_docs, reason = "only some of the samples are needed here")]
#[path = "../../../types/tests/golden/samples.rs"]
mod samples;

pub use target::{TARGETS, Target};
