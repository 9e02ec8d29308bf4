//! Watchers at their readers' pace.
//!
//! A task pulls events from the node into a small buffer, and the surface empties it. When the buffer stays full for too long,
//! the task lets go of the node and leaves `slow_reader` as the last item, for which a place was kept from the start.

use std::time::Duration;

use futures::StreamExt;
use tokio::sync::{OwnedSemaphorePermit, mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;

use crate::api::{ApiError, ErrorCode, WatchStream};

/// Events that wait for a watcher: with the largest value some 4 MiB, with a usual one some KiB.
const BUFFER_EVENTS: usize = 64;

/// Puts a buffer and its task between the node and a reader. `slot` is given back when the task ends.
pub(crate) fn paced(
    events: WatchStream,
    stall: Duration,
    slot: OwnedSemaphorePermit,
    stopping: watch::Receiver<bool>,
) -> WatchStream {
    let (sender, receiver) = mpsc::channel(BUFFER_EVENTS + 1);
    tokio::spawn(async move {
        let _slot = slot;
        let Ok(place_of_last) = sender.clone().reserve_owned().await else { return };
        if let Some(last) = forward(events, stall, &sender, stopping).await {
            place_of_last.send(Err(last));
        }
    });
    ReceiverStream::new(receiver).boxed()
}

/// Forwards events until the stream or its reader ends; returns the error to end with, if any.
async fn forward(
    mut events: WatchStream,
    stall: Duration,
    sender: &mpsc::Sender<Result<crate::api::WatchEvent, ApiError>>,
    mut stopping: watch::Receiver<bool>,
) -> Option<ApiError> {
    loop {
        let item = tokio::select! {
            () = sender.closed() => return None,
            _ = stopping.wait_for(|is_stopping| *is_stopping) => {
                let message = "the node is stopping; watch again from the height after the last event";
                return Some(ApiError::new(ErrorCode::Unavailable, message));
            }
            item = events.next() => item,
        };
        let event = match item {
            None => return None,
            Some(Err(error)) => return Some(error),
            Some(Ok(event)) => event,
        };
        let height = event.height;
        match tokio::time::timeout(stall, sender.reserve()).await {
            Ok(Ok(place)) => place.send(Ok(event)),
            Ok(Err(_)) => return None,
            Err(_) => return Some(ApiError::slow_reader(height)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use aegis_types::Height;
    use tokio::sync::Semaphore;

    use super::*;
    use crate::api::{Change, KvEvent, WatchEvent};

    fn event(height: u64) -> Result<WatchEvent, ApiError> {
        let change = Change::Kv(KvEvent { key: "k".into(), version: 1, value_base64: None });
        Ok(WatchEvent { height: Height(height), change })
    }

    fn start(events: WatchStream, stall_ms: u64) -> (WatchStream, Arc<Semaphore>, watch::Sender<bool>) {
        let slots = Arc::new(Semaphore::new(1));
        let (stop, stopping) = watch::channel(false);
        let slot = Arc::clone(&slots).try_acquire_owned().unwrap();
        (paced(events, Duration::from_millis(stall_ms), slot, stopping), slots, stop)
    }

    #[tokio::test]
    async fn a_reader_that_stops_gets_what_is_buffered_then_the_height_to_resume_from() {
        let endless = futures::stream::iter(1..).map(event).boxed();
        let (mut reader, slots, _stop) = start(endless, 50);
        let _freed = slots.acquire().await.unwrap();
        let mut last_height = 0;
        let error = loop {
            match reader.next().await.unwrap() {
                Ok(event) => {
                    assert_eq!(event.height.0, last_height + 1);
                    last_height = event.height.0;
                }
                Err(error) => break error,
            }
        };
        assert_eq!(error.code, ErrorCode::SlowReader);
        assert_eq!(error.resume_from, Some(Height(last_height + 1)));
        assert!(reader.next().await.is_none());
    }

    #[tokio::test]
    async fn a_reader_that_keeps_up_gets_everything() {
        let events = futures::stream::iter(1..=1_000).map(event).boxed();
        let (reader, _slots, _stop) = start(events, 1_000);
        assert_eq!(reader.filter(|item| std::future::ready(item.is_ok())).count().await, 1_000);
    }

    #[tokio::test]
    async fn a_stopping_node_tells_its_watchers() {
        let (mut reader, _slots, stop) = start(futures::stream::pending().boxed(), 1_000);
        stop.send_replace(true);
        assert_eq!(reader.next().await.unwrap().unwrap_err().code, ErrorCode::Unavailable);
    }
}
