//! Everything received that the consumer has not taken yet.
//!
//! # Bounds
//! - Lane frames: each direct peer has a budget of bytes per lane. Its reader reserves a frame's cost *before* it reads
//!   the frame and waits while there is none, so the transport pushes back on that peer alone.
//! - Gossip: a total in messages and bytes, and a share per peer. What does not fit is ignored, gossip being lossy anyway.
//! - Requests: bounded by the requests under way, where they are admitted.
//! - Connections coming and going: an arrival that nobody has seen yet is cancelled by its departure, so at most three
//!   events per peer wait, and peers are bounded by the connection limits.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

use crate::config::NetworkLimits;
use crate::event::NetworkEvent;
use crate::gossip::{GossipId, Topic};
use crate::ids::NodeId;
use crate::lane::Lane;

/// What a frame costs beside its bytes: bounds the number of frames, empty ones included, by the budget of bytes.
pub(crate) const FRAME_OVERHEAD_BYTES: usize = 256;

/// Gossiped messages that may wait: some seconds of blocks and reports.
const GOSSIP_MESSAGES_MAX: usize = 512;

/// Gossiped bytes that may wait: several largest messages.
const GOSSIP_BYTES_MAX: usize = 16 << 20;

/// Gossiped messages of one peer that may wait: a quarter, so one flooder leaves room for the others.
const GOSSIP_MESSAGES_PER_PEER: usize = GOSSIP_MESSAGES_MAX / 4;

/// After this many consensus frames in a row something else is served once, so that a flood of one kind starves none.
const CONSENSUS_RUN_MAX: u32 = 32;

/// What [`Inbox::take`] found.
pub(crate) enum Taken {
    /// The next event.
    Event(NetworkEvent),
    /// Nothing yet.
    Nothing,
    /// Nothing any more.
    Stopped,
}

/// The right to deliver one frame; holds its share of the sender's budget until the frame is taken or dropped.
#[derive(Debug)]
pub(crate) struct Reserved {
    from: NodeId,
    lane: Lane,
    permit: OwnedSemaphorePermit,
}

#[derive(Debug)]
struct Held {
    frame: Bytes,
    _budget: OwnedSemaphorePermit,
}

/// Frames of one lane, by sender, and the senders in the order of their turns.
#[derive(Debug, Default)]
struct LaneQueue {
    frames: HashMap<NodeId, VecDeque<Held>>,
    turns: VecDeque<NodeId>,
}

impl LaneQueue {
    fn push(&mut self, from: NodeId, held: Held) {
        let queue = self.frames.entry(from).or_default();
        if queue.is_empty() {
            self.turns.push_back(from);
        }
        queue.push_back(held);
    }

    fn pop(&mut self) -> Option<(NodeId, Bytes)> {
        let from = self.turns.pop_front()?;
        let queue = self.frames.get_mut(&from)?;
        let held = queue.pop_front();
        if queue.is_empty() {
            self.frames.remove(&from);
        } else {
            self.turns.push_back(from);
        }
        held.map(|held| (from, held.frame))
    }
}

#[derive(Debug)]
struct Gossiped {
    id: GossipId,
    topic: Topic,
    from: NodeId,
    message: Bytes,
}

/// Kinds of events that take turns after the consensus frames.
#[derive(Debug, Clone, Copy)]
enum Turn {
    Request,
    Payload,
    Gossip,
}

const TURNS: [Turn; 3] = [Turn::Request, Turn::Payload, Turn::Gossip];

#[derive(Debug, Default)]
struct State {
    connections: VecDeque<NetworkEvent>,
    consensus: LaneQueue,
    payload: LaneQueue,
    requests: VecDeque<NetworkEvent>,
    gossip: VecDeque<Gossiped>,
    gossip_bytes: usize,
    gossip_of: HashMap<NodeId, usize>,
    budgets: HashMap<(NodeId, Lane), Arc<Semaphore>>,
    consensus_run: u32,
    turn: usize,
    is_stopped: bool,
    is_abandoned: bool,
}

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct Inbox {
    state: Mutex<State>,
    filled: Notify,
    consensus_bytes: usize,
    payload_bytes: usize,
}

impl Inbox {
    pub(crate) fn new(limits: &NetworkLimits) -> Self {
        Self {
            state: Mutex::default(),
            filled: Notify::new(),
            consensus_bytes: limits.inbox_consensus_bytes,
            payload_bytes: limits.inbox_payload_bytes,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until something may have come in. One waiter only.
    pub(crate) async fn filled(&self) {
        self.filled.notified().await;
    }

    /// The next event in the order that [`crate::EventReceiver`] documents.
    pub(crate) fn take(&self) -> Taken {
        let mut state = self.lock();
        match state.pop() {
            Some(event) => Taken::Event(event),
            None if state.is_stopped => Taken::Stopped,
            None => Taken::Nothing,
        }
    }

    /// Waits for room for a frame of `bytes`; none once nobody will take it.
    pub(crate) async fn reserve(&self, from: NodeId, lane: Lane, bytes: usize) -> Option<Reserved> {
        let budget = {
            let mut state = self.lock();
            if state.is_abandoned || state.is_stopped {
                return None;
            }
            let size = match lane {
                Lane::Consensus => self.consensus_bytes,
                Lane::Payload => self.payload_bytes,
            };
            let fresh = || Arc::new(Semaphore::new(size));
            Arc::clone(state.budgets.entry((from, lane)).or_insert_with(fresh))
        };
        let cost = u32::try_from(bytes.saturating_add(FRAME_OVERHEAD_BYTES)).ok()?;
        let permit = budget.acquire_many_owned(cost).await.ok()?;
        Some(Reserved { from, lane, permit })
    }

    /// Delivers a frame for which there is room.
    pub(crate) fn deliver(&self, reserved: Reserved, frame: Bytes) {
        let mut state = self.lock();
        if state.is_abandoned {
            return;
        }
        let held = Held { frame, _budget: reserved.permit };
        match reserved.lane {
            Lane::Consensus => state.consensus.push(reserved.from, held),
            Lane::Payload => state.payload.push(reserved.from, held),
        }
        drop(state);
        self.filled.notify_one();
    }

    /// Forgets the budget of a peer that is no direct peer any more. What it sent is still delivered.
    pub(crate) fn forget(&self, peer: &NodeId) {
        let mut state = self.lock();
        for lane in Lane::ALL {
            state.budgets.remove(&(*peer, lane));
        }
    }

    /// Delivers a message of gossip unless there is no room; says whether it did.
    pub(crate) fn offer_gossip(&self, id: GossipId, topic: Topic, from: NodeId, message: Bytes) -> bool {
        let mut state = self.lock();
        let of_peer = state.gossip_of.get(&from).copied().unwrap_or(0);
        let has_room = state.gossip.len() < GOSSIP_MESSAGES_MAX
            && state.gossip_bytes.saturating_add(message.len()) <= GOSSIP_BYTES_MAX
            && of_peer < GOSSIP_MESSAGES_PER_PEER;
        if !has_room || state.is_abandoned {
            return false;
        }
        state.gossip_bytes += message.len();
        state.gossip_of.insert(from, of_peer + 1);
        state.gossip.push_back(Gossiped { id, topic, from, message });
        drop(state);
        self.filled.notify_one();
        true
    }

    /// Delivers an admitted request.
    pub(crate) fn push_request(&self, event: NetworkEvent) {
        let mut state = self.lock();
        if !state.is_abandoned {
            state.requests.push_back(event);
            drop(state);
            self.filled.notify_one();
        }
    }

    /// Delivers news about connections and addresses.
    pub(crate) fn push_connection(&self, event: NetworkEvent) {
        let mut state = self.lock();
        if state.is_abandoned {
            return;
        }
        if state.add_connection(event) {
            drop(state);
            self.filled.notify_one();
        }
    }

    /// Nothing more will come.
    pub(crate) fn stop(&self) {
        let mut state = self.lock();
        state.is_stopped = true;
        state.close_budgets();
        drop(state);
        self.filled.notify_one();
    }

    /// Nothing more will be taken.
    pub(crate) fn abandon(&self) {
        let mut state = self.lock();
        state.close_budgets();
        let is_stopped = state.is_stopped;
        *state = State { is_abandoned: true, is_stopped, ..State::default() };
    }
}

impl State {
    fn close_budgets(&mut self) {
        for (_, budget) in self.budgets.drain() {
            budget.close();
        }
    }

    /// Queues news of a connection and drops older news that it outdates; says whether something was queued.
    fn add_connection(&mut self, event: NetworkEvent) -> bool {
        if let NetworkEvent::PeerDisconnected { peer } = &event {
            let gone = *peer;
            let before: HashSet<_> = self.connections.iter().filter_map(arrival_of).collect();
            self.connections.retain(|waiting| match waiting {
                NetworkEvent::PeerConnected { peer } | NetworkEvent::DirectReady { peer } => *peer != gone,
                NetworkEvent::PeerDisconnected { .. }
                | NetworkEvent::Listening { .. }
                | NetworkEvent::Message { .. }
                | NetworkEvent::Gossip { .. }
                | NetworkEvent::Request { .. } => true,
            });
            if before.contains(&gone) {
                return false;
            }
        }
        if let NetworkEvent::DirectReady { peer } = &event {
            let ready = *peer;
            let is_same = |waiting: &NetworkEvent| matches!(waiting, NetworkEvent::DirectReady { peer } if *peer == ready);
            self.connections.retain(|waiting| !is_same(waiting));
        }
        self.connections.push_back(event);
        true
    }

    fn pop(&mut self) -> Option<NetworkEvent> {
        if let Some(event) = self.connections.pop_front() {
            return Some(event);
        }
        if self.consensus_run < CONSENSUS_RUN_MAX
            && let Some(event) = self.pop_consensus()
        {
            self.consensus_run += 1;
            return Some(event);
        }
        self.consensus_run = 0;
        for _ in 0..TURNS.len() {
            self.turn = (self.turn + 1) % TURNS.len();
            let event = match TURNS[self.turn] {
                Turn::Request => self.requests.pop_front(),
                Turn::Payload => self.payload.pop().map(|(from, frame)| message(from, Lane::Payload, frame)),
                Turn::Gossip => self.pop_gossip(),
            };
            if event.is_some() {
                return event;
            }
        }
        self.pop_consensus()
    }

    fn pop_consensus(&mut self) -> Option<NetworkEvent> {
        self.consensus.pop().map(|(from, frame)| message(from, Lane::Consensus, frame))
    }

    fn pop_gossip(&mut self) -> Option<NetworkEvent> {
        let Gossiped { id, topic, from, message } = self.gossip.pop_front()?;
        self.gossip_bytes = self.gossip_bytes.saturating_sub(message.len());
        if let Some(count) = self.gossip_of.get_mut(&from) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.gossip_of.remove(&from);
            }
        }
        Some(NetworkEvent::Gossip { id, topic, from, message })
    }
}

fn message(from: NodeId, lane: Lane, frame: Bytes) -> NetworkEvent {
    NetworkEvent::Message { from, lane, frame }
}

fn arrival_of(event: &NetworkEvent) -> Option<NodeId> {
    match event {
        NetworkEvent::PeerConnected { peer } => Some(*peer),
        NetworkEvent::PeerDisconnected { .. }
        | NetworkEvent::DirectReady { .. }
        | NetworkEvent::Listening { .. }
        | NetworkEvent::Message { .. }
        | NetworkEvent::Gossip { .. }
        | NetworkEvent::Request { .. } => None,
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    fn node(byte: u8) -> NodeId {
        aegis_types::ValidatorId([byte; 32])
    }

    async fn put(inbox: &Inbox, from: NodeId, lane: Lane, text: &'static str) {
        let reserved = inbox.reserve(from, lane, text.len()).await.unwrap();
        inbox.deliver(reserved, Bytes::from_static(text.as_bytes()));
    }

    fn taken_frame(inbox: &Inbox) -> Option<(NodeId, Bytes)> {
        match inbox.take() {
            Taken::Event(NetworkEvent::Message { from, frame, .. }) => Some((from, frame)),
            _ => None,
        }
    }

    #[tokio::test]
    async fn consensus_comes_before_payload_and_peers_take_turns() {
        let inbox = Inbox::new(&NetworkLimits::default());
        put(&inbox, node(1), Lane::Payload, "batch").await;
        for text in ["a1", "a2", "a3"] {
            put(&inbox, node(1), Lane::Consensus, text).await;
        }
        put(&inbox, node(2), Lane::Consensus, "b1").await;
        let order: Vec<_> = std::iter::from_fn(|| taken_frame(&inbox)).map(|(_, frame)| frame).collect();
        assert_eq!(order, ["a1", "b1", "a2", "a3", "batch"]);
    }

    #[tokio::test]
    async fn a_flood_of_consensus_frames_does_not_starve_payload() {
        let inbox = Inbox::new(&NetworkLimits::default());
        put(&inbox, node(1), Lane::Payload, "batch").await;
        for _ in 0..100 {
            put(&inbox, node(2), Lane::Consensus, "vote").await;
        }
        let order: Vec<_> = std::iter::from_fn(|| taken_frame(&inbox)).map(|(_, frame)| frame).collect();
        assert_eq!(order.iter().position(|frame| frame == "batch"), Some(CONSENSUS_RUN_MAX as usize));
    }

    #[tokio::test]
    async fn a_peer_whose_budget_is_used_up_waits_and_others_do_not() {
        let inbox = Inbox::new(&NetworkLimits::default());
        let whole = NetworkLimits::default().inbox_payload_bytes - FRAME_OVERHEAD_BYTES;
        let all = inbox.reserve(node(1), Lane::Payload, whole).await.unwrap();
        assert!(inbox.reserve(node(1), Lane::Payload, 0).now_or_never().is_none());
        assert!(inbox.reserve(node(1), Lane::Consensus, 0).now_or_never().is_some());
        assert!(inbox.reserve(node(2), Lane::Payload, 0).now_or_never().is_some());
        inbox.deliver(all, Bytes::new());
        assert!(inbox.reserve(node(1), Lane::Payload, 0).now_or_never().is_none());
        assert!(taken_frame(&inbox).is_some());
        assert!(inbox.reserve(node(1), Lane::Payload, 0).now_or_never().is_some());
    }

    #[test]
    fn an_arrival_that_nobody_saw_is_cancelled_by_the_departure() {
        let inbox = Inbox::new(&NetworkLimits::default());
        for _ in 0..1000 {
            inbox.push_connection(NetworkEvent::PeerConnected { peer: node(1) });
            inbox.push_connection(NetworkEvent::DirectReady { peer: node(1) });
            inbox.push_connection(NetworkEvent::PeerDisconnected { peer: node(1) });
        }
        assert!(matches!(inbox.take(), Taken::Nothing));
        inbox.push_connection(NetworkEvent::PeerConnected { peer: node(1) });
        assert!(matches!(inbox.take(), Taken::Event(NetworkEvent::PeerConnected { .. })));
        inbox.push_connection(NetworkEvent::PeerDisconnected { peer: node(1) });
        assert!(matches!(inbox.take(), Taken::Event(NetworkEvent::PeerDisconnected { .. })));
    }

    #[test]
    fn one_peer_cannot_fill_the_room_for_gossip() {
        let inbox = Inbox::new(&NetworkLimits::default());
        let offer =
            |from| inbox.offer_gossip(GossipId::for_tests(), Topic::Blocks, from, Bytes::from_static(b"x"));
        let accepted = (0..GOSSIP_MESSAGES_MAX).filter(|_| offer(node(1))).count();
        assert_eq!(accepted, GOSSIP_MESSAGES_PER_PEER);
        assert!(offer(node(2)));
        assert!(matches!(inbox.take(), Taken::Event(NetworkEvent::Gossip { .. })));
        assert!(offer(node(1)));
    }

    #[tokio::test]
    async fn after_the_stop_the_rest_is_delivered_and_readers_end() {
        let inbox = Inbox::new(&NetworkLimits::default());
        put(&inbox, node(1), Lane::Consensus, "last").await;
        inbox.stop();
        assert!(taken_frame(&inbox).is_some());
        assert!(matches!(inbox.take(), Taken::Stopped));
        assert!(inbox.reserve(node(1), Lane::Consensus, 1).await.is_none());
    }
}
