//! Pages of lists.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::error::ApiError;

/// Which part of a list is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PageRequest {
    /// `next_cursor` of the page before; absent for the first page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
    /// Most items on the page: 1 to [`PageRequest::LIMIT_MAX`].
    #[serde(default = "PageRequest::default_limit")]
    pub limit: u32,
}

impl PageRequest {
    /// Items on a page when the client does not say: a screenful or two.
    pub const LIMIT_DEFAULT: u32 = 50;
    /// Most items on a page: at the largest value size a page stays below some 50 MiB of JSON.
    pub const LIMIT_MAX: u32 = 500;
    /// Longest cursor, in bytes: a key, twice over, and a little.
    pub const CURSOR_BYTES_MAX: usize = 2_048;

    /// Checks limit and length of the cursor.
    ///
    /// # Errors
    /// `invalid_argument`, naming the field.
    pub fn check(&self) -> Result<(), ApiError> {
        if self.limit == 0 || self.limit > Self::LIMIT_MAX {
            return Err(ApiError::invalid(
                "limit",
                format_args!(
                    "{} is outside 1 to {}; ask for more pages by `cursor`",
                    self.limit,
                    Self::LIMIT_MAX
                ),
            ));
        }
        match &self.cursor {
            Some(cursor) if cursor.len() > Self::CURSOR_BYTES_MAX => {
                Err(ApiError::invalid("cursor", "use the `next_cursor` of the page before"))
            }
            _ => Ok(()),
        }
    }

    fn default_limit() -> u32 {
        Self::LIMIT_DEFAULT
    }
}

impl Default for PageRequest {
    fn default() -> Self {
        Self { cursor: None, limit: Self::LIMIT_DEFAULT }
    }
}

/// A part of a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Page<T: ToSchema> {
    /// The items.
    pub items: Vec<T>,
    /// What to pass as `cursor` for the next page; absent on the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
}
