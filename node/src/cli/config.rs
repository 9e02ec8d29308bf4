//! `aegis config`

use std::collections::BTreeMap;

use clap::{Args, Subcommand};
use serde::Serialize;

use super::run::{runnable, with_settings};
use super::table::{Fields, Table};
use super::{Failure, Global};
use crate::node::settings;

/// Show or check the configuration in effect
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Every value in effect and where it came from
    Show,
    /// Look for mistakes in configuration, genesis, keys and token, without starting anything
    Check(Check),
}

/// Look for mistakes in configuration, genesis, keys and token, without starting anything
#[derive(Debug, Args)]
pub struct Check {
    /// Any key of the configuration, as for `aegis run`; may be repeated
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
}

#[derive(Serialize)]
struct Value {
    value: serde_json::Value,
    source: &'static str,
    origin: String,
    environment: String,
}

#[derive(Serialize)]
struct Checked {
    home: String,
    chain_id: String,
    genesis: String,
    node_id: String,
    account: String,
    role_at_genesis: &'static str,
}

impl ConfigCommand {
    /// Carries it out.
    ///
    /// # Errors
    /// The first mistake that is found.
    pub fn run(self, global: &Global) -> Result<(), Failure> {
        match self {
            Self::Show => show(global),
            Self::Check(check) => check.run(global),
        }
    }
}

fn show(global: &Global) -> Result<(), Failure> {
    let home = global.home();
    let output = global.output();
    if !home.is_initialised() {
        output.note(&format!(
            "note: there is no {}; defaults and environment only",
            home.config_path().display()
        ));
    }
    let effective = home.config_layers()?.resolve()?;
    if output.is_json() {
        let mut values = BTreeMap::new();
        for entry in effective.entries() {
            let value = Value {
                value: serde_json::to_value(&entry.value).unwrap_or_default(),
                source: entry.source.layer(),
                origin: entry.source.to_string(),
                environment: entry.section.variable(entry.key),
            };
            values.insert(entry.section.path(entry.key), value);
        }
        return output.document(&values, |_| String::new());
    }
    let mut table = Table::new(["KEY", "VALUE", "FROM"]);
    for entry in effective.entries() {
        table.row([entry.section.path(entry.key), entry.value.to_string(), entry.source.to_string()]);
    }
    output.document(&(), |()| table.render())
}

impl Check {
    fn run(self, global: &Global) -> Result<(), Failure> {
        let home = global.home();
        if !home.is_initialised() {
            return Err(Failure::new(format!("there is no home at {}", home.path().display()))
                .help("name one with --home DIR, or make one with `aegis init`"));
        }
        let config = with_settings(runnable(home.config_layers()?), &self.set)?.resolve()?.config;
        let genesis = home.read_genesis()?.genesis;
        let node_key = home.read_node_key()?;
        let account_key = home.read_account_key()?;
        settings::check(&config, &home, &genesis, home.read_token()?)?;
        let is_validator = genesis.validators.contains(&node_key.validator_id());
        let checked = Checked {
            home: home.path().display().to_string(),
            chain_id: genesis.chain.to_string(),
            genesis: genesis.hash().to_string(),
            node_id: node_key.validator_id().to_string(),
            account: account_key.account_id().to_string(),
            role_at_genesis: if is_validator { "validator" } else { "observer" },
        };
        global.output().document(&checked, |checked| {
            Fields::new()
                .field("home", &checked.home)
                .field("chain", &checked.chain_id)
                .field("genesis", &checked.genesis)
                .field("node id", &checked.node_id)
                .field("account", &checked.account)
                .field("role at genesis", checked.role_at_genesis)
                .field("result", "configuration, genesis, keys and token are in order")
                .render()
        })
    }
}
