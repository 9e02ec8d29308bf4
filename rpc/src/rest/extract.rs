//! Reading requests: whatever is wrong becomes a problem document.

use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use utoipa::IntoParams;

use crate::api::{ApiError, Consistency, ErrorCode};
use crate::problem::Problem;

/// Longest time for a request's body to arrive: the largest takes seconds on a slow line.
const BODY_TIMEOUT: Duration = Duration::from_secs(15);

/// What a handler returns.
pub(super) type Reply<T> = Result<axum::Json<T>, Problem>;

/// A JSON body.
pub(super) struct JsonBody<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for JsonBody<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        if !has_json(&request) {
            return Err(ApiError::invalid("content-type", "send the body as `application/json`").into());
        }
        let bytes = tokio::time::timeout(BODY_TIMEOUT, Bytes::from_request(request, state))
            .await
            .map_err(|_| ApiError::invalid("body", format_args!("it did not arrive within {BODY_TIMEOUT:?}")))?
            .map_err(|rejection| match rejection.status() {
                StatusCode::PAYLOAD_TOO_LARGE => ApiError::new(
                    ErrorCode::TooLarge,
                    "the body is larger than this server takes; a value has at most 64 KiB: split it over several keys",
                ),
                _ => ApiError::invalid("body", rejection.body_text()),
            })?;
        let value = serde_json::from_slice(&bytes).map_err(|error| ApiError::invalid("body", error))?;
        Ok(Self(value))
    }
}

fn has_json(request: &Request) -> bool {
    let media =
        request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = media.split(';').next().unwrap_or_default().trim();
    essence.eq_ignore_ascii_case("application/json")
}

/// The query string.
pub(super) struct QueryString<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for QueryString<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        let Query(value) = Query::try_from_uri(&parts.uri)
            .map_err(|rejection| ApiError::invalid("query", rejection.body_text()))?;
        Ok(Self(value))
    }
}

/// How fresh an answer must be.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ConsistencyQuery {
    /// How fresh the answer must be; `linearizable` by default.
    #[serde(default)]
    #[param(required = false, inline)]
    pub(super) consistency: Consistency,
}

/// Parameters in the path.
pub(super) struct PathParameter<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for PathParameter<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let Path(value) = Path::from_request_parts(parts, state)
            .await
            .map_err(|rejection| ApiError::invalid("path", rejection.body_text()))?;
        Ok(Self(value))
    }
}
