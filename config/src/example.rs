//! The commented configuration file.

use std::fmt::Write as _;

use crate::config::Config;
use crate::section::{KeyText, SectionText};

const OPENING: &str = "\
# Configuration of an Aegis node.
#
# Every key is listed with its meaning, its default and its environment variable. A key that is commented out stands at
# its default. A value is taken from the first of: flag, environment variable, this file, default.
# `aegis config show` prints the values in effect and where each came from; `aegis config check` looks for mistakes.
#
# What all nodes must agree on (window, timeouts, epoch length) is not here: it stands in genesis.toml and is changed by
# `aegis proposal submit param.set NAME VALUE`.
";

/// The commented file with every key at its default, save those in `values` (full name, value), which are set.
///
/// Names in `values` that are no keys are left out.
pub fn render(values: &[(&str, toml::Value)]) -> String {
    let defaults = Config::default();
    let mut text = OPENING.to_owned();
    for section in Config::SECTIONS {
        text.push('\n');
        for line in section.about {
            push_line(&mut text, &format!("#{line}"));
        }
        push_line(&mut text, &format!("[{}]", section.name));
        for key in section.keys {
            let path = section.path(key);
            let value = values.iter().find(|(name, _)| *name == path).map(|(_, value)| value);
            push_key(&mut text, section, key, &defaults, value);
        }
    }
    text
}

fn push_key(
    text: &mut String,
    section: &SectionText,
    key: &KeyText,
    defaults: &Config,
    value: Option<&toml::Value>,
) {
    let Some(default) = defaults.get(section.name, key.name) else { return };
    text.push('\n');
    for line in key.meaning {
        push_line(text, &format!("#{line}"));
    }
    push_line(text, &format!("# Default: {default}. Environment: {}.", section.variable(key)));
    match value {
        Some(value) => push_line(text, &format!("{} = {value}", key.name)),
        None => push_line(text, &format!("#{} = {default}", key.name)),
    }
}

fn push_line(text: &mut String, line: &str) {
    // Writing to a string cannot fail.
    let _ = writeln!(text, "{}", line.trim_end());
}
