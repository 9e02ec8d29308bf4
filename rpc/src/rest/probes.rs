//! Probes, telemetry, and the two short summaries.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};

use super::extract::Reply;
use crate::api::{Health, NetworkStatus, Readiness};
use crate::problem::Problem;
use crate::server::{Caller, Operations};

/// The media type of Prometheus' text format.
const PROMETHEUS_TEXT: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Whether the process answers at all.
#[utoipa::path(get, path = "/livez", tag = "probes", responses((status = 200, description = "It does", body = String)))]
pub(super) async fn livez() -> &'static str {
    "ok\n"
}

/// Whether the node can serve reads and take proposals now.
#[utoipa::path(
    get,
    path = "/readyz",
    tag = "probes",
    responses(
        (status = 200, description = "It can", body = Readiness),
        (status = 503, description = "It cannot; the reasons are given", body = Readiness)
    )
)]
pub(super) async fn readyz(State(operations): State<Arc<Operations>>) -> Response {
    let readiness = operations.readiness().await;
    let status = if readiness.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(readiness)).into_response()
}

/// Telemetry in the Prometheus text format.
#[utoipa::path(
    get,
    path = "/metrics",
    tag = "probes",
    responses((status = 200, description = "Telemetry", body = String, content_type = "application/openmetrics-text"))
)]
pub(super) async fn metrics(
    State(operations): State<Arc<Operations>>,
    Extension(caller): Extension<Caller>,
) -> Result<Response, Problem> {
    let text = operations.telemetry(caller)?;
    Ok(([(header::CONTENT_TYPE, PROMETHEUS_TEXT)], text).into_response())
}

/// The node's health in a few words.
#[utoipa::path(get, path = "/api/health", tag = "probes", responses((status = 200, description = "Health", body = Health)))]
pub(super) async fn health(State(operations): State<Arc<Operations>>) -> Json<Health> {
    let readiness = operations.readiness().await;
    let status = if readiness.ready { "ok" } else { "not_ready" };
    Json(Health { status: status.to_owned(), version: env!("CARGO_PKG_VERSION").to_owned(), readiness })
}

/// The network in a few figures.
#[utoipa::path(
    get,
    path = "/api/network/status",
    tag = "node",
    responses((status = 200, description = "The figures", body = NetworkStatus))
)]
pub(super) async fn network_status(
    State(operations): State<Arc<Operations>>,
    Extension(caller): Extension<Caller>,
) -> Reply<NetworkStatus> {
    Ok(Json(operations.network_status(caller).await?))
}
