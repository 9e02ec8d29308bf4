//! The OpenAPI document against the routes.

use reqwest::Method;
use serde_json::Value;

use crate::fake_node::KNOWN;
use crate::fixture::{Fixture, start};

const PATHS: [&str; 25] = [
    "/api/health",
    "/api/metrics/integration",
    "/api/network/status",
    "/livez",
    "/metrics",
    "/openapi.json",
    "/readyz",
    "/v1/blocks/latest",
    "/v1/blocks/{height}",
    "/v1/evidence",
    "/v1/handovers",
    "/v1/kv",
    "/v1/kv/{key}",
    "/v1/metrics/network",
    "/v1/metrics/node",
    "/v1/parameters",
    "/v1/peers",
    "/v1/proofs/kv",
    "/v1/proposals",
    "/v1/proposals/{id}",
    "/v1/proposals/{id}/votes",
    "/v1/status",
    "/v1/validators",
    "/v1/weights",
    "/v1/weights/{epoch}",
];

fn with_parameters(path: &str) -> String {
    let path = path
        .replace("{id}", &KNOWN.to_string())
        .replace("{key}", "a")
        .replace("{height}", "12")
        .replace("{epoch}", "2");
    if path == "/v1/proofs/kv" { path + "?key=a" } else { path }
}

async fn document(server: &Fixture) -> Value {
    let reply = server.get("/openapi.json").await;
    assert_eq!(reply.media, "application/json");
    reply.json()
}

#[tokio::test]
async fn every_route_is_listed_and_every_listed_path_is_served() {
    let server = start().await;
    let document = document(&server).await;
    let mut listed: Vec<&str> = document["paths"].as_object().unwrap().keys().map(String::as_str).collect();
    listed.retain(|path| *path != "/v1/watch");
    listed.sort_unstable();
    assert_eq!(listed, PATHS);

    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            assert!(operation["responses"]["default"].is_object(), "{method} {path} has no problem reply");
            assert!(operation["operationId"].is_string(), "{method} {path}");
            let method = Method::from_bytes(method.to_uppercase().as_bytes()).unwrap();
            let reply = server.send(method.clone(), &with_parameters(path), &[], "").await;
            let is_served = match (&method, path.as_str()) {
                (&Method::POST, _) | (_, "/v1/watch") => reply.status == 400,
                _ => reply.status == 200,
            };
            assert!(is_served, "{method} {path}: {} {}", reply.status, reply.text);
        }
    }
}

#[tokio::test]
async fn every_reference_of_the_document_has_its_target() {
    fn references(value: &Value, found: &mut Vec<String>) {
        match value {
            Value::Object(map) => {
                found.extend(map.get("$ref").and_then(Value::as_str).map(str::to_owned));
                map.values().for_each(|value| references(value, found));
            }
            Value::Array(items) => items.iter().for_each(|value| references(value, found)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
    let server = start().await;
    let document = document(&server).await;
    assert_eq!(document, serde_json::from_str::<Value>(&aegis_rpc::openapi_document()).unwrap());
    let mut found = Vec::new();
    references(&document, &mut found);
    assert!(found.len() > 40, "only {} references", found.len());
    for reference in found {
        let pointer = reference.trim_start_matches('#');
        assert!(document.pointer(pointer).is_some(), "{reference} leads nowhere");
    }
}
