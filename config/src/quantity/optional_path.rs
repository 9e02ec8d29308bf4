//! Paths that need not be given.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The path of a file, or none: written as empty text.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OptionalPath(pub Option<PathBuf>);

impl OptionalPath {
    /// The path, relative ones taken from `folder`.
    pub fn within(&self, folder: &Path) -> Option<PathBuf> {
        self.0.as_ref().map(|path| folder.join(path))
    }

    /// Whether a path is given.
    pub fn is_given(&self) -> bool {
        self.0.is_some()
    }
}

impl Serialize for OptionalPath {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.0 {
            Some(path) => serializer.collect_str(&path.display()),
            None => serializer.serialize_str(""),
        }
    }
}

impl<'de> Deserialize<'de> for OptionalPath {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Ok(Self(if text.is_empty() { None } else { Some(PathBuf::from(text)) }))
    }
}
