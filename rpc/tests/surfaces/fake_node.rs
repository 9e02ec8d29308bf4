//! A node that answers from a script: what the surfaces make of its answers is what is tested.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use aegis_rpc::api::*;
use aegis_types::{
    AccountId, BlockKind, Certificate, ChainId, Epoch, Executed, Hash, Header, Height, Kind, Member,
    ProposalBody, ProposalId, Signature, ValidatorId, ValidatorSet, View, VoteContent, VoteKind, Weight,
};
use async_trait::async_trait;
use futures::StreamExt;

#[path = "fake_metrics.rs"]
mod fake_metrics;

pub use fake_metrics::node_metrics;
use fake_metrics::{explanation, network_metrics, weights};

/// The one proposal that the node knows.
pub const KNOWN: Hash = Hash([7; 32]);

/// A submission whose signed bytes are these never ends.
pub const NEVER_ENDS: &[u8] = b"never ends";

/// A submission whose signed bytes are these is refused as a conflict.
pub const CONFLICTS: &[u8] = b"conflicts";

/// The newest committed height.
pub const NEWEST: u64 = 40;

/// Watching keys with this prefix: the node itself finds the reader slow after height 3.
pub const SLOW_PREFIX: &str = "slow";

/// Watching keys with this prefix: large values without end.
pub const FLOOD_PREFIX: &str = "flood";

/// A scripted node that remembers what it was asked to submit.
pub struct FakeNode {
    pub ready: AtomicBool,
    pub silent: AtomicBool,
    pub submitted: Mutex<Vec<Submit>>,
    pub voted: Mutex<Vec<(ProposalId, bool)>>,
    /// How fresh each read was to be.
    pub consistencies: Mutex<Vec<Consistency>>,
}

impl FakeNode {
    pub fn new() -> Self {
        Self {
            ready: AtomicBool::new(true),
            silent: AtomicBool::new(false),
            submitted: Mutex::default(),
            voted: Mutex::default(),
            consistencies: Mutex::default(),
        }
    }

    fn note(&self, consistency: Consistency) {
        self.consistencies.lock().unwrap().push(consistency);
    }

    async fn answer(&self) {
        if self.silent.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
    }
}

fn members() -> ValidatorSet {
    let member = |n: u8, weight| Member { validator: ValidatorId([n; 32]), weight: Weight(weight) };
    ValidatorSet::new(Epoch(2), vec![member(3, 4), member(4, 4), member(5, 5), member(6, 5)]).unwrap()
}

fn header(height: u64) -> Header {
    Header {
        epoch: Epoch(2),
        height: Height(height),
        timestamp_ms: 1_000 * height,
        parent: Hash([1; 32]),
        proposer: ValidatorId([3; 32]),
        batches: Vec::new(),
        executed: Executed { height: Height(height - 1), state_root: Hash([2; 32]) },
        validators_hash: members().hash(),
        kind: BlockKind::Normal,
    }
}

fn certificate(height: u64) -> CertificateInfo {
    let content = VoteContent {
        kind: VoteKind::Commit,
        epoch: Epoch(2),
        view: View(1),
        height: Height(height),
        digest: header(height).digest(),
    };
    let signatures = (0..3).map(|index| (index, Signature([9; 64]))).collect();
    CertificateInfo::new(&Certificate { content, signatures }, &members())
}

fn outcome() -> Outcome {
    Outcome { state: ProposalState::Applied, code: None, message: "set".into(), version: Some(1) }
}

pub fn submission(duplicate: bool) -> Submission {
    Submission {
        id: KNOWN,
        idempotency_key: "key".into(),
        state: SubmissionState::Committed,
        height: Some(Height(NEWEST)),
        position: Some(3),
        outcome: Some(outcome()),
        certificate: Some(certificate(NEWEST)),
        duplicate,
        elapsed_ms: 12,
    }
}

pub fn status() -> Status {
    Status {
        chain_id: "aegis-test-1".parse::<ChainId>().unwrap(),
        genesis: Hash([4; 32]),
        node_id: ValidatorId([3; 32]),
        peer_id: "12D3KooW".into(),
        account: AccountId([3; 32]),
        role: Role::Validator,
        version: "0.1.0".into(),
        height: Height(NEWEST),
        block_digest: header(NEWEST).digest(),
        executed_height: Height(NEWEST),
        state_root: Hash([2; 32]),
        epoch: Epoch(2),
        view: View(1),
        view_changing: false,
        leader: Some(ValidatorId([4; 32])),
        weight: Weight(3),
        total_weight: Weight(18),
        quorum: Weight(13),
        max_faulty: Weight(5),
        weight_alive: Weight(18),
        weight_may_still_fail: Weight(5),
        syncing: Syncing {
            active: true,
            target_height: Some(Height(50)),
            peers: 2,
            snapshot: Some(SnapshotProgress {
                height: Height(45),
                phase: SnapshotPhase::Fetching,
                done_bytes: 10,
                total_bytes: 30,
                bytes_per_second: 5,
                left_ms: Some(4_000),
            }),
        },
        peers: 3,
        listen_addresses: vec!["/ip4/127.0.0.1/tcp/1".into()],
        rest_endpoint: "http://127.0.0.1:8003".into(),
        grpc_endpoint: "http://127.0.0.1:8003".into(),
        agreed_time_ms: 40_000,
        uptime_ms: 5,
        mempool: Mempool { proposals: 1, batches: 2, bytes: 3 },
        store_bytes: 4,
        first_height: Some(Height(2)),
        read_only: None,
        silent: Some("its votes were lost".to_owned()),
        unpruned: Some("no snapshot".to_owned()),
        tor: Some(aegis_rpc::api::TorState {
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

pub fn peer() -> Peer {
    Peer {
        peer_id: "12D3KooX".into(),
        node_id: Some(ValidatorId([4; 32])),
        is_validator: true,
        address: "/ip4/127.0.0.1/udp/1/quic-v1".into(),
        transport: "quic".into(),
        direction: Direction::Outbound,
        latency_us: Some(250),
        agent: None,
        height: Some(Height(39)),
        connected_ms: 1,
    }
}

pub fn validators() -> Validators {
    let set = members();
    let members = set.members().iter().map(|member| ValidatorInfo {
        id: member.validator,
        name: Some("north".into()),
        weight: member.weight,
        share: 0.25,
        is_leader: false,
        is_self: true,
        connected: false,
        last_voted_height: Some(Height(NEWEST)),
        alive: true,
    });
    Validators {
        epoch: set.epoch(),
        total_weight: set.total(),
        quorum: set.quorum(),
        max_faulty: set.max_faulty(),
        members: members.collect(),
        pending: vec![PendingValidator {
            id: ValidatorId([4; 32]),
            weight: None,
            is_offender: true,
            proposal: KNOWN,
        }],
    }
}

pub fn proposal() -> ProposalDetail {
    ProposalDetail {
        id: KNOWN,
        account: AccountId([8; 32]),
        body: ProposalBodyJson::from(&ProposalBody::Text { title: "t".into(), text: "x".into() }),
        idempotency_key: "key".into(),
        expires_at_ms: 99,
        state: ProposalState::Open,
        height: Some(Height(9)),
        position: Some(0),
        outcome: None,
        tally: Some(Tally { yes: Weight(3), no: Weight(0), total: Weight(18), needed: Weight(13) }),
        votes: vec![CastVote {
            validator: ValidatorId([3; 32]),
            weight: Weight(3),
            approve: true,
            height: Height(10),
        }],
        deadline_ms: Some(77),
        history: vec![HistoryEntry { height: Height(9), timestamp_ms: 9_000, event: "opened".into() }],
    }
}

fn summary() -> ProposalSummary {
    ProposalSummary {
        id: KNOWN,
        account: AccountId([8; 32]),
        kind: Kind::Text,
        subject: "t".into(),
        state: ProposalState::Open,
        height: Some(Height(9)),
        position: Some(0),
        tally: None,
        deadline_ms: Some(77),
    }
}

pub fn entry(key: &str) -> KvEntry {
    KvEntry {
        key: key.into(),
        value: if key == "binary" { vec![0xff, 0x00] } else { b"text".to_vec() },
        version: 2,
        modified_height: Height(5),
        read_height: Height(NEWEST),
        certified: None,
    }
}

pub fn proof(key: &str) -> KvProof {
    KvProof {
        key: key.into(),
        height: Height(NEWEST - 1),
        epoch: Epoch(3),
        record_base64: (key != "absent").then(|| EncodedBytes(vec![0xff, 0x00])),
        proof_base64: EncodedBytes(vec![1]),
        certified_header_base64: EncodedBytes(vec![2]),
    }
}

pub fn block(height: u64) -> BlockDetail {
    BlockDetail {
        digest: header(height).digest(),
        header: HeaderInfo::from(&header(height)),
        certificate: certificate(height),
        proposals_total: 1,
        proposals: vec![BlockProposal {
            position: 0,
            id: KNOWN,
            account: AccountId([8; 32]),
            kind: Kind::KvPut,
            outcome: Some(outcome()),
        }],
    }
}

/// The event of a height: each topic in turn.
pub fn event(height: u64) -> WatchEvent {
    let change = match height % 4 {
        _ if height % 8 == 7 => Change::Metrics(Box::new(node_metrics())),
        0 => Change::Blocks(BlockEvent {
            digest: header(height).digest(),
            epoch: Epoch(2),
            view: View(1),
            proposer: ValidatorId([3; 32]),
            timestamp_ms: 1_000 * height,
            proposals: 1,
            state_root: Hash([2; 32]),
        }),
        1 => Change::Proposals(ProposalEvent {
            id: KNOWN,
            account: AccountId([8; 32]),
            kind: Kind::KvPut,
            state: ProposalState::Applied,
            outcome: Some(outcome()),
        }),
        2 => Change::Kv(KvEvent {
            key: "a".into(),
            version: height,
            value_base64: Some(EncodedBytes(vec![1, 2])),
        }),
        _ => Change::Status(Box::new(status())),
    };
    WatchEvent { height: Height(height), change }
}

fn flood(height: u64) -> WatchEvent {
    let value_base64 = Some(EncodedBytes(vec![0; 64 * 1024]));
    let change = Change::Kv(KvEvent { key: FLOOD_PREFIX.into(), version: height, value_base64 });
    WatchEvent { height: Height(height), change }
}

pub fn network_status() -> NetworkStatus {
    NetworkStatus {
        chain_id: "aegis-test-1".parse().unwrap(),
        node_id: ValidatorId([3; 32]),
        height: Height(NEWEST),
        epoch: Epoch(2),
        view: View(1),
        leader: None,
        peers: 3,
        validators: 4,
        validators_alive: 4,
        weight_alive: Weight(18),
        quorum: Weight(13),
        total_weight: Weight(18),
        can_decide: true,
        syncing: false,
    }
}

#[async_trait]
impl NodeApi for FakeNode {
    async fn status(&self) -> Result<Status, ApiError> {
        self.answer().await;
        Ok(status())
    }

    async fn peers(&self) -> Result<Vec<Peer>, ApiError> {
        Ok(vec![peer()])
    }

    async fn parameters(&self, consistency: Consistency) -> Result<Vec<ParameterInfo>, ApiError> {
        self.note(consistency);
        let changed = Some(16);
        Ok(vec![ParameterInfo::new(aegis_types::Parameter::Window, 8, changed)])
    }

    async fn evidence(&self, page: PageRequest) -> Result<Page<EvidenceInfo>, ApiError> {
        let evidence = EvidenceInfo {
            validator: ValidatorId([4; 32]),
            epoch: Epoch(1),
            proposal: KNOWN,
            height: Height(8),
        };
        let next_cursor = page.cursor.map(|cursor| format!("{cursor}+"));
        Ok(Page { items: vec![evidence], next_cursor })
    }

    async fn validators(&self) -> Result<Validators, ApiError> {
        Ok(validators())
    }

    async fn submit(&self, request: Submit) -> Result<Submission, ApiError> {
        self.submitted.lock().unwrap().push(request.clone());
        match request.payload {
            Payload::Signed(bytes) if bytes == NEVER_ENDS => std::future::pending().await,
            Payload::Signed(bytes) if bytes == CONFLICTS => Err(ApiError::new(
                ErrorCode::Conflict,
                "the key was used for another request; choose another",
            )),
            Payload::Signed(bytes) => Ok(Submission { id: Hash::of("fake", &bytes), ..submission(false) }),
            Payload::ByNode { idempotency_key, .. } => {
                Ok(Submission { idempotency_key: idempotency_key.unwrap(), ..submission(true) })
            }
        }
    }

    async fn vote(&self, id: ProposalId, approve: bool, _: Wait, _: u64) -> Result<Submission, ApiError> {
        self.voted.lock().unwrap().push((id, approve));
        Ok(submission(false))
    }

    async fn proposal(&self, id: ProposalId, consistency: Consistency) -> Result<ProposalDetail, ApiError> {
        self.note(consistency);
        if id == KNOWN { Ok(proposal()) } else { Err(ApiError::not_found(format_args!("proposal {id}"))) }
    }

    async fn proposals(
        &self,
        filter: ProposalFilter,
        page: PageRequest,
    ) -> Result<Page<ProposalSummary>, ApiError> {
        let fits = filter.kind.is_none_or(|kind| kind == Kind::Text)
            && filter.state.is_none_or(|state| state == ProposalState::Open)
            && filter.height.is_none_or(|height| height == Height(9));
        let items = if fits { vec![summary(); page.limit.min(2) as usize] } else { Vec::new() };
        Ok(Page { items, next_cursor: Some(page.cursor.unwrap_or("first".into()) + "+") })
    }

    async fn kv_get(&self, key: &str, consistency: Consistency) -> Result<KvEntry, ApiError> {
        self.note(consistency);
        if key == "absent" {
            return Err(ApiError::not_found("key `absent`"));
        }
        let certified = CertifiedAt { agreed_time_ms: 40_000, age_ms: 3 };
        let certified = (consistency == Consistency::Certified).then_some(certified);
        Ok(KvEntry { certified, ..entry(key) })
    }

    async fn kv_list(
        &self,
        prefix: &str,
        page: PageRequest,
        consistency: Consistency,
    ) -> Result<Page<KvEntry>, ApiError> {
        self.note(consistency);
        let keys = [prefix.to_owned(), format!("{prefix}/b")];
        let items = keys.iter().take(page.limit as usize).map(|key| entry(key)).collect();
        Ok(Page { items, next_cursor: None })
    }

    async fn kv_proof(&self, key: &str, consistency: Consistency) -> Result<KvProof, ApiError> {
        self.note(consistency);
        if key == "too early" {
            return Err(ApiError::new(ErrorCode::NotReady, "no state is certified"));
        }
        Ok(proof(key))
    }

    async fn handovers(&self, from: Epoch) -> Result<Handovers, ApiError> {
        let handovers_base64 = vec![EncodedBytes(vec![from.0 as u8]), EncodedBytes(vec![0xff])];
        Ok(Handovers { handovers_base64, next_epoch: Some(Epoch(from.0 + 2)) })
    }

    async fn block(&self, height: Option<Height>) -> Result<BlockDetail, ApiError> {
        match height {
            None => Ok(block(NEWEST)),
            Some(Height(height @ 10..=NEWEST)) => Ok(block(height)),
            Some(Height(height @ 1..10)) => Err(ApiError::pruned(format_args!("block {height}"), Height(10))),
            Some(height) => Err(ApiError::not_found(format_args!("block {height}"))),
        }
    }

    async fn watch(&self, request: WatchRequest) -> Result<WatchStream, ApiError> {
        let first = request.from_height.map_or(NEWEST + 1, |height| height.0);
        match request.key_prefix.as_deref() {
            Some(SLOW_PREFIX) => {
                let events = futures::stream::iter((first..=3).map(|height| Ok(event(height))));
                let last = futures::stream::iter([Err(ApiError::slow_reader(Height(4)))]);
                Ok(events.chain(last).boxed())
            }
            Some(FLOOD_PREFIX) => {
                Ok(futures::stream::iter((first..).map(|height| Ok(flood(height)))).boxed())
            }
            _ => {
                let events = (first..=NEWEST)
                    .map(event)
                    .filter(move |event| request.topics.contains(&event.change.topic()));
                let events: Vec<_> = events.map(Ok).collect();
                Ok(futures::stream::iter(events).chain(futures::stream::pending()).boxed())
            }
        }
    }

    async fn readiness(&self) -> Readiness {
        if self.ready.load(Ordering::SeqCst) {
            Readiness::ready()
        } else {
            Readiness::not_ready(vec!["catching up".into()])
        }
    }

    fn telemetry(&self) -> String {
        "# TYPE height gauge\nheight 40\n# EOF\n".into()
    }

    async fn network_status(&self) -> Result<NetworkStatus, ApiError> {
        Ok(network_status())
    }

    async fn node_metrics(&self) -> Result<IntegrationMetrics, ApiError> {
        Ok(node_metrics())
    }

    async fn network_metrics(&self, liars: f64) -> Result<NetworkMetrics, ApiError> {
        Ok(network_metrics(liars))
    }

    async fn weights(&self) -> Result<Weights, ApiError> {
        Ok(weights())
    }

    async fn explain_weights(&self, epoch: Epoch) -> Result<WeightsExplained, ApiError> {
        if epoch > Epoch(NEWEST) {
            return Err(ApiError::not_found(format_args!("the weights of epoch {epoch}")));
        }
        Ok(explanation(epoch))
    }
}
