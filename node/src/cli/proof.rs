//! What `kv get --prove` and `verify` share: whom to trust, and how to say what was found.

use std::io::Read as _;
use std::path::Path;

use aegis_config::GenesisFile;
use aegis_light::{Checkpoint, LightClient, LightError, VerifiedValue};
use aegis_rpc::EncodedBytes;
use aegis_types::{Epoch, Genesis, Hash, Height, ValidatorId, View, Weight};
use serde::Serialize;

use super::output::printable;
use super::table::{Fields, Table};
use super::{Failure, Global};
use crate::calendar::time;

/// The genesis to trust: the file given, or the home's.
///
/// # Errors
/// When there is none, or it cannot be used.
pub fn trusted_genesis(global: &Global, file: Option<&Path>) -> Result<Genesis, Failure> {
    match file {
        Some(file) => Ok(GenesisFile::load(file)?.genesis),
        None if global.home().genesis_path().exists() => Ok(global.home().read_genesis()?.genesis),
        None => Err(Failure::usage("no genesis is at hand, and a proof is worth what the genesis is worth")
            .help("name the network's genesis with --genesis FILE, or a home that has it with --home DIR")),
    }
}

/// Reads at most one byte more than a file may have: enough to refuse the rest.
///
/// # Errors
/// Errors of the file system.
pub fn read_bounded(path: &Path, bytes_max: usize) -> std::io::Result<Vec<u8>> {
    let limit = u64::try_from(bytes_max).unwrap_or(u64::MAX).saturating_add(1);
    let mut bytes = Vec::new();
    std::fs::File::open(path)?.take(limit).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Reads a checkpoint, which is trusted as the genesis is.
///
/// # Errors
/// When it cannot be read, or is none.
pub fn read_checkpoint(path: &Path) -> Result<Checkpoint, Failure> {
    let json = read_bounded(path, Checkpoint::BYTES_MAX).map_err(|error| Failure::file(path, error))?;
    Checkpoint::parse(&json).map_err(|error| Failure::file(path, printable(&error.to_string())))
}

/// Writes where a client stands, in one step.
///
/// # Errors
/// When the file cannot be written.
pub fn write_checkpoint(path: &Path, genesis: &Genesis, client: &LightClient) -> Result<(), Failure> {
    let json = Checkpoint::of(genesis, client).to_json().map_err(|error| unproved(&error))?;
    let unfinished = path.with_extension("partial");
    let written = std::fs::write(&unfinished, json).and_then(|()| std::fs::rename(&unfinished, path));
    written.map_err(|error| Failure::file(path, error))
}

/// A proof that does not hold. The reason may quote what a stranger wrote.
pub fn unproved(error: &LightError) -> Failure {
    Failure::new(printable(&error.to_string()))
}

/// A proved value as JSON.
#[derive(Debug, Serialize)]
pub struct ProvedJson {
    key: String,
    exists: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    value_base64: Option<EncodedBytes>,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    modified_height: Option<Height>,
    height: Height,
    state_root: Hash,
    certified_by: Height,
    certified_ms: u64,
    epoch: Epoch,
    view: View,
    weight: Weight,
    quorum: Weight,
    total_weight: Weight,
    signers: Vec<SignerJson>,
}

#[derive(Debug, Serialize)]
struct SignerJson {
    validator: ValidatorId,
    weight: Weight,
}

impl From<&VerifiedValue> for ProvedJson {
    fn from(verified: &VerifiedValue) -> Self {
        let VerifiedValue { key, record, state } = verified;
        let record = record.as_ref();
        let signer = |(validator, weight): &(ValidatorId, Weight)| SignerJson {
            validator: *validator,
            weight: *weight,
        };
        Self {
            key: key.clone(),
            exists: record.is_some(),
            value: record.and_then(|record| String::from_utf8(record.value.clone()).ok()),
            value_base64: record.map(|record| EncodedBytes(record.value.clone())),
            version: record.map(|record| record.version),
            modified_height: record.map(|record| record.height),
            height: state.executed().height,
            state_root: state.executed().state_root,
            certified_by: state.certified_by(),
            certified_ms: state.certified_ms(),
            epoch: state.epoch(),
            view: state.view(),
            weight: state.weight(),
            quorum: state.quorum(),
            total_weight: state.total(),
            signers: state.signers().iter().map(signer).collect(),
        }
    }
}

/// A proved value for people.
pub fn proved_text(verified: &VerifiedValue) -> String {
    let VerifiedValue { key, record, state } = verified;
    let value = match record {
        None => "does not exist".to_owned(),
        Some(record) => match std::str::from_utf8(&record.value) {
            Ok(text) => text.to_owned(),
            Err(_) => format!("{} bytes, not text; --output json shows them", record.value.len()),
        },
    };
    let fields = Fields::new()
        .field("key", key)
        .field("value", value)
        .optional("version", record.as_ref().map(|record| record.version))
        .optional("changed in", record.as_ref().map(|record| format!("block {}", record.height)))
        .field(
            "state",
            format!("after block {}, root {}", state.executed().height, state.executed().state_root),
        )
        .field("certified by", format!("block {} of {}", state.certified_by(), time(state.certified_ms())))
        .field(
            "certificate",
            format!(
                "weight {} of {} (quorum {}) by {} signers in epoch {}, view {}",
                state.weight(),
                state.total(),
                state.quorum(),
                state.signers().len(),
                state.epoch(),
                state.view()
            ),
        );
    let mut table = Table::new(["SIGNER", "WEIGHT"]);
    for (validator, weight) in state.signers() {
        table.row([validator.to_string(), weight.to_string()]);
    }
    format!("{}\n{}", fields.render(), table.render())
}
