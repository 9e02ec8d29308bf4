//! Gossip to everybody.

mod common;

use aegis_p2p::{GossipId, MAX_GOSSIP_BYTES, NetworkEvent, NodeId, PublishError, Topic, Verdict};
use bytes::Bytes;
use common::{Node, QUIC, TCP, config, direct_pair, id, ids, join, start, until};

async fn next_gossip(node: &mut Node) -> (GossipId, Topic, NodeId, Bytes) {
    node.next("gossip", |event| match event {
        NetworkEvent::Gossip { id, topic, from, message } => Some((id, topic, from, message)),
        _ => None,
    })
    .await
}

/// Publishes different messages until one has arrived: the mesh takes a heartbeat or two to form.
async fn publish_until_heard(from: &Node, to: &mut Node, topic: Topic) -> (GossipId, Topic, NodeId, Bytes) {
    for attempt in 0_u32..200 {
        from.network.publish(topic, Bytes::from(format!("message {attempt}"))).unwrap();
        if let Ok(heard) = tokio::time::timeout(std::time::Duration::from_millis(100), next_gossip(to)).await
        {
            return heard;
        }
    }
    panic!("no message arrived");
}

/// Three nodes in a line: 1 and 3 connect to 2 and let nobody in, though they learn of each other.
async fn line() -> [Node; 3] {
    let mut middle = start(2, config(QUIC)).await;
    let mut ends = Vec::new();
    for byte in [1, 3] {
        let mut config = config(QUIC);
        config.limits.connections_inbound = 0;
        config.bootstrap = middle.network.listen_addresses().await;
        let mut end = start(byte, config).await;
        end.connected_to(2).await;
        middle.connected_to(byte).await;
        ends.push(end);
    }
    let last = ends.pop().unwrap();
    [ends.pop().unwrap(), middle, last]
}

/// What a node hears up to and with a message.
async fn heard_until(node: &mut Node, awaited: &[u8]) -> Vec<(NodeId, Bytes)> {
    let mut heard = Vec::new();
    loop {
        let (_, _, from, message) = next_gossip(node).await;
        heard.push((from, message.clone()));
        if message == awaited {
            return heard;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_accepted_message_is_passed_on_and_names_its_bearer() {
    let [first, mut middle, mut last] = line().await;
    publish_until_heard(&middle, &mut last, Topic::Blocks).await;
    let from_first = Bytes::from_static(b"from the first");
    publish_until_heard(&first, &mut middle, Topic::Blocks).await;
    first.network.publish(Topic::Blocks, from_first.clone()).unwrap();
    let gossip = loop {
        let (gossip, topic, from, message) = next_gossip(&mut middle).await;
        assert_eq!((topic, from), (Topic::Blocks, id(1)));
        if message == from_first {
            break gossip;
        }
    };
    middle.network.judge(gossip, Verdict::Accept);
    let heard = heard_until(&mut last, &from_first).await;
    assert!(heard.iter().all(|(from, _)| *from == id(2)), "{heard:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rejected_message_costs_its_bearer_and_goes_no_further() {
    let [first, mut middle, mut last] = line().await;
    publish_until_heard(&middle, &mut last, Topic::Reports).await;
    let rejected = Bytes::from_static(b"rejected");
    publish_until_heard(&first, &mut middle, Topic::Reports).await;
    first.network.publish(Topic::Reports, rejected.clone()).unwrap();
    let gossip = loop {
        let (gossip, _, _, message) = next_gossip(&mut middle).await;
        if message == rejected {
            break gossip;
        }
    };
    middle.network.judge(gossip, Verdict::Reject);
    until("the bearer's score", || async { middle.peer(1).await.is_some_and(|peer| peer.score < -20.0) })
        .await;
    assert_eq!(last.peer(2).await.unwrap().score, 0.0);
    // By the time at which the last node hears a later message, it would have heard the rejected one.
    middle.network.publish(Topic::Reports, Bytes::from_static(b"later")).unwrap();
    let heard = heard_until(&mut last, b"later").await;
    assert!(heard.iter().all(|(from, message)| *from == id(2) && *message != rejected), "{heard:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_largest_message_arrives_and_a_larger_one_is_refused() {
    let first = start(1, config(QUIC)).await;
    let mut second = join(2, QUIC, &first).await;
    publish_until_heard(&first, &mut second, Topic::Blocks).await;
    let largest = Bytes::from(vec![7; MAX_GOSSIP_BYTES]);
    first.network.publish(Topic::Blocks, largest.clone()).unwrap();
    loop {
        let (_, _, _, message) = next_gossip(&mut second).await;
        if message == largest {
            break;
        }
    }
    let refused = first.network.publish(Topic::Blocks, Bytes::from(vec![7; MAX_GOSSIP_BYTES + 1]));
    assert_eq!(
        refused,
        Err(PublishError::TooLarge { actual: MAX_GOSSIP_BYTES + 1, limit: MAX_GOSSIP_BYTES })
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn listeners_are_those_who_are_connected_and_no_direct_peers() {
    let (mut first, _second) = direct_pair(TCP).await;
    assert!(!first.network.has_listeners());
    let _third = join(3, TCP, &first).await;
    first.connected_to(3).await;
    assert!(first.network.has_listeners());
    first.network.set_direct_peers(ids(&[1, 2, 3]));
    assert!(!first.network.has_listeners());
}
