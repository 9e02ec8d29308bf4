//! What a node can be asked: the [`NodeApi`] trait and the plain values that go in and come out.
//!
//! The surfaces (gRPC, REST, WebSocket) translate to and from these types and add nothing of their own. A node implements
//! the trait once; [`crate::Client`] returns the same types on the other side.

pub mod agreed;
pub mod block;
pub mod body;
pub mod consistency;
pub mod encoded;
pub mod error;
pub mod health;
pub mod kv;
pub mod metrics;
pub mod node_api;
pub mod page;
pub mod peer;
pub mod proof;
pub mod proposal;
pub mod report_body;
pub mod status;
pub mod submit;
pub mod validators;
pub mod watch;
pub mod weights;

pub use agreed::{EvidenceInfo, ParameterInfo};
pub use block::{BlockDetail, BlockProposal, CertificateInfo, HeaderInfo, Signer};
pub use body::ProposalBodyJson;
pub use consistency::Consistency;
pub use encoded::EncodedBytes;
pub use error::{ApiError, ErrorCode};
pub use health::{Health, NetworkStatus, Readiness};
pub use kv::{CertifiedAt, KvEntry};
pub use metrics::{
    ConsciousnessMetrics, GlobalState, IntegrationMetrics, NetworkMetrics, NodeMetrics, ObserverMetrics,
    ObserverQuantile, Quality, ReportInfo,
};
pub use node_api::{NodeApi, WatchStream};
pub use page::{Page, PageRequest};
pub use peer::{Direction, Peer};
pub use proof::{Handovers, KvProof};
pub use proposal::{
    CastVote, HistoryEntry, Outcome, ProposalDetail, ProposalFilter, ProposalState, ProposalSummary, Tally,
};
pub use report_body::{MetricsEvidenceJson, MetricsReportJson, SampledVotesJson};
pub use status::{Mempool, Role, SnapshotPhase, SnapshotProgress, Status, Syncing, TorState};
pub use submit::{Payload, Submission, SubmissionState, Submit, SubmitJson, VoteRequest, Wait};
pub use validators::{PendingValidator, ValidatorInfo, Validators};
pub use watch::{BlockEvent, Change, KvEvent, ProposalEvent, Topic, WatchEvent, WatchRequest};
pub use weights::{
    EpochRange, LevelInfo, PolicyInfo, TradeInfo, WeightExplanation, WeightMember, WeightTerms, Weights,
    WeightsExplained,
};
