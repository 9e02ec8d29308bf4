//! Proposals.

use std::sync::Arc;

use aegis_types::{AccountId, Height, Kind, ProposalId};
use axum::extract::State;
use axum::{Extension, Json};
use serde::Deserialize;
use utoipa::IntoParams;

use super::extract::{ConsistencyQuery, JsonBody, PathParameter, QueryString, Reply};
use crate::api::{
    Page, PageRequest, ProposalDetail, ProposalFilter, ProposalState, ProposalSummary, Submission, Submit,
    SubmitJson, VoteRequest,
};
use crate::server::{Caller, Operations};

/// Submits a proposal and waits as asked.
///
/// A proposal that an account has signed is open to all; one that the node is to sign needs the token. The same account and
/// idempotency key give the first submission's result.
#[utoipa::path(
    post,
    path = "/v1/proposals",
    tag = "proposals",
    request_body = SubmitJson,
    responses((status = 200, description = "What became of it", body = Submission))
)]
pub(super) async fn submit(
    State(operations): State<Arc<Operations>>,
    Extension(caller): Extension<Caller>,
    JsonBody(request): JsonBody<SubmitJson>,
) -> Reply<Submission> {
    let submit = Submit::try_from(request)?;
    Ok(Json(operations.submit(caller, submit).await?))
}

/// Which proposals, and which part of the list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ListQuery {
    /// Only this kind.
    #[param(value_type = Option<String>)]
    kind: Option<Kind>,
    /// Only in this state.
    state: Option<ProposalState>,
    /// Only by this account.
    #[param(value_type = Option<String>)]
    account: Option<AccountId>,
    /// Only in the block of this height.
    #[param(value_type = Option<u64>)]
    height: Option<Height>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
    /// Items on the page, 1 to 500; 50 by default.
    limit: Option<u32>,
}

/// Proposals, newest first.
#[utoipa::path(
    get,
    path = "/v1/proposals",
    tag = "proposals",
    params(ListQuery),
    responses((status = 200, description = "A page", body = Page<ProposalSummary>))
)]
pub(super) async fn list(
    State(operations): State<Arc<Operations>>,
    Extension(caller): Extension<Caller>,
    QueryString(query): QueryString<ListQuery>,
) -> Reply<Page<ProposalSummary>> {
    let ListQuery { kind, state, account, height, cursor, limit } = query;
    let filter = ProposalFilter { kind, state, account, height };
    let page = PageRequest { cursor, limit: limit.unwrap_or(PageRequest::LIMIT_DEFAULT) };
    Ok(Json(operations.proposals(caller, filter, page).await?))
}

/// Everything that is known about a proposal.
#[utoipa::path(
    get,
    path = "/v1/proposals/{id}",
    tag = "proposals",
    params(("id" = String, Path, description = "The proposal's id: 64 hexadecimal digits"), ConsistencyQuery),
    responses((status = 200, description = "The proposal", body = ProposalDetail))
)]
pub(super) async fn get_proposal(
    State(operations): State<Arc<Operations>>,
    Extension(caller): Extension<Caller>,
    PathParameter(id): PathParameter<ProposalId>,
    QueryString(query): QueryString<ConsistencyQuery>,
) -> Reply<ProposalDetail> {
    Ok(Json(operations.proposal(caller, id, query.consistency).await?))
}

/// Votes on an open proposal with the node's key. Needs the token.
#[utoipa::path(
    post,
    path = "/v1/proposals/{id}/votes",
    tag = "proposals",
    params(("id" = String, Path, description = "The proposal's id: 64 hexadecimal digits")),
    request_body = VoteRequest,
    responses((status = 200, description = "What became of the vote", body = Submission))
)]
pub(super) async fn vote(
    State(operations): State<Arc<Operations>>,
    Extension(caller): Extension<Caller>,
    PathParameter(id): PathParameter<ProposalId>,
    JsonBody(request): JsonBody<VoteRequest>,
) -> Reply<Submission> {
    Ok(Json(operations.vote(caller, id, request).await?))
}
