//! The OpenAPI document, generated from the handlers.

use std::sync::Arc;

use axum::Router;
use axum::http::header;
use axum::routing::get;
use serde_json::{Value, json};
use utoipa::OpenApi;
use utoipa::openapi::OpenApi as OpenApiDocument;

use super::router::documented_routes;
use crate::api::WatchEvent;
use crate::problem::{PROBLEM_JSON, Problem};
use crate::server::Operations;

/// Where the document is served.
const PATH: &str = "/openapi.json";

/// What the document says of the interface as a whole.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "Aegis node",
        description = "Reads are open on loopback. What the node signs itself needs `Authorization: Bearer TOKEN`. \
                       Every error is a problem document with a stable `code`."
    ),
    components(schemas(Problem, WatchEvent))
)]
pub(super) struct Document;

/// The OpenAPI document as JSON text.
pub fn openapi_document() -> String {
    let (_, document) = documented_routes().split_for_parts();
    complete(&document).to_string()
}

/// The route that serves the document.
pub(super) fn route(document: &OpenApiDocument) -> Router<Arc<Operations>> {
    let text: Arc<str> = complete(document).to_string().into();
    let handler = move || {
        let text = text.to_string();
        async move { ([(header::CONTENT_TYPE, "application/json")], text) }
    };
    Router::new().route(PATH, get(handler))
}

/// Adds what holds for every operation, and writes paths as OpenAPI does.
fn complete(document: &OpenApiDocument) -> Value {
    // A document of maps and text always has a JSON form.
    let mut json = serde_json::to_value(document).unwrap_or_default();
    let problem = json!({
        "description": "A problem document",
        "content": {PROBLEM_JSON: {"schema": {"$ref": "#/components/schemas/Problem"}}},
    });
    if let Some(paths) = json.get_mut("paths").and_then(Value::as_object_mut) {
        for (path, mut item) in std::mem::take(paths) {
            for operation in item.as_object_mut().into_iter().flat_map(|item| item.values_mut()) {
                if let Some(responses) = operation.get_mut("responses").and_then(Value::as_object_mut) {
                    responses.insert("default".to_owned(), problem.clone());
                }
            }
            paths.insert(path.replace("{*", "{"), item);
        }
        paths.insert(
            PATH.to_owned(),
            json!({"get": {
                "tags": ["probes"],
                "summary": "This document.",
                "operationId": "openapi",
                "responses": {
                    "200": {"description": "OpenAPI document", "content": {"application/json": {}}},
                    "default": problem,
                },
            }}),
        );
    }
    json
}
