//! The folder of `aegis testnet up`: made when it is not there, resumed when it is.

use std::path::Path;

use aegis_store::{DataDir, StoreError};

use super::Up;
use crate::cli::{Failure, Output};
use crate::home::{Home, NewHome};
use crate::keyfile::{KeyFile, KeyPurpose};
use crate::testnet::plan::{Plan, config_of, genesis_path, home_of, weights};
use crate::testnet::ports::{PortUse, check_free, range};
use crate::testnet::record::Record;

const DEFAULT_VALIDATORS: u16 = 4;
const DEFAULT_BASE_PORT: u16 = 7003;
const DEFAULT_RPC_PORT: u16 = 8003;
/// Name of the network.
const CHAIN: &str = "aegis-testnet";

/// Makes the network in `folder`, or takes up the one that is there, adjusted as the flags say.
///
/// # Errors
/// When the folder holds something else, or a network with other validators than the flags say.
pub fn prepare(up: &Up, folder: &Path, output: Output) -> Result<Record, Failure> {
    match Record::read(folder)? {
        Some(record) => resume(up, &record, folder, output),
        None => make(up, folder),
    }
}

fn make(up: &Up, folder: &Path) -> Result<Record, Failure> {
    let record = Record::new(
        up.validators.unwrap_or(DEFAULT_VALIDATORS),
        up.observers.unwrap_or_default(),
        up.base_port.unwrap_or(DEFAULT_BASE_PORT),
        up.rpc_port.unwrap_or(DEFAULT_RPC_PORT),
    );
    // Before anything is written: a network that cannot start is not made.
    check_free(&range(record.base_port, record.nodes(), PortUse::Peers)?, PortUse::Peers)?;
    check_free(&range(record.rpc_port, record.nodes(), PortUse::Clients)?, PortUse::Clients)?;
    let plan = Plan {
        folder: folder.to_owned(),
        chain: CHAIN.parse()?,
        weights: weights(&up.weights, record.validators)?,
        places: record.places(),
    };
    plan.write()?;
    record.write(folder)?;
    Ok(record)
}

fn resume(up: &Up, old: &Record, folder: &Path, output: Output) -> Result<Record, Failure> {
    check_stopped(old, folder)?;
    let shown = folder.display();
    let other = || {
        format!(
            "leave the flag out to resume that network, or name another folder with --home for a new one ({shown} stays as it is)"
        )
    };
    if let Some(validators) = up.validators.filter(|validators| *validators != old.validators) {
        return Err(Failure::usage(format!(
            "the network in {shown} has {} validators, not {validators}",
            old.validators
        ))
        .help(other()));
    }
    if !up.weights.is_empty() {
        return Err(Failure::usage(format!("the network in {shown} has its weights already")).help(other()));
    }
    let record = Record::new(
        old.validators,
        up.observers.unwrap_or(old.observers).max(old.observers),
        up.base_port.unwrap_or(old.base_port),
        up.rpc_port.unwrap_or(old.rpc_port),
    );
    output.note(&format!("resuming the network in {shown}"));
    if record == *old {
        return Ok(record);
    }
    check_free(&range(record.base_port, record.nodes(), PortUse::Peers)?, PortUse::Peers)?;
    check_free(&range(record.rpc_port, record.nodes(), PortUse::Clients)?, PortUse::Clients)?;
    adjust(&record, folder, output)?;
    record.write(folder)?;
    Ok(record)
}

/// Refuses a network that runs already, before anything is said about the ports that it takes. Whatever else is wrong with a
/// node's data, that node says itself.
fn check_stopped(record: &Record, folder: &Path) -> Result<(), Failure> {
    for index in 0..usize::from(record.nodes()) {
        let home = home_of(folder, index);
        if !DataDir::has_data(&home.data_path()) {
            continue;
        }
        if let Err(StoreError::InUse { pid, .. }) = DataDir::open(&home.data_path()) {
            let by = pid.map_or_else(String::new, |pid| format!(" as process {pid}"));
            return Err(Failure::new(format!(
                "the network in {} is running already: node{index} runs{by}",
                folder.display()
            ))
            .help(format!(
                "`aegis --home {} status` asks it; Ctrl-C where it was started stops it; --home names another folder for a \
                 second network",
                home.path().display()
            )));
        }
    }
    Ok(())
}

/// Gives all nodes the configuration of the record's ports, and makes homes for new observers.
fn adjust(record: &Record, folder: &Path, output: Output) -> Result<(), Failure> {
    let places = record.places();
    for index in 0..places.len() {
        let home = home_of(folder, index);
        let config = config_of(&places, index);
        if home.is_initialised() {
            replace_config(&home, &config, output)?;
        } else {
            let genesis = aegis_config::GenesisFile::load(&genesis_path(folder))?;
            let node_key = KeyFile::generate(KeyPurpose::Node)?;
            let account_key = KeyFile::generate(KeyPurpose::Account)?;
            home.create(&NewHome {
                config,
                genesis: Some(&genesis),
                node_key: &node_key,
                account_key: &account_key,
            })?;
        }
    }
    Ok(())
}

/// Replaces a home's configuration; one that differs is kept beside it.
fn replace_config(home: &Home, config: &str, output: Output) -> Result<(), Failure> {
    let path = home.config_path();
    let old = std::fs::read_to_string(&path).map_err(|error| Failure::file(&path, error))?;
    if old == config {
        return Ok(());
    }
    let kept = path.with_extension("toml.old");
    std::fs::write(&kept, old).map_err(|error| Failure::file(&kept, error))?;
    std::fs::write(&path, config).map_err(|error| Failure::file(&path, error))?;
    output.note(&format!("{} has new addresses; the old one is {}", path.display(), kept.display()));
    Ok(())
}
