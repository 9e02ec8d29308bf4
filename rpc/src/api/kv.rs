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
    /// The value is of the state after this block, or, save for a certified read, of a later one. A page is no snapshot.
    pub read_height: Height,
    /// How old the state is, for a read that asked for certified state.
    pub certified: Option<CertifiedAt>,
}

/// How old a certified state is. Its height is the answer's `read_height`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CertifiedAt {
    /// Agreed time of its block, in milliseconds since the Unix epoch.
    pub agreed_time_ms: u64,
    /// How long ago that is by the answering node's clock, in milliseconds.
    pub age_ms: u64,
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
    /// The value is of the state after this block, or, save for a certified read, of a later one. A page is no snapshot.
    #[schema(value_type = u64)]
    pub read_height: Height,
    /// How old the state is; present when certified state was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(inline)]
    pub certified: Option<CertifiedAt>,
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
            certified: entry.certified,
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
            certified: json.certified,
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
