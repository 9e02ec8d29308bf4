//! Watching a node.

use std::collections::BTreeSet;

use aegis_types::{AccountId, Epoch, Hash, Height, Kind, ProposalId, ValidatorId, View};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::encoded::EncodedBytes;
use super::error::ApiError;
use super::metrics::IntegrationMetrics;
use super::proposal::{Outcome, ProposalState};
use super::status::Status;

/// What can be watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Topic {
    /// Blocks.
    Blocks,
    /// Proposals: each change of state that a block brings.
    Proposals,
    /// Changes of replicated values.
    Kv,
    /// The node's status; not replayed.
    Status,
    /// Statistics of the node and its network; not replayed.
    Metrics,
}

impl Topic {
    /// All topics.
    pub const ALL: [Self; 5] = [Self::Blocks, Self::Proposals, Self::Kv, Self::Status, Self::Metrics];

    /// The name in documents and queries.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Blocks => "blocks",
            Self::Proposals => "proposals",
            Self::Kv => "kv",
            Self::Status => "status",
            Self::Metrics => "metrics",
        }
    }
}

/// What to watch.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct WatchRequest {
    /// The topics; not empty.
    pub topics: BTreeSet<Topic>,
    /// First height to deliver; `None` for the next block.
    pub from_height: Option<Height>,
    /// With topic `kv`: only keys that start with this.
    pub key_prefix: Option<String>,
}

impl WatchRequest {
    /// Reads the topics from a list such as `blocks,kv`.
    ///
    /// # Errors
    /// `invalid_argument` for an empty list or an unknown topic.
    pub fn parse_topics(list: &str) -> Result<BTreeSet<Topic>, ApiError> {
        let known = || Topic::ALL.map(Topic::name).join(",");
        let parse = |name: &str| {
            Topic::ALL
                .into_iter()
                .find(|topic| topic.name() == name)
                .ok_or_else(|| ApiError::invalid("topics", format_args!("use some of {}", known())))
        };
        list.split(',').map(parse).collect()
    }
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct WatchEvent {
    /// Height of the block that brought it; for a status or statistics, the newest committed height.
    #[schema(value_type = u64)]
    pub height: Height,
    /// What happened.
    #[serde(flatten)]
    pub change: Change,
}

/// What happened, by topic.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "topic", content = "data", rename_all = "snake_case")]
pub enum Change {
    /// A block was executed.
    Blocks(BlockEvent),
    /// A proposal changed its state.
    Proposals(ProposalEvent),
    /// A replicated value changed.
    Kv(KvEvent),
    /// The node's status.
    Status(Box<Status>),
    /// Statistics of the node and its network.
    Metrics(Box<IntegrationMetrics>),
}

impl Change {
    /// Its topic.
    pub const fn topic(&self) -> Topic {
        match self {
            Self::Blocks(_) => Topic::Blocks,
            Self::Proposals(_) => Topic::Proposals,
            Self::Kv(_) => Topic::Kv,
            Self::Status(_) => Topic::Status,
            Self::Metrics(_) => Topic::Metrics,
        }
    }
}

/// A block was executed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BlockEvent {
    /// The block's digest.
    #[schema(value_type = String)]
    pub digest: Hash,
    /// Its epoch.
    #[schema(value_type = u64)]
    pub epoch: Epoch,
    /// The view in which it was decided.
    #[schema(value_type = u64)]
    pub view: View,
    /// The validator that made it.
    #[schema(value_type = String)]
    pub proposer: ValidatorId,
    /// Agreed time, in milliseconds of the Unix epoch.
    pub timestamp_ms: u64,
    /// Number of its proposals.
    pub proposals: u64,
    /// Root of the state after it.
    #[schema(value_type = String)]
    pub state_root: Hash,
}

/// A proposal changed its state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ProposalEvent {
    /// The proposal.
    #[schema(value_type = String)]
    pub id: ProposalId,
    /// Who signed it.
    #[schema(value_type = String)]
    pub account: AccountId,
    /// Its kind.
    #[schema(value_type = String)]
    pub kind: Kind,
    /// Its new state.
    pub state: ProposalState,
    /// What execution made of it.
    pub outcome: Option<Outcome>,
}

/// A replicated value changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct KvEvent {
    /// The key.
    pub key: String,
    /// Its new version; the last one for a deletion.
    pub version: u64,
    /// The new value, in base64; absent for a deletion.
    #[schema(value_type = Option<String>)]
    pub value_base64: Option<EncodedBytes>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_flat_json_tagged_by_topic() {
        let event = WatchEvent {
            height: Height(7),
            change: Change::Kv(KvEvent {
                key: "a".into(),
                version: 2,
                value_base64: Some(EncodedBytes(vec![1])),
            }),
        };
        let text = serde_json::to_string(&event).unwrap();
        assert_eq!(text, r#"{"height":7,"topic":"kv","data":{"key":"a","version":2,"value_base64":"AQ=="}}"#);
        assert_eq!(serde_json::from_str::<WatchEvent>(&text).unwrap(), event);
    }

    #[test]
    fn topics_are_a_list_of_known_names() {
        let topics = WatchRequest::parse_topics("kv,blocks,kv").unwrap();
        assert_eq!(topics, BTreeSet::from([Topic::Blocks, Topic::Kv]));
        assert_eq!(
            WatchRequest::parse_topics("blocks,weather").unwrap_err().field.as_deref(),
            Some("topics")
        );
        assert!(WatchRequest::parse_topics("").is_err());
    }
}
