//! Bytes in JSON.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Bytes that JSON shows as base64 text (RFC 4648, with padding).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct EncodedBytes(pub Vec<u8>);

impl EncodedBytes {
    /// The text.
    pub fn to_text(&self) -> String {
        STANDARD.encode(&self.0)
    }

    /// Reads the text.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub fn from_text(text: &str) -> Result<Self, String> {
        STANDARD.decode(text).map(Self).map_err(|error| format!("expected base64 with padding: {error}"))
    }
}

impl From<Vec<u8>> for EncodedBytes {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }
}

impl Serialize for EncodedBytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.to_text())
    }
}

impl<'de> Deserialize<'de> for EncodedBytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::from_text(&text).map_err(serde::de::Error::custom)
    }
}
