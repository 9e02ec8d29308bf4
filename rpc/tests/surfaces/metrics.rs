//! Statistics and weights over REST and WebSocket.

use aegis_rpc::{Change, Topic, WatchRequest};
use aegis_types::Epoch;
use futures::StreamExt;
use serde_json::json;

use crate::fake_node::{NEWEST, node_metrics};
use crate::fixture::start;

#[tokio::test]
async fn integration_metrics_have_exactly_the_names_of_the_source_document() {
    let server = start().await;
    let document = server.get("/api/metrics/integration").await.json();
    assert_eq!(document, server.get("/v1/metrics/node").await.json());
    let keys = |value: &serde_json::Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    let mut top = keys(&document);
    top.retain(|key| key != "quality");
    assert_eq!(top, ["consciousness_metrics", "global_state", "node_id", "timestamp"]);
    assert_eq!(
        keys(&document["consciousness_metrics"]),
        ["coherence", "consciousness_level", "divergence", "phi", "stability"]
    );
    assert_eq!(
        keys(&document["global_state"]),
        ["collective_awareness", "network_coherence", "system_health"]
    );
    let values = &document["consciousness_metrics"];
    assert_eq!((&values["phi"], &values["coherence"]), (&json!(null), &json!(0.75)));
    assert_eq!(document["quality"]["reasons"]["phi"], "12 samples");
}

#[tokio::test]
async fn the_network_is_shown_with_the_share_of_liars_that_was_asked_for() {
    let server = start().await;
    let network = server.get("/v1/metrics/network").await.json();
    assert_eq!(
        (&network["nodes"][0]["report"]["sequence"], &network["observers"]["liars"]),
        (&json!(9), &json!(0.0))
    );
    let network = server.get("/v1/metrics/network?liars=0.1").await.json();
    assert_eq!(network["observers"]["liars"], 0.1);
    for wrong in ["1", "-0.1", "NaN", "inf"] {
        let refused = server.get(&format!("/v1/metrics/network?liars={wrong}")).await;
        assert_eq!((refused.status.as_u16(), &refused.json()["field"]), (400, &json!("liars")), "{wrong}");
    }
    assert_eq!(server.client().network_metrics(0.2).await.unwrap().observers.unwrap().liars, 0.2);
}

#[tokio::test]
async fn weights_are_shown_with_what_they_trade_and_explained_by_epoch() {
    let server = start().await;
    let weights = server.get("/v1/weights").await.json();
    assert_eq!((&weights["mode"], &weights["trade"]["arbitrary_faults"]), (&json!("measured"), &json!(1)));
    let explained = server.get("/v1/weights/2").await.json();
    assert_eq!(
        (&explained["epoch"], &explained["explanation"]["policy"]["core_size"]),
        (&json!(2), &json!(4))
    );
    assert_eq!(server.get("/v1/weights/999").await.status, 404);
    assert_eq!(server.get("/v1/weights/last").await.status, 400);
    let client = server.client();
    assert_eq!(client.explain_weights(Epoch(NEWEST)).await.unwrap().input_base64.0, [1]);
    assert_eq!(client.weights().await.unwrap().on_record.unwrap().oldest, Epoch(1));
}

#[tokio::test]
async fn statistics_can_be_watched() {
    let server = start().await;
    let request = WatchRequest {
        topics: [Topic::Metrics].into(),
        from_height: Some(aegis_types::Height(1)),
        key_prefix: None,
    };
    let mut watch = server.client().watch(request).await.unwrap();
    let event = watch.next().await.unwrap().unwrap();
    assert_eq!(event.change, Change::Metrics(Box::new(node_metrics())));
    let text = serde_json::to_value(&event).unwrap();
    assert_eq!((&text["topic"], &text["data"]["quality"]["attested_by"]), (&json!("metrics"), &json!(4)));
}
