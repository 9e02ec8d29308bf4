//! The genesis as a file that people write and compare.
//!
//! The hash that names a network is taken over the canonical encoding of the [`Genesis`], not over the file's text: order,
//! comments, format and the validators' names do not change it. Names are local decoration.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aegis_types::crypto::check_validator_key;
use aegis_types::{
    ChainId, Epoch, Genesis, Member, Parameter, Parameters, TypesError, ValidatorId, ValidatorSet, Weight,
};
use serde::{Deserialize, Serialize};

use crate::error::ConfigError;
use crate::layers::{line_of, read_bounded};

/// How a genesis file is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GenesisFormat {
    /// `genesis.toml`
    Toml,
    /// `genesis.json`
    Json,
}

impl GenesisFormat {
    /// The format of a file by its name: JSON when it ends in `.json`, TOML otherwise.
    pub fn of(path: &Path) -> Self {
        match path.extension() {
            Some(extension) if extension.eq_ignore_ascii_case("json") => Self::Json,
            _ => Self::Toml,
        }
    }
}

/// A genesis with the names that its file gives to validators.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GenesisFile {
    /// What the network starts from.
    pub genesis: Genesis,
    /// Names of validators, for people. Not part of the hash; they may differ from node to node.
    pub names: BTreeMap<ValidatorId, String>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct FileForm {
    chain_id: ChainId,
    time: TimeForm,
    validators: Vec<ValidatorForm>,
    #[serde(default)]
    parameters: BTreeMap<String, ValueForm>,
}

/// A parameter's value: a number, or a word where the parameter has some.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum ValueForm {
    Number(u64),
    Text(String),
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ValidatorForm {
    id: ValidatorId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    weight: Weight,
}

/// A time as RFC 3339 text or as milliseconds of the Unix epoch.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum TimeForm {
    Text(String),
    Millis(u64),
}

/// Longest name of a validator, in characters: it stands in tables.
const NAME_CHARS_MAX: usize = 64;

const TOML_OPENING: &str = "\
# The genesis of an Aegis network: what all its nodes start from. Every node has a copy that says the same; the hash below
# is taken over the meaning, not over this text, and the names of validators are not part of it.
";

impl GenesisFile {
    /// A genesis without names.
    pub fn new(genesis: Genesis) -> Self {
        Self { genesis, names: BTreeMap::new() }
    }

    /// Reads a file, as TOML or JSON by its name.
    ///
    /// # Errors
    /// `Unreadable`, `TooLarge`, `Syntax` or `Genesis`.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        Self::parse(path, &read_bounded(path)?, GenesisFormat::of(path))
    }

    /// Reads the text of a file; `path` is for messages only.
    ///
    /// # Errors
    /// `Syntax` (also for unknown keys) or `Genesis`.
    pub fn parse(path: &Path, text: &str, format: GenesisFormat) -> Result<Self, ConfigError> {
        let syntax = |line, reason: String| ConfigError::Syntax { path: path.to_owned(), line, reason };
        let form: FileForm = match format {
            GenesisFormat::Toml => toml::from_str(text).map_err(|error| {
                syntax(line_of(text, error.span().map_or(0, |span| span.start)), error.message().to_owned())
            })?,
            GenesisFormat::Json => {
                serde_json::from_str(text).map_err(|error| syntax(error.line(), error.to_string()))?
            }
        };
        form.check().map_err(|reason| ConfigError::Genesis { path: path.to_owned(), reason })
    }

    /// The file's text.
    pub fn to_text(&self, format: GenesisFormat) -> String {
        let form = FileForm::of(self);
        match format {
            GenesisFormat::Json => serde_json::to_string_pretty(&form).unwrap_or_default() + "\n",
            GenesisFormat::Toml => {
                let body = toml::to_string(&form).unwrap_or_default();
                let explain = |(parameter, value): (Parameter, u64)| {
                    let value = parameter.value_text(value);
                    format!("# {parameter} = {value}: {}\n", parameter.description())
                };
                let all: String = self.genesis.parameters.all().map(explain).collect();
                format!(
                    "{TOML_OPENING}# Hash: {}\n\n{body}\n# All agreed parameters; a `param.set` proposal changes one:\n{all}",
                    self.genesis.hash()
                )
            }
        }
    }

    /// A validator's name, if the file gives one.
    pub fn name(&self, validator: &ValidatorId) -> Option<&str> {
        self.names.get(validator).map(String::as_str)
    }
}

impl FileForm {
    fn of(file: &GenesisFile) -> Self {
        let genesis = &file.genesis;
        let validator = |member: &Member| ValidatorForm {
            id: member.validator,
            name: file.names.get(&member.validator).cloned(),
            weight: member.weight,
        };
        Self {
            chain_id: genesis.chain.clone(),
            time: TimeForm::of(genesis.timestamp_ms),
            validators: genesis.validators.members().iter().map(validator).collect(),
            parameters: genesis
                .parameters
                .changed()
                .map(|(parameter, value)| (parameter.name().to_owned(), ValueForm::of(parameter, value)))
                .collect(),
        }
    }

    fn check(self) -> Result<GenesisFile, String> {
        let text = |error: TypesError| error.to_string();
        let mut names = BTreeMap::new();
        let mut members = Vec::with_capacity(self.validators.len());
        for validator in self.validators {
            if let Some(name) = validator.name {
                if name.chars().count() > NAME_CHARS_MAX || name.chars().any(char::is_control) {
                    return Err(format!(
                        "the name of validator {} must be one line of at most {NAME_CHARS_MAX} characters",
                        validator.id.short()
                    ));
                }
                names.insert(validator.id, name);
            }
            check_validator_key(&validator.id).map_err(text)?;
            members.push(Member { validator: validator.id, weight: validator.weight });
        }
        let mut parameters = Parameters::default();
        for (name, value) in self.parameters {
            let value = match value {
                ValueForm::Number(number) => number.to_string(),
                ValueForm::Text(word) => word,
            };
            parameters.set_text(&name, &value).map_err(text)?;
        }
        let genesis = Genesis {
            chain: self.chain_id,
            timestamp_ms: self.time.millis()?,
            validators: ValidatorSet::new(Epoch::ZERO, members).map_err(text)?,
            parameters,
        };
        genesis.check().map_err(text)?;
        Ok(GenesisFile { genesis, names })
    }
}

impl ValueForm {
    fn of(parameter: Parameter, value: u64) -> Self {
        let text = parameter.value_text(value);
        if text == value.to_string() { Self::Number(value) } else { Self::Text(text) }
    }
}

impl TimeForm {
    fn of(millis: u64) -> Self {
        match UNIX_EPOCH.checked_add(Duration::from_millis(millis)) {
            // Four-digit years are all that RFC 3339 can write.
            Some(time) if millis < 253_402_300_800_000 => {
                Self::Text(humantime::format_rfc3339_millis(time).to_string())
            }
            _ => Self::Millis(millis),
        }
    }

    fn millis(self) -> Result<u64, String> {
        match self {
            Self::Millis(millis) => Ok(millis),
            Self::Text(text) => humantime::parse_rfc3339(&text)
                .ok()
                .and_then(|time: SystemTime| time.duration_since(UNIX_EPOCH).ok())
                .and_then(|since| u64::try_from(since.as_millis()).ok())
                .ok_or_else(|| {
                    format!(
                        "`time` must be RFC 3339 in UTC, such as \"2026-11-21T12:00:00Z\", or milliseconds of the Unix \
                         epoch, not `{text}`"
                    )
                }),
        }
    }
}
