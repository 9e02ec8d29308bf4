//! Watching the node.

use std::sync::Arc;
use std::time::Duration;

use aegis_rpc::api::{ApiError, Change, Topic, WatchEvent, WatchRequest, WatchStream};
use aegis_types::Height;
use futures::StreamExt as _;
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::Instant;

use super::{Api, internal};
use crate::node::watch::{BlockEvents, past_events};

/// How often a watcher of the status or of statistics hears of them, at most.
const STATUS_INTERVAL: Duration = Duration::from_secs(1);

struct Watcher {
    api: Api,
    request: WatchRequest,
    live: broadcast::Receiver<Arc<BlockEvents>>,
    /// The next height to tell of.
    next: Height,
    status_told: Option<Instant>,
    is_over: bool,
}

impl Api {
    pub(super) async fn watch_from(&self, request: WatchRequest) -> Result<WatchStream, ApiError> {
        // Subscribed before the standing is read, so that no block falls between past and present.
        let live = self.node.hub.subscribe();
        let executed = self.node.standing.borrow().executed.height;
        let next = request.from_height.unwrap_or_else(|| executed.next());
        if next > executed.next() {
            return Err(ApiError::invalid(
                "from_height",
                format_args!("{next} lies in the future; this node is at height {executed}"),
            ));
        }
        let watcher = Watcher {
            api: self.clone(),
            request,
            live,
            next: next.max(Height(1)),
            status_told: None,
            is_over: false,
        };
        Ok(futures::stream::unfold(watcher, Watcher::step).flat_map(futures::stream::iter).boxed())
    }
}

type Told = Vec<Result<WatchEvent, ApiError>>;

impl Watcher {
    async fn step(mut self) -> Option<(Told, Self)> {
        if self.is_over {
            return None;
        }
        let executed = self.api.node.standing.borrow().executed.height;
        let told = if self.next <= executed { self.tell_past().await } else { self.tell_live().await };
        let mut told = match told {
            Ok(told) => told.into_iter().map(Ok).collect::<Told>(),
            Err(Some(error)) => {
                self.is_over = true;
                vec![Err(error)]
            }
            Err(None) => return None,
        };
        if !self.is_over && self.status_due().is_some_and(|due| due <= Instant::now()) {
            told.extend(self.standing().await);
        }
        Some((told, self))
    }

    async fn tell_past(&mut self) -> Result<Vec<WatchEvent>, Option<ApiError>> {
        let height = self.next;
        let read = self
            .api
            .read_in_turn(move |node| past_events(&node.log, node.kv.as_ref(), height).map_err(internal));
        let events = read.await.map_err(Some)?;
        let events = events.ok_or_else(|| Some(super::blocks::not_held(&self.api.node, height)))?;
        self.next = height.next();
        Ok(self.wanted(&events))
    }

    async fn tell_live(&mut self) -> Result<Vec<WatchEvent>, Option<ApiError>> {
        loop {
            let status_due = self.status_due();
            let received = tokio::select! {
                received = self.live.recv() => received,
                () = tokio::time::sleep_until(status_due.unwrap_or_else(Instant::now)), if status_due.is_some() => {
                    return Ok(Vec::new());
                }
            };
            match received {
                Ok(block) if block.height < self.next => {}
                Ok(block) if block.height == self.next => {
                    self.next = block.height.next();
                    return Ok(self.wanted(&block.events));
                }
                // What was missed is in the log: blocks that were executed between the look at the standing and now, or while
                // this watcher was told of the past or its reader was slow. The reader's pace is watched where its buffer is.
                Ok(_) | Err(RecvError::Lagged(_)) => return Ok(Vec::new()),
                Err(RecvError::Closed) => return Err(None),
            }
        }
    }

    fn wanted(&self, events: &[WatchEvent]) -> Vec<WatchEvent> {
        let is_wanted = |event: &&WatchEvent| {
            let topic = event.change.topic();
            let in_topics = self.request.topics.is_empty() || self.request.topics.contains(&topic);
            let in_prefix = match (&event.change, &self.request.key_prefix) {
                (Change::Kv(change), Some(prefix)) => change.key.starts_with(prefix),
                _ => true,
            };
            in_topics && in_prefix
        };
        events.iter().filter(is_wanted).cloned().collect()
    }

    fn wants(&self, topic: Topic) -> bool {
        self.request.topics.is_empty() || self.request.topics.contains(&topic)
    }

    /// When the watcher is to hear of the status and of statistics; none if it wants neither.
    fn status_due(&self) -> Option<Instant> {
        let is_wanted = self.wants(Topic::Status) || self.wants(Topic::Metrics);
        is_wanted.then(|| self.status_told.map_or_else(Instant::now, |told| told + STATUS_INTERVAL))
    }

    /// Where node and network stand now, of what the watcher wants.
    async fn standing(&mut self) -> Told {
        self.status_told = Some(Instant::now());
        let height = self.next.previous();
        let mut told = Vec::new();
        if self.wants(Topic::Status) {
            let status = self.api.own_status().await;
            told.push(status.map(|status| WatchEvent { height, change: Change::Status(Box::new(status)) }));
        }
        if self.wants(Topic::Metrics) {
            let metrics = Change::Metrics(Box::new(self.api.own_metrics()));
            told.push(Ok(WatchEvent { height, change: metrics }));
        }
        told
    }
}
