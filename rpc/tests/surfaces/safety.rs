//! Who is let in.

use aegis_rpc::{RpcConfig, RpcError, Token, serve};
use reqwest::Method;
use serde_json::json;
use std::sync::Arc;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::{self, http};

use crate::fake_node::{FakeNode, KNOWN};
use crate::fixture::{TOKEN, start, start_with};

#[tokio::test]
async fn what_the_node_signs_needs_the_right_token() {
    let server = start().await;
    let body = json!({"proposal": {"kind": "kv.put", "body": {"key": "a", "value": "b"}}});
    let vote_path = format!("/v1/proposals/{KNOWN}/votes");
    let without = server.post("/v1/proposals", &[], &body).await;
    assert!(without.problem(401, "unauthenticated").contains("token"));
    assert_eq!(without.headers["www-authenticate"], "Bearer");
    server.post(&vote_path, &[], &json!({"approve": true})).await.problem(401, "unauthenticated");
    for wrong in ["Bearer 0123456789abcdef", "Bearer", "", "Basic YTpi", &TOKEN[1..]] {
        let headers = [("authorization", wrong)];
        server.post("/v1/proposals", &headers, &body).await.problem(401, "unauthenticated");
        server.send(Method::GET, "/v1/status", &headers, "").await.problem(401, "unauthenticated");
    }
    assert!(server.node.submitted.lock().unwrap().is_empty());
    assert!(server.node.voted.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_node_without_token_signs_for_nobody() {
    let server = start_with(RpcConfig::loopback(0)).await;
    let body = json!({"proposal": {"kind": "kv.put", "body": {"key": "a", "value": "b"}}});
    server.post("/v1/proposals", &[], &body).await.problem(401, "unauthenticated");
    let bearer = format!("Bearer {TOKEN}");
    let offered = server.post("/v1/proposals", &[("authorization", bearer.as_str())], &body).await;
    assert!(offered.problem(401, "unauthenticated").contains("no token"));
    assert_eq!(server.get("/v1/status").await.status, 200);
}

#[tokio::test]
async fn pages_of_other_origins_are_refused_everywhere() {
    let server = start().await;
    let own = format!("http://{}", server.address);
    let ok = server.send(Method::GET, "/v1/status", &[("origin", own.as_str())], "").await;
    assert_eq!(ok.status, 200);
    assert!(!ok.headers.contains_key("access-control-allow-origin"));
    for origin in ["http://evil.example", "null", "http://localhost:1"] {
        for path in ["/v1/status", "/livez", "/metrics", "/v1/watch?topics=blocks", "/nowhere"] {
            let reply = server.send(Method::GET, path, &[("origin", origin)], "").await;
            reply.problem(403, "forbidden_origin");
        }
        let preflight = [("origin", origin), ("access-control-request-method", "POST")];
        server.send(Method::OPTIONS, "/v1/proposals", &preflight, "").await.problem(403, "forbidden_origin");
        let grpc_web = [("origin", origin), ("content-type", "application/grpc-web+proto")];
        server
            .send(Method::POST, "/aegis.v1.Node/GetStatus", &grpc_web, "")
            .await
            .problem(403, "forbidden_origin");
    }
    let fetched = [("sec-fetch-site", "cross-site")];
    server.send(Method::GET, "/v1/status", &fetched, "").await.problem(403, "forbidden_origin");
}

#[tokio::test]
async fn a_websocket_of_another_origin_is_refused() {
    let server = start().await;
    let url = format!("ws://{}/v1/watch?topics=blocks", server.address);
    let mut request = url.into_client_request().unwrap();
    request.headers_mut().insert(http::header::ORIGIN, HeaderValue::from_static("http://evil.example"));
    let stream = tokio::net::TcpStream::connect(server.address).await.unwrap();
    match tokio_tungstenite::client_async(request, stream).await {
        Err(tungstenite::Error::Http(response)) => assert_eq!(response.status(), 403),
        Err(error) => panic!("{error}"),
        Ok(_) => panic!("a foreign page may watch"),
    }
}

#[tokio::test]
async fn a_rebound_host_name_is_refused() {
    let server = start().await;
    for host in ["evil.example", "evil.example:8003", "10.1.2.3"] {
        let reply = server.send(Method::GET, "/v1/status", &[("host", host)], "").await;
        reply.problem(403, "forbidden_origin");
    }
    for host in ["localhost", "localhost:9", "127.0.0.1", "[::1]:80"] {
        assert_eq!(server.send(Method::GET, "/v1/status", &[("host", host)], "").await.status, 200, "{host}");
    }
}

#[tokio::test]
async fn other_addresses_need_tls_and_token() {
    let config = RpcConfig {
        bind: "0.0.0.0:0".parse().unwrap(),
        token: Some(Token::new(TOKEN).unwrap()),
        ..RpcConfig::loopback(0)
    };
    let error = serve(Arc::new(FakeNode::new()), config, std::future::pending()).await.unwrap_err();
    assert!(matches!(error, RpcError::Unprotected { .. }), "{error}");
    let message = error.to_string();
    assert!(message.contains("TLS is missing") && message.contains("127.0.0.1"), "{message}");
}

#[tokio::test]
async fn a_busy_port_is_named() {
    let server = start().await;
    let config = RpcConfig::loopback(server.address.port());
    let error = serve(Arc::new(FakeNode::new()), config, std::future::pending()).await.unwrap_err();
    assert!(matches!(error, RpcError::PortInUse { address } if address == server.address), "{error}");
    assert!(error.to_string().contains(&server.address.port().to_string()));
}
