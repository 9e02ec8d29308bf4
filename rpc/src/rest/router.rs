//! All routes.

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::{Method, Uri};
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::openapi::{self, Document};
use super::{agreed, blocks, kv, metrics, node, probes, proofs, proposals, watch, weights};
use crate::api::{ApiError, ErrorCode};
use crate::problem::Problem;
use crate::server::Operations;

/// The routes of the REST surface.
pub(crate) fn router(operations: Arc<Operations>) -> Router {
    let body_bytes = operations.limits().body_bytes;
    let (router, document) = documented_routes().split_for_parts();
    router
        .merge(openapi::route(&document))
        .fallback(unknown_path)
        .method_not_allowed_fallback(wrong_method)
        .layer(DefaultBodyLimit::max(body_bytes))
        .with_state(operations)
}

/// Every route with its documentation: what is served is what is documented.
pub(super) fn documented_routes() -> OpenApiRouter<Arc<Operations>> {
    OpenApiRouter::with_openapi(Document::openapi())
        .routes(routes!(node::get_status))
        .routes(routes!(node::list_peers))
        .routes(routes!(node::get_validators))
        .routes(routes!(agreed::list_parameters))
        .routes(routes!(agreed::list_evidence))
        .routes(routes!(proposals::submit, proposals::list))
        .routes(routes!(proposals::get_proposal))
        .routes(routes!(proposals::vote))
        .routes(routes!(kv::list))
        .routes(routes!(kv::get_value))
        .routes(routes!(proofs::prove_value))
        .routes(routes!(proofs::list_handovers))
        .routes(routes!(blocks::get_latest))
        .routes(routes!(blocks::get_block))
        .routes(routes!(metrics::get_node_metrics))
        .routes(routes!(metrics::get_network_metrics))
        .routes(routes!(metrics::get_integration))
        .routes(routes!(weights::get_weights))
        .routes(routes!(weights::explain_weights))
        .routes(routes!(watch::watch))
        .routes(routes!(probes::livez))
        .routes(routes!(probes::readyz))
        .routes(routes!(probes::metrics))
        .routes(routes!(probes::health))
        .routes(routes!(probes::network_status))
}

async fn unknown_path(uri: Uri) -> Problem {
    let path: String = uri.path().chars().take(200).collect();
    let message = format!(
        "there is nothing at `{path}`; paths begin with /v1, such as /v1/status, and /openapi.json describes all of them"
    );
    ApiError::new(ErrorCode::NotFound, message).into()
}

async fn wrong_method(method: Method, uri: Uri) -> Problem {
    let path: String = uri.path().chars().take(200).collect();
    let message = format!("`{path}` does not take {method}; /openapi.json lists the methods of each path");
    ApiError::new(ErrorCode::MethodNotAllowed, message).into()
}
