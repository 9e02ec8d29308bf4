//! Replicated values.

use std::sync::Arc;

use axum::extract::State;
use axum::{Extension, Json};
use serde::Deserialize;
use utoipa::IntoParams;

use super::extract::{ConsistencyQuery, PathParameter, QueryString, Reply};
use crate::api::{Consistency, KvEntry, Page, PageRequest};
use crate::server::{Caller, Operations};

/// Which keys, and which part of the list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ListQuery {
    /// Only keys that start with this.
    #[serde(default)]
    #[param(required = false)]
    prefix: String,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
    /// Items on the page, 1 to 500; 50 by default.
    limit: Option<u32>,
    /// How fresh the answer must be; `linearizable` by default.
    #[serde(default)]
    #[param(required = false, inline)]
    consistency: Consistency,
}

/// Replicated values in ascending order of key.
#[utoipa::path(
    get,
    path = "/v1/kv",
    tag = "kv",
    params(ListQuery),
    responses((status = 200, description = "A page", body = Page<KvEntry>))
)]
pub(super) async fn list(
    State(operations): State<Arc<Operations>>,
    Extension(caller): Extension<Caller>,
    QueryString(query): QueryString<ListQuery>,
) -> Reply<Page<KvEntry>> {
    let page = PageRequest { cursor: query.cursor, limit: query.limit.unwrap_or(PageRequest::LIMIT_DEFAULT) };
    Ok(Json(operations.kv_list(caller, &query.prefix, page, query.consistency).await?))
}

/// A replicated value.
#[utoipa::path(
    get,
    path = "/v1/kv/{*key}",
    tag = "kv",
    params(
        ("key" = String, Path, description = "The key; slashes may stand as they are, other signs percent-encoded"),
        ConsistencyQuery
    ),
    responses((status = 200, description = "The value", body = KvEntry))
)]
pub(super) async fn get_value(
    State(operations): State<Arc<Operations>>,
    Extension(caller): Extension<Caller>,
    PathParameter(key): PathParameter<String>,
    QueryString(query): QueryString<ConsistencyQuery>,
) -> Reply<KvEntry> {
    Ok(Json(operations.kv_get(caller, &key, query.consistency).await?))
}
