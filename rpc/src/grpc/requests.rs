//! Requests: from messages that may be hostile to checked values.

use std::collections::BTreeSet;

use aegis_types::{AccountId, Hash, Height, Kind, ProposalBody, ProposalId};

use crate::api::submit::default_timeout;
use crate::api::{
    ApiError, Consistency, PageRequest, Payload, ProposalFilter, ProposalState, Submit, Topic, VoteRequest,
    Wait, WatchRequest,
};
use crate::proto;

/// Protobuf cannot tell 0 from absent; for these fields 0 means nothing else.
fn or_default(value: u64, default: u64) -> u64 {
    if value == 0 { default } else { value }
}

fn non_empty(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}

pub(super) fn proposal_id(bytes: &[u8]) -> Result<ProposalId, ApiError> {
    Ok(Hash::from_slice("id", bytes)?)
}

pub(super) fn page(cursor: String, limit: u32) -> PageRequest {
    let limit = if limit == 0 { PageRequest::LIMIT_DEFAULT } else { limit };
    PageRequest { cursor: non_empty(cursor), limit }
}

pub(super) fn consistency(consistency: i32) -> Result<Consistency, ApiError> {
    match proto::Consistency::try_from(consistency) {
        Ok(proto::Consistency::Linearizable) => Ok(Consistency::Linearizable),
        Ok(proto::Consistency::Certified) => Ok(Consistency::Certified),
        Ok(proto::Consistency::Local) => Ok(Consistency::Local),
        Err(_) => Err(ApiError::invalid("consistency", format_args!("{consistency} is not known"))),
    }
}

fn wait(wait: i32) -> Result<Wait, ApiError> {
    match proto::Wait::try_from(wait) {
        Ok(proto::Wait::Commit) => Ok(Wait::Commit),
        Ok(proto::Wait::Admit) => Ok(Wait::Admit),
        Ok(proto::Wait::None) => Ok(Wait::None),
        Err(_) => Err(ApiError::invalid("wait", format_args!("{wait} is not known"))),
    }
}

impl TryFrom<proto::SubmitRequest> for Submit {
    type Error = ApiError;

    fn try_from(request: proto::SubmitRequest) -> Result<Self, ApiError> {
        use proto::submit_request::Payload as Message;
        let payload = match request.payload {
            Some(Message::Signed(encoding)) => Payload::Signed(encoding),
            Some(Message::ByNode(proposal)) => {
                let kind: Kind = proposal.kind.parse()?;
                Payload::ByNode {
                    body: ProposalBody::decode(kind, &proposal.body)?,
                    idempotency_key: non_empty(proposal.idempotency_key),
                    expires_in_ms: Some(proposal.expires_in_ms).filter(|chosen| *chosen != 0),
                }
            }
            None => return Err(ApiError::invalid("payload", "give `signed` or `by_node`")),
        };
        let timeout_ms = or_default(request.timeout_ms, default_timeout());
        Ok(Self { payload, wait: wait(request.wait)?, timeout_ms })
    }
}

impl TryFrom<proto::SubmitStreamRequest> for Submit {
    type Error = ApiError;

    fn try_from(request: proto::SubmitStreamRequest) -> Result<Self, ApiError> {
        let timeout_ms = or_default(request.timeout_ms, default_timeout());
        Ok(Self { payload: Payload::Signed(request.signed), wait: wait(request.wait)?, timeout_ms })
    }
}

impl TryFrom<&proto::VoteRequest> for VoteRequest {
    type Error = ApiError;

    fn try_from(request: &proto::VoteRequest) -> Result<Self, ApiError> {
        let timeout_ms = or_default(request.timeout_ms, default_timeout());
        Ok(Self { approve: request.approve, wait: wait(request.wait)?, timeout_ms })
    }
}

impl TryFrom<&proto::ListProposalsRequest> for ProposalFilter {
    type Error = ApiError;

    fn try_from(request: &proto::ListProposalsRequest) -> Result<Self, ApiError> {
        let kind = if request.kind.is_empty() { None } else { Some(request.kind.parse()?) };
        let account =
            if request.account.is_empty() { None } else { Some(AccountId::from_slice(&request.account)?) };
        let state = state(request.state)?;
        Ok(Self { kind, state, account, height: request.height.map(Height) })
    }
}

fn state(state: i32) -> Result<Option<ProposalState>, ApiError> {
    match proto::ProposalState::try_from(state) {
        Ok(proto::ProposalState::Unspecified) => Ok(None),
        Ok(proto::ProposalState::Admitted) => Ok(Some(ProposalState::Admitted)),
        Ok(proto::ProposalState::Applied) => Ok(Some(ProposalState::Applied)),
        Ok(proto::ProposalState::Rejected) => Ok(Some(ProposalState::Rejected)),
        Ok(proto::ProposalState::Open) => Ok(Some(ProposalState::Open)),
        Ok(proto::ProposalState::Passed) => Ok(Some(ProposalState::Passed)),
        Ok(proto::ProposalState::Failed) => Ok(Some(ProposalState::Failed)),
        Err(_) => Err(ApiError::invalid("state", format_args!("{state} is not known"))),
    }
}

impl TryFrom<proto::WatchRequest> for WatchRequest {
    type Error = ApiError;

    fn try_from(request: proto::WatchRequest) -> Result<Self, ApiError> {
        let topics =
            request.topics.iter().map(|topic| topic_of(*topic)).collect::<Result<BTreeSet<_>, _>>()?;
        Ok(Self { topics, from_height: request.from_height.map(Height), key_prefix: request.key_prefix })
    }
}

fn topic_of(topic: i32) -> Result<Topic, ApiError> {
    match proto::Topic::try_from(topic) {
        Ok(proto::Topic::Blocks) => Ok(Topic::Blocks),
        Ok(proto::Topic::Proposals) => Ok(Topic::Proposals),
        Ok(proto::Topic::Kv) => Ok(Topic::Kv),
        Ok(proto::Topic::Status) => Ok(Topic::Status),
        Ok(proto::Topic::Metrics) => Ok(Topic::Metrics),
        Ok(proto::Topic::Unspecified) | Err(_) => {
            Err(ApiError::invalid("topics", format_args!("{topic} is not known")))
        }
    }
}
