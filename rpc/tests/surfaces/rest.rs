//! The operations over REST.

use std::sync::atomic::Ordering;

use aegis_rpc::{Payload, Wait};
use aegis_types::ProposalBody;
use serde_json::json;

use crate::fake_node::{KNOWN, NEWEST};
use crate::fixture::{TOKEN, start};

#[tokio::test]
async fn reads_show_what_the_node_says() {
    let server = start().await;
    let status = server.get("/v1/status").await;
    assert_eq!(status.status, 200);
    assert_eq!(status.headers["x-content-type-options"], "nosniff");
    assert_eq!(status.headers["cache-control"], "no-store");
    let status = status.json();
    assert_eq!((&status["role"], &status["quorum"]), (&json!("validator"), &json!(13)));
    assert_eq!(status["node_id"], "03".repeat(32));
    assert_eq!(status["syncing"]["target_height"], 50);

    assert_eq!(server.get("/v1/peers").await.json()[0]["latency_us"], 250);
    assert_eq!(server.get("/v1/validators").await.json()["members"].as_array().unwrap().len(), 4);
    let pending = &server.get("/v1/validators").await.json()["pending"][0];
    assert_eq!((&pending["is_offender"], &pending["weight"]), (&json!(true), &json!(null)));
    let parameter = &server.get("/v1/parameters").await.json()[0];
    assert_eq!((&parameter["name"], &parameter["next_epoch_value"]), (&json!("window"), &json!(16)));
    let evidence = server.get("/v1/evidence?cursor=x").await.json();
    assert_eq!((&evidence["items"][0]["height"], &evidence["next_cursor"]), (&json!(8), &json!("x+")));
    assert_eq!(server.get("/v1/blocks/latest").await.json()["header"]["height"], NEWEST);
    let block = server.get("/v1/blocks/11").await.json();
    assert_eq!((&block["header"]["height"], &block["certificate"]["weight"]), (&json!(11), &json!(13)));
    assert_eq!(server.get("/api/network/status").await.json()["can_decide"], true);
}

#[tokio::test]
async fn values_are_shown_as_text_when_they_are_text() {
    let server = start().await;
    let text = server.get("/v1/kv/config/region").await.json();
    assert_eq!((&text["key"], &text["value"]), (&json!("config/region"), &json!("text")));
    assert_eq!(text["value_base64"], "dGV4dA==");
    let binary = server.get("/v1/kv/binary").await.json();
    assert_eq!((binary.get("value"), &binary["value_base64"]), (None, &json!("/wA=")));
    assert_eq!(server.get("/v1/kv/a%2Fb%20c%3F").await.json()["key"], "a/b c?");
    let list = server.get("/v1/kv?prefix=a&limit=1").await.json();
    assert_eq!(list["items"].as_array().unwrap().len(), 1);
    assert!(list.get("next_cursor").is_none());
}

#[tokio::test]
async fn proofs_are_given_for_every_key_whether_it_exists_or_not() {
    let server = start().await;
    let found = server.get("/v1/proofs/kv?key=a%2Fb%3F").await.json();
    assert_eq!(
        (&found["key"], &found["height"], &found["epoch"]),
        (&json!("a/b?"), &json!(NEWEST - 1), &json!(3))
    );
    assert_eq!((&found["record_base64"], &found["proof_base64"]), (&json!("/wA="), &json!("AQ==")));
    let absent = server.get("/v1/proofs/kv?key=absent").await.json();
    assert_eq!((absent.get("record_base64"), &absent["certified_header_base64"]), (None, &json!("Ag==")));
    let early = server.get("/v1/proofs/kv?key=too+early").await;
    early.problem(503, "not_ready");
    server.get("/v1/proofs/kv?key=").await.problem(400, "invalid_argument");
    server.get("/v1/proofs/kv?key=a&consistency=local").await.problem(400, "invalid_argument");
    let handovers = server.get("/v1/handovers").await.json();
    assert_eq!(
        (&handovers["handovers_base64"], &handovers["next_epoch"]),
        (&json!(["AA==", "/w=="]), &json!(2))
    );
    assert_eq!(server.get("/v1/handovers?from_epoch=5").await.json()["handovers_base64"][0], "BQ==");
}

#[tokio::test]
async fn proposals_are_listed_by_filter_and_page() {
    let server = start().await;
    let all = server.get("/v1/proposals").await.json();
    assert_eq!((all["items"].as_array().unwrap().len(), &all["next_cursor"]), (2, &json!("first+")));
    let one = server.get("/v1/proposals?kind=text&state=open&height=9&limit=1&cursor=x").await.json();
    assert_eq!((one["items"].as_array().unwrap().len(), &one["next_cursor"]), (1, &json!("x+")));
    assert_eq!(server.get("/v1/proposals?kind=kv.put").await.json()["items"], json!([]));
    let detail = server.get(&format!("/v1/proposals/{KNOWN}")).await.json();
    assert_eq!((&detail["kind"], &detail["body"]["title"]), (&json!("text"), &json!("t")));
    assert_eq!(detail["tally"]["needed"], 13);
}

#[tokio::test]
async fn a_signed_proposal_goes_to_the_node_as_it_is_and_needs_no_token() {
    let server = start().await;
    let body = json!({"signed_base64": "AQID", "wait": "admit", "timeout_ms": 1_000});
    let reply = server.post("/v1/proposals", &[], &body).await;
    assert_eq!((reply.status.as_u16(), &reply.json()["state"]), (200, &json!("committed")), "{}", reply.text);
    let submitted = server.node.submitted.lock().unwrap();
    assert_eq!(submitted[0].payload, Payload::Signed(vec![1, 2, 3]));
    assert_eq!((submitted[0].wait, submitted[0].timeout_ms), (Wait::Admit, 1_000));
}

#[tokio::test]
async fn the_node_signs_for_who_has_the_token() {
    let server = start().await;
    let bearer = format!("Bearer {TOKEN}");
    let authorization = [("authorization", bearer.as_str())];
    let body =
        json!({"proposal": {"kind": "kv.put", "body": {"key": "a", "value": "b"}}, "idempotency_key": "k1"});
    let reply = server.post("/v1/proposals", &authorization, &body).await.json();
    assert_eq!((&reply["idempotency_key"], &reply["duplicate"]), (&json!("k1"), &json!(true)));
    {
        let submitted = server.node.submitted.lock().unwrap();
        let expected = ProposalBody::KvPut { key: "a".into(), value: b"b".to_vec() };
        assert!(matches!(&submitted[0].payload, Payload::ByNode { body, .. } if *body == expected));
    }
    let vote = server
        .post(&format!("/v1/proposals/{KNOWN}/votes"), &authorization, &json!({"approve": false}))
        .await;
    assert_eq!(vote.status, 200, "{}", vote.text);
    assert_eq!(*server.node.voted.lock().unwrap(), [(KNOWN, false)]);
}

#[tokio::test]
async fn probes_follow_the_node() {
    let server = start().await;
    assert_eq!(server.get("/livez").await.text, "ok\n");
    assert_eq!(server.get("/readyz").await.status, 200);
    assert_eq!(server.get("/api/health").await.json()["status"], "ok");
    let metrics = server.get("/metrics").await;
    assert!(metrics.text.contains("height 40") && metrics.media.starts_with("application/openmetrics-text"));

    server.node.ready.store(false, Ordering::SeqCst);
    let unready = server.get("/readyz").await;
    assert_eq!((unready.status.as_u16(), &unready.json()["reasons"]), (503, &json!(["catching up"])));
    assert_eq!(server.get("/livez").await.status, 200);
    assert_eq!(server.get("/api/health").await.json()["status"], "not_ready");
}
