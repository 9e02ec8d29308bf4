//! Links that are slow on purpose.

mod common;

use std::time::{Duration, Instant};

use aegis_p2p::{Lane, NetworkEvent};
use bytes::Bytes;
use common::{Node, QUIC, TCP, config, id, ids, join, start};

const DELAY: Duration = Duration::from_millis(300);
const FRAMES: u8 = 10;

/// The shortest time in which frames arrive, in order, in some attempts.
async fn fastest(sender: &Node, receiver: &mut Node, to: u8) -> Duration {
    let mut fastest = Duration::MAX;
    for _ in 0..3 {
        let sent = Instant::now();
        for number in 0..FRAMES {
            sender.network.send(&id(to), Lane::Consensus, Bytes::from(vec![number])).unwrap();
        }
        for number in 0..FRAMES {
            let frame = receiver.next("a frame", |event| match event {
                NetworkEvent::Message { frame, .. } => Some(frame),
                _ => None,
            });
            assert_eq!(frame.await, vec![number]);
        }
        fastest = fastest.min(sent.elapsed());
    }
    fastest
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_named_peer_sends_is_read_later_and_in_order_and_the_way_back_is_as_ever() {
    for listen in [QUIC, TCP] {
        let mut delayed = config(listen);
        delayed.link_delays.insert(id(2), DELAY);
        let mut first = start(1, delayed).await;
        let mut second = join(2, listen, &first).await;
        first.connected_to(2).await;
        second.connected_to(1).await;
        first.network.set_direct_peers(ids(&[1, 2]));
        second.network.set_direct_peers(ids(&[1, 2]));
        first.direct_ready(2).await;
        second.direct_ready(1).await;
        let slow = fastest(&second, &mut first, 1).await;
        let quick = fastest(&first, &mut second, 2).await;
        assert!(slow >= DELAY && quick < DELAY, "{listen}: {slow:?} and {quick:?}");
    }
}
