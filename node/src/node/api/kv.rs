//! Reads of replicated values.

use aegis_ledger::query;
use aegis_rpc::api::{ApiError, KvEntry, Page, PageRequest};
use aegis_types::Height;
use aegis_types::proposal::check_key;

use super::internal;
use crate::node::context::NodeContext;
use crate::node::state::StateView;

pub fn get(node: &NodeContext, key: &str) -> Result<KvEntry, ApiError> {
    check_key(key)?;
    let read_height = node.standing.borrow().executed.height;
    let entry = query::kv(&StateView(node.kv.as_ref()), key).map_err(internal)?;
    entry
        .map(|entry| convert(entry, read_height))
        .ok_or_else(|| ApiError::not_found(format_args!("key `{key}` at height {read_height}")))
}

pub fn list(node: &NodeContext, prefix: &str, page: &PageRequest) -> Result<Page<KvEntry>, ApiError> {
    let read_height = node.standing.borrow().executed.height;
    let limit = usize::try_from(page.limit).unwrap_or(usize::MAX);
    let found = query::kv_list(&StateView(node.kv.as_ref()), prefix, page.cursor.as_deref(), limit)
        .map_err(internal)?;
    Ok(Page {
        items: found.items.into_iter().map(|entry| convert(entry, read_height)).collect(),
        next_cursor: found.next,
    })
}

fn convert(entry: query::KvEntry, read_height: Height) -> KvEntry {
    KvEntry {
        key: entry.key,
        value: entry.value,
        version: entry.version,
        modified_height: entry.height,
        read_height,
        certified: None,
    }
}
