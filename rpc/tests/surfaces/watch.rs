//! Watching over WebSockets.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use aegis_rpc::{ClientError, ClientWatch, ErrorCode, RpcConfig, RpcLimits, Topic, WatchEvent, WatchRequest};
use aegis_types::Height;
use futures::StreamExt;
use tokio_tungstenite::tungstenite::Message;

use crate::fake_node::{FLOOD_PREFIX, NEWEST, SLOW_PREFIX, event};
use crate::fixture::{PATIENCE, config, start, start_with};

fn from(height: u64, topics: &[Topic]) -> WatchRequest {
    let topics = topics.iter().copied().collect::<BTreeSet<_>>();
    WatchRequest { topics, from_height: Some(Height(height)), key_prefix: None }
}

async fn next(watch: &mut ClientWatch) -> Option<Result<WatchEvent, ClientError>> {
    tokio::time::timeout(PATIENCE, watch.next()).await.expect("no event comes")
}

#[tokio::test]
async fn events_come_in_order_from_the_asked_height_and_go_on_where_one_left_off() {
    let server = start().await;
    let client = server.client();
    let mut watch = client.watch(from(1, &Topic::ALL)).await.unwrap();
    for height in 1..=20 {
        assert_eq!(next(&mut watch).await.unwrap().unwrap(), event(height));
    }
    drop(watch);
    let mut resumed = client.watch(from(21, &Topic::ALL)).await.unwrap();
    for height in 21..=NEWEST {
        assert_eq!(next(&mut resumed).await.unwrap().unwrap(), event(height));
    }
}

#[tokio::test]
async fn only_the_asked_topics_come() {
    let server = start().await;
    let mut watch = server.client().watch(from(1, &[Topic::Kv])).await.unwrap();
    for height in [2, 6, 10] {
        assert_eq!(next(&mut watch).await.unwrap().unwrap(), event(height));
    }
}

#[tokio::test]
async fn a_slow_reader_is_closed_with_the_height_to_resume_from() {
    let server = start().await;
    let request = WatchRequest { key_prefix: Some(SLOW_PREFIX.into()), ..from(1, &Topic::ALL) };
    let mut watch = server.client().watch(request).await.unwrap();
    for height in 1..=3 {
        assert_eq!(next(&mut watch).await.unwrap().unwrap().height, Height(height));
    }
    let error = next(&mut watch).await.unwrap().unwrap_err();
    let error = error.api().expect("the node's error");
    assert_eq!((error.code, error.resume_from), (ErrorCode::SlowReader, Some(Height(4))));
    assert!(next(&mut watch).await.is_none());
}

#[tokio::test]
async fn the_last_message_and_the_close_frame_say_where_to_resume() {
    let server = start().await;
    let url = format!("ws://{}/v1/watch?topics=kv&from_height=3&key_prefix={SLOW_PREFIX}", server.address);
    let stream = tokio::net::TcpStream::connect(server.address).await.unwrap();
    let (mut socket, _) = tokio_tungstenite::client_async(url, stream).await.unwrap();
    let mut texts = Vec::new();
    let close = loop {
        match tokio::time::timeout(PATIENCE, socket.next()).await.unwrap().unwrap().unwrap() {
            Message::Text(text) => texts.push(text.to_string()),
            Message::Close(frame) => break frame.expect("a close frame"),
            Message::Ping(_) | Message::Pong(_) => {}
            other => panic!("{other:?}"),
        }
    };
    assert!(texts.last().unwrap().contains(r#""code":"slow_reader""#), "{texts:?}");
    assert!(texts.last().unwrap().contains(r#""resume_from":4"#), "{texts:?}");
    assert_eq!((u16::from(close.code), close.reason.as_str()), (1013, "slow_reader: resume from 4"));
}

fn one_watcher(watch_stall: Duration) -> RpcConfig {
    RpcConfig { limits: RpcLimits { watchers: 1, watch_stall, ..RpcLimits::default() }, ..config() }
}

#[tokio::test]
async fn a_reader_that_stops_reading_loses_its_place_to_others() {
    let server = start_with(one_watcher(Duration::from_millis(100))).await;
    let client = server.client();
    let flood = WatchRequest { key_prefix: Some(FLOOD_PREFIX.into()), ..from(1, &[Topic::Kv]) };
    let mut stuck = client.watch(flood).await.unwrap();
    let started = Instant::now();
    loop {
        match client.watch(from(1, &Topic::ALL)).await {
            Ok(mut watch) => {
                assert_eq!(next(&mut watch).await.unwrap().unwrap(), event(1));
                break;
            }
            Err(error) => assert_eq!(error.api().map(|error| error.code), Some(ErrorCode::Busy), "{error}"),
        }
        assert!(started.elapsed() < PATIENCE, "the stuck reader keeps its place");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    // What was on its way still arrives in order, and the stream ends: with the height to resume from, or a broken connection.
    let mut last = 0;
    let end = loop {
        match next(&mut stuck).await {
            Some(Ok(event)) => {
                assert_eq!(event.height.0, last + 1);
                last = event.height.0;
            }
            Some(Err(error)) => break error,
            None => panic!("the stream ends without an error after height {last}"),
        }
    };
    if let Some(error) = end.api() {
        assert_eq!((error.code, error.resume_from), (ErrorCode::SlowReader, Some(Height(last + 1))));
    }
}

#[tokio::test]
async fn watchers_above_the_limit_are_told_to_wait() {
    let server = start_with(one_watcher(PATIENCE)).await;
    let client = server.client();
    let mut first = client.watch(from(1, &Topic::ALL)).await.unwrap();
    next(&mut first).await.unwrap().unwrap();
    let error = client.watch(from(1, &Topic::ALL)).await.err().expect("a second watcher is let in");
    assert_eq!(error.api().expect("the node's error").code, ErrorCode::Busy);
}

#[tokio::test]
async fn watchers_of_a_stopping_node_are_told() {
    let server = start().await;
    let mut watch = server.client().watch(from(NEWEST, &Topic::ALL)).await.unwrap();
    next(&mut watch).await.unwrap().unwrap();
    server.stop.send(()).unwrap();
    let error = next(&mut watch).await.unwrap().unwrap_err();
    assert_eq!(error.api().expect("the node's error").code, ErrorCode::Unavailable);
    tokio::time::timeout(PATIENCE, server.task).await.expect("the server does not stop").unwrap();
}
