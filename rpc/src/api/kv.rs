//! Replicated values.

use aegis_types::Height;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::encoded::EncodedBytes;

/// A replicated value.
///
/// JSON shows the value as `value_base64`, and also as `value` when it is valid UTF-8.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "KvEntryJson", from = "KvEntryJson")]
pub struct KvEntry {
    /// The key.
    pub key: String,
    /// The value.
    pub value: Vec<u8>,
    /// One more with each change; no key has the same version twice, also when it was removed and made again.
    pub version: u64,
    /// Height of the block that changed it last.
    pub modified_height: Height,
    /// Height of the newest executed block when the reading began: the value is of then or later. A page is no snapshot.
    pub read_height: Height,
}

/// The JSON form of [`KvEntry`].
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct KvEntryJson {
    /// The key.
    pub key: String,
    /// The value as text; absent when it is not UTF-8.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// The value in base64.
    #[schema(value_type = String)]
    pub value_base64: EncodedBytes,
    /// One more with each change; no key has the same version twice, also when it was removed and made again.
    pub version: u64,
    /// Height of the block that changed it last.
    #[schema(value_type = u64)]
    pub modified_height: Height,
    /// Height of the newest executed block when the reading began: the value is of then or later. A page is no snapshot.
    #[schema(value_type = u64)]
    pub read_height: Height,
}

impl From<KvEntry> for KvEntryJson {
    fn from(entry: KvEntry) -> Self {
        Self {
            key: entry.key,
            value: String::from_utf8(entry.value.clone()).ok(),
            value_base64: EncodedBytes(entry.value),
            version: entry.version,
            modified_height: entry.modified_height,
            read_height: entry.read_height,
        }
    }
}

impl From<KvEntryJson> for KvEntry {
    fn from(json: KvEntryJson) -> Self {
        Self {
            key: json.key,
            value: json.value_base64.0,
            version: json.version,
            modified_height: json.modified_height,
            read_height: json.read_height,
        }
    }
}

impl utoipa::PartialSchema for KvEntry {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
        KvEntryJson::schema()
    }
}

impl ToSchema for KvEntry {
    fn name() -> std::borrow::Cow<'static, str> {
        "KvEntry".into()
    }
}
