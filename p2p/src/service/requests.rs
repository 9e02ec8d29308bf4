//! Requests in both directions.

use std::collections::HashMap;
use std::time::Instant;

use bytes::Bytes;
use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use libp2p::PeerId;
use libp2p::request_response::{
    Event, InboundFailure, InboundRequestId, Message, OutboundFailure, OutboundRequestId, ResponseChannel,
};
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::state::Service;
use crate::config::NetworkLimits;
use crate::error::RequestError;
use crate::event::NetworkEvent;
use crate::exchange::{Reply, request_error};
use crate::framing::Oversized;
use crate::ids::{NodeId, peer_id_of};
use crate::reputation::Offence;
use crate::token_bucket::TokenBucket;

/// Part of the rate that we use ourselves: clocks differ, and a correct node must never seem to flood.
const OWN_RATE: f64 = 0.8;

/// Questions of ours that may be under way in all. Each may bring one largest response.
const ASKED_MAX: usize = 64;

/// The consumer's answer to one request; none if it refused.
pub(crate) struct Answer {
    id: InboundRequestId,
    channel: ResponseChannel<Bytes>,
    response: Option<Bytes>,
}

#[derive(Debug)]
struct Asked {
    peer: PeerId,
    answer: oneshot::Sender<Result<Bytes, RequestError>>,
}

#[derive(Debug)]
struct Rates {
    inbound: TokenBucket,
    outbound: TokenBucket,
}

/// The requests under way, by direction.
pub(crate) struct Requests {
    limits: NetworkLimits,
    asked: HashMap<OutboundRequestId, Asked>,
    /// Counts until its response is written, not only until it is answered: responses are what takes memory.
    serving: HashMap<InboundRequestId, PeerId>,
    answers: FuturesUnordered<BoxFuture<'static, Answer>>,
    rates: HashMap<PeerId, Rates>,
}

impl Requests {
    pub(crate) fn new(limits: NetworkLimits) -> Self {
        Self {
            limits,
            asked: HashMap::new(),
            serving: HashMap::new(),
            answers: FuturesUnordered::new(),
            rates: HashMap::new(),
        }
    }

    /// The next answer of the consumer; none while there is nothing to wait for.
    pub(crate) async fn next_answer(&mut self) -> Option<Answer> {
        self.answers.next().await
    }

    /// Forgets the rates of a peer that is gone.
    pub(crate) fn forget(&mut self, peer: &PeerId) {
        self.rates.remove(peer);
    }

    fn rates_of(&mut self, peer: PeerId, now: Instant) -> &mut Rates {
        let rate = f64::from(self.limits.request_rate);
        self.rates.entry(peer).or_insert_with(|| Rates {
            inbound: TokenBucket::new(rate, now),
            outbound: TokenBucket::new(rate * OWN_RATE, now),
        })
    }

    fn may_ask(&mut self, peer: PeerId, now: Instant) -> bool {
        let under_way = self.asked.values().filter(|asked| asked.peer == peer).count();
        under_way < self.limits.requests_per_peer
            && self.asked.len() < ASKED_MAX
            && self.rates_of(peer, now).outbound.try_take(now)
    }

    /// Whether there is room to serve one more request of this peer.
    fn may_serve(&self, peer: &PeerId, is_direct: bool) -> bool {
        let under_way = self.serving.values().filter(|serving| *serving == peer).count();
        under_way < self.limits.requests_per_peer
            && (is_direct || self.serving.len() < self.limits.requests_total)
    }
}

impl Service {
    pub(super) fn on_request_command(
        &mut self,
        to: NodeId,
        request: Bytes,
        answer: oneshot::Sender<Result<Bytes, RequestError>>,
    ) {
        let peer = peer_id_of(&to);
        let refusal = if self.peers.node(&peer).is_none() {
            Some(RequestError::NotConnected)
        } else if !self.requests.may_ask(peer, Instant::now()) {
            Some(RequestError::Busy)
        } else {
            None
        };
        if let Some(error) = refusal {
            // Who asked may have given up meanwhile.
            let _ = answer.send(Err(error));
            return;
        }
        let id = self.swarm.behaviour_mut().exchange.send_request(&peer, request);
        self.requests.asked.insert(id, Asked { peer, answer });
    }

    pub(super) fn on_exchange(&mut self, event: Event<Bytes, Bytes>) {
        match event {
            Event::Message { peer, message: Message::Request { request_id, request, channel }, .. } => {
                self.on_request(peer, request_id, request, channel);
            }
            Event::Message { message: Message::Response { request_id, response }, .. } => {
                self.finish(request_id, Ok(response));
            }
            Event::OutboundFailure { peer, request_id, error, .. } => {
                if let OutboundFailure::Io(io) = &error
                    && Oversized::in_error(io).is_some()
                {
                    self.on_offence(peer, Offence::Malformed);
                }
                self.finish(request_id, Err(request_error(&error)));
            }
            Event::InboundFailure { peer, request_id, error, .. } => {
                self.requests.serving.remove(&request_id);
                if let InboundFailure::Io(io) = &error
                    && Oversized::in_error(io).is_some()
                {
                    self.on_offence(peer, Offence::Malformed);
                }
                tracing::debug!(%peer, %error, "a request was not answered");
            }
            Event::ResponseSent { request_id, .. } => {
                self.requests.serving.remove(&request_id);
            }
        }
    }

    fn finish(&mut self, id: OutboundRequestId, result: Result<Bytes, RequestError>) {
        if let Some(asked) = self.requests.asked.remove(&id) {
            // Who asked may have given up meanwhile.
            let _ = asked.answer.send(result);
        }
    }

    /// Hands a request to the consumer, or refuses it by dropping its channel.
    fn on_request(
        &mut self,
        peer: PeerId,
        id: InboundRequestId,
        request: Bytes,
        channel: ResponseChannel<Bytes>,
    ) {
        let Some(from) = self.peers.node(&peer) else { return };
        let now = Instant::now();
        if !self.requests.rates_of(peer, now).inbound.try_take(now) {
            self.on_offence(peer, Offence::Flood);
            return;
        }
        if !self.requests.may_serve(&peer, self.direct.contains(&from)) {
            return;
        }
        self.requests.serving.insert(id, peer);
        let (reply, replied) = Reply::new();
        let limit = self.config.limits.request_timeout;
        self.requests.answers.push(Box::pin(async move {
            let response = timeout(limit, replied).await.ok().and_then(Result::ok);
            Answer { id, channel, response }
        }));
        self.inbox.push_request(NetworkEvent::Request { from, request, reply });
    }

    pub(super) fn on_answer(&mut self, answer: Answer) {
        let Answer { id, channel, response } = answer;
        let sent =
            response.map(|response| self.swarm.behaviour_mut().exchange.send_response(channel, response));
        if !matches!(sent, Some(Ok(()))) {
            self.requests.serving.remove(&id);
        }
    }
}
