//! Reads of replicated values.

use aegis_ledger::query;
use aegis_rpc::api::{ApiError, Consistency, KvEntry, Page, PageRequest};
use aegis_types::proposal::check_key;

use super::fresh::{self, ReadAt};
use super::internal;
use crate::node::context::NodeContext;

pub fn get(node: &NodeContext, key: &str, consistency: Consistency) -> Result<KvEntry, ApiError> {
    check_key(key)?;
    fresh::read(node, consistency, |state, at| {
        let entry = query::kv(state, key).map_err(internal)?;
        entry
            .map(|entry| convert(entry, at))
            .ok_or_else(|| ApiError::not_found(format_args!("key `{key}` at height {}", at.height)))
    })
}

pub fn list(
    node: &NodeContext,
    prefix: &str,
    page: &PageRequest,
    consistency: Consistency,
) -> Result<Page<KvEntry>, ApiError> {
    let limit = usize::try_from(page.limit).unwrap_or(usize::MAX);
    fresh::read(node, consistency, |state, at| {
        let found = query::kv_list(state, prefix, page.cursor.as_deref(), limit).map_err(internal)?;
        Ok(Page {
            items: found.items.into_iter().map(|entry| convert(entry, at)).collect(),
            next_cursor: found.next,
        })
    })
}

fn convert(entry: query::KvEntry, at: ReadAt) -> KvEntry {
    KvEntry {
        key: entry.key,
        value: entry.value,
        version: entry.version,
        modified_height: entry.height,
        read_height: at.height,
        certified: at.certified,
    }
}
