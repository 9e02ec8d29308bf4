//! The table of all targets.

use super::{
    canonical, config_files, engine, frames, key_file, ledger, messages, node_wire, receipt, requests,
    segments, values, weights,
};

/// A fuzz target.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// Its name: of the program in `fuzz/fuzz_targets` and of the folder in `fuzz/corpus`.
    pub name: &'static str,
    /// Takes any bytes; panics when something is broken.
    pub run: fn(&[u8]),
    /// Inputs to start a search from, made by hand: at least one that gets all the way through.
    pub seeds: fn() -> Vec<Vec<u8>>,
    /// How many changes of each corpus file the replay tries; fewer where a run takes long.
    pub changes: u32,
}

/// All targets, by name.
pub const TARGETS: &[Target] = &[
    Target { name: "canonical", run: canonical::run, seeds: canonical::seeds, changes: 8 },
    Target { name: "config", run: config_files::run_config, seeds: config_files::config_seeds, changes: 2 },
    Target { name: "engine", run: engine::run, seeds: engine::seeds, changes: 1 },
    Target { name: "frames", run: frames::run, seeds: frames::seeds, changes: 20 },
    Target {
        name: "genesis_file",
        run: config_files::run_genesis,
        seeds: config_files::genesis_seeds,
        changes: 4,
    },
    Target { name: "grpc", run: requests::run_grpc, seeds: requests::grpc_seeds, changes: 2 },
    Target { name: "key_file", run: key_file::run, seeds: key_file::seeds, changes: 10 },
    Target { name: "ledger", run: ledger::run, seeds: ledger::seeds, changes: 1 },
    Target { name: "message", run: messages::run_message, seeds: messages::message_seeds, changes: 8 },
    Target { name: "node_wire", run: node_wire::run, seeds: node_wire::seeds, changes: 10 },
    Target { name: "receipt", run: receipt::run, seeds: receipt::seeds, changes: 10 },
    Target { name: "record", run: messages::run_record, seeds: messages::record_seeds, changes: 8 },
    Target { name: "rest", run: requests::run_rest, seeds: requests::rest_seeds, changes: 2 },
    Target { name: "segments", run: segments::run, seeds: segments::seeds, changes: 1 },
    Target { name: "values", run: values::run, seeds: values::seeds, changes: 10 },
    Target { name: "weights", run: weights::run, seeds: weights::seeds, changes: 20 },
];

impl Target {
    /// The target of a name.
    pub fn named(name: &str) -> Option<&'static Self> {
        TARGETS.iter().find(|target| target.name == name)
    }
}
