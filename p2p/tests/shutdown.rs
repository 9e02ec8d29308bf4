//! Stopping.

mod common;

use std::time::{Duration, Instant};

use aegis_p2p::{PublishError, RequestError, Topic};
use bytes::Bytes;
use common::{QUIC, TCP, config, direct_pair, id, in_time, start, until};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shutdown_is_quick_ends_the_events_and_leaves_no_task() {
    let tasks = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
    for listen in [TCP, QUIC] {
        let before = tasks();
        let (first, second) = direct_pair(listen).await;
        assert!(tasks() > before);
        for mut node in [first, second] {
            let asked = Instant::now();
            node.network.shutdown().await;
            assert!(asked.elapsed() < Duration::from_secs(2), "it took {:?}", asked.elapsed());
            in_time("the end of the events", async { while node.events.recv().await.is_some() {} }).await;
            assert_eq!(node.network.join_error(), None);
            assert_eq!(node.network.request(&id(1), Bytes::new()).await, Err(RequestError::Stopped));
            assert_eq!(node.network.publish(Topic::Blocks, Bytes::new()), Err(PublishError::Stopped));
            node.network.shutdown().await;
        }
        until("all tasks to end", || async { tasks() <= before }).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dropping_the_last_handle_stops_the_network() {
    let node = start(1, config(TCP)).await;
    let mut events = node.events;
    drop(node.network);
    in_time("the end of the events", async { while events.recv().await.is_some() {} }).await;
}
