//! Errors over HTTP: problem documents of RFC 9457, `application/problem+json`.

use aegis_types::Height;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::api::{ApiError, ErrorCode};

/// The media type of problem documents.
pub const PROBLEM_JSON: &str = "application/problem+json";

/// The HTTP status of each code.
pub const fn http_status(code: ErrorCode) -> StatusCode {
    match code {
        ErrorCode::InvalidArgument
        | ErrorCode::UnknownKind
        | ErrorCode::BadSignature
        | ErrorCode::Expired
        | ErrorCode::ExpiryTooFar => StatusCode::BAD_REQUEST,
        ErrorCode::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        ErrorCode::NotFound => StatusCode::NOT_FOUND,
        ErrorCode::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
        ErrorCode::Conflict => StatusCode::CONFLICT,
        ErrorCode::Unauthenticated => StatusCode::UNAUTHORIZED,
        ErrorCode::ForbiddenOrigin => StatusCode::FORBIDDEN,
        ErrorCode::Busy | ErrorCode::SlowReader => StatusCode::TOO_MANY_REQUESTS,
        ErrorCode::NotReady | ErrorCode::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        ErrorCode::OutcomeUnknown => StatusCode::GATEWAY_TIMEOUT,
        ErrorCode::Pruned => StatusCode::GONE,
        ErrorCode::Internal => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// A problem document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Problem {
    /// `urn:aegis:error:` and the code.
    #[serde(rename = "type")]
    pub kind: String,
    /// A short title, the same for every problem of the code.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What is wrong and what to do next, for people.
    pub detail: String,
    /// What kind of problem it is, for programs.
    pub code: ErrorCode,
    /// The field or parameter that is wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// Why a block would reject the proposal, as a stable code such as `vote-closed`: those that outcomes have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reject_code: Option<String>,
    /// Height to resume a watch from, or the oldest height that is still held.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<u64>)]
    pub resume_from: Option<Height>,
    /// Milliseconds to wait before a retry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
}

impl From<ApiError> for Problem {
    fn from(error: ApiError) -> Self {
        let ApiError { code, message, field, reject_code, resume_from, retry_after_ms } = error;
        Self {
            kind: format!("urn:aegis:error:{code}"),
            title: code.title().to_owned(),
            status: http_status(code).as_u16(),
            detail: message,
            code,
            field,
            reject_code,
            resume_from,
            retry_after_ms,
        }
    }
}

impl From<Problem> for ApiError {
    fn from(problem: Problem) -> Self {
        let Problem { code, detail, field, reject_code, resume_from, retry_after_ms, .. } = problem;
        Self { code, message: detail, field, reject_code, resume_from, retry_after_ms }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = http_status(self.code);
        // A struct of text and numbers always has a JSON form.
        let body = serde_json::to_vec(&self).unwrap_or_default();
        let mut response = (status, [(header::CONTENT_TYPE, PROBLEM_JSON)], body).into_response();
        if let Some(milliseconds) = self.retry_after_ms {
            let seconds = milliseconds.div_ceil(1_000);
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.code == ErrorCode::Unauthenticated {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_survives_the_way_through_a_problem_document() {
        for code in ErrorCode::ALL {
            assert!(http_status(code).is_client_error() || http_status(code).is_server_error());
            let error = ApiError {
                field: Some("f".into()),
                reject_code: Some("r".into()),
                retry_after_ms: Some(3),
                ..ApiError::new(code, "why")
            };
            let text = serde_json::to_string(&Problem::from(error.clone())).unwrap();
            let problem: Problem = serde_json::from_str(&text).unwrap();
            assert_eq!(ApiError::from(problem), error);
        }
    }
}
