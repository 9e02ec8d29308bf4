//! Bad input gives problem documents.

use reqwest::Method;
use serde_json::json;

use crate::fixture::{TOKEN, start};

#[tokio::test]
async fn unknown_paths_and_wrong_methods() {
    let server = start().await;
    for path in ["/", "/v1", "/v2/status", "/v1/status/", "/v1/kv/", "/aegis.v1.Node/GetStatus"] {
        let told = server.get(path).await.problem(404, "not_found");
        assert!(told.contains("/v1/status") && told.contains("/openapi.json"), "{told}");
    }
    let wrong = server.send(Method::DELETE, "/v1/status", &[], "").await;
    assert!(wrong.problem(405, "method_not_allowed").contains("DELETE"));
}

#[tokio::test]
async fn bad_bodies_name_what_is_wrong() {
    let server = start().await;
    let post = |body: &'static str| {
        server.send(Method::POST, "/v1/proposals", &[("content-type", "application/json")], body)
    };
    assert!(post("{").await.problem(400, "invalid_argument").contains("EOF"));
    assert!(post("").await.problem(400, "invalid_argument").contains("EOF"));
    assert!(
        post(r#"{"sigend_base64": ""}"#).await.problem(400, "invalid_argument").contains("sigend_base64")
    );
    assert!(post(r#"{"signed_base64": "?"}"#).await.problem(400, "invalid_argument").contains("base64"));
    assert!(
        post(r#"{"signed_base64": "AQ==", "wait": "forever"}"#)
            .await
            .problem(400, "invalid_argument")
            .contains("forever")
    );
    assert!(
        post(r#"{"signed_base64": "AQ==", "timeout_ms": 0}"#)
            .await
            .problem(400, "invalid_argument")
            .contains("timeout_ms")
    );
    assert!(post(r#"{}"#).await.problem(400, "invalid_argument").contains("signed_base64"));
    let both = r#"{"signed_base64": "AQ==", "idempotency_key": "k"}"#;
    assert!(post(both).await.problem(400, "invalid_argument").contains("its own idempotency key"));
    let plain = server.send(Method::POST, "/v1/proposals", &[("content-type", "text/plain")], "{}").await;
    assert!(plain.problem(400, "invalid_argument").contains("application/json"));
    assert!(server.node.submitted.lock().unwrap().is_empty());
}

#[tokio::test]
async fn bad_proposals_name_kind_and_field() {
    let server = start().await;
    let bearer = format!("Bearer {TOKEN}");
    let authorization = [("authorization", bearer.as_str())];
    let submit =
        async |proposal| server.post("/v1/proposals", &authorization, &json!({"proposal": proposal})).await;
    let unknown = submit(json!({"kind": "kv.putt", "body": {}})).await;
    assert!(unknown.problem(400, "unknown_kind").contains("kv.put,"));
    let misspelt = submit(json!({"kind": "kv.put", "body": {"key": "a", "vlaue": "b"}})).await;
    assert!(misspelt.problem(400, "invalid_argument").contains("vlaue"));
    let empty = submit(json!({"kind": "kv.delete", "body": {"key": ""}})).await;
    empty.problem(400, "invalid_argument");
    assert_eq!(empty.json()["field"], "body.key");
    let large = submit(json!({"kind": "kv.put", "body": {"key": "a", "value": "x".repeat(70_000)}})).await;
    large.problem(413, "too_large");
    let conflict = server.post("/v1/proposals", &[], &json!({"signed_base64": "Y29uZmxpY3Rz"})).await;
    conflict.problem(409, "conflict");
}

#[tokio::test]
async fn bad_queries_and_paths() {
    let server = start().await;
    for (path, named) in [
        ("/v1/proposals?kind=weather", "weather"),
        ("/v1/proposals?state=lost", "lost"),
        ("/v1/proposals?account=12", "64 hexadecimal digits"),
        ("/v1/proposals?knid=text", "knid"),
        ("/v1/proposals?limit=0", "limit"),
        ("/v1/proposals?limit=501", "limit"),
        ("/v1/proposals?limit=many", "limit"),
        ("/v1/proposals/12", "64 hexadecimal digits"),
        ("/v1/kv?limit=501", "limit"),
        ("/v1/kv/%00", "key"),
        ("/v1/kv/%ff", "path"),
        ("/v1/blocks/first", "first"),
        ("/v1/blocks/-1", "-1"),
        ("/v1/watch?topics=blocks", "WebSocket"),
        ("/v1/watch", "topics"),
    ] {
        let detail = server.get(path).await.problem(400, "invalid_argument");
        assert!(detail.contains(named), "{path}: {detail}");
    }
    let long = format!("/v1/kv?cursor={}", "c".repeat(3_000));
    assert!(server.get(&long).await.problem(400, "invalid_argument").contains("cursor"));
}

#[tokio::test]
async fn errors_of_the_node_keep_their_code_and_details() {
    let server = start().await;
    server.get(&format!("/v1/proposals/{}", "00".repeat(32))).await.problem(404, "not_found");
    server.get("/v1/kv/absent").await.problem(404, "not_found");
    server.get("/v1/blocks/41").await.problem(404, "not_found");
    let pruned = server.get("/v1/blocks/3").await;
    pruned.problem(410, "pruned");
    assert_eq!(pruned.json()["resume_from"], 10);
}
