//! Direct streams between validators.

mod common;

use std::time::Duration;

use aegis_p2p::{Direction, Lane, NetworkEvent, SendError, TransportKind};
use bytes::Bytes;
use common::{Node, QUIC, TCP, config, direct_pair, id, ids, join, pair, start, until};
use tokio::time::timeout;

/// The next frame as the number that it starts with.
async fn next_number(node: &mut Node, wanted: Lane) -> u32 {
    node.next("a frame", |event| match event {
        NetworkEvent::Message { lane, frame, .. } if lane == wanted => {
            Some(u32::from_be_bytes(frame[..4].try_into().unwrap()))
        }
        _ => None,
    })
    .await
}

async fn both_lanes_carry_frames_in_order(listen: &str, transport: TransportKind) {
    const FRAMES: u32 = 500;
    let (first, mut second) = direct_pair(listen).await;
    for number in 0..FRAMES {
        for lane in Lane::ALL {
            first.network.send(&id(2), lane, Bytes::copy_from_slice(&number.to_be_bytes())).unwrap();
        }
    }
    let mut expected = [0, 0];
    while expected != [FRAMES, FRAMES] {
        let (lane, number) = second
            .next("frames", |event| match event {
                NetworkEvent::Message { from, lane, frame } => {
                    assert_eq!(from, id(1));
                    Some((lane, u32::from_be_bytes(frame[..].try_into().unwrap())))
                }
                _ => None,
            })
            .await;
        let next = &mut expected[if lane == Lane::Consensus { 0 } else { 1 }];
        assert_eq!(number, *next);
        *next += 1;
    }
    let peer = second.peer(1).await.unwrap();
    assert_eq!((peer.transport, peer.direction, peer.is_direct), (transport, Direction::Outbound, true));
    until("a measured latency", || async { second.peer(1).await.is_some_and(|peer| peer.latency.is_some()) })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn frames_arrive_in_order_over_quic() {
    both_lanes_carry_frames_in_order(QUIC, TransportKind::Quic).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn frames_arrive_in_order_over_tcp() {
    both_lanes_carry_frames_in_order(TCP, TransportKind::Tcp).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_largest_frame_arrives_whole() {
    let (first, mut second) = direct_pair(QUIC).await;
    for lane in Lane::ALL {
        let sent = Bytes::from(vec![lane as u8 + 1; lane.max_frame_bytes()]);
        first.network.send(&id(2), lane, sent.clone()).unwrap();
        let received = second
            .next("the frame", |event| match event {
                NetworkEvent::Message { frame, .. } => Some(frame),
                _ => None,
            })
            .await;
        assert!(received == sent);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_consumer_fills_the_queue_and_loses_nothing_that_was_accepted() {
    let (first, mut second) = direct_pair(TCP).await;
    let frame = |number: u32| {
        let mut frame = vec![0; 256 << 10];
        frame[..4].copy_from_slice(&number.to_be_bytes());
        Bytes::from(frame)
    };
    // The second node takes nothing, so everything on the way fills up: its inbox, the transport, our queue.
    let mut accepted = 0;
    loop {
        match first.network.send(&id(2), Lane::Payload, frame(accepted)) {
            Ok(()) => accepted += 1,
            Err(error) => {
                assert_eq!(error, SendError::Full);
                break;
            }
        }
        assert!(accepted < 10_000, "the queue has no bound");
    }
    // Meanwhile the other lane is free.
    first.network.send(&id(2), Lane::Consensus, Bytes::from_static(b"vote")).unwrap();
    second
        .next("the vote before the batches", |event| match event {
            NetworkEvent::Message { lane: Lane::Consensus, frame, .. } => Some(frame),
            _ => None,
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_full_queue_accepted_arrives_once_the_consumer_goes_on() {
    let (first, mut second) = direct_pair(QUIC).await;
    let frame = |number: u32| {
        let mut frame = vec![0; 512 << 10];
        frame[..4].copy_from_slice(&number.to_be_bytes());
        Bytes::from(frame)
    };
    let mut accepted = 0;
    while first.network.send(&id(2), Lane::Payload, frame(accepted)).is_ok() {
        accepted += 1;
    }
    for number in 0..accepted {
        assert_eq!(next_number(&mut second, Lane::Payload).await, number);
    }
    first.network.send(&id(2), Lane::Payload, frame(accepted)).unwrap();
    assert_eq!(next_number(&mut second, Lane::Payload).await, accepted);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_strangers_streams_are_refused_until_it_is_named() {
    let (mut first, mut second) = pair(TCP).await;
    first.network.set_direct_peers(ids(&[2]));
    let ready = first.next("lanes", |event| matches!(event, NetworkEvent::DirectReady { .. }).then_some(()));
    assert!(timeout(Duration::from_millis(700), ready).await.is_err(), "a stranger's streams were taken");
    let refused = first.network.send(&id(2), Lane::Consensus, Bytes::from_static(b"vote"));
    assert_eq!(refused, Err(SendError::NotConnected));

    second.network.set_direct_peers(ids(&[1]));
    first.direct_ready(2).await;
    second.direct_ready(1).await;
    second.network.set_direct_peers(ids(&[]));
    until("the lanes to be closed", || async {
        first.network.send(&id(2), Lane::Consensus, Bytes::from_static(b"vote"))
            == Err(SendError::NotConnected)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restarted_peer_is_connected_again_at_its_old_address() {
    for listen in [TCP, QUIC] {
        let (mut first, second) = direct_pair(listen).await;
        let address = second.address().await;
        second.network.shutdown().await;
        first.disconnected_from(2).await;
        drop(second);

        let mut second = start(
            2,
            config(&address.to_string().replace(&format!("/p2p/{}", aegis_p2p::peer_id_of(&id(2))), "")),
        )
        .await;
        // The restarted node knows nobody: it waits to be dialled.
        second.network.set_direct_peers(ids(&[1]));
        first.direct_ready(2).await;
        second.direct_ready(1).await;
        first.network.send(&id(2), Lane::Consensus, Bytes::from_static(b"\0\0\0\x07")).unwrap();
        assert_eq!(next_number(&mut second, Lane::Consensus).await, 7);
    }
}

/// A node on a runtime of its own, which can end as abruptly as a killed process.
fn start_apart(byte: u8, config: aegis_p2p::NetworkConfig) -> (tokio::runtime::Runtime, Node) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let node = runtime.block_on(start(byte, config));
    (runtime, node)
}

#[test]
fn a_killed_peer_is_reached_again_before_its_dead_connection_times_out() {
    const IDLE_TIMEOUT: Duration = Duration::from_secs(10);
    let (runtime, mut first) = start_apart(1, config(QUIC));
    first.network.set_direct_peers(ids(&[2]));
    let mut second_config = config(QUIC);
    second_config.bootstrap = runtime.block_on(first.network.listen_addresses());

    let (doomed, mut second) = start_apart(2, second_config.clone());
    second.network.set_direct_peers(ids(&[1]));
    runtime.block_on(async { tokio::join!(first.direct_ready(2), second.direct_ready(1)) });
    doomed.shutdown_background();
    drop(second);

    let restarted = std::time::Instant::now();
    let (_alive, mut second) = start_apart(2, second_config);
    second.network.set_direct_peers(ids(&[1]));
    runtime.block_on(async {
        tokio::join!(first.direct_ready(2), second.direct_ready(1));
        first.network.send(&id(2), Lane::Consensus, Bytes::from_static(b"\0\0\0\x07")).unwrap();
        assert_eq!(next_number(&mut second, Lane::Consensus).await, 7);
    });
    assert!(restarted.elapsed() < IDLE_TIMEOUT / 2, "it took {:?}", restarted.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn direct_peers_find_each_other_by_id_alone() {
    let hub = start(9, config(QUIC)).await;
    let mut first = join(1, QUIC, &hub).await;
    let mut second = join(2, QUIC, &hub).await;
    first.network.set_direct_peers(ids(&[2]));
    second.network.set_direct_peers(ids(&[1]));
    first.direct_ready(2).await;
    second.direct_ready(1).await;
}
