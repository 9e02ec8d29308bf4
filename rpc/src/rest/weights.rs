//! Voting weights.

use std::sync::Arc;

use aegis_types::Epoch;
use axum::extract::State;
use axum::{Extension, Json};

use super::extract::{PathParameter, Reply};
use crate::api::{Weights, WeightsExplained};
use crate::server::{Caller, Operations};

/// The current epoch's weights and what they trade.
#[utoipa::path(
    get,
    path = "/v1/weights",
    tag = "metrics",
    responses((status = 200, description = "The weights", body = Weights))
)]
pub(super) async fn get_weights(
    State(operations): State<Arc<Operations>>,
    Extension(caller): Extension<Caller>,
) -> Reply<Weights> {
    Ok(Json(operations.weights(caller).await?))
}

/// How the weights of an epoch came about: each term of each member, and where each limit bit.
#[utoipa::path(
    get,
    path = "/v1/weights/{epoch}",
    tag = "metrics",
    params(("epoch" = u64, Path, description = "The epoch that the weights are for")),
    responses((status = 200, description = "The explanation", body = WeightsExplained))
)]
pub(super) async fn explain_weights(
    State(operations): State<Arc<Operations>>,
    Extension(caller): Extension<Caller>,
    PathParameter(epoch): PathParameter<Epoch>,
) -> Reply<WeightsExplained> {
    Ok(Json(operations.explain_weights(caller, epoch).await?))
}
