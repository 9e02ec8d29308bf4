//! Watching over a WebSocket.
//!
//! Each text message is an event, `{"height": 7, "topic": "kv", "data": {...}}`, or, as the last one, `{"error": {...}}`. The
//! connection is then closed; who reads on from the error's `resume_from` misses nothing.

use std::sync::Arc;
use std::time::Duration;

use aegis_types::Height;
use axum::Extension;
use axum::extract::State;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade, close_code};
use axum::response::Response;
use futures::StreamExt;
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, MissedTickBehavior};
use utoipa::IntoParams;

use super::extract::QueryString;
use crate::api::{ApiError, ErrorCode, WatchRequest, WatchStream};
use crate::problem::Problem;
use crate::server::{Caller, Operations};

/// Largest message that a watcher may send: it has nothing to say but pings and a close.
const INCOMING_BYTES_MAX: usize = 4 * 1024;

/// How often a watcher is pinged; one that is silent for three times as long is gone.
const PING_INTERVAL: Duration = Duration::from_secs(20);

/// The last message of a watch that did not end by the client's will.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ErrorFrame {
    pub(crate) error: ApiError,
}

/// What to watch.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct WatchQuery {
    /// Some of `blocks`, `proposals`, `kv`, `status`, `metrics`, separated by commas.
    topics: String,
    /// First height to deliver; the next block's when absent.
    #[param(value_type = Option<u64>)]
    from_height: Option<Height>,
    /// With topic `kv`: only keys that start with this.
    key_prefix: Option<String>,
}

/// Changes in ascending order of height, over a WebSocket.
///
/// Each text message is a `WatchEvent`, or as the last one `{"error": {code, message, resume_from}}`. A reader that is too
/// slow gets `slow_reader` with the height to resume from.
#[utoipa::path(
    get,
    path = "/v1/watch",
    tag = "watch",
    params(WatchQuery),
    responses((status = 101, description = "A WebSocket of `WatchEvent`s"))
)]
pub(super) async fn watch(
    State(operations): State<Arc<Operations>>,
    Extension(caller): Extension<Caller>,
    QueryString(query): QueryString<WatchQuery>,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, Problem> {
    let upgrade = upgrade.map_err(|rejection| {
        ApiError::invalid("upgrade", format_args!("open a WebSocket here: {rejection}"))
    })?;
    let WatchQuery { topics, from_height, key_prefix } = query;
    let request = WatchRequest { topics: WatchRequest::parse_topics(&topics)?, from_height, key_prefix };
    let events = operations.watch(caller, request).await?;
    // The task behind `events` gives up after one stall; twice that leaves its last word time to get through.
    let patience = operations.limits().watch_stall.saturating_mul(2);
    Ok(upgrade
        .max_message_size(INCOMING_BYTES_MAX)
        .max_frame_size(INCOMING_BYTES_MAX)
        .on_upgrade(move |socket| deliver(socket, events, patience)))
}

/// Sends events until either side ends. A send that takes longer than `patience` drops the connection.
async fn deliver(mut socket: WebSocket, mut events: WatchStream, patience: Duration) {
    let mut ping = tokio::time::interval(PING_INTERVAL);
    ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut last_heard = Instant::now();
    loop {
        let message = tokio::select! {
            item = events.next() => match item {
                Some(Ok(event)) => text(&event),
                Some(Err(error)) => return end(&mut socket, error, patience).await,
                None => return close(&mut socket, close_code::NORMAL, "the stream has ended".to_owned(), patience).await,
            },
            incoming = socket.recv() => match incoming {
                Some(Ok(Message::Close(_)) | Err(_)) | None => return,
                Some(Ok(Message::Text(_) | Message::Binary(_) | Message::Ping(_) | Message::Pong(_))) => {
                    last_heard = Instant::now();
                    continue;
                }
            },
            _ = ping.tick() => {
                if last_heard.elapsed() > PING_INTERVAL.saturating_mul(3) {
                    return;
                }
                Message::Ping(axum::body::Bytes::new())
            }
        };
        if !send(&mut socket, message, patience).await {
            return;
        }
    }
}

async fn end(socket: &mut WebSocket, error: ApiError, patience: Duration) {
    let code = match error.code {
        ErrorCode::SlowReader | ErrorCode::Busy => close_code::AGAIN,
        ErrorCode::Unavailable => close_code::AWAY,
        _ => close_code::ERROR,
    };
    let reason = match error.resume_from {
        Some(height) => format!("{}: resume from {height}", error.code),
        None => error.code.to_string(),
    };
    if send(socket, text(&ErrorFrame { error }), patience).await {
        close(socket, code, reason, patience).await;
    }
}

async fn close(socket: &mut WebSocket, code: u16, reason: String, patience: Duration) {
    let frame = CloseFrame { code, reason: reason.into() };
    if send(socket, Message::Close(Some(frame)), patience).await {
        // The client's answer completes the closing handshake; without it the socket would be reset under unread data.
        let drained = async { while let Some(Ok(_)) = socket.recv().await {} };
        let _ = tokio::time::timeout(patience, drained).await;
    }
}

async fn send(socket: &mut WebSocket, message: Message, patience: Duration) -> bool {
    matches!(tokio::time::timeout(patience, socket.send(message)).await, Ok(Ok(())))
}

fn text(value: &impl Serialize) -> Message {
    // Structs of text and numbers always have a JSON form.
    Message::text(serde_json::to_string(value).unwrap_or_default())
}
