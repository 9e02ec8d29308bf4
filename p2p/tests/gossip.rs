//! Gossip to everybody.

mod common;

use aegis_p2p::{GossipId, MAX_GOSSIP_BYTES, NetworkEvent, NodeId, PublishError, Topic, Verdict};
use bytes::Bytes;
use common::{Node, QUIC, config, id, join, start, until};

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

/// Three nodes in a line: 1 and 3 know only 2 and look for nobody else.
async fn line() -> [Node; 3] {
    let lonely = || {
        let mut config = config(QUIC);
        config.discovery.target_peers = 0;
        config.discovery.walk_interval_settled = std::time::Duration::from_secs(3600);
        config
    };
    let mut middle = start(2, lonely()).await;
    let mut ends = Vec::new();
    for byte in [1, 3] {
        let mut config = lonely();
        config.bootstrap = middle.network.listen_addresses().await;
        let mut end = start(byte, config).await;
        end.connected_to(2).await;
        middle.connected_to(byte).await;
        ends.push(end);
    }
    let last = ends.pop().unwrap();
    [ends.pop().unwrap(), middle, last]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_accepted_message_is_passed_on_and_names_its_bearer() {
    let [first, mut middle, mut last] = line().await;
    let (gossip, topic, from, message) = publish_until_heard(&first, &mut middle, Topic::Blocks).await;
    assert_eq!((topic, from), (Topic::Blocks, id(1)));
    middle.network.judge(gossip, Verdict::Accept);
    let (_, topic, from, passed_on) = next_gossip(&mut last).await;
    assert_eq!((topic, from, passed_on), (Topic::Blocks, id(2), message));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rejected_message_costs_its_bearer_and_goes_no_further() {
    let [first, mut middle, mut last] = line().await;
    let (gossip, ..) = publish_until_heard(&first, &mut middle, Topic::Reports).await;
    middle.network.judge(gossip, Verdict::Reject);
    until("the bearer's score", || async { middle.peer(1).await.is_some_and(|peer| peer.score < -20.0) })
        .await;
    assert_eq!(last.peer(2).await.unwrap().score, 0.0);
    // A later message of the middle node is the first that the last one hears.
    let (_, _, from, message) = {
        middle.network.publish(Topic::Reports, Bytes::from_static(b"later")).unwrap();
        next_gossip(&mut last).await
    };
    assert_eq!((from, message), (id(2), Bytes::from_static(b"later")));
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
