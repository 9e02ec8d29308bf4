//! A closed network: onion services that only listed nodes can find.

use std::time::Duration;

use aegis_types::ProposalBody;

use crate::cluster::Transport;
use crate::tor_network::{network, wait_connected, wait_status};

/// How long a stranger tries in vain: several dials, each after a longer delay.
const TRIES: Duration = Duration::from_secs(30);

#[tokio::test]
async fn listed_nodes_find_each_other_and_a_stranger_finds_nobody() {
    let network = network();
    let mut cluster = network.cluster(2);
    let stranger = cluster.add_home();
    let mut keys = Vec::new();
    for index in 0..2 {
        // A descriptor that was published for everybody would serve until every directory has the next one.
        cluster.nodes[index].settings.push(network.setting_without_relays());
        cluster.start_node(index, &[Transport::Tor]);
        keys.push(cluster.status(index).await.unwrap().tor.expect("a state of Tor").client_key);
        cluster.stop(index);
    }
    for index in 0..2 {
        cluster.nodes[index].settings = vec![format!("p2p.tor.authorized_clients={}", keys.join(","))];
        cluster.start_node(index, &[Transport::Tor]);
    }
    wait_connected(&cluster).await;
    cluster.start_node(stranger, &[Transport::Tor]);
    wait_status(&cluster, stranger, "the Tor network", |status| {
        status.tor.as_ref().is_some_and(|tor| tor.percent == 100)
    })
    .await;
    tokio::time::sleep(TRIES).await;
    assert_eq!(cluster.status(stranger).await.unwrap().peers, 0, "a stranger has found somebody");
    let put = ProposalBody::KvPut { key: "closed".to_owned(), value: b"network".to_vec() };
    cluster.commit(put, "closed").await;
}
