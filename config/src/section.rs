//! How a section declares its keys.
//!
//! `section!` turns one declaration into a serde struct, its defaults, the texts of its keys and access by name.

use serde::Serialize;
use serde::de::DeserializeOwned;

/// What a value looks like, so that the text of an environment variable or flag can be read without quotes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// Any text, also durations, sizes, paths and addresses.
    Text,
    /// A whole number.
    Number,
    /// `true` or `false`.
    Switch,
    /// Texts; in environment variables and flags they are separated by commas.
    List,
}

impl Shape {
    /// Reads the text of an environment variable or flag as a value of this shape.
    ///
    /// # Errors
    /// A sentence that says what was expected.
    pub fn parse(self, text: &str) -> Result<toml::Value, String> {
        let text = text.trim();
        match self {
            Self::Text => Ok(toml::Value::String(text.to_owned())),
            Self::Number => text
                .parse()
                .map(toml::Value::Integer)
                .map_err(|_| format!("expected a whole number, such as 100, not `{text}`")),
            Self::Switch => match text {
                "true" => Ok(toml::Value::Boolean(true)),
                "false" => Ok(toml::Value::Boolean(false)),
                _ => Err(format!("expected `true` or `false`, not `{text}`")),
            },
            Self::List => {
                let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
                Ok(toml::Value::Array(items.map(|item| toml::Value::String(item.to_owned())).collect()))
            }
        }
    }
}

/// The declared texts of one key.
#[derive(Debug, Clone, Copy)]
pub struct KeyText {
    /// The name within its section.
    pub name: &'static str,
    /// What it means, line by line.
    pub meaning: &'static [&'static str],
    /// What its value looks like.
    pub shape: Shape,
}

/// The declared texts of one section.
#[derive(Debug, Clone, Copy)]
pub struct SectionText {
    /// The name in brackets; a dot stands before the part that lies within another section.
    pub name: &'static str,
    /// What it is about, line by line.
    pub about: &'static [&'static str],
    /// Its keys, in the order of the example file.
    pub keys: &'static [KeyText],
}

impl SectionText {
    /// The full name of one of its keys, such as `p2p.listen`.
    pub fn path(&self, key: &KeyText) -> String {
        format!("{}.{}", self.name, key.name)
    }

    /// The environment variable of one of its keys, such as `AEGIS_P2P_LISTEN`.
    pub fn variable(&self, key: &KeyText) -> String {
        format!("{}_{}", self.variable_prefix(), key.name).to_uppercase()
    }

    /// What the environment variables of its keys begin with, such as `AEGIS_P2P`.
    pub(crate) fn variable_prefix(&self) -> String {
        format!("AEGIS_{}", self.name).replace('.', "_").to_uppercase()
    }
}

/// A type that a key can have.
pub(crate) trait Setting: Serialize + DeserializeOwned {
    /// What its values look like.
    const SHAPE: Shape;
}

macro_rules! setting {
    ($($type:ty => $shape:ident),+ $(,)?) => {
        $(impl $crate::section::Setting for $type {
            const SHAPE: $crate::section::Shape = $crate::section::Shape::$shape;
        })+
    };
}

setting! {
    String => Text,
    std::net::SocketAddr => Text,
    crate::quantity::Period => Text,
    crate::quantity::ByteSize => Text,
    crate::quantity::OptionalPath => Text,
    crate::sections::LogFormat => Text,
    crate::sections::SyncMode => Text,
    crate::sections::TorMode => Text,
    usize => Number,
    u32 => Number,
    bool => Switch,
    Vec<String> => List,
    Vec<aegis_types::Kind> => List,
}

/// A section: a struct with access to its fields by name.
pub(crate) trait Section: Default {
    /// Its texts.
    const TEXT: SectionText;

    /// A key's value; nothing when there is no such key.
    fn get(&self, key: &str) -> Option<toml::Value>;

    /// Sets a key.
    fn set(&mut self, key: &str, value: toml::Value) -> Result<(), String>;
}

macro_rules! section {
    (
        $(#[doc = $about:literal])+
        pub struct $name:ident as $section:literal {
            $($(#[doc = $meaning:literal])+ $field:ident: $type:ty = $default:expr;)+
        }
    ) => {
        $(#[doc = $about])+
        #[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
        #[serde(deny_unknown_fields, default)]
        pub struct $name {
            $($(#[doc = $meaning])+ pub $field: $type,)+
        }

        impl Default for $name {
            fn default() -> Self {
                Self { $($field: $default,)+ }
            }
        }

        impl $crate::section::Section for $name {
            const TEXT: $crate::section::SectionText = $crate::section::SectionText {
                name: $section,
                about: &[$($about),+],
                keys: &[$($crate::section::KeyText {
                    name: stringify!($field),
                    meaning: &[$($meaning),+],
                    shape: <$type as $crate::section::Setting>::SHAPE,
                }),+],
            };

            fn get(&self, key: &str) -> Option<toml::Value> {
                match key {
                    $(stringify!($field) => toml::Value::try_from(&self.$field).ok(),)+
                    _ => None,
                }
            }

            fn set(&mut self, key: &str, value: toml::Value) -> Result<(), String> {
                match key {
                    $(stringify!($field) => {
                        self.$field = value
                            .try_into()
                            .map_err(|error: toml::de::Error| error.message().to_owned())?;
                        Ok(())
                    })+
                    _ => Err(format!("[{}] has no key `{key}`", $section)),
                }
            }
        }
    };
}
