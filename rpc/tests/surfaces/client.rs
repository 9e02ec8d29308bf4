//! The Rust client against a running server: what goes in comes out.

use std::net::TcpListener;
use std::time::Duration;

use aegis_rpc::{
    Client, ClientConfig, ClientError, Consistency, ErrorCode, PageRequest, Payload, ProposalFilter,
    ProposalState, Submit, Wait,
};
use aegis_types::{Height, Kind, ProposalBody};

use crate::fake_node::{self, KNOWN, NEVER_ENDS, NEWEST};
use crate::fixture::start;

fn code<T: std::fmt::Debug>(result: Result<T, ClientError>) -> ErrorCode {
    result.unwrap_err().api().expect("an error of the node").code
}

#[tokio::test]
async fn every_read_returns_what_the_node_said() {
    let server = start().await;
    let client = server.client();
    assert_eq!(client.status().await.unwrap(), fake_node::status());
    assert_eq!(client.peers().await.unwrap(), [fake_node::peer()]);
    assert_eq!(client.validators().await.unwrap(), fake_node::validators());
    assert_eq!(client.proposal(KNOWN).await.unwrap(), fake_node::proposal());
    assert_eq!(client.block(None).await.unwrap(), fake_node::block(NEWEST));
    assert_eq!(client.block(Some(Height(12))).await.unwrap(), fake_node::block(12));
    assert_eq!(client.network_status().await.unwrap(), fake_node::network_status());
    assert!(client.readiness().await.unwrap().ready);
    assert!(client.telemetry().await.unwrap().contains("height 40"));
    let filter = ProposalFilter {
        kind: Some(Kind::Text),
        state: Some(ProposalState::Open),
        account: None,
        height: Some(Height(9)),
    };
    let page = PageRequest { cursor: Some("a&b".into()), limit: 1 };
    let list = client.proposals(filter, page).await.unwrap();
    assert_eq!((list.items.len(), list.next_cursor.as_deref()), (1, Some("a&b+")));
}

#[tokio::test]
async fn keys_with_any_signs_find_their_way() {
    let server = start().await;
    let client = server.client();
    for key in [
        "a",
        "binary",
        "a/b",
        "/a//b/",
        "a b",
        "ä€😀",
        "a?b=c&d#e",
        "100%",
        "%2e",
        ".",
        "..",
        "../a",
        "a/../b",
        "+",
    ] {
        assert_eq!(client.kv_get(key).await.unwrap(), fake_node::entry(key), "{key}");
        assert_eq!(client.kv_list(key, PageRequest::default()).await.unwrap().items[0].key, key);
        assert_eq!(client.kv_proof(key).await.unwrap(), fake_node::proof(key), "{key}");
    }
    assert_eq!(
        client.handovers(aegis_types::Epoch(7)).await.unwrap().next_epoch,
        Some(aegis_types::Epoch(9))
    );
    assert_eq!(code(client.kv_get("absent").await), ErrorCode::NotFound);
}

#[tokio::test]
async fn submissions_arrive_as_they_were_made() {
    let server = start().await;
    let client = server.client();
    let body = ProposalBody::KvPut { key: "a".into(), value: vec![0xff] };
    let signed = Submit { wait: Wait::None, timeout_ms: 7, ..Submit::signed(vec![1, 2]) };
    client.submit(signed.clone()).await.unwrap();
    let by_node = client.submit(Submit::by_node(body.clone())).await.unwrap();
    assert!(by_node.duplicate);
    assert_eq!(by_node.idempotency_key.len(), 32, "a random key");
    assert_eq!(by_node.certificate, fake_node::submission(true).certificate);
    client.vote(KNOWN, true, Wait::Commit, 1_000).await.unwrap();
    assert_eq!(*server.node.voted.lock().unwrap(), [(KNOWN, true)]);
    let submitted = server.node.submitted.lock().unwrap();
    assert_eq!(submitted[0], signed);
    assert!(matches!(&submitted[1].payload, Payload::ByNode { body: got, .. } if *got == body));
}

#[tokio::test]
async fn a_time_that_runs_out_leaves_the_outcome_unknown() {
    let server = start().await;
    let submit = Submit { timeout_ms: 1, ..Submit::signed(NEVER_ENDS.to_vec()) };
    assert_eq!(code(server.client().submit(submit).await), ErrorCode::OutcomeUnknown);
}

#[tokio::test]
async fn a_connection_that_breaks_leaves_the_outcome_unknown_and_names_the_key() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let client = Client::connect(ClientConfig::new(url)).unwrap();
    let hang_up = async {
        let (stream, _) = listener.accept().await.unwrap();
        stream.readable().await.unwrap();
        drop(stream);
        drop(listener);
    };
    let mut submit = Submit::by_node(ProposalBody::KvDelete { key: "a".into() });
    if let Payload::ByNode { idempotency_key, .. } = &mut submit.payload {
        *idempotency_key = Some("key-of-mine".into());
    }
    let (result, ()) = tokio::join!(client.submit(submit), hang_up);
    let error = result.unwrap_err();
    assert_eq!(error.api().expect("outcome unknown").code, ErrorCode::OutcomeUnknown, "{error}");
    assert!(error.to_string().contains("key-of-mine"), "{error}");
}

#[tokio::test]
async fn an_absent_node_is_told_with_what_to_do() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let url = format!("http://127.0.0.1:{port}");
    let client = Client::connect(ClientConfig::new(&url)).unwrap();
    for error in [
        client.status().await.unwrap_err(),
        client.submit(Submit::signed(vec![1])).await.unwrap_err(),
        client.watch(aegis_rpc::WatchRequest::default()).await.err().unwrap(),
    ] {
        assert!(error.is_unreachable(), "{error}");
        let message = error.to_string();
        assert!(message.contains(&format!("is a node running at {url}?")), "{message}");
        assert!(message.contains("aegis run --home DIR"), "{message}");
    }
}

#[tokio::test]
async fn what_is_no_node_is_told_apart() {
    for url in ["127.0.0.1:8003", "ftp://127.0.0.1", "http://"] {
        let error = Client::connect(ClientConfig::new(url)).unwrap_err();
        assert!(matches!(error, ClientError::BadUrl { .. }), "{url}: {error}");
    }
    let config = ClientConfig { token: Some("a\nb".into()), ..ClientConfig::new("http://127.0.0.1:1") };
    assert!(matches!(Client::connect(config), Err(ClientError::BadToken)));
    let server = start().await;
    let client = Client::connect(ClientConfig::new(server.url("/metrics"))).unwrap();
    assert_eq!(code(client.status().await), ErrorCode::NotFound);
    let config = ClientConfig { timeout: Duration::from_millis(50), ..ClientConfig::new(server.url("")) };
    server.node.silent.store(true, std::sync::atomic::Ordering::SeqCst);
    let error = Client::connect(config).unwrap().status().await.unwrap_err();
    assert!(matches!(error, ClientError::Interrupted { .. }), "{error}");
}

#[tokio::test]
async fn reads_are_linearizable_unless_another_consistency_is_asked_for_on_every_surface() {
    let server = start().await;
    let asked = || std::mem::take(&mut *server.node.consistencies.lock().unwrap());
    let all = |consistency| vec![consistency; 4];

    server.client().kv_get("a").await.unwrap();
    server.client().kv_list("a", PageRequest::default()).await.unwrap();
    server.client().proposal(KNOWN).await.unwrap();
    server.client().parameters().await.unwrap();
    assert_eq!(asked(), all(Consistency::Linearizable));

    for consistency in [Consistency::Certified, Consistency::Local] {
        let client = server.client().reading(consistency);
        let entry = client.kv_get("a").await.unwrap();
        assert_eq!(entry.certified.is_some(), consistency == Consistency::Certified);
        client.kv_list("a", PageRequest::default()).await.unwrap();
        client.proposal(KNOWN).await.unwrap();
        client.parameters().await.unwrap();
        assert_eq!(asked(), all(consistency));
    }

    server.client().kv_proof("a").await.unwrap();
    server.client().reading(Consistency::Certified).kv_proof("a").await.unwrap();
    assert_eq!(asked(), [Consistency::Linearizable, Consistency::Certified]);
    assert_eq!(
        code(server.client().reading(Consistency::Local).kv_proof("a").await),
        ErrorCode::InvalidArgument
    );

    server.get("/v1/kv/a?consistency=sometimes").await.problem(400, "invalid_argument");
    server.get("/v1/kv/a?consistence=local").await.problem(400, "invalid_argument");
    assert_eq!(asked(), []);
}
