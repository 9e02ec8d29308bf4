//! Watching the node.

use std::sync::Arc;
use std::time::{Duration, Instant};

use aegis_rpc::api::{ApiError, Change, Topic, WatchEvent, WatchRequest, WatchStream};
use aegis_types::Height;
use futures::StreamExt as _;
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;

use super::{Api, internal};
use crate::node::context::NodeContext;
use crate::node::watch::{BlockEvents, past_events};

/// How often a watcher of the status hears of it, at most.
const STATUS_INTERVAL: Duration = Duration::from_secs(1);

struct Watcher {
    api: Arc<Api>,
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
            api: Arc::new(self.share()),
            request,
            live,
            next: next.max(Height(1)),
            status_told: None,
            is_over: false,
        };
        Ok(futures::stream::unfold(watcher, Watcher::step).flat_map(futures::stream::iter).boxed())
    }

    fn share(&self) -> Self {
        Self {
            node: self.node.clone(),
            started: self.started,
            names: self.names.clone(),
            endpoint: self.endpoint.clone(),
            data: self.data.clone(),
        }
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
        if !self.is_over
            && let Some(status) = self.status().await
        {
            told.push(status);
        }
        Some((told, self))
    }

    async fn tell_past(&mut self) -> Result<Vec<WatchEvent>, Option<ApiError>> {
        let (node, height): (Arc<NodeContext>, Height) = (self.api.node.clone(), self.next);
        let read =
            tokio::task::spawn_blocking(move || past_events(&node.log, node.kv.as_ref(), height)).await;
        let events = read.map_err(internal).and_then(|events| events.map_err(internal)).map_err(Some)?;
        let events =
            events.ok_or_else(|| Some(ApiError::pruned(format_args!("block {height}"), height.next())))?;
        self.next = height.next();
        Ok(self.wanted(&events))
    }

    async fn tell_live(&mut self) -> Result<Vec<WatchEvent>, Option<ApiError>> {
        loop {
            match self.live.recv().await {
                Ok(block) if block.height < self.next => {}
                Ok(block) if block.height == self.next => {
                    self.next = block.height.next();
                    return Ok(self.wanted(&block.events));
                }
                // Blocks were executed between the look at the standing and now: they are in the log.
                Ok(_) => return Ok(Vec::new()),
                Err(RecvError::Lagged(_)) => return Err(Some(ApiError::slow_reader(self.next))),
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

    async fn status(&mut self) -> Option<Result<WatchEvent, ApiError>> {
        let is_wanted = self.request.topics.is_empty() || self.request.topics.contains(&Topic::Status);
        let is_due = self.status_told.is_none_or(|told| told.elapsed() >= STATUS_INTERVAL);
        if !is_wanted || !is_due {
            return None;
        }
        self.status_told = Some(Instant::now());
        let status = self.api.own_status().await;
        Some(status.map(|status| WatchEvent {
            height: self.next.previous(),
            change: Change::Status(Box::new(status)),
        }))
    }
}
