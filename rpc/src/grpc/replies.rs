//! Replies: from values to messages.

use aegis_types::{Hash, Height, ValidatorId};
use prost::Message;

use crate::api::{
    ApiError, BlockDetail, BlockProposal, CastVote, CertificateInfo, Change, Direction, ErrorCode,
    EvidenceInfo, Handovers, HistoryEntry, KvEntry, KvProof, NetworkStatus, Outcome, Page, ParameterInfo,
    Peer, PendingValidator, ProposalDetail, ProposalState, ProposalSummary, Role, Status, Submission,
    SubmissionState, Tally, ValidatorInfo, Validators, WatchEvent,
};
use crate::proto;

fn bytes(hash: Hash) -> Vec<u8> {
    hash.0.to_vec()
}

pub(super) fn id(validator: ValidatorId) -> Vec<u8> {
    validator.0.to_vec()
}

fn number(height: Option<Height>) -> Option<u64> {
    height.map(|height| height.0)
}

impl From<Role> for proto::Role {
    fn from(role: Role) -> Self {
        match role {
            Role::Validator => Self::Validator,
            Role::Observer => Self::Observer,
        }
    }
}

impl From<Status> for proto::Status {
    fn from(status: Status) -> Self {
        Self {
            chain_id: status.chain_id.to_string(),
            genesis: bytes(status.genesis),
            node_id: id(status.node_id),
            peer_id: status.peer_id,
            account: status.account.0.to_vec(),
            role: proto::Role::from(status.role).into(),
            version: status.version,
            height: status.height.0,
            block_digest: bytes(status.block_digest),
            executed_height: status.executed_height.0,
            state_root: bytes(status.state_root),
            epoch: status.epoch.0,
            view: status.view.0,
            view_changing: status.view_changing,
            leader: status.leader.map(id),
            weight: status.weight.0,
            total_weight: status.total_weight.0,
            quorum: status.quorum.0,
            max_faulty: status.max_faulty.0,
            weight_alive: status.weight_alive.0,
            weight_may_still_fail: status.weight_may_still_fail.0,
            syncing: Some(proto::Syncing {
                active: status.syncing.active,
                target_height: number(status.syncing.target_height),
                peers: status.syncing.peers,
                snapshot: status.syncing.snapshot.map(|snapshot| proto::SnapshotProgress {
                    height: snapshot.height.0,
                    phase: snapshot.phase.name().to_owned(),
                    done_bytes: snapshot.done_bytes,
                    total_bytes: snapshot.total_bytes,
                    bytes_per_second: snapshot.bytes_per_second,
                    left_ms: snapshot.left_ms,
                }),
            }),
            peers: status.peers,
            listen_addresses: status.listen_addresses,
            rest_endpoint: status.rest_endpoint,
            grpc_endpoint: status.grpc_endpoint,
            agreed_time_ms: status.agreed_time_ms,
            uptime_ms: status.uptime_ms,
            mempool: Some(proto::Mempool {
                proposals: status.mempool.proposals,
                batches: status.mempool.batches,
                bytes: status.mempool.bytes,
            }),
            store_bytes: status.store_bytes,
            first_height: number(status.first_height),
            read_only: status.read_only,
            silent: status.silent,
            unpruned: status.unpruned,
            tor: status.tor.map(|tor| proto::TorState {
                mode: tor.mode,
                onion_address: tor.onion_address,
                percent: tor.percent,
                phase: tor.phase,
                blocked: tor.blocked,
                reachable: tor.reachable,
                service: tor.service,
                problem: tor.problem,
                circuits: tor.circuits,
                client_key: tor.client_key,
            }),
        }
    }
}

impl From<Peer> for proto::Peer {
    fn from(peer: Peer) -> Self {
        let direction = match peer.direction {
            Direction::Inbound => proto::Direction::Inbound,
            Direction::Outbound => proto::Direction::Outbound,
        };
        Self {
            peer_id: peer.peer_id,
            node_id: peer.node_id.map(id),
            is_validator: peer.is_validator,
            address: peer.address,
            transport: peer.transport,
            direction: direction.into(),
            latency_us: peer.latency_us,
            agent: peer.agent,
            height: number(peer.height),
            connected_ms: peer.connected_ms,
        }
    }
}

impl From<Validators> for proto::Validators {
    fn from(validators: Validators) -> Self {
        Self {
            epoch: validators.epoch.0,
            total_weight: validators.total_weight.0,
            quorum: validators.quorum.0,
            max_faulty: validators.max_faulty.0,
            members: validators.members.into_iter().map(Into::into).collect(),
            pending: validators.pending.into_iter().map(Into::into).collect(),
        }
    }
}

impl From<ValidatorInfo> for proto::ValidatorInfo {
    fn from(member: ValidatorInfo) -> Self {
        Self {
            id: id(member.id),
            name: member.name,
            weight: member.weight.0,
            share: member.share,
            is_leader: member.is_leader,
            is_self: member.is_self,
            connected: member.connected,
            last_voted_height: number(member.last_voted_height),
            alive: member.alive,
        }
    }
}

impl From<PendingValidator> for proto::PendingValidator {
    fn from(change: PendingValidator) -> Self {
        Self {
            id: id(change.id),
            weight: change.weight.map(|weight| weight.0),
            is_offender: change.is_offender,
            proposal: bytes(change.proposal),
        }
    }
}

impl From<Vec<ParameterInfo>> for proto::ListParametersResponse {
    fn from(parameters: Vec<ParameterInfo>) -> Self {
        let message = |parameter: ParameterInfo| proto::ParameterInfo {
            name: parameter.name.name().to_owned(),
            value: parameter.value,
            next_epoch_value: parameter.next_epoch_value,
            default: parameter.default,
            min: parameter.min,
            max: parameter.max,
            description: parameter.description,
        };
        Self { items: parameters.into_iter().map(message).collect() }
    }
}

impl From<Page<EvidenceInfo>> for proto::ListEvidenceResponse {
    fn from(page: Page<EvidenceInfo>) -> Self {
        let message = |evidence: EvidenceInfo| proto::EvidenceInfo {
            validator: id(evidence.validator),
            epoch: evidence.epoch.0,
            proposal: bytes(evidence.proposal),
            height: evidence.height.0,
        };
        Self {
            items: page.items.into_iter().map(message).collect(),
            next_cursor: page.next_cursor.unwrap_or_default(),
        }
    }
}

impl From<NetworkStatus> for proto::NetworkStatus {
    fn from(status: NetworkStatus) -> Self {
        Self {
            chain_id: status.chain_id.to_string(),
            node_id: id(status.node_id),
            height: status.height.0,
            epoch: status.epoch.0,
            view: status.view.0,
            leader: status.leader.map(id),
            peers: status.peers,
            validators: status.validators,
            validators_alive: status.validators_alive,
            weight_alive: status.weight_alive.0,
            quorum: status.quorum.0,
            total_weight: status.total_weight.0,
            can_decide: status.can_decide,
            syncing: status.syncing,
        }
    }
}

impl From<Submission> for proto::Submission {
    fn from(submission: Submission) -> Self {
        let state = match submission.state {
            SubmissionState::Received => proto::SubmissionState::Received,
            SubmissionState::Admitted => proto::SubmissionState::Admitted,
            SubmissionState::Committed => proto::SubmissionState::Committed,
        };
        Self {
            id: bytes(submission.id),
            idempotency_key: submission.idempotency_key,
            state: state.into(),
            height: number(submission.height),
            position: submission.position,
            outcome: submission.outcome.map(Into::into),
            certificate: submission.certificate.map(Into::into),
            duplicate: submission.duplicate,
            elapsed_ms: submission.elapsed_ms,
        }
    }
}

impl From<ProposalState> for proto::ProposalState {
    fn from(state: ProposalState) -> Self {
        match state {
            ProposalState::Admitted => Self::Admitted,
            ProposalState::Applied => Self::Applied,
            ProposalState::Rejected => Self::Rejected,
            ProposalState::Open => Self::Open,
            ProposalState::Passed => Self::Passed,
            ProposalState::Failed => Self::Failed,
        }
    }
}

impl From<Outcome> for proto::Outcome {
    fn from(outcome: Outcome) -> Self {
        Self {
            state: proto::ProposalState::from(outcome.state).into(),
            code: outcome.code,
            message: outcome.message,
            version: outcome.version,
        }
    }
}

impl From<CertificateInfo> for proto::CertificateInfo {
    fn from(certificate: CertificateInfo) -> Self {
        let signers = certificate.signers.into_iter().map(|signer| aegis_types::proto::Member {
            validator: id(signer.validator),
            weight: signer.weight.0,
        });
        Self {
            encoding: certificate.encoding.0,
            epoch: certificate.epoch.0,
            view: certificate.view.0,
            height: certificate.height.0,
            digest: bytes(certificate.digest),
            weight: certificate.weight.0,
            quorum: certificate.quorum.0,
            total_weight: certificate.total_weight.0,
            signers: signers.collect(),
        }
    }
}

impl From<Tally> for proto::Tally {
    fn from(tally: Tally) -> Self {
        Self { yes: tally.yes.0, no: tally.no.0, total: tally.total.0, needed: tally.needed.0 }
    }
}

impl From<CastVote> for proto::CastVote {
    fn from(vote: CastVote) -> Self {
        Self {
            validator: id(vote.validator),
            weight: vote.weight.0,
            approve: vote.approve,
            height: vote.height.0,
        }
    }
}

impl From<HistoryEntry> for proto::HistoryEntry {
    fn from(entry: HistoryEntry) -> Self {
        Self { height: entry.height.0, timestamp_ms: entry.timestamp_ms, event: entry.event }
    }
}

impl TryFrom<ProposalDetail> for proto::ProposalDetail {
    type Error = ApiError;

    fn try_from(detail: ProposalDetail) -> Result<Self, ApiError> {
        let body = detail.body.to_body().map_err(|error| unusable("body", error))?;
        Ok(Self {
            id: bytes(detail.id),
            content: Some(aegis_types::proto::ProposalContent {
                account: detail.account.0.to_vec(),
                kind: detail.body.kind,
                body: body.encode(),
                expires_at_ms: detail.expires_at_ms,
                idempotency_key: detail.idempotency_key,
            }),
            state: proto::ProposalState::from(detail.state).into(),
            height: number(detail.height),
            position: detail.position,
            outcome: detail.outcome.map(Into::into),
            tally: detail.tally.map(Into::into),
            votes: detail.votes.into_iter().map(Into::into).collect(),
            deadline_ms: detail.deadline_ms,
            history: detail.history.into_iter().map(Into::into).collect(),
        })
    }
}

impl From<ProposalSummary> for proto::ProposalSummary {
    fn from(summary: ProposalSummary) -> Self {
        Self {
            id: bytes(summary.id),
            account: summary.account.0.to_vec(),
            kind: summary.kind.name().to_owned(),
            subject: summary.subject,
            state: proto::ProposalState::from(summary.state).into(),
            height: number(summary.height),
            position: summary.position,
            tally: summary.tally.map(Into::into),
            deadline_ms: summary.deadline_ms,
        }
    }
}

impl From<Page<ProposalSummary>> for proto::ListProposalsResponse {
    fn from(page: Page<ProposalSummary>) -> Self {
        Self {
            items: page.items.into_iter().map(Into::into).collect(),
            next_cursor: page.next_cursor.unwrap_or_default(),
        }
    }
}

impl From<KvEntry> for proto::KvEntry {
    fn from(entry: KvEntry) -> Self {
        Self {
            key: entry.key,
            value: entry.value,
            version: entry.version,
            modified_height: entry.modified_height.0,
            read_height: entry.read_height.0,
            certified: entry
                .certified
                .map(|at| proto::CertifiedAt { agreed_time_ms: at.agreed_time_ms, age_ms: at.age_ms }),
        }
    }
}

impl From<Page<KvEntry>> for proto::ListValuesResponse {
    fn from(page: Page<KvEntry>) -> Self {
        Self {
            items: page.items.into_iter().map(Into::into).collect(),
            next_cursor: page.next_cursor.unwrap_or_default(),
        }
    }
}

impl From<KvProof> for proto::KvProof {
    fn from(proof: KvProof) -> Self {
        Self {
            key: proof.key,
            height: proof.height.0,
            epoch: proof.epoch.0,
            record: proof.record_base64.map(|record| record.0),
            proof: proof.proof_base64.0,
            certified_header: proof.certified_header_base64.0,
        }
    }
}

impl From<Handovers> for proto::ListHandoversResponse {
    fn from(handovers: Handovers) -> Self {
        Self {
            handovers: handovers.handovers_base64.into_iter().map(|handover| handover.0).collect(),
            next_epoch: handovers.next_epoch.map(|epoch| epoch.0),
        }
    }
}

impl TryFrom<BlockDetail> for proto::BlockDetail {
    type Error = ApiError;

    fn try_from(block: BlockDetail) -> Result<Self, ApiError> {
        let header_encoding = block.header.encoding.0;
        let header = aegis_types::proto::Header::decode(header_encoding.as_slice())
            .map_err(|error| unusable("header", error))?;
        Ok(Self {
            digest: bytes(block.digest),
            header_encoding,
            header: Some(header),
            certificate: Some(block.certificate.into()),
            proposals_total: block.proposals_total,
            proposals: block.proposals.into_iter().map(Into::into).collect(),
        })
    }
}

impl From<BlockProposal> for proto::BlockProposal {
    fn from(proposal: BlockProposal) -> Self {
        Self {
            position: proposal.position,
            id: bytes(proposal.id),
            account: proposal.account.0.to_vec(),
            kind: proposal.kind.name().to_owned(),
            outcome: proposal.outcome.map(Into::into),
        }
    }
}

impl From<WatchEvent> for proto::WatchEvent {
    fn from(event: WatchEvent) -> Self {
        use proto::watch_event::Change as Message;
        let change = match event.change {
            Change::Blocks(block) => Message::Block(proto::BlockEvent {
                digest: bytes(block.digest),
                epoch: block.epoch.0,
                view: block.view.0,
                proposer: id(block.proposer),
                timestamp_ms: block.timestamp_ms,
                proposals: block.proposals,
                state_root: bytes(block.state_root),
            }),
            Change::Proposals(proposal) => Message::Proposal(proto::ProposalEvent {
                id: bytes(proposal.id),
                account: proposal.account.0.to_vec(),
                kind: proposal.kind.name().to_owned(),
                state: proto::ProposalState::from(proposal.state).into(),
                outcome: proposal.outcome.map(Into::into),
            }),
            Change::Kv(kv) => Message::Kv(proto::KvEvent {
                key: kv.key,
                version: kv.version,
                value: kv.value_base64.map(|value| value.0),
            }),
            Change::Status(status) => Message::Status((*status).into()),
            Change::Metrics(metrics) => Message::Metrics((*metrics).into()),
        };
        Self { height: event.height.0, change: Some(change) }
    }
}

/// Something that this node holds and cannot show.
pub(super) fn unusable(what: &str, error: impl std::fmt::Display) -> ApiError {
    ApiError::new(ErrorCode::Internal, format!("the {what} as this node holds it is unusable: {error}"))
}
