//! The service: each method reads its request, calls the operation and writes the reply.

use std::sync::Arc;

use aegis_types::{Epoch, Height};
use futures::stream::BoxStream;
use futures::{Stream, StreamExt};
use tonic::{Request, Response, Status, Streaming};

use super::requests::{consistency, page, proposal_id};
use super::status::to_status;
use crate::api::{ApiError, ProposalFilter, Submit, VoteRequest, WatchRequest};
use crate::proto;
use crate::proto::node_server::Node;
use crate::proto::submit_stream_response::Result as TaggedResult;
use crate::server::{Caller, Operations};

/// Most proposals of one stream that are under way at a time; further ones wait in the client.
const STREAM_IN_FLIGHT: usize = 1_024;

/// The gRPC surface of a node.
pub(super) struct NodeService {
    operations: Arc<Operations>,
}

type Reply<T> = Result<Response<T>, Status>;

impl NodeService {
    pub(super) fn new(operations: Arc<Operations>) -> Self {
        Self { operations }
    }
}

/// The entry has put it there; a request that came another way has shown nothing.
fn caller<T>(request: &Request<T>) -> Caller {
    request.extensions().get().copied().unwrap_or(Caller::Anonymous)
}

fn reply<T, M: From<T>>(result: Result<T, ApiError>) -> Reply<M> {
    result.map(|value| Response::new(M::from(value))).map_err(to_status)
}

fn try_reply<T, M: TryFrom<T, Error = ApiError>>(result: Result<T, ApiError>) -> Reply<M> {
    result.and_then(M::try_from).map(Response::new).map_err(to_status)
}

#[tonic::async_trait]
impl Node for NodeService {
    async fn get_status(&self, request: Request<proto::GetStatusRequest>) -> Reply<proto::Status> {
        reply(self.operations.status(caller(&request)).await)
    }

    async fn list_peers(&self, request: Request<proto::ListPeersRequest>) -> Reply<proto::ListPeersResponse> {
        let peers = self.operations.peers(caller(&request)).await.map_err(to_status)?;
        Ok(Response::new(proto::ListPeersResponse { peers: peers.into_iter().map(Into::into).collect() }))
    }

    async fn get_validators(
        &self,
        request: Request<proto::GetValidatorsRequest>,
    ) -> Reply<proto::Validators> {
        reply(self.operations.validators(caller(&request)).await)
    }

    async fn get_network_status(
        &self,
        request: Request<proto::GetNetworkStatusRequest>,
    ) -> Reply<proto::NetworkStatus> {
        reply(self.operations.network_status(caller(&request)).await)
    }

    async fn get_node_metrics(
        &self,
        request: Request<proto::GetNodeMetricsRequest>,
    ) -> Reply<proto::IntegrationMetrics> {
        reply(self.operations.node_metrics(caller(&request)).await)
    }

    async fn get_network_metrics(
        &self,
        request: Request<proto::GetNetworkMetricsRequest>,
    ) -> Reply<proto::NetworkMetrics> {
        let caller = caller(&request);
        reply(self.operations.network_metrics(caller, request.into_inner().liars).await)
    }

    async fn get_weights(&self, request: Request<proto::GetWeightsRequest>) -> Reply<proto::Weights> {
        reply(self.operations.weights(caller(&request)).await)
    }

    async fn explain_weights(
        &self,
        request: Request<proto::ExplainWeightsRequest>,
    ) -> Reply<proto::WeightsExplained> {
        let caller = caller(&request);
        try_reply(self.operations.explain_weights(caller, Epoch(request.into_inner().epoch)).await)
    }

    async fn list_parameters(
        &self,
        request: Request<proto::ListParametersRequest>,
    ) -> Reply<proto::ListParametersResponse> {
        let caller = caller(&request);
        let consistency = consistency(request.into_inner().consistency).map_err(to_status)?;
        reply(self.operations.parameters(caller, consistency).await)
    }

    async fn list_evidence(
        &self,
        request: Request<proto::ListEvidenceRequest>,
    ) -> Reply<proto::ListEvidenceResponse> {
        let caller = caller(&request);
        let message = request.into_inner();
        reply(self.operations.evidence(caller, page(message.cursor, message.limit)).await)
    }

    async fn submit(&self, request: Request<proto::SubmitRequest>) -> Reply<proto::Submission> {
        let caller = caller(&request);
        let submit = Submit::try_from(request.into_inner()).map_err(to_status)?;
        reply(self.operations.submit(caller, submit).await)
    }

    type SubmitStreamStream = BoxStream<'static, Result<proto::SubmitStreamResponse, Status>>;

    async fn submit_stream(
        &self,
        request: Request<Streaming<proto::SubmitStreamRequest>>,
    ) -> Reply<Self::SubmitStreamStream> {
        let caller = caller(&request);
        let replies = submit_each(Arc::clone(&self.operations), caller, request.into_inner());
        Ok(Response::new(replies.boxed()))
    }

    async fn vote(&self, request: Request<proto::VoteRequest>) -> Reply<proto::Submission> {
        let caller = caller(&request);
        let message = request.into_inner();
        let id = proposal_id(&message.id).map_err(to_status)?;
        let vote = VoteRequest::try_from(&message).map_err(to_status)?;
        reply(self.operations.vote(caller, id, vote).await)
    }

    async fn get_proposal(
        &self,
        request: Request<proto::GetProposalRequest>,
    ) -> Reply<proto::ProposalDetail> {
        let caller = caller(&request);
        let message = request.into_inner();
        let id = proposal_id(&message.id).map_err(to_status)?;
        let consistency = consistency(message.consistency).map_err(to_status)?;
        try_reply(self.operations.proposal(caller, id, consistency).await)
    }

    async fn list_proposals(
        &self,
        request: Request<proto::ListProposalsRequest>,
    ) -> Reply<proto::ListProposalsResponse> {
        let caller = caller(&request);
        let message = request.into_inner();
        let filter = ProposalFilter::try_from(&message).map_err(to_status)?;
        reply(self.operations.proposals(caller, filter, page(message.cursor, message.limit)).await)
    }

    async fn get_value(&self, request: Request<proto::GetValueRequest>) -> Reply<proto::KvEntry> {
        let caller = caller(&request);
        let message = request.into_inner();
        let consistency = consistency(message.consistency).map_err(to_status)?;
        reply(self.operations.kv_get(caller, &message.key, consistency).await)
    }

    async fn list_values(
        &self,
        request: Request<proto::ListValuesRequest>,
    ) -> Reply<proto::ListValuesResponse> {
        let caller = caller(&request);
        let message = request.into_inner();
        let consistency = consistency(message.consistency).map_err(to_status)?;
        let page = page(message.cursor, message.limit);
        reply(self.operations.kv_list(caller, &message.prefix, page, consistency).await)
    }

    async fn get_proof(&self, request: Request<proto::GetProofRequest>) -> Reply<proto::KvProof> {
        let caller = caller(&request);
        let message = request.into_inner();
        let consistency = consistency(message.consistency).map_err(to_status)?;
        reply(self.operations.kv_proof(caller, &message.key, consistency).await)
    }

    async fn list_handovers(
        &self,
        request: Request<proto::ListHandoversRequest>,
    ) -> Reply<proto::ListHandoversResponse> {
        let caller = caller(&request);
        reply(self.operations.handovers(caller, Epoch(request.into_inner().from_epoch)).await)
    }

    async fn get_block(&self, request: Request<proto::GetBlockRequest>) -> Reply<proto::BlockDetail> {
        let caller = caller(&request);
        try_reply(self.operations.block(caller, request.into_inner().height.map(Height)).await)
    }

    type WatchStream = BoxStream<'static, Result<proto::WatchEvent, Status>>;

    async fn watch(&self, request: Request<proto::WatchRequest>) -> Reply<Self::WatchStream> {
        let caller = caller(&request);
        let watch = WatchRequest::try_from(request.into_inner()).map_err(to_status)?;
        let events = self.operations.watch(caller, watch).await.map_err(to_status)?;
        Ok(Response::new(events.map(|item| item.map(Into::into).map_err(to_status)).boxed()))
    }
}

/// Submits each message of a stream, many at a time; ends with the client's stream or connection.
fn submit_each(
    operations: Arc<Operations>,
    caller: Caller,
    messages: Streaming<proto::SubmitStreamRequest>,
) -> impl Stream<Item = Result<proto::SubmitStreamResponse, Status>> {
    messages
        .map(move |message| {
            let operations = Arc::clone(&operations);
            async move {
                let message = message?;
                let tag = message.tag;
                let result = match Submit::try_from(message) {
                    Ok(submit) => operations.submit(caller, submit).await,
                    Err(error) => Err(error),
                };
                let result = match result {
                    Ok(submission) => TaggedResult::Submission(submission.into()),
                    Err(error) => TaggedResult::Error(error.into()),
                };
                Ok(proto::SubmitStreamResponse { tag, result: Some(result) })
            }
        })
        .buffer_unordered(STREAM_IN_FLIGHT)
}
