//! The node and its surroundings.

use std::sync::Arc;

use axum::extract::State;
use axum::{Extension, Json};

use super::extract::Reply;
use crate::api::{Peer, Status, Validators};
use crate::server::{Caller, Operations};

/// Where the node stands.
#[utoipa::path(get, path = "/v1/status", tag = "node", responses((status = 200, description = "The status", body = Status)))]
pub(super) async fn get_status(
    State(operations): State<Arc<Operations>>,
    Extension(caller): Extension<Caller>,
) -> Reply<Status> {
    Ok(Json(operations.status(caller).await?))
}

/// The connected peers.
#[utoipa::path(get, path = "/v1/peers", tag = "node", responses((status = 200, description = "The peers", body = Vec<Peer>)))]
pub(super) async fn list_peers(
    State(operations): State<Arc<Operations>>,
    Extension(caller): Extension<Caller>,
) -> Reply<Vec<Peer>> {
    Ok(Json(operations.peers(caller).await?))
}

/// The epoch's validators.
#[utoipa::path(get, path = "/v1/validators", tag = "node", responses((status = 200, description = "The set", body = Validators)))]
pub(super) async fn get_validators(
    State(operations): State<Arc<Operations>>,
    Extension(caller): Extension<Caller>,
) -> Reply<Validators> {
    Ok(Json(operations.validators(caller).await?))
}
