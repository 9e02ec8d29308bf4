//! The operations over gRPC.

use std::sync::atomic::Ordering;
use std::time::Duration;

use aegis_rpc::proto::node_client::NodeClient;
use aegis_rpc::proto::submit_stream_response::Result as TaggedResult;
use aegis_rpc::proto::{self, submit_request};
use aegis_rpc::{Payload, Token};
use aegis_types::{Canonical, Hash, Header, ProposalBody};
use futures::StreamExt;
use prost::Message;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;

use crate::fake_node::{self, CONFLICTS, KNOWN, NEWEST, SLOW_PREFIX};
use crate::fixture::{Fixture, PATIENCE, TOKEN, start};

async fn channel(server: &Fixture) -> Channel {
    Endpoint::from_shared(server.url("")).unwrap().connect().await.unwrap()
}

pub async fn client(server: &Fixture) -> NodeClient<Channel> {
    NodeClient::new(channel(server).await)
}

fn with_token<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert("authorization", format!("Bearer {TOKEN}").parse().unwrap());
    request
}

/// The machine-readable part of a failure.
pub fn error(status: &Status) -> proto::Error {
    let bytes =
        status.metadata().get_bin("aegis-error-bin").expect("an error in the metadata").to_bytes().unwrap();
    let error = proto::Error::decode(bytes).unwrap();
    assert_eq!(status.metadata().get("aegis-error-code").unwrap(), error.code.as_str());
    assert_eq!(status.message(), error.message);
    error
}

#[tokio::test]
async fn reads_show_what_the_node_says() {
    let server = start().await;
    let mut client = client(&server).await;
    let status = client.get_status(proto::GetStatusRequest {}).await.unwrap().into_inner();
    assert_eq!((status.role(), status.height, status.quorum), (proto::Role::Validator, NEWEST, 13));
    assert_eq!(status.leader, Some(vec![4; 32]));
    let peers = client.list_peers(proto::ListPeersRequest {}).await.unwrap().into_inner().peers;
    assert_eq!((peers.len(), peers[0].direction()), (1, proto::Direction::Outbound));
    let validators = client.get_validators(proto::GetValidatorsRequest {}).await.unwrap().into_inner();
    assert_eq!((validators.members.len(), validators.total_weight), (4, 18));
    assert_eq!((validators.pending.len(), validators.pending[0].weight), (1, None));
    let parameters =
        client.list_parameters(proto::ListParametersRequest::default()).await.unwrap().into_inner().items;
    assert_eq!((parameters[0].name.as_str(), parameters[0].next_epoch_value), ("window", Some(16)));
    let evidence = proto::ListEvidenceRequest { cursor: "x".into(), limit: 0 };
    let evidence = client.list_evidence(evidence).await.unwrap().into_inner();
    assert_eq!((evidence.items[0].height, evidence.next_cursor.as_str()), (8, "x+"));
    let request = proto::GetProofRequest { key: "absent".into(), consistency: 0 };
    let proof = client.get_proof(request).await.unwrap().into_inner();
    assert_eq!((proof.height, proof.record, proof.certified_header), (NEWEST - 1, None, vec![2]));
    let handovers = client.list_handovers(proto::ListHandoversRequest { from_epoch: 5 }).await.unwrap();
    assert_eq!(
        (handovers.get_ref().handovers[0].as_slice(), handovers.get_ref().next_epoch),
        (&[5][..], Some(7))
    );
    let network = client.get_network_status(proto::GetNetworkStatusRequest {}).await.unwrap().into_inner();
    assert!(network.can_decide && network.leader.is_none());

    let id = KNOWN.0.to_vec();
    let detail =
        client.get_proposal(proto::GetProposalRequest { id, consistency: 0 }).await.unwrap().into_inner();
    let content = detail.content.unwrap();
    let body = ProposalBody::decode(content.kind.parse().unwrap(), &content.body).unwrap();
    assert_eq!(body, ProposalBody::Text { title: "t".into(), text: "x".into() });
    assert_eq!((detail.votes.len(), detail.tally.unwrap().needed), (1, 13));
    let filter = proto::ListProposalsRequest { kind: "text".into(), ..Default::default() };
    let list = client.list_proposals(filter).await.unwrap().into_inner();
    assert_eq!((list.items.len(), list.next_cursor.as_str()), (2, "first+"));

    let entry = client
        .get_value(proto::GetValueRequest { key: "binary".into(), consistency: 0 })
        .await
        .unwrap()
        .into_inner();
    assert_eq!((entry.value, entry.version), (vec![0xff, 0x00], 2));
    let values = proto::ListValuesRequest { prefix: "p".into(), limit: 1, ..Default::default() };
    assert_eq!(client.list_values(values).await.unwrap().into_inner().items[0].key, "p");
}

#[tokio::test]
async fn a_block_comes_with_what_proves_it() {
    let server = start().await;
    let request = proto::GetBlockRequest { height: Some(12) };
    let block = client(&server).await.get_block(request).await.unwrap().into_inner();
    let header = Header::decode(&block.header_encoding).unwrap();
    assert_eq!((header.height.0, header.digest()), (12, Hash::from_slice("digest", &block.digest).unwrap()));
    assert_eq!(Header::from_proto(block.header.unwrap()).unwrap(), header);
    let certificate = block.certificate.unwrap();
    assert_eq!((certificate.signers.len(), certificate.weight), (3, 13));
    assert_eq!(aegis_types::Certificate::decode(&certificate.encoding).unwrap().content.height.0, 12);
}

#[tokio::test]
async fn the_node_signs_for_who_has_the_token() {
    let server = start().await;
    let mut client = client(&server).await;
    let body = ProposalBody::KvPut { key: "a".into(), value: b"b".to_vec() };
    let by_node = proto::NodeProposal { kind: "kv.put".into(), body: body.encode(), ..Default::default() };
    let message = proto::SubmitRequest {
        payload: Some(submit_request::Payload::ByNode(by_node)),
        ..Default::default()
    };
    let refused = client.submit(message.clone()).await.unwrap_err();
    assert_eq!((refused.code(), error(&refused).code.as_str()), (Code::Unauthenticated, "unauthenticated"));
    let vote = proto::VoteRequest { id: KNOWN.0.to_vec(), approve: true, ..Default::default() };
    assert_eq!(client.vote(vote.clone()).await.unwrap_err().code(), Code::Unauthenticated);

    let submission = client.submit(with_token(message)).await.unwrap().into_inner();
    assert_eq!((submission.state(), submission.height), (proto::SubmissionState::Committed, Some(NEWEST)));
    assert_eq!(submission.idempotency_key.len(), 32, "a random key");
    client.vote(with_token(vote)).await.unwrap();
    assert_eq!(*server.node.voted.lock().unwrap(), [(KNOWN, true)]);
    let submitted = server.node.submitted.lock().unwrap();
    assert!(matches!(&submitted[0].payload, Payload::ByNode { body: got, .. } if *got == body));
}

#[tokio::test]
async fn a_wrong_token_a_foreign_origin_and_a_foreign_host_are_refused() {
    let server = start().await;
    let mut client = client(&server).await;
    let request = |name: &'static str, value: String| {
        let mut request = Request::new(proto::GetStatusRequest {});
        request.metadata_mut().insert(name, value.parse().unwrap());
        request
    };
    let wrong = format!("Bearer {}", Token::random().secret());
    let refused = client.get_status(request("authorization", wrong)).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unauthenticated);
    let refused = client.get_status(request("origin", "http://evil.example".into())).await.unwrap_err();
    assert_eq!((refused.code(), error(&refused).code.as_str()), (Code::PermissionDenied, "forbidden_origin"));
    let rebound =
        Endpoint::from_shared(server.url("")).unwrap().origin("http://evil.example".parse().unwrap());
    let mut client = NodeClient::new(rebound.connect().await.unwrap());
    let refused = client.get_status(proto::GetStatusRequest {}).await.unwrap_err();
    assert_eq!(error(&refused).code, "forbidden_origin");
}

#[tokio::test]
async fn failures_carry_the_code_and_the_field() {
    let server = start().await;
    let mut client = client(&server).await;
    let short =
        client.get_proposal(proto::GetProposalRequest { id: vec![1], consistency: 0 }).await.unwrap_err();
    assert_eq!((short.code(), error(&short).field.as_deref()), (Code::InvalidArgument, Some("id")));
    let absent =
        client.get_proposal(proto::GetProposalRequest { id: vec![1; 32], consistency: 0 }).await.unwrap_err();
    assert_eq!((absent.code(), error(&absent).code.as_str()), (Code::NotFound, "not_found"));
    let pruned = client.get_block(proto::GetBlockRequest { height: Some(3) }).await.unwrap_err();
    assert_eq!((pruned.code(), error(&pruned).resume_from), (Code::OutOfRange, Some(10)));
    let page = proto::ListValuesRequest { limit: 501, ..Default::default() };
    assert_eq!(error(&client.list_values(page).await.unwrap_err()).field.as_deref(), Some("limit"));
    let kind = proto::ListProposalsRequest { kind: "weather".into(), ..Default::default() };
    assert_eq!(error(&client.list_proposals(kind).await.unwrap_err()).code, "unknown_kind");
    let empty = client.submit(proto::SubmitRequest::default()).await.unwrap_err();
    assert_eq!(error(&empty).field.as_deref(), Some("payload"));
    let topics = proto::WatchRequest::default();
    assert_eq!(error(&client.watch(topics).await.unwrap_err()).field.as_deref(), Some("topics"));
}

#[tokio::test]
async fn many_proposals_share_a_stream_and_each_reply_has_its_tag() {
    const COUNT: u64 = 3_000;
    let server = start().await;
    let bytes = |tag: u64| if tag == 5 { CONFLICTS.to_vec() } else { tag.to_be_bytes().to_vec() };
    let requests = futures::stream::iter((0..COUNT).map(move |tag| proto::SubmitStreamRequest {
        tag,
        signed: bytes(tag),
        wait: proto::Wait::Admit.into(),
        timeout_ms: 0,
    }));
    let replies = client(&server).await.submit_stream(requests).await.unwrap().into_inner();
    let mut seen = vec![false; COUNT as usize];
    let replies = replies.map(|reply| reply.unwrap()).collect::<Vec<_>>();
    for reply in tokio::time::timeout(PATIENCE, replies).await.expect("the stream hangs") {
        assert!(!std::mem::replace(&mut seen[reply.tag as usize], true), "{} is answered twice", reply.tag);
        match reply.result.unwrap() {
            TaggedResult::Submission(submission) => {
                assert_eq!(submission.id, Hash::of("fake", &bytes(reply.tag)).0.to_vec());
            }
            TaggedResult::Error(error) => assert_eq!((reply.tag, error.code.as_str()), (5, "conflict")),
        }
    }
    assert!(seen.iter().all(|seen| *seen));
}

#[tokio::test]
async fn a_watch_streams_events_and_ends_with_the_height_to_resume_from() {
    let server = start().await;
    let mut client = client(&server).await;
    let topics = vec![proto::Topic::Blocks.into(), proto::Topic::Kv.into(), proto::Topic::Status.into()];
    let request = proto::WatchRequest { topics: topics.clone(), from_height: Some(2), key_prefix: None };
    let mut events = client.watch(request).await.unwrap().into_inner();
    for height in [2, 3, 4, 6] {
        assert_eq!(events.next().await.unwrap().unwrap().height, height);
    }
    let request = proto::WatchRequest { topics, from_height: Some(1), key_prefix: Some(SLOW_PREFIX.into()) };
    let mut events = client.watch(request).await.unwrap().into_inner();
    for height in [1, 2, 3] {
        let event = events.next().await.unwrap().unwrap();
        assert_eq!(event, expected_event(height));
    }
    let last = events.next().await.unwrap().unwrap_err();
    assert_eq!((last.code(), error(&last).resume_from), (Code::Aborted, Some(4)));
}

#[tokio::test]
async fn statistics_come_with_what_is_unknown_left_out() {
    let server = start().await;
    let mut client = client(&server).await;
    let topics = vec![proto::Topic::Metrics.into()];
    let request = proto::WatchRequest { topics, from_height: Some(1), key_prefix: None };
    let mut events = client.watch(request).await.unwrap().into_inner();
    let event = events.next().await.unwrap().unwrap();
    let Some(proto::watch_event::Change::Metrics(metrics)) = event.change else { panic!("{event:?}") };
    let values = metrics.consciousness_metrics.unwrap();
    assert_eq!((values.phi, values.coherence, values.stability), (None, Some(0.75), Some(0.5)));
    assert_eq!(metrics.quality.unwrap().reasons["phi"], "12 samples");
}

fn expected_event(height: u64) -> proto::WatchEvent {
    use proto::watch_event::Change;
    let event = fake_node::event(height);
    let change = match event.change {
        aegis_rpc::Change::Proposals(proposal) => Change::Proposal(proto::ProposalEvent {
            id: proposal.id.0.to_vec(),
            account: proposal.account.0.to_vec(),
            kind: "kv.put".into(),
            state: proto::ProposalState::Applied.into(),
            outcome: Some(proto::Outcome {
                state: proto::ProposalState::Applied.into(),
                code: None,
                message: "set".into(),
                version: Some(1),
            }),
        }),
        aegis_rpc::Change::Kv(kv) => {
            Change::Kv(proto::KvEvent { key: kv.key, version: kv.version, value: Some(vec![1, 2]) })
        }
        aegis_rpc::Change::Status(_) => {
            Change::Status(proto::Status { chain_id: "aegis-test-1".into(), ..status_message() })
        }
        aegis_rpc::Change::Blocks(_) | aegis_rpc::Change::Metrics(_) => {
            panic!("neither a block nor statistics in the first three heights")
        }
    };
    proto::WatchEvent { height, change: Some(change) }
}

fn status_message() -> proto::Status {
    let status = fake_node::status();
    proto::Status {
        chain_id: status.chain_id.to_string(),
        genesis: vec![4; 32],
        node_id: vec![3; 32],
        peer_id: status.peer_id,
        account: vec![3; 32],
        role: proto::Role::Validator.into(),
        version: status.version,
        height: NEWEST,
        block_digest: status.block_digest.0.to_vec(),
        executed_height: NEWEST,
        state_root: vec![2; 32],
        epoch: 2,
        view: 1,
        view_changing: false,
        leader: Some(vec![4; 32]),
        weight: 3,
        total_weight: 18,
        quorum: 13,
        max_faulty: 5,
        weight_alive: 18,
        weight_may_still_fail: 5,
        syncing: Some(proto::Syncing {
            active: true,
            target_height: Some(50),
            peers: 2,
            snapshot: Some(proto::SnapshotProgress {
                height: 45,
                phase: "fetching".into(),
                done_bytes: 10,
                total_bytes: 30,
                bytes_per_second: 5,
                left_ms: Some(4_000),
            }),
        }),
        peers: 3,
        listen_addresses: status.listen_addresses,
        rest_endpoint: status.rest_endpoint,
        grpc_endpoint: status.grpc_endpoint,
        agreed_time_ms: 40_000,
        uptime_ms: 5,
        mempool: Some(proto::Mempool { proposals: 1, batches: 2, bytes: 3 }),
        store_bytes: 4,
        first_height: Some(2),
        read_only: None,
        silent: Some("its votes were lost".into()),
        unpruned: Some("no snapshot".into()),
        tor: Some(proto::TorState {
            mode: "also".into(),
            onion_address: "/onion3/abc:7003".into(),
            percent: 60,
            phase: "fetching".into(),
            blocked: Some("offline".into()),
            reachable: true,
            service: "published".into(),
            problem: Some("3 introduction points failed".into()),
            circuits: 2,
            client_key: "descriptor:x25519:abc".into(),
        }),
    }
}

#[tokio::test]
async fn reflection_lists_the_services_and_describes_the_types_of_both_files() {
    let server = start().await;
    let mut client = ServerReflectionClient::new(channel(&server).await);
    let ask = |request| ServerReflectionRequest { host: String::new(), message_request: Some(request) };
    let requests = [
        ask(MessageRequest::ListServices(String::new())),
        ask(MessageRequest::FileContainingSymbol("aegis.v1.Node".into())),
        ask(MessageRequest::FileContainingSymbol("aegis.v1.Header".into())),
    ];
    let replies = client.server_reflection_info(futures::stream::iter(requests)).await.unwrap().into_inner();
    let replies: Vec<_> = replies.map(|reply| reply.unwrap().message_response.unwrap()).collect().await;
    let MessageResponse::ListServicesResponse(services) = &replies[0] else { panic!("{:?}", replies[0]) };
    let names: Vec<_> = services.service.iter().map(|service| service.name.as_str()).collect();
    assert!(names.contains(&"aegis.v1.Node") && names.contains(&"grpc.health.v1.Health"), "{names:?}");
    for reply in &replies[1..] {
        assert!(matches!(reply, MessageResponse::FileDescriptorResponse(_)), "{reply:?}");
    }
}

#[tokio::test]
async fn the_health_service_follows_readiness() {
    let server = start().await;
    let mut client = HealthClient::new(channel(&server).await);
    for service in ["", "aegis.v1.Node"] {
        let request = HealthCheckRequest { service: service.into() };
        let mut statuses = client.watch(request).await.unwrap().into_inner();
        for ready in [true, false, true] {
            server.node.ready.store(ready, Ordering::SeqCst);
            let wanted = if ready { ServingStatus::Serving } else { ServingStatus::NotServing };
            let follow = async { while statuses.next().await.unwrap().unwrap().status() != wanted {} };
            tokio::time::timeout(PATIENCE, follow).await.expect("the health service does not follow");
        }
    }
}

#[tokio::test]
async fn rest_and_grpc_share_a_port_and_unknown_methods_are_unimplemented() {
    let server = start().await;
    assert_eq!(server.get("/v1/status").await.status, 200);
    let mut grpc = tonic::client::Grpc::new(channel(&server).await);
    tokio::time::timeout(Duration::from_secs(5), grpc.ready()).await.unwrap().unwrap();
    let codec = tonic_prost::ProstCodec::<proto::GetStatusRequest, proto::Status>::default();
    let path = "/aegis.v1.Node/Nothing".parse().unwrap();
    let refused = grpc.unary(Request::new(proto::GetStatusRequest {}), path, codec).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unimplemented);
}
