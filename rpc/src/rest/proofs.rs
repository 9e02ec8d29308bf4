//! Proofs of replicated values.

use std::sync::Arc;

use aegis_types::Epoch;
use axum::extract::State;
use axum::{Extension, Json};
use serde::Deserialize;
use utoipa::IntoParams;

use super::extract::{QueryString, Reply};
use crate::api::{Consistency, Handovers, KvProof};
use crate::server::{Caller, Operations};

/// Which key, and of which state. The key is no part of the path, so that every key can be asked for.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct KeyQuery {
    /// The key.
    key: String,
    /// `linearizable`, the default: misses nothing that was acknowledged before, and waits until it is certified.
    /// `certified`: the newest certified state as it is. What is only `local` has no proof.
    #[serde(default)]
    #[param(required = false, inline)]
    consistency: Consistency,
}

/// A key's value, or its absence, in a certified state, with the proof of it.
#[utoipa::path(
    get,
    path = "/v1/proofs/kv",
    tag = "proofs",
    params(KeyQuery),
    responses((status = 200, description = "The proof", body = KvProof))
)]
pub(super) async fn prove_value(
    State(operations): State<Arc<Operations>>,
    Extension(caller): Extension<Caller>,
    QueryString(query): QueryString<KeyQuery>,
) -> Reply<KvProof> {
    Ok(Json(operations.kv_proof(caller, &query.key, query.consistency).await?))
}

/// Where to begin.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct FromQuery {
    /// The first epoch; 0 by default.
    #[serde(default)]
    #[param(required = false)]
    from_epoch: u64,
}

/// How epochs ended: the certificates that lead from the genesis to the validators of today.
#[utoipa::path(
    get,
    path = "/v1/handovers",
    tag = "proofs",
    params(FromQuery),
    responses((status = 200, description = "Handovers in order of epoch", body = Handovers))
)]
pub(super) async fn list_handovers(
    State(operations): State<Arc<Operations>>,
    Extension(caller): Extension<Caller>,
    QueryString(query): QueryString<FromQuery>,
) -> Reply<Handovers> {
    Ok(Json(operations.handovers(caller, Epoch(query.from_epoch)).await?))
}
