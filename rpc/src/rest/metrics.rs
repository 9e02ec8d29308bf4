//! Statistics of the node and its network.

use std::sync::Arc;

use axum::extract::State;
use axum::{Extension, Json};
use serde::Deserialize;
use utoipa::IntoParams;

use super::extract::{QueryString, Reply};
use crate::api::{IntegrationMetrics, NetworkMetrics};
use crate::server::{Caller, Operations};

/// This node's statistics and those of the network as it sees them.
#[utoipa::path(
    get,
    path = "/v1/metrics/node",
    tag = "metrics",
    responses((status = 200, description = "The values", body = IntegrationMetrics))
)]
pub(super) async fn get_node_metrics(
    State(operations): State<Arc<Operations>>,
    Extension(caller): Extension<Caller>,
) -> Reply<IntegrationMetrics> {
    Ok(Json(operations.node_metrics(caller).await?))
}

/// The same as `/v1/metrics/node`, at the address of the project's source document.
#[utoipa::path(
    get,
    path = "/api/metrics/integration",
    tag = "metrics",
    responses((status = 200, description = "The values", body = IntegrationMetrics))
)]
pub(super) async fn get_integration(
    State(operations): State<Arc<Operations>>,
    Extension(caller): Extension<Caller>,
) -> Reply<IntegrationMetrics> {
    Ok(Json(operations.node_metrics(caller).await?))
}

/// How the observers' values are to be read.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct NetworkQuery {
    /// Share of observers that the bounds allow to lie, at least 0 and below 1; 0 by default.
    #[serde(default)]
    liars: f64,
}

/// The values of all nodes, from their newest signed reports.
#[utoipa::path(
    get,
    path = "/v1/metrics/network",
    tag = "metrics",
    params(NetworkQuery),
    responses((status = 200, description = "The values", body = NetworkMetrics))
)]
pub(super) async fn get_network_metrics(
    State(operations): State<Arc<Operations>>,
    Extension(caller): Extension<Caller>,
    QueryString(query): QueryString<NetworkQuery>,
) -> Reply<NetworkMetrics> {
    Ok(Json(operations.network_metrics(caller, query.liars).await?))
}
