//! Laying file, environment and flags over the defaults.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use aegis_types::Parameter;
use toml::de::{DeTable, DeValue};

use crate::config::Config;
use crate::error::ConfigError;
use crate::section::{KeyText, SectionText};
use crate::sections::{SyncMode, TorMode};
use crate::source::Source;
use crate::spelling::nearest;

/// Largest file that is read: some hundred times a full configuration.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Variables that belong to the command line and are no configuration keys.
const COMMAND_LINE_VARIABLES: [&str; 5] =
    ["AEGIS_HOME", "AEGIS_RPC", "AEGIS_OUTPUT", "AEGIS_TOKEN", "AEGIS_CA"];

/// The key that an archive implies.
const SYNC_MODE: &str = "sync.mode";
/// The key that a node with nothing but Tor implies.
const LISTEN: &str = "p2p.listen";
/// Whether Tor is used.
const TOR_MODE: &str = "p2p.tor.mode";

/// Likeness (0 to 1) above which an unknown `AEGIS_` variable is taken for a misspelt key. Others are left alone: the
/// prefix is not ours alone.
const VARIABLE_LIKENESS_MIN: f64 = 0.93;

/// What may set keys, lowest precedence first.
#[derive(Debug, Clone, Default)]
pub struct Layers {
    file: Option<(PathBuf, String)>,
    environment: BTreeMap<String, String>,
    flags: Vec<FlagValue>,
    has_no_tor: bool,
}

#[derive(Debug, Clone)]
struct FlagValue {
    flag: String,
    path: String,
    text: String,
}

/// A configuration in effect, with the origin of every value.
#[derive(Debug, Clone)]
pub struct Effective {
    /// The values.
    pub config: Config,
    sources: BTreeMap<String, Source>,
}

/// One value in effect.
#[derive(Debug, Clone)]
pub struct Entry {
    /// The section.
    pub section: &'static SectionText,
    /// The key.
    pub key: &'static KeyText,
    /// The value as TOML.
    pub value: toml::Value,
    /// Where it came from.
    pub source: Source,
}

impl Layers {
    /// Only defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds the configuration file at `path`.
    ///
    /// # Errors
    /// `Unreadable` or `TooLarge`.
    pub fn read_file(self, path: &Path) -> Result<Self, ConfigError> {
        let text = read_bounded(path)?;
        Ok(self.with_file(path, text))
    }

    /// Adds the text of a configuration file.
    #[must_use]
    pub fn with_file(mut self, path: &Path, text: String) -> Self {
        self.file = Some((path.to_owned(), text));
        self
    }

    /// Adds environment variables, as [`std::env::vars`] yields them; only those named `AEGIS_...` are looked at.
    #[must_use]
    pub fn with_environment(mut self, variables: impl IntoIterator<Item = (String, String)>) -> Self {
        self.environment.extend(variables.into_iter().filter(|(name, _)| name.starts_with("AEGIS_")));
        self
    }

    /// Adds a flag that sets the key `path` (such as `p2p.listen`) to `text`. Of two flags for one key the later one wins.
    #[must_use]
    pub fn with_flag(
        mut self,
        flag: impl Into<String>,
        path: impl Into<String>,
        text: impl Into<String>,
    ) -> Self {
        self.flags.push(FlagValue { flag: flag.into(), path: path.into(), text: text.into() });
        self
    }

    /// For a program that was built without Tor and is to run a node: a mode that needs Tor is refused, before anything is said
    /// about addresses that would suit it or not.
    #[must_use]
    pub fn without_tor(mut self) -> Self {
        self.has_no_tor = true;
        self
    }

    /// Lays all layers over the defaults and checks the result.
    ///
    /// # Errors
    /// The first mistake: unknown names, values of the wrong form or range, combinations that cannot be.
    pub fn resolve(self) -> Result<Effective, ConfigError> {
        let mut effective = Effective { config: Config::default(), sources: BTreeMap::new() };
        if let Some((path, text)) = &self.file {
            effective.lay_file(path, text)?;
        }
        effective.lay_environment(&self.environment)?;
        for flag in &self.flags {
            effective.lay_flag(flag)?;
        }
        if self.has_no_tor {
            effective.refuse_tor()?;
        }
        effective.imply();
        effective.check()?;
        Ok(effective)
    }
}

impl Effective {
    /// Every key with its value and origin, in the order of the example file.
    pub fn entries(&self) -> impl Iterator<Item = Entry> + '_ {
        Config::SECTIONS
            .iter()
            .flat_map(|section| section.keys.iter().map(move |key| (section, key)))
            .filter_map(|(section, key)| {
                let value = self.config.get(section.name, key.name)?;
                Some(Entry { section, key, value, source: self.source(&section.path(key)) })
            })
    }

    /// Where the value of a key such as `p2p.listen` came from.
    pub fn source(&self, path: &str) -> Source {
        self.sources.get(path).cloned().unwrap_or(Source::Default)
    }

    fn set(
        &mut self,
        section: &SectionText,
        key: &KeyText,
        value: toml::Value,
        source: Source,
    ) -> Result<(), ConfigError> {
        let path = section.path(key);
        self.config.set(section.name, key.name, value).map_err(|reason| ConfigError::Value {
            key: path.clone(),
            at: source.clone(),
            reason,
        })?;
        self.sources.insert(path, source);
        Ok(())
    }

    fn lay_file(&mut self, path: &Path, text: &str) -> Result<(), ConfigError> {
        let syntax = |error: &toml::de::Error| ConfigError::Syntax {
            path: path.to_owned(),
            line: line_of(text, error.span().map_or(0, |span| span.start)),
            reason: error.message().to_owned(),
        };
        let lines = DeTable::parse(text).map_err(|error| syntax(&error))?;
        let mut values: toml::Table = toml::from_str(text).map_err(|error| syntax(&error))?;
        for (name, content) in lines.get_ref() {
            let at = |offset| Source::File { path: path.to_owned(), line: line_of(text, offset) };
            let section = find_section(name.get_ref(), || at(name.span().start))?;
            let Some(values) = values.get_mut(section.name) else { continue };
            self.lay_section(section, content.get_ref(), values, &at, at(name.span().start))?;
        }
        Ok(())
    }

    /// Lays the keys of a section and of the sections within it.
    fn lay_section(
        &mut self,
        section: &'static SectionText,
        content: &DeValue<'_>,
        values: &mut toml::Value,
        at: &impl Fn(usize) -> Source,
        start: Source,
    ) -> Result<(), ConfigError> {
        let (DeValue::Table(keys), toml::Value::Table(values)) = (content, values) else {
            return Err(ConfigError::Value {
                key: section.name.to_owned(),
                at: start,
                reason: format!("this is a section; write its keys below a line `[{}]`", section.name),
            });
        };
        for (key_name, content) in keys {
            let source = at(key_name.span().start);
            let path = format!("{}.{}", section.name, key_name.get_ref());
            if let Some(inner) = Config::SECTIONS.iter().find(|section| section.name == path) {
                let Some(values) = values.get_mut(key_name.get_ref().as_ref()) else { continue };
                self.lay_section(inner, content.get_ref(), values, at, source)?;
                continue;
            }
            let key = find_key(section, key_name.get_ref(), || source.clone())?;
            if let Some(value) = values.remove(key.name) {
                self.set(section, key, value, source)?;
            }
        }
        Ok(())
    }

    fn lay_environment(&mut self, variables: &BTreeMap<String, String>) -> Result<(), ConfigError> {
        for (variable, text) in variables {
            let source = Source::Environment { variable: variable.clone() };
            let found = all_keys().find(|(section, key)| section.variable(key) == *variable);
            match found {
                Some((section, key)) => self.set_text(section, key, text, source)?,
                None => check_unknown_variable(variable, source)?,
            }
        }
        Ok(())
    }

    fn lay_flag(&mut self, flag: &FlagValue) -> Result<(), ConfigError> {
        let source = || Source::Flag { flag: flag.flag.clone() };
        let (section, key) = flag.path.rsplit_once('.').ok_or_else(|| ConfigError::Unknown {
            at: source(),
            what: "key",
            name: flag.path.clone(),
            advice: "name section and key, such as `p2p.listen`".to_owned(),
        })?;
        let section = find_section(section, source)?;
        let key = find_key(section, key, source)?;
        self.set_text(section, key, &flag.text, source())
    }

    fn set_text(
        &mut self,
        section: &SectionText,
        key: &KeyText,
        text: &str,
        source: Source,
    ) -> Result<(), ConfigError> {
        let value = key.shape.parse(text).map_err(|reason| ConfigError::Value {
            key: section.path(key),
            at: source.clone(),
            reason,
        })?;
        self.set(section, key, value, source)
    }

    fn refuse_tor(&self) -> Result<(), ConfigError> {
        if self.config.tor.mode == TorMode::Off {
            return Ok(());
        }
        let reason = "this program was built without Tor; build one that has it with `cargo build --release -p aegis-node \
                      --features tor`, or set it to \"off\"";
        Err(ConfigError::Value {
            key: TOR_MODE.to_owned(),
            at: self.source(TOR_MODE),
            reason: reason.to_owned(),
        })
    }

    /// Sets what follows from other keys, where nobody has said something else.
    fn imply(&mut self) {
        // Taking over a snapshot puts away the blocks before it, which an archive is there to keep.
        if self.config.store.archive && self.source(SYNC_MODE) == Source::Default {
            self.config.sync.mode = SyncMode::Blocks;
            self.sources.insert(SYNC_MODE.to_owned(), Source::Implied { by: "store.archive" });
        }
        // The addresses to listen on by default are none of Tor's. Addresses that somebody has set are refused instead.
        if self.config.tor.mode == TorMode::Only && self.source(LISTEN) == Source::Default {
            self.config.p2p.listen = Vec::new();
            self.sources.insert(LISTEN.to_owned(), Source::Implied { by: TOR_MODE });
        }
    }

    fn check(&self) -> Result<(), ConfigError> {
        match self.config.unusable().into_iter().next() {
            None => Ok(()),
            Some(unusable) => {
                let key = format!("{}.{}", unusable.section, unusable.key);
                Err(ConfigError::Value { at: self.source(&key), key, reason: unusable.reason })
            }
        }
    }
}

fn all_keys() -> impl Iterator<Item = (&'static SectionText, &'static KeyText)> {
    Config::SECTIONS.iter().flat_map(|section| section.keys.iter().map(move |key| (section, key)))
}

fn find_section(name: &str, source: impl Fn() -> Source) -> Result<&'static SectionText, ConfigError> {
    if let Some(section) = Config::SECTIONS.iter().find(|section| section.name == name) {
        return Ok(section);
    }
    refuse_agreed_parameter(name, &source)?;
    if name == "parameters" {
        let advice = "parameters are agreed by all nodes: they stand in genesis.toml and are changed by \
                      `aegis proposal submit param.set NAME VALUE`";
        return Err(ConfigError::Unknown {
            at: source(),
            what: "section",
            name: name.to_owned(),
            advice: advice.to_owned(),
        });
    }
    let names = || Config::SECTIONS.iter().map(|section| section.name);
    // A key above the first `[section]` line is a common slip.
    let homes: Vec<_> = all_keys().filter(|(_, key)| key.name == name).map(|(s, k)| s.path(k)).collect();
    let advice = match (nearest(name, names()), homes.first()) {
        (_, Some(home)) => format!("did you mean `{home}`? Keys stand below their section's line"),
        (Some(near), None) => format!("did you mean `{near}`?"),
        (None, None) => format!("sections are {}", names().collect::<Vec<_>>().join(", ")),
    };
    Err(ConfigError::Unknown { at: source(), what: "section", name: name.to_owned(), advice })
}

fn find_key(
    section: &'static SectionText,
    name: &str,
    source: impl Fn() -> Source,
) -> Result<&'static KeyText, ConfigError> {
    if let Some(key) = section.keys.iter().find(|key| key.name == name) {
        return Ok(key);
    }
    refuse_agreed_parameter(name, &source)?;
    let names = || section.keys.iter().map(|key| key.name);
    let elsewhere = all_keys().find(|(_, key)| key.name == name).map(|(section, key)| section.path(key));
    let advice = match (elsewhere, nearest(name, names())) {
        (Some(path), _) => format!("did you mean `{path}`?"),
        (None, Some(near)) => format!("did you mean `{}.{near}`?", section.name),
        (None, None) => format!("[{}] has {}", section.name, names().collect::<Vec<_>>().join(", ")),
    };
    let name = format!("{}.{name}", section.name);
    Err(ConfigError::Unknown { at: source(), what: "key", name, advice })
}

/// Refuses the name of an agreed parameter, also without its unit.
fn refuse_agreed_parameter(name: &str, source: impl Fn() -> Source) -> Result<(), ConfigError> {
    let is_meant = |parameter: &Parameter| {
        let full = parameter.name();
        name == full || full.strip_suffix("_ms") == Some(name) || full.strip_suffix("_max_ms") == Some(name)
    };
    match Parameter::ALL.into_iter().find(is_meant) {
        None => Ok(()),
        Some(parameter) => {
            Err(ConfigError::AgreedParameter { at: source(), written: name.to_owned(), parameter })
        }
    }
}

fn check_unknown_variable(variable: &str, source: Source) -> Result<(), ConfigError> {
    if COMMAND_LINE_VARIABLES.contains(&variable) {
        return Ok(());
    }
    let section = Config::SECTIONS
        .iter()
        .rfind(|section| variable.starts_with(&format!("{}_", section.variable_prefix())));
    if let Some(section) = section {
        let prefix = section.variable_prefix().len() + 1;
        let key = variable.get(prefix..).unwrap_or_default().to_lowercase();
        refuse_agreed_parameter(&key, || source.clone())?;
    }
    let known: Vec<String> = all_keys().map(|(section, key)| section.variable(key)).collect();
    let near = nearest(variable, known.iter().map(String::as_str));
    let is_misspelt = near.is_some_and(|near| strsim::jaro_winkler(variable, near) >= VARIABLE_LIKENESS_MIN);
    if section.is_none() && !is_misspelt {
        return Ok(());
    }
    let advice = match near {
        Some(near) => format!("did you mean `{near}`?"),
        None => "`aegis config show` lists the known ones".to_owned(),
    };
    Err(ConfigError::Unknown { at: source, what: "variable", name: variable.to_owned(), advice })
}

/// The line of a byte offset, counted from 1.
pub(crate) fn line_of(text: &str, offset: usize) -> usize {
    text.bytes().take(offset).filter(|byte| *byte == b'\n').count() + 1
}

/// Reads a text file that a user named.
pub(crate) fn read_bounded(path: &Path) -> Result<String, ConfigError> {
    let unreadable = |source| ConfigError::Unreadable { path: path.to_owned(), source };
    let actual = std::fs::metadata(path).map_err(unreadable)?.len();
    if actual > FILE_BYTES_MAX {
        return Err(ConfigError::TooLarge { path: path.to_owned(), actual, limit: FILE_BYTES_MAX });
    }
    std::fs::read_to_string(path).map_err(unreadable)
}
