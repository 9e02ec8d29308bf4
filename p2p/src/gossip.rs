//! Gossip to everybody: committed blocks and reports.
//!
//! Messages carry no author, sequence number or signature of gossipsub. Blocks come with a commit certificate and reports
//! with their node's signature, so another signature would prove nothing more, and would cost every hop a check and tell
//! everybody who published first. A message's id is the hash of its topic and content: equal messages are one message.
//!
//! A message is passed on only after the consumer has accepted it; who passes on a bad one pays for it in score.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use aegis_types::Hash;
use libp2p::PeerId;
use libp2p::gossipsub::{
    self, Behaviour, ConfigBuilder, IdentTopic, MaxCountSubscriptionFilter, MessageAcceptance,
    MessageAuthenticity, MessageId, PeerScoreParams, PeerScoreThresholds, TopicHash, TopicScoreParams,
    ValidationMode, Version, WhitelistSubscriptionFilter, score_parameter_decay,
};

use crate::error::P2pError;
use crate::protocols::Protocols;

/// Peers that a node keeps in the mesh of a topic, if it has so many, and so sends a new message to.
pub const MESH_PEERS: usize = 6;

/// Largest gossiped message, in bytes. A larger block is announced by its header and fetched by request: gossip sends
/// every message several times, so a large one would cost a multiple of its size.
pub const MAX_GOSSIP_BYTES: usize = 2 << 20;

/// Room for the envelope of a largest message.
const ENVELOPE_BYTES: usize = 16 << 10;

/// How long a message's id is remembered, so that it is not taken for new when it comes around again.
const DUPLICATE_CACHE_TIME: Duration = Duration::from_secs(120);

/// Messages that wait for one peer. The default of 5,000 could hold gigabytes.
const QUEUE_MESSAGES_PER_PEER: usize = 256;

/// How long an invalid message weighs on its bearer.
const INVALID_DECAY: Duration = Duration::from_secs(600);

/// A kind of gossip.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Topic {
    /// Committed blocks with their certificates.
    Blocks,
    /// Signed reports of measurements.
    Reports,
}

impl Topic {
    /// All topics. Every node follows each of them.
    pub const ALL: [Self; 2] = [Self::Blocks, Self::Reports];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Blocks => "blocks",
            Self::Reports => "reports",
        }
    }
}

/// What the consumer thinks of a gossiped message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Valid: pass it on.
    Accept,
    /// Of no use now, and nobody's fault: do not pass it on.
    Ignore,
    /// Invalid: do not pass it on, and hold it against the peer that sent it.
    Reject,
}

impl Verdict {
    pub(crate) const fn acceptance(self) -> MessageAcceptance {
        match self {
            Self::Accept => MessageAcceptance::Accept,
            Self::Ignore => MessageAcceptance::Ignore,
            Self::Reject => MessageAcceptance::Reject,
        }
    }
}

/// Names a received message for its verdict.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct GossipId {
    pub(crate) message: MessageId,
    pub(crate) bearer: PeerId,
}

#[cfg(test)]
impl GossipId {
    pub(crate) fn for_tests() -> Self {
        Self { message: MessageId(vec![1]), bearer: PeerId::random() }
    }
}

/// Gossipsub, restricted to our topics.
pub(crate) type Gossipsub =
    Behaviour<gossipsub::IdentityTransform, MaxCountSubscriptionFilter<WhitelistSubscriptionFilter>>;

/// Our topics and their names on the wire.
#[derive(Debug, Clone)]
pub(crate) struct Topics {
    by_hash: HashMap<TopicHash, Topic>,
    blocks: IdentTopic,
    reports: IdentTopic,
}

impl Topics {
    pub(crate) fn new(protocols: &Protocols) -> Self {
        let blocks = IdentTopic::new(protocols.topic(Topic::Blocks));
        let reports = IdentTopic::new(protocols.topic(Topic::Reports));
        let by_hash = HashMap::from([(blocks.hash(), Topic::Blocks), (reports.hash(), Topic::Reports)]);
        Self { by_hash, blocks, reports }
    }

    pub(crate) fn name(&self, topic: Topic) -> &IdentTopic {
        match topic {
            Topic::Blocks => &self.blocks,
            Topic::Reports => &self.reports,
        }
    }

    pub(crate) fn of(&self, hash: &TopicHash) -> Option<Topic> {
        self.by_hash.get(hash).copied()
    }
}

/// Gossipsub with our rules, subscribed to all topics.
pub(crate) fn behaviour(protocols: &Protocols, topics: &Topics) -> Result<Gossipsub, P2pError> {
    let fault = |reason: String| P2pError::Config { setting: "gossip", reason };
    let config = ConfigBuilder::default()
        .mesh_n(MESH_PEERS)
        .protocol_id(protocols.gossip(), Version::V1_1)
        .validation_mode(ValidationMode::Anonymous)
        .validate_messages()
        .max_transmit_size(MAX_GOSSIP_BYTES + ENVELOPE_BYTES)
        .message_id_fn(message_id)
        .duplicate_cache_time(DUPLICATE_CACHE_TIME)
        .connection_handler_queue_len(QUEUE_MESSAGES_PER_PEER)
        .flood_publish(false)
        .build()
        .map_err(|error| fault(error.to_string()))?;
    let known: HashSet<_> = topics.by_hash.keys().cloned().collect();
    let filter = MaxCountSubscriptionFilter {
        max_subscribed_topics: known.len(),
        max_subscriptions_per_request: known.len() * 2,
        filter: WhitelistSubscriptionFilter(known),
    };
    let mut gossip = Gossipsub::new_with_subscription_filter(MessageAuthenticity::Anonymous, config, filter)
        .map_err(|error| fault(error.to_owned()))?;
    gossip.with_peer_score(score_params(topics), PeerScoreThresholds::default()).map_err(fault)?;
    for topic in Topic::ALL {
        gossip.subscribe(topics.name(topic)).map_err(|error| fault(format!("{error:?}")))?;
    }
    Ok(gossip)
}

fn message_id(message: &gossipsub::Message) -> MessageId {
    let topic = message.topic.as_str().as_bytes();
    let content = [topic, &[0], &message.data].concat();
    MessageId::from(Hash::of("aegis p2p gossip message id 1", &content).as_bytes().to_vec())
}

/// Scores: what our own reputation says counts in full; bearing valid news first counts a little; two invalid messages
/// within ten minutes (-20 times 2 squared) bring a peer to -80, where gossipsub no longer listens to it. How many
/// messages a peer *should* deliver is not scored: traffic depends on the load, and silence is no offence.
fn score_params(topics: &Topics) -> PeerScoreParams {
    let topic = TopicScoreParams {
        topic_weight: 1.0,
        time_in_mesh_weight: 0.01,
        time_in_mesh_quantum: Duration::from_secs(1),
        time_in_mesh_cap: 300.0,
        first_message_deliveries_weight: 0.1,
        first_message_deliveries_decay: 0.9,
        first_message_deliveries_cap: 50.0,
        mesh_message_deliveries_weight: 0.0,
        mesh_failure_penalty_weight: 0.0,
        invalid_message_deliveries_weight: -20.0,
        invalid_message_deliveries_decay: score_parameter_decay(INVALID_DECAY),
        ..TopicScoreParams::default()
    };
    let loopback = [std::net::Ipv4Addr::LOCALHOST.into(), std::net::Ipv6Addr::LOCALHOST.into()];
    PeerScoreParams {
        topics: topics.by_hash.keys().map(|hash| (hash.clone(), topic.clone())).collect(),
        topic_score_cap: 20.0,
        app_specific_weight: 1.0,
        ip_colocation_factor_whitelist: HashSet::from(loopback),
        // A promise is also broken by a message that came another way meanwhile: some of them are free.
        behaviour_penalty_threshold: 6.0,
        behaviour_penalty_decay: score_parameter_decay(INVALID_DECAY),
        ..PeerScoreParams::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rules_are_accepted_by_gossipsub() {
        let protocols = Protocols::new(&"test".parse().unwrap(), &Hash::ZERO);
        let gossip = behaviour(&protocols, &Topics::new(&protocols)).unwrap();
        assert_eq!(gossip.topics().count(), Topic::ALL.len());
    }

    #[test]
    fn equal_content_on_two_topics_is_two_messages() {
        let message = |topic: &str| gossipsub::Message {
            source: None,
            data: b"same".to_vec(),
            sequence_number: None,
            topic: IdentTopic::new(topic).hash(),
        };
        assert_ne!(message_id(&message("a")), message_id(&message("b")));
        assert_eq!(message_id(&message("a")), message_id(&message("a")));
    }
}
