//! Blocks.

use std::sync::Arc;

use aegis_types::Height;
use axum::extract::State;
use axum::{Extension, Json};

use super::extract::{PathParameter, Reply};
use crate::api::BlockDetail;
use crate::server::{Caller, Operations};

/// The newest committed block.
#[utoipa::path(
    get,
    path = "/v1/blocks/latest",
    tag = "blocks",
    responses((status = 200, description = "The block", body = BlockDetail))
)]
pub(super) async fn get_latest(
    State(operations): State<Arc<Operations>>,
    Extension(caller): Extension<Caller>,
) -> Reply<BlockDetail> {
    let newest = None;
    Ok(Json(operations.block(caller, newest).await?))
}

/// A committed block.
#[utoipa::path(
    get,
    path = "/v1/blocks/{height}",
    tag = "blocks",
    params(("height" = u64, Path, description = "The block's height; the first block has 1")),
    responses((status = 200, description = "The block", body = BlockDetail))
)]
pub(super) async fn get_block(
    State(operations): State<Arc<Operations>>,
    Extension(caller): Extension<Caller>,
    PathParameter(height): PathParameter<Height>,
) -> Reply<BlockDetail> {
    Ok(Json(operations.block(caller, Some(height)).await?))
}
