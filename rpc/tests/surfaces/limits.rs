//! What is bounded.

use std::sync::atomic::Ordering;
use std::time::Duration;

use aegis_rpc::{RpcConfig, RpcLimits};
use base64::Engine;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::fake_node::NEVER_ENDS;
use crate::fixture::{PATIENCE, config, start_with};

fn limited(limits: RpcLimits) -> RpcConfig {
    RpcConfig { limits, ..config() }
}

#[tokio::test]
async fn a_body_above_the_limit_is_refused() {
    let server = start_with(limited(RpcLimits { body_bytes: 1_000, ..RpcLimits::default() })).await;
    let signed = |bytes: usize| json!({"signed_base64": "A".repeat(bytes)});
    server.post("/v1/proposals", &[], &signed(1_000)).await.problem(413, "too_large");
    assert_eq!(server.post("/v1/proposals", &[], &signed(800)).await.status, 200);
}

#[tokio::test]
async fn a_node_that_does_not_answer_is_unavailable() {
    let limits = RpcLimits { request_timeout: Duration::from_millis(50), ..RpcLimits::default() };
    let server = start_with(limited(limits)).await;
    server.node.silent.store(true, Ordering::SeqCst);
    assert!(server.get("/v1/status").await.problem(503, "unavailable").contains("50ms"));
}

#[tokio::test]
async fn a_submission_that_takes_too_long_is_unknown_and_others_beyond_the_limit_are_told_to_wait() {
    let server = start_with(limited(RpcLimits { submissions: 1, ..RpcLimits::default() })).await;
    let signed_base64 = base64::engine::general_purpose::STANDARD.encode(NEVER_ENDS);
    let never_ends = json!({"signed_base64": signed_base64, "timeout_ms": 300});
    let first = server.post("/v1/proposals", &[], &never_ends);
    let second = async {
        while server.node.submitted.lock().unwrap().is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        server.post("/v1/proposals", &[], &json!({"signed_base64": "AQ=="})).await
    };
    let (first, second) = tokio::join!(first, second);
    let detail = first.problem(504, "outcome_unknown");
    assert!(detail.contains("retrying with the same idempotency key is safe"), "{detail}");
    second.problem(429, "busy");
    assert_eq!(second.headers["retry-after"], "1");
    assert_eq!(second.json()["retry_after_ms"], 500);
    assert_eq!(server.post("/v1/proposals", &[], &json!({"signed_base64": "AQ=="})).await.status, 200);
}

#[tokio::test]
async fn an_address_with_its_share_of_connections_gets_no_more() {
    let limits = RpcLimits { connections_per_address: 2, ..RpcLimits::default() };
    let server = start_with(limited(limits)).await;
    let held = [connect(&server).await, connect(&server).await];
    let mut third = TcpStream::connect(server.address).await.unwrap();
    let _ = third.write_all(b"GET /livez HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n").await;
    let closed = tokio::time::timeout(PATIENCE, third.read(&mut [0; 1])).await.unwrap();
    assert!(matches!(closed, Ok(0) | Err(_)), "the third connection is closed");
    drop(held);
}

/// A connection that has been served once and stays open.
async fn connect(server: &crate::fixture::Fixture) -> TcpStream {
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream.write_all(b"GET /livez HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n").await.unwrap();
    let read = tokio::time::timeout(PATIENCE, stream.read(&mut [0; 512])).await.unwrap().unwrap();
    assert!(read > 0, "the connection is served");
    stream
}

#[tokio::test]
async fn an_address_that_asks_too_fast_is_told_to_wait() {
    let server = start_with(limited(RpcLimits { requests_per_second: 2, ..RpcLimits::default() })).await;
    let mut refused = 0;
    for _ in 0..12 {
        let reply = server.get("/livez").await;
        if reply.status != 200 {
            reply.problem(429, "busy");
            refused += 1;
        }
    }
    assert!(refused >= 1, "twelve requests passed a limit of two per second");
}

#[tokio::test]
async fn connections_above_the_limit_are_closed() {
    let server = start_with(limited(RpcLimits { connections: 1, ..RpcLimits::default() })).await;
    let mut first = TcpStream::connect(server.address).await.unwrap();
    first.write_all(b"GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    let mut byte = [0];
    first.read_exact(&mut byte).await.unwrap();
    let mut second = TcpStream::connect(server.address).await.unwrap();
    let read =
        tokio::time::timeout(PATIENCE, second.read(&mut byte)).await.expect("the second connection hangs");
    assert!(matches!(read, Ok(0) | Err(_)), "{read:?}");
}

#[tokio::test]
async fn a_stopping_server_ends_idle_connections_and_its_task() {
    let server = start_with(config()).await;
    let mut idle = TcpStream::connect(server.address).await.unwrap();
    idle.write_all(b"GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    let mut byte = [0];
    idle.read_exact(&mut byte).await.unwrap();
    server.stop.send(()).unwrap();
    tokio::time::timeout(PATIENCE, server.task).await.expect("the server does not stop").unwrap();
    let mut rest = Vec::new();
    let _ =
        tokio::time::timeout(PATIENCE, idle.read_to_end(&mut rest)).await.expect("the connection stays open");
    assert!(TcpStream::connect(server.address).await.is_err());
}
