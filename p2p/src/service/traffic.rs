//! Gossip in both directions.

use bytes::Bytes;
use libp2p::gossipsub::{self, MessageAcceptance, PublishError};

use super::state::{Publication, Service};
use crate::gossip::{GossipId, Verdict};
use crate::ids::node_id_of;
use crate::reputation::Offence;

impl Service {
    pub(super) fn on_publication(&mut self, publication: Publication) {
        let Publication { topic, message } = publication;
        let name = self.topics.name(topic).clone();
        match self.swarm.behaviour_mut().gossip.publish(name, message) {
            Ok(_) => {}
            Err(PublishError::NoPeersSubscribedToTopic | PublishError::Duplicate) => {
                tracing::debug!(?topic, "a message reached nobody new");
            }
            Err(error) => tracing::warn!(?topic, %error, "a message was not published"),
        }
    }

    pub(super) fn on_gossip(&mut self, event: gossipsub::Event) {
        match event {
            gossipsub::Event::Message { propagation_source, message_id, message } => {
                let id = GossipId { message: message_id, bearer: propagation_source };
                let topic = self.topics.of(&message.topic);
                let from = node_id_of(&propagation_source);
                let is_taken = match (topic, from) {
                    (Some(topic), Some(from)) => {
                        self.inbox.offer_gossip(id.clone(), topic, from, Bytes::from(message.data))
                    }
                    _ => false,
                };
                if !is_taken {
                    self.on_verdict(&id, Verdict::Ignore);
                }
            }
            gossipsub::Event::SlowPeer { peer_id, .. } => {
                tracing::debug!(peer = %peer_id, "a peer takes gossip too slowly: some was left out");
            }
            gossipsub::Event::Subscribed { .. }
            | gossipsub::Event::Unsubscribed { .. }
            | gossipsub::Event::GossipsubNotSupported { .. } => {}
        }
    }

    pub(super) fn on_verdict(&mut self, id: &GossipId, verdict: Verdict) {
        let acceptance: MessageAcceptance = verdict.acceptance();
        let gossip = &mut self.swarm.behaviour_mut().gossip;
        gossip.report_message_validation_result(&id.message, &id.bearer, acceptance);
        if verdict == Verdict::Reject {
            self.on_offence(id.bearer, Offence::Invalid);
        }
    }
}
