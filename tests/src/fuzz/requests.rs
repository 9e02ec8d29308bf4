//! Requests to the programming interface: REST as text, gRPC as protobuf.
//!
//! They go through everything behind the connection. The node behind it answers nothing and checks that whatever reaches it is
//! within the documented bounds.

mod strict_node;

use std::cell::OnceCell;
use std::sync::Arc;

use aegis_rpc::{Plain, RpcLimits, Token, Unconnected};
use aegis_types::Canonical;
use prost::Message;
use tokio::runtime::{Builder, Runtime};

use super::samples;
use strict_node::StrictNode;

/// The token that requests show.
const TOKEN: &str = "0123456789abcdef0123456789abcdef";

/// The bearer line of the token.
const BEARER: &str = "Bearer 0123456789abcdef0123456789abcdef";

struct Door {
    #[cfg(test)]
    node: Arc<StrictNode>,
    runtime: Runtime,
    server: Unconnected,
}

impl Door {
    fn new() -> Self {
        let runtime = Builder::new_current_thread().enable_time().build().expect("a runtime");
        // One client sends as fast as it can here.
        let limits = RpcLimits { requests_per_second: u32::MAX, ..RpcLimits::default() };
        let node = Arc::new(StrictNode::default());
        let server = runtime.block_on(async {
            let token = Token::new(TOKEN).expect("a token");
            Unconnected::new(Arc::clone(&node) as _, token, limits).expect("the server starts")
        });
        Self {
            #[cfg(test)]
            node,
            runtime,
            server,
        }
    }
}

thread_local! {
    static DOOR: OnceCell<Door> = const { OnceCell::new() };
}

fn answer(method: &str, target: &str, headers: &[(&str, &str)], body: &[u8]) -> Option<Plain> {
    DOOR.with(|door| {
        let Door { runtime, server, .. } = door.get_or_init(Door::new);
        runtime.block_on(server.answer(method, target, headers, body.to_vec()))
    })
}

/// The first line of the input is method, target and, if given, headers `name:value`, which replace the usual ones; the rest
/// is the body.
///
/// # Panics
/// When the server answers with a fault of its own, with an error that is no problem document, or when something outside its
/// bounds reaches the node.
pub fn run_rest(input: &[u8]) {
    let mut parts = input.splitn(2, |byte| *byte == b'\n');
    let (line, body) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let Ok(line) = std::str::from_utf8(line) else { return };
    let mut words = line.split(' ');
    let (Some(method), Some(target)) = (words.next(), words.next()) else { return };
    let mut headers: Vec<(&str, &str)> = words.filter_map(|word| word.split_once(':')).collect();
    for usual in [("content-type", "application/json"), ("authorization", BEARER), ("host", "localhost")] {
        if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case(usual.0)) {
            headers.push(usual);
        }
    }
    let Some(Plain { status, media, body }) = answer(method, target, &headers, body) else { return };
    assert!(status < 500, "{line}: {status} {}", String::from_utf8_lossy(&body));
    if status >= 400 && method != "HEAD" && media.starts_with("application/problem+json") {
        let problem: serde_json::Value = serde_json::from_slice(&body).expect("a problem is JSON");
        assert_eq!(problem["status"], status);
        assert!(problem["code"].is_string() && problem["detail"].is_string(), "{problem}");
    }
}

/// The first line of the input is the method's name; the rest is the message.
///
/// # Panics
/// When the server answers with something else than gRPC, or when something outside its bounds reaches the node.
pub fn run_grpc(input: &[u8]) {
    let mut parts = input.splitn(2, |byte| *byte == b'\n');
    let (name, message) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let Ok(name) = std::str::from_utf8(name) else { return };
    let (path, framed) = match name.strip_prefix('!') {
        // The frame is the fuzzer's own.
        Some(name) => (name, message.to_vec()),
        None => {
            let size = u32::try_from(message.len()).unwrap_or(u32::MAX).to_be_bytes();
            (name, [&[0], &size[..], message].concat())
        }
    };
    let path = if path.contains('.') { format!("/{path}") } else { format!("/aegis.v1.Node/{path}") };
    let headers = [
        ("content-type", "application/grpc"),
        ("host", "localhost"),
        ("te", "trailers"),
        ("authorization", BEARER),
    ];
    if let Some(Plain { status, .. }) = answer("POST", &path, &headers, &framed) {
        assert_eq!(status, 200, "{path}");
    }
}

/// A request for each route, with bodies of each kind.
pub fn rest_seeds() -> Vec<Vec<u8>> {
    let id = "07".repeat(32);
    let mut requests: Vec<String> = [
        "status",
        "peers",
        "validators",
        "parameters",
        "evidence?limit=7",
        "proposals?kind=kv.put&state=open&height=3",
        "proposals?limit=0&cursor=a",
        "kv?prefix=a%2fb&limit=500",
        "kv/a/b%20c",
        "kv/a?consistency=certified",
        "proofs/kv?key=a%2fb",
        "handovers?from_epoch=3",
        "blocks/latest",
        "blocks/18446744073709551615",
        "blocks/-1",
        "watch?topics=blocks,kv&from_height=3&key_prefix=a",
        "metrics/node",
        "metrics/network?liars=0.1",
        "metrics/network?liars=NaN",
        "weights",
        "weights/3",
    ]
    .map(|path| format!("GET /v1/{path}\n"))
    .to_vec();
    for path in [
        "/livez",
        "/readyz",
        "/metrics",
        "/api/health",
        "/api/network/status",
        "/openapi.json",
        "/nothing",
        "*",
    ] {
        requests.push(format!("GET {path}\n"));
    }
    requests.push(format!("GET /v1/proposals/{id}\n"));
    requests.push(format!("POST /v1/proposals/{id}/votes\n{{\"approve\":true,\"wait\":\"none\"}}"));
    requests.push("GET /v1/status authorization:Bearer_x origin:http://evil host:127.0.0.1\n".into());
    requests.push("DELETE /v1/status host:[::1]:80\n".into());
    for (_, body) in samples::bodies() {
        let body = serde_json::to_string(&aegis_rpc::ProposalBodyJson::from(&body)).expect("JSON");
        requests.push(format!(
            "POST /v1/proposals\n{{\"proposal\":{body},\"idempotency_key\":\"k\",\"expires_in_ms\":9,\"timeout_ms\":1}}"
        ));
    }
    requests.push("POST /v1/proposals\n{\"signed_base64\":\"AQID\",\"wait\":\"admit\"}".into());
    requests.into_iter().map(String::into_bytes).collect()
}

/// A request for each method.
pub fn grpc_seeds() -> Vec<Vec<u8>> {
    use aegis_rpc::proto;
    let by_node =
        proto::submit_request::Payload::Signed(samples::proposal(samples::bodies().remove(0).1).encode());
    let submit = proto::SubmitRequest { payload: Some(by_node), ..Default::default() };
    let list = proto::ListProposalsRequest { kind: "kv.put".into(), limit: 3, ..Default::default() };
    let watch =
        proto::WatchRequest { topics: vec![1, 3], from_height: Some(2), key_prefix: Some("a".into()) };
    let vote = proto::VoteRequest { id: vec![7; 32], approve: true, ..Default::default() };
    let stream = proto::SubmitStreamRequest { signed: vec![1, 2, 3], ..Default::default() };
    let liars = |liars: f64| proto::GetNetworkMetricsRequest { liars }.encode_to_vec();
    let messages: [(&str, Vec<u8>); 23] = [
        ("Submit", submit.encode_to_vec()),
        ("SubmitStream", stream.encode_to_vec()),
        ("Vote", vote.encode_to_vec()),
        ("ListProposals", list.encode_to_vec()),
        ("Watch", watch.encode_to_vec()),
        ("GetStatus", Vec::new()),
        ("ListEvidence", Vec::new()),
        ("ListPeers", Vec::new()),
        ("ListParameters", Vec::new()),
        ("GetValidators", Vec::new()),
        ("GetNetworkStatus", Vec::new()),
        ("GetNodeMetrics", Vec::new()),
        ("GetNetworkMetrics", liars(0.1)),
        ("GetNetworkMetrics", liars(f64::NAN)),
        ("GetWeights", Vec::new()),
        ("ExplainWeights", vec![0x08, 3]),
        ("GetProposal", [&[0x0a, 32][..], &[7; 32]].concat()),
        ("GetValue", vec![0x0a, 1, b'a']),
        ("ListValues", vec![0x0a, 1, b'a']),
        ("GetProof", vec![0x0a, 1, b'a']),
        ("ListHandovers", vec![0x08, 3]),
        ("GetBlock", vec![0x08, 1]),
        ("!Submit", vec![1, 0, 0, 0, 9, 1]),
    ];
    let health = b"grpc.health.v1.Health/Check\n".to_vec();
    let seed = |(name, message): &(&str, Vec<u8>)| [name.as_bytes(), b"\n", message].concat();
    messages.iter().map(seed).chain([health]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the requests reach, in a thread and so with a server of their own.
    fn reached(run: fn(&[u8]), seeds: Vec<Vec<u8>>) -> Vec<&'static str> {
        let count = move || {
            seeds.iter().for_each(|seed| run(seed));
            DOOR.with(|door| door.get_or_init(Door::new).node.reached())
        };
        std::thread::spawn(count).join().expect("no seed breaks its target")
    }

    #[test]
    fn the_seeds_reach_every_operation_of_the_node() {
        let operations = [
            "block",
            "evidence",
            "explain_weights",
            "handovers",
            "kv_get",
            "kv_list",
            "kv_proof",
            "network_metrics",
            "network_status",
            "node_metrics",
            "parameters",
            "peers",
            "proposal",
            "proposals",
            "readiness",
            "status",
            "submit",
            "telemetry",
            "validators",
            "vote",
            "watch",
            "weights",
        ];
        assert_eq!(
            reached(run_rest, rest_seeds()),
            operations.into_iter().filter(|name| *name != "watch").collect::<Vec<_>>()
        );
        // Readiness is asked for by a task of the server's own, at its own time.
        let other = ["telemetry", "readiness"];
        let asked = |name: &&str| !other.contains(name);
        let by_grpc: Vec<_> = reached(run_grpc, grpc_seeds()).into_iter().filter(asked).collect();
        assert_eq!(by_grpc, operations.into_iter().filter(asked).collect::<Vec<_>>());
    }
}
