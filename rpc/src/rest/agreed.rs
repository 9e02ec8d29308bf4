//! What the network has agreed on: parameters and evidence.

use std::sync::Arc;

use axum::extract::State;
use axum::{Extension, Json};
use serde::Deserialize;
use utoipa::IntoParams;

use super::extract::{ConsistencyQuery, QueryString, Reply};
use crate::api::{EvidenceInfo, Page, PageRequest, ParameterInfo};
use crate::server::{Caller, Operations};

/// The agreed parameters with their ranges, in order of name.
#[utoipa::path(
    get,
    path = "/v1/parameters",
    tag = "node",
    params(ConsistencyQuery),
    responses((status = 200, description = "The parameters", body = Vec<ParameterInfo>))
)]
pub(super) async fn list_parameters(
    State(operations): State<Arc<Operations>>,
    Extension(caller): Extension<Caller>,
    QueryString(query): QueryString<ConsistencyQuery>,
) -> Reply<Vec<ParameterInfo>> {
    Ok(Json(operations.parameters(caller, query.consistency).await?))
}

/// Which part of the list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ListQuery {
    /// `next_cursor` of the page before.
    cursor: Option<String>,
    /// Items on the page, 1 to 500; 50 by default.
    limit: Option<u32>,
}

/// The evidence on record, in order of epoch and validator.
#[utoipa::path(
    get,
    path = "/v1/evidence",
    tag = "node",
    params(ListQuery),
    responses((status = 200, description = "A page", body = Page<EvidenceInfo>))
)]
pub(super) async fn list_evidence(
    State(operations): State<Arc<Operations>>,
    Extension(caller): Extension<Caller>,
    QueryString(query): QueryString<ListQuery>,
) -> Reply<Page<EvidenceInfo>> {
    let page = PageRequest { cursor: query.cursor, limit: query.limit.unwrap_or(PageRequest::LIMIT_DEFAULT) };
    Ok(Json(operations.evidence(caller, page).await?))
}
